/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzimage.c - Linux's bzImage by its 64-bit entry (Documentation/arch/x86/boot.rst,
 * protocol 2.12+).
 */
#include "internal.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <portcullis/err.h>

#define HEADER_OFFSET offsetof(struct boot_params, hdr)
#define HEADER_MAGIC 0x53726448u /* "HdrS" */
#define BOOT_FLAG 0xaa55u
#define PROTOCOL_MIN 0x020c
#define SECTOR 512u
#define SYSSIZE_UNIT 16u
#define ENTRY_64 0x200u
#define LOADER_UNDEFINED 0xff

/* The header's fixed part in a file that is long enough for it. */
static bool read_header(const uint8_t *data, size_t size, struct setup_header *hdr)
{
	if (size < HEADER_OFFSET + sizeof(*hdr))
		return false;
	memcpy(hdr, data + HEADER_OFFSET, sizeof(*hdr));
	return true;
}

bool bzimage_probe(const uint8_t *data, size_t size)
{
	struct setup_header hdr;

	return read_header(data, size, &hdr) && hdr.boot_flag == BOOT_FLAG &&
	       hdr.header == HEADER_MAGIC;
}

static uint64_t payload_offset(const struct setup_header *hdr)
{
	return ((hdr->setup_sects ? hdr->setup_sects : 4u) + 1) * (uint64_t)SECTOR;
}

/* As the header says: in units, of which the last need not be whole in the file. */
static uint64_t payload_size(const struct setup_header *hdr)
{
	return hdr->syssize * (uint64_t)SYSSIZE_UNIT;
}

/* What of that there is in a file that bzimage_check() took. */
static uint64_t payload_file_size(const struct setup_header *hdr, size_t file_size)
{
	const uint64_t there = file_size - payload_offset(hdr);

	return there < payload_size(hdr) ? there : payload_size(hdr);
}

/* What the running kernel needs from its load address on. */
static uint64_t memory_size(const struct setup_header *hdr)
{
	return hdr->init_size > payload_size(hdr) ? hdr->init_size : payload_size(hdr);
}

static int check_protocol(const struct setup_header *hdr, const char *path, struct err *err)
{
	if (hdr->version < PROTOCOL_MIN) {
		err_set(err, ENOEXEC,
			"kernel '%s' speaks boot protocol %u.%02u; 2.12 or later is needed", path,
			hdr->version >> 8, hdr->version & 0xffu);
		err_hint(err, "Linux 3.8 and later have it");
		return -ENOEXEC;
	}
	if (!(hdr->xloadflags & XLF_KERNEL_64)) {
		err_set(err, ENOEXEC, "kernel '%s' is a 32-bit kernel: it has no 64-bit entry",
			path);
		err_hint(err, "use an x86_64 kernel");
		return -ENOEXEC;
	}
	return 0;
}

static int check_sizes(
	const struct setup_header *hdr, const struct boot_image *image, struct err *err)
{
	const uint64_t end = payload_offset(hdr) + payload_size(hdr);

	if (payload_size(hdr) <= ENTRY_64)
		return err_set(err, ENOEXEC,
			"kernel '%s' has an invalid header: %" PRIu64 " bytes of kernel",
			image->kernel_path, payload_size(hdr));
	if (end >= image->kernel_size + SYSSIZE_UNIT) {
		err_set(err, ENOEXEC,
			"kernel '%s' is truncated: its header promises %llu bytes, the file has %zu",
			image->kernel_path, (unsigned long long)end, image->kernel_size);
		err_hint(err, "copy or build the file again");
		return -ENOEXEC;
	}
	if (hdr->relocatable_kernel &&
		(!hdr->kernel_alignment || (hdr->kernel_alignment & (hdr->kernel_alignment - 1))))
		return err_set(err, ENOEXEC, "kernel '%s' has an invalid header: alignment %#x",
			image->kernel_path, hdr->kernel_alignment);
	return 0;
}

int bzimage_check(const struct boot_image *image, struct err *err)
{
	struct setup_header hdr;
	size_t len = strlen(image->cmdline), max;
	int ret;

	if (!read_header(image->kernel, image->kernel_size, &hdr))
		return err_set(err, ENOEXEC, "kernel '%s' is truncated", image->kernel_path);
	ret = check_protocol(&hdr, image->kernel_path, err);
	if (ret == 0)
		ret = check_sizes(&hdr, image, err);
	max = hdr.cmdline_size < BOOT_CMDLINE_SIZE ? hdr.cmdline_size : BOOT_CMDLINE_SIZE - 1;
	if (ret == 0 && len > max)
		ret = err_set(err, E2BIG,
			"the command line (-append) has %zu bytes, kernel '%s' takes at most %zu",
			len, image->kernel_path, max);
	return ret;
}

