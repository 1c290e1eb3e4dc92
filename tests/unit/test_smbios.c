/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_smbios.c - SMBIOS as a kernel finds it: by scanning, structure by structure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "acpi_fixture.h"

#include <portcullis/err.h>

#define SCAN_START 0xf0000ull
#define SCAN_END 0x100000ull

static const uint8_t uuid[SMBIOS_UUID_SIZE] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static struct acpi_fixture fixture;
static struct err err;

/* As Linux does (dmi_scan_machine): every 16 bytes. */
static const uint8_t *scan(void)
{
	const uint8_t *found = NULL;

	for (uint64_t at = SCAN_START; at < SCAN_END; at += 16) {
		const uint8_t *here = ram_hva(&fixture.ram, at, 16);

		if (memcmp(here, "_SM3_", 5) != 0)
			continue;
		assert_null(found);
		found = here;
	}
	assert_non_null(found);
	return found;
}

/* The first structure of that type, NULL without one. */
static const uint8_t *walk(const uint8_t *at, const uint8_t *end, int type)
{
	while (at < end) {
		const uint8_t *here = at;

		assert_true(here[1] >= 4 && here + here[1] <= end);
		for (at += here[1]; at[0] || at[1]; at++)
			assert_true(at + 1 < end);
		at += 2;
		if (here[0] == type)
			return here;
		assert_int_not_equal(here[0], 127); /* the end is the last */
	}
	return NULL;
}

static const char *string(const uint8_t *structure, unsigned number)
{
	const char *at = (const char *)structure + structure[1];

	while (--number)
		at += strlen(at) + 1;
	return at;
}

static void test_tables(void **state)
{
	static const uint8_t mixed[SMBIOS_UUID_SIZE] = { 0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77,
		0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	const uint8_t *entry, *table, *end, *found;
	uint64_t address;
	uint32_t size;

	(void)state;
	/* A guest may have written over it before a reset. */
	memset(ram_hva(&fixture.ram, SMBIOS_GPA, SMBIOS_GPA_END - SMBIOS_GPA), 0xa5,
		SMBIOS_GPA_END - SMBIOS_GPA);
	*(uint8_t *)ram_hva(&fixture.ram, SMBIOS_GPA_END, 1) = 0xea;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	assert_int_equal(smbios_place(uuid, &fixture.ram, &err), 0);
	assert_int_equal(*(uint8_t *)ram_hva(&fixture.ram, SMBIOS_GPA_END, 1), 0xea);
	entry = scan();
	assert_true(acpi_sum_is_zero(entry, 24));
	assert_int_equal(entry[6], 24);
	assert_int_equal(entry[7], 3);
	memcpy(&size, entry + 12, sizeof(size));
	memcpy(&address, entry + 16, sizeof(address));
	table = ram_hva(&fixture.ram, address, size);
	assert_non_null(table);
	end = table + size;
	found = walk(table, end, 1);
	assert_non_null(found);
	assert_int_equal(found[1], 0x1b);
	assert_memory_equal(found + 8, mixed, sizeof(mixed));
	assert_string_equal(string(found, found[4]), "portcullis");
	assert_string_equal(string(found, found[5]), "q35");
	found = walk(table, end, 0);
	assert_int_equal(found[8], 0);		    /* no date, on purpose */
	assert_int_equal(found[0x13] & 0x10, 0x10); /* a virtual machine */
	assert_non_null(walk(table, end, 3));
	found = walk(table, end, 127);
	assert_ptr_equal(found + 6, end);
	assert_int_equal(walk(table, end, 1)[2] == walk(table, end, 0)[2], 0); /* handles differ */
}

static void test_no_room(void **state)
{
	(void)state;
	fixture.ram.layout.segment[0].size = SMBIOS_GPA_END - 1;
	assert_int_equal(smbios_place(uuid, &fixture.ram, &err), -ENOSPC);
}

#define CASE(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(                                                  \
		name, acpi_fixture_setup, acpi_fixture_teardown, &fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_tables),
		CASE(test_no_room),
	};

	return cmocka_run_group_tests_name("smbios", tests, NULL, NULL);
}
