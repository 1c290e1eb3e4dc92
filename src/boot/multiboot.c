/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiboot.c - ELF32 kernels with a Multiboot header (Multiboot Specification 0.6.96).
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <portcullis/err.h>

#define HEADER_SEARCH 8192u
#define HEADER_MAGIC 0x1badb002u
#define BOOTED_MAGIC 0x2badb002u /* eax at entry */

/* Requirements of the header we meet: page-aligned modules, memory information. */
#define REQUIRE_MASK 0xffffu
#define REQUIRE_KNOWN 0x3u
#define REQUIRE_ADDRESSES 0x10000u /* not ELF: load addresses are in the header */

enum info_flags {
	INFO_MEM = 1u << 0,
	INFO_CMDLINE = 1u << 2,
	INFO_MODULES = 1u << 3,
	INFO_MMAP = 1u << 6,
	INFO_LOADER = 1u << 9,
};

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr, config_table, loader_name, apm_table;
	uint32_t vbe[4], framebuffer[7];
};
struct module {
	uint32_t start, end, string, reserved;
};
struct mmap_entry {
	uint32_t size; /* of what follows */
	uint64_t start, len;
	uint32_t type;
} __attribute__((packed));

/* As it lies at BOOT_INFO. */
struct info_block {
	struct info info;
	struct module initrd;
	struct mmap_entry map[RAM_SEGMENTS_MAX + 4];
	char loader[16], module_name[256];
};
_Static_assert(sizeof(struct info) == 116 && sizeof(struct mmap_entry) == 24, "ABI");
_Static_assert(BOOT_INFO + sizeof(struct info_block) <= BOOT_ZERO_PAGE, "room for the info");

static bool find_header(const uint8_t *data, size_t size, uint32_t *flags)
{
	uint32_t header[3];

	if (size > HEADER_SEARCH)
		size = HEADER_SEARCH;
	for (size_t at = 0; at + sizeof(header) <= size; at += 4) {
		memcpy(header, data + at, sizeof(header));
		if (header[0] == HEADER_MAGIC && header[0] + header[1] + header[2] == 0) {
			*flags = header[1];
			return true;
		}
	}
	return false;
}

bool multiboot_probe(const uint8_t *data, size_t size)
{
	uint32_t flags;

	return find_header(data, size, &flags);
}

int multiboot_check(const struct boot_image *image, const struct elf *elf, struct err *err)
{
	uint32_t flags = 0;

	(void)find_header(image->kernel, image->kernel_size, &flags);
	if ((flags & REQUIRE_MASK & ~REQUIRE_KNOWN) || flags & REQUIRE_ADDRESSES)
		return err_set(err, ENOTSUP,
			"kernel '%s' asks for Multiboot features %#x that are not "
			"supported",
			image->kernel_path, flags & ~REQUIRE_KNOWN);
	if (elf->is64)
		return err_set(err, ENOEXEC,
			"kernel '%s' is a 64-bit ELF file; Multiboot kernels are "
			"32-bit",
			image->kernel_path);
	return 0;
}

/* The kernel's own name comes first, as Multiboot kernels expect. */
static void fill_cmdline(const struct place *place)
{
	char *to = (char *)place->low + BOOT_CMDLINE;
	const struct boot_image *image = place->image;

	(void)snprintf(to, BOOT_CMDLINE_SIZE, "%s%s%s", image->kernel_path,
		image->cmdline[0] ? " " : "", image->cmdline);
}

static uint32_t kib_above_1mib(const struct e820 *map)
{
	for (unsigned i = 0; i < map->count; i++) {
		const struct e820_entry *entry = &map->entry[i];

		if (entry->type == E820_RAM && entry->start == BOOT_MIB)
			return (uint32_t)(entry->size / 1024);
	}
	return 0;
}

static void fill_info(struct info_block *block, const struct place *place, struct span initrd)
{
	const struct e820 *map = place->map;

	block->info = (struct info){
		.flags = INFO_MEM | INFO_CMDLINE | INFO_MMAP | INFO_LOADER,
		.mem_lower = BOOT_LOW_RAM_END / 1024,
		.mem_upper = kib_above_1mib(map),
		.cmdline = BOOT_CMDLINE,
		.mmap_addr = BOOT_INFO + offsetof(struct info_block, map),
		.mmap_length = (uint32_t)(map->count * sizeof(block->map[0])),
		.loader_name = BOOT_INFO + offsetof(struct info_block, loader),
	};
	(void)snprintf(block->loader, sizeof(block->loader), "portcullis");
	for (unsigned i = 0; i < map->count; i++)
		block->map[i] = (struct mmap_entry){
			.size = sizeof(block->map[i]) - sizeof(block->map[i].size),
			.start = map->entry[i].start,
			.len = map->entry[i].size,
			.type = map->entry[i].type,
		};
	if (!initrd.size)
		return;
	block->info.flags |= INFO_MODULES;
	block->info.mods_count = 1;
	block->info.mods_addr = BOOT_INFO + offsetof(struct info_block, initrd);
	block->initrd = (struct module){
		.start = (uint32_t)initrd.start,
		.end = (uint32_t)(initrd.start + initrd.size),
		.string = BOOT_INFO + offsetof(struct info_block, module_name),
	};
	(void)snprintf(
		block->module_name, sizeof(block->module_name), "%s", place->image->initrd_path);
}

int multiboot_place(const struct place *place, struct kvm_entry *entry, struct err *err)
{
	const struct boot_image *image = place->image;
	struct info_block block = { 0 };
	struct span kernel, initrd;
	struct elf elf;
	int ret;

	ret = elf_open(&elf, image->kernel, image->kernel_size, image->kernel_path, err);
	if (ret == 0)
		ret = multiboot_check(image, &elf, err);
	if (ret == 0)
		ret = elf_load(&elf, place->ram, elf.entry, &kernel, err);
	if (ret == 0)
		ret = space_initrd(image, place->ram, GPA_LOW_RAM_END, kernel, &initrd, err);
	if (ret < 0)
		return ret;
	fill_info(&block, place, initrd);
	memcpy(place->low + BOOT_INFO, &block, sizeof(block));
	fill_cmdline(place);
	low_gdt(place->low, false, entry);
	entry->mode = KVM_ENTRY_PROTECTED;
	entry->rip = elf.entry;
	entry->rsp = BOOT_STACK_TOP;
	entry->arg = BOOT_INFO;
	entry->magic = BOOTED_MAGIC;
	return 0;
}
