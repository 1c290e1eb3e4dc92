/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smbios.c - what the machine is called (DMTF DSP0134, SMBIOS 3.0): the entry point that kernels
 * without EFI scan [0xf0000, 1 MiB) for, and the structures they cannot do without.
 */
#include <portcullis/acpi.h>

#include <errno.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/version.h>

#define PACKED __attribute__((packed))
#define VENDOR "portcullis"
#define FIRST_HANDLE 0x100u

enum smbios_type { TYPE_FIRMWARE = 0, TYPE_SYSTEM = 1, TYPE_CHASSIS = 3, TYPE_END = 127 };

struct entry_point {
	char anchor[5];
	uint8_t checksum, length, major, minor, docrev, revision, reserved;
	uint32_t max_size;
	uint64_t address;
} PACKED;
_Static_assert(sizeof(struct entry_point) == 24, "5.2.2");

struct header {
	uint8_t type, length;
	uint16_t handle;
} PACKED;

/* Strings are numbered from 1 in the order they are appended; 0 is none. */
struct firmware {
	struct header header;
	uint8_t vendor, version;
	uint16_t segment;
	uint8_t date, rom_size;
	uint64_t characteristics;
	uint8_t extension[2], major, minor, ec_major, ec_minor;
} PACKED;
_Static_assert(sizeof(struct firmware) == 0x18, "7.1");
#define FIRMWARE_NO_CHARACTERISTICS (1u << 3)
#define FIRMWARE_VIRTUAL_MACHINE (1u << 4) /* second extension byte */

struct system_info {
	struct header header;
	uint8_t manufacturer, product, version, serial, uuid[SMBIOS_UUID_SIZE], wakeup, sku, family;
} PACKED;
_Static_assert(sizeof(struct system_info) == 0x1b, "7.2");
#define WAKEUP_POWER_SWITCH 6

struct chassis {
	struct header header;
	uint8_t manufacturer, type, version, serial, asset, states[4];
	uint32_t oem;
	uint8_t height, cords, elements, element_size, sku;
} PACKED;
_Static_assert(sizeof(struct chassis) == 0x16, "7.4");
#define CHASSIS_OTHER 1
#define STATE_SAFE 3
#define SECURITY_NONE 3

struct area {
	uint8_t *base; /* HVA of SMBIOS_GPA */
	size_t used;
	uint16_t handle;
};

/* The structure and its strings, which end with an empty one. There is room: tests see to that. */
static void put(struct area *area, struct header *header, size_t size, const char *const strings[])
{
	uint8_t *to = area->base + area->used;
	size_t total = size;

	header->length = (uint8_t)size;
	header->handle = area->handle++;
	memcpy(to, header, size);
	for (unsigned i = 0; strings && strings[i]; i++) {
		size_t len = strlen(strings[i]) + 1;

		memcpy(to + total, strings[i], len);
		total += len;
	}
	/* The area is zero: two of them end a structure without strings, one the strings. */
	area->used += total + (strings ? 1 : 2);
}

static void put_firmware(struct area *area)
{
	/*
	 * No date: Linux takes firmware of 2015 and later for leave to power root ports down while
	 * nothing is plugged, and one that sleeps is late to show what is.
	 */
	static const char *const strings[] = { VENDOR, PORTCULLIS_VERSION, NULL };
	struct firmware firmware = {
		.header.type = TYPE_FIRMWARE,
		.vendor = 1,
		.version = 2,
		.segment = 0xf000,
		.characteristics = FIRMWARE_NO_CHARACTERISTICS,
		.extension = { 0, FIRMWARE_VIRTUAL_MACHINE },
		.major = 0xff,
		.minor = 0xff,
		.ec_major = 0xff,
		.ec_minor = 0xff,
	};

	put(area, &firmware.header, sizeof(firmware), strings);
}

/* Since SMBIOS 2.6 a UUID's first three fields are little-endian. */
static void put_uuid(uint8_t *to, const uint8_t *uuid)
{
	static const uint8_t from[SMBIOS_UUID_SIZE] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12,
		13, 14, 15 };

	for (unsigned i = 0; i < SMBIOS_UUID_SIZE; i++)
		to[i] = uuid[from[i]];
}

static void put_system(struct area *area, const uint8_t *uuid)
{
	static const char *const strings[] = { VENDOR, "q35", PORTCULLIS_VERSION, NULL };
	struct system_info system = {
		.header.type = TYPE_SYSTEM,
		.manufacturer = 1,
		.product = 2,
		.version = 3,
		.wakeup = WAKEUP_POWER_SWITCH,
	};

	put_uuid(system.uuid, uuid);
	put(area, &system.header, sizeof(system), strings);
}

static void put_chassis(struct area *area)
{
	static const char *const strings[] = { VENDOR, NULL };
	struct chassis chassis = {
		.header.type = TYPE_CHASSIS,
		.manufacturer = 1,
		.type = CHASSIS_OTHER,
		.states = { STATE_SAFE, STATE_SAFE, STATE_SAFE, SECURITY_NONE },
	};

	put(area, &chassis.header, sizeof(chassis), strings);
}

int smbios_place(const uint8_t uuid[SMBIOS_UUID_SIZE], const struct ram *ram, struct err *err)
{
	const size_t size = SMBIOS_GPA_END - SMBIOS_GPA;
	struct header end = { .type = TYPE_END };
	uint8_t sum = 0;
	struct entry_point entry = { .anchor = { '_', 'S', 'M', '3', '_' },
		.length = sizeof(entry),
		.major = 3,
		.revision = 1,
		.address = SMBIOS_GPA + sizeof(entry) };
	struct area area = { .used = sizeof(entry), .handle = FIRST_HANDLE };

	area.base = ram_hva(ram, SMBIOS_GPA, size);
	if (!area.base)
		return err_set(err, ENOSPC, "there is no RAM for the SMBIOS tables below 1 MiB");
	memset(area.base, 0, size);
	put_firmware(&area);
	put_system(&area, uuid);
	put_chassis(&area);
	put(&area, &end, sizeof(end), NULL);
	entry.max_size = (uint32_t)(area.used - sizeof(entry));
	for (unsigned i = 0; i < sizeof(entry); i++)
		sum = (uint8_t)(sum + ((const uint8_t *)&entry)[i]);
	entry.checksum = (uint8_t)-sum;
	memcpy(area.base, &entry, sizeof(entry));
	return 0;
}
