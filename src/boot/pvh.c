/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvh.c - ELF kernels with the PVH entry (Xen's x86/HVM direct boot ABI, hvm_start_info version 1).
 */
#include "internal.h"

#include <string.h>

#include <portcullis/err.h>

#define START_INFO_MAGIC 0x336ec578u

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};
struct start_module {
	uint64_t start, size, cmdline, reserved;
};
struct start_memmap {
	uint64_t start, size;
	uint32_t type, reserved; /* types are e820's */
};

/* As it lies at BOOT_INFO. */
struct info_block {
	struct start_info info;
	struct start_module initrd;
	struct start_memmap map[RAM_SEGMENTS_MAX + 4];
};
_Static_assert(sizeof(struct start_info) == 56 && sizeof(struct start_memmap) == 24, "ABI");
_Static_assert(BOOT_INFO + sizeof(struct info_block) <= BOOT_ZERO_PAGE, "room for the start info");

static void fill_info(struct info_block *block, const struct place *place, struct span initrd)
{
	block->info = (struct start_info){
		.magic = START_INFO_MAGIC,
		.version = 1,
		.cmdline = BOOT_CMDLINE,
		.rsdp = place->rsdp,
		.memmap = BOOT_INFO + offsetof(struct info_block, map),
		.memmap_entries = place->map->count,
	};
	if (initrd.size) {
		block->info.nr_modules = 1;
		block->info.modlist = BOOT_INFO + offsetof(struct info_block, initrd);
		block->initrd = (struct start_module){ .start = initrd.start, .size = initrd.size };
	}
	for (unsigned i = 0; i < place->map->count; i++)
		block->map[i] = (struct start_memmap){
			.start = place->map->entry[i].start,
			.size = place->map->entry[i].size,
			.type = place->map->entry[i].type,
		};
}

int pvh_place(const struct place *place, struct kvm_entry *entry, struct err *err)
{
	const struct boot_image *image = place->image;
	struct info_block block = { 0 };
	struct span kernel, initrd;
	struct elf elf;
	int ret;

	ret = elf_open(&elf, image->kernel, image->kernel_size, image->kernel_path, err);
	if (ret < 0)
		return ret;
	ret = elf_load(&elf, place, image->pvh_entry, &kernel, err);
	if (ret < 0)
		return ret;
	ret = space_initrd(place, GPA_HIGH_RAM, kernel, &initrd, err);
	if (ret < 0)
		return ret;
	fill_info(&block, place, initrd);
	memcpy(place->low + BOOT_INFO, &block, sizeof(block));
	low_cmdline(place->low, image->cmdline);
	low_gdt(place->low, false, entry);
	entry->mode = KVM_ENTRY_PROTECTED;
	entry->rip = image->pvh_entry;
	entry->rsp = BOOT_STACK_TOP;
	entry->arg = BOOT_INFO;
	return 0;
}