/* At its preferred address, or, if it can be moved, at the lowest that has room. */
static int find_room(const struct setup_header *hdr, const struct boot_image *image,
	const struct ram *ram, struct span *at, struct err *err)
{
	const uint64_t limit = GPA_HIGH_RAM; /* what low_page_tables() maps */

	at->size = memory_size(hdr);
	at->start = hdr->pref_address;
	if (at->start >= BOOT_MIB && at->start < limit && at->size <= limit - at->start &&
		ram_hva(ram, at->start, at->size))
		return 0;
	if (hdr->relocatable_kernel &&
		space_lowest(ram, at->size, hdr->kernel_alignment, limit, &at->start) == 0)
		return 0;
	err_set(err, E2BIG,
		"kernel '%s' needs %llu bytes of RAM at %#llx%s; the guest has %llu bytes in all",
		image->kernel_path, (unsigned long long)at->size,
		(unsigned long long)hdr->pref_address,
		hdr->relocatable_kernel ? " or above 1 MiB" : "",
		(unsigned long long)ram->layout.size);
	err_hint(err, "give the guest more memory with -m");
	return -E2BIG;
}

static int place_initrd(const struct place *place, struct setup_header *hdr, struct span kernel,
	struct boot_params *params, struct err *err)
{
	uint64_t limit = (uint64_t)hdr->initrd_addr_max + 1;
	struct span at;
	int ret = space_initrd(place, limit, kernel, &at, NULL);

	if (ret < 0) {
		if (hdr->xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G)
			limit = UINT64_MAX;
		ret = space_initrd(place, limit, kernel, &at, err);
	}
	if (ret < 0)
		return ret;
	hdr->ramdisk_image = (uint32_t)at.start;
	hdr->ramdisk_size = (uint32_t)at.size;
	params->ext_ramdisk_image = (uint32_t)(at.start >> 32);
	params->ext_ramdisk_size = (uint32_t)(at.size >> 32);
	return 0;
}

static void fill_e820(struct boot_params *params, const struct e820 *map)
{
	_Static_assert(sizeof(map->entry) / sizeof(map->entry[0]) <= E820_MAX_ENTRIES_ZEROPAGE,
		"the zero page has room for every entry");

	params->e820_entries = (uint8_t)map->count;
	for (unsigned i = 0; i < map->count; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = map->entry[i].start,
			.size = map->entry[i].size,
			.type = map->entry[i].type,
		};
}

/* The header of newer kernels may be longer than the struct we were built with: the file says. */
static void copy_header(struct boot_params *params, const uint8_t *kernel)
{
	const size_t room = offsetof(struct boot_params, edd_mbr_sig_buffer) - HEADER_OFFSET;
	const size_t jump = offsetof(struct setup_header, jump);
	size_t len = jump + 2 + kernel[HEADER_OFFSET + jump + 1];

	if (len < sizeof(struct setup_header))
		len = sizeof(struct setup_header);
	if (len > room)
		len = room;
	memcpy((uint8_t *)params + HEADER_OFFSET, kernel + HEADER_OFFSET, len);
}

int bzimage_place(const struct place *place, struct kvm_entry *entry, struct err *err)
{
	const struct boot_image *image = place->image;
	struct boot_params params = { 0 };
	struct setup_header hdr;
	struct span kernel;
	int ret;

	ret = bzimage_check(image, err);
	if (ret < 0)
		return ret;
	(void)read_header(image->kernel, image->kernel_size, &hdr);
	ret = find_room(&hdr, image, place->ram, &kernel, err);
	if (ret < 0)
		return ret;
	load_add(place->load, ram_hva(place->ram, kernel.start, kernel.size),
		image->kernel + payload_offset(&hdr), payload_file_size(&hdr, image->kernel_size),
		payload_size(&hdr));
	copy_header(&params, image->kernel);
	hdr = params.hdr;
	ret = place_initrd(place, &hdr, kernel, &params, err);
	if (ret < 0)
		return ret;
	hdr.type_of_loader = LOADER_UNDEFINED;
	hdr.loadflags = (uint8_t)((hdr.loadflags | LOADED_HIGH) & ~(CAN_USE_HEAP | KEEP_SEGMENTS));
	hdr.vid_mode = 0xffff; /* normal */
	hdr.code32_start = (uint32_t)kernel.start;
	hdr.cmd_line_ptr = BOOT_CMDLINE;
	hdr.setup_data = 0;
	params.hdr = hdr;
	params.acpi_rsdp_addr = place->rsdp;
	fill_e820(&params, place->map);
	memcpy(place->low + BOOT_ZERO_PAGE, &params, sizeof(params));
	low_cmdline(place->low, image->cmdline);
	low_gdt(place->low, true, entry);
	low_page_tables(place->low, entry);
	entry->mode = KVM_ENTRY_LONG;
	entry->rip = kernel.start + ENTRY_64;
	entry->rsp = BOOT_STACK_TOP;
	entry->arg = BOOT_ZERO_PAGE;
	return 0;
}
