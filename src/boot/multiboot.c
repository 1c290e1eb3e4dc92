/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiboot.c - kernels with a Multiboot header (Multiboot Specification 0.6.96): ELF32 files, and
 * any others whose header says where they are loaded.
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

#define HEADER_SIZE 12u /* as long as every header is at least */

struct header {
	size_t at; /* in the file */
	uint32_t flags;
	/* with REQUIRE_ADDRESSES */
	uint32_t header_addr, load_addr, load_end, bss_end, entry;
};

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
	struct module module[BOOT_MODULES_MAX];
	struct mmap_entry map[RAM_SEGMENTS_MAX + 4];
	char loader[16];
};
_Static_assert(sizeof(struct info) == 116 && sizeof(struct mmap_entry) == 24, "ABI");
_Static_assert(BOOT_INFO + sizeof(struct info_block) <= BOOT_ZERO_PAGE, "room for the info");

static bool find_header(const struct boot_image *image, struct header *out)
{
	size_t size = image->kernel_size < HEADER_SEARCH ? image->kernel_size : HEADER_SEARCH;
	uint32_t word[8] = { 0 };

	for (size_t at = 0; at + HEADER_SIZE <= size; at += 4) {
		memcpy(word, image->kernel + at, HEADER_SIZE);
		if (word[0] != HEADER_MAGIC || word[0] + word[1] + word[2] != 0)
			continue;
		*out = (struct header){ .at = at, .flags = word[1] };
		if (!(word[1] & REQUIRE_ADDRESSES))
			return true;
		/* Only whole, and within the part that is searched. */
		if (at + sizeof(word) > size)
			return false;
		memcpy(word, image->kernel + at, sizeof(word));
		out->header_addr = word[3];
		out->load_addr = word[4];
		out->load_end = word[5];
		out->bss_end = word[6];
		out->entry = word[7];
		return true;
	}
	return false;
}

bool multiboot_probe(const struct boot_image *image)
{
	struct header header;

	return find_header(image, &header);
}

static int bad_addresses(const struct boot_image *image, const char *what, struct err *err)
{
	return err_set(err, ENOEXEC,
		"kernel '%s': the load addresses in its Multiboot header make no sense: %s",
		image->kernel_path, what);
}

/* What the header says instead of an ELF file's segments: 3.1.3 of the specification. */
static int addressed_piece(const struct boot_image *image, const struct header *h,
	struct piece *piece, struct err *err)
{
	uint64_t before = (uint64_t)h->header_addr - h->load_addr;

	if (h->header_addr < h->load_addr || before > h->at)
		return bad_addresses(image, "it would be loaded from before the file's start", err);
	*piece = (struct piece){ .offset = h->at - before, .addr = h->load_addr };
	piece->file_size = image->kernel_size - piece->offset;
	if (h->load_end) {
		if (h->load_end < h->load_addr || h->load_end - h->load_addr > piece->file_size)
			return bad_addresses(image, "load_end_addr lies outside of the file", err);
		piece->file_size = h->load_end - h->load_addr;
	}
	piece->size = piece->file_size;
	if (h->bss_end) {
		if (h->bss_end < h->load_addr + piece->file_size)
			return bad_addresses(image, "bss_end_addr lies before what is loaded", err);
		piece->size = h->bss_end - h->load_addr;
	}
	if (h->entry < h->load_addr || h->entry - h->load_addr >= piece->size)
		return bad_addresses(image, "entry_addr lies outside of what is loaded", err);
	return 0;
}

int multiboot_check(const struct boot_image *image, struct err *err)
{
	struct header header = { .flags = 0 };
	struct piece piece;

	(void)find_header(image, &header);
	if (header.flags & REQUIRE_MASK & ~REQUIRE_KNOWN)
		return err_set(err, ENOTSUP,
			"kernel '%s' asks for Multiboot features %#x that are not supported",
			image->kernel_path, header.flags & REQUIRE_MASK & ~REQUIRE_KNOWN);
	if (header.flags & REQUIRE_ADDRESSES)
		return addressed_piece(image, &header, &piece, err);
	if (!elf_probe(image->kernel, image->kernel_size))
		return err_set(err, ENOEXEC,
			"kernel '%s' has a Multiboot header, but is no ELF file and does not say where it is loaded",
			image->kernel_path);
	if (image->kernel[EI_CLASS] == ELFCLASS64)
		return err_set(err, ENOEXEC,
			"kernel '%s' is a 64-bit ELF file; Multiboot kernels are 32-bit",
			image->kernel_path);
	return 0;
}

static int load(const struct place *place, uint64_t *entry, struct span *bounds, struct err *err)
{
	const struct boot_image *image = place->image;
	struct header header = { .flags = 0 };
	struct piece piece;
	struct elf elf;
	int ret = multiboot_check(image, err);

	if (ret < 0)
		return ret;
	(void)find_header(image, &header);
	if (header.flags & REQUIRE_ADDRESSES) {
		ret = addressed_piece(image, &header, &piece, err);
		if (ret == 0)
			ret = load_piece(place->load, &piece, image->kernel, image->kernel_path,
				place->ram, err);
		*entry = header.entry;
		*bounds = (struct span){ piece.addr, piece.size };
		return ret;
	}
	ret = elf_open(&elf, image->kernel, image->kernel_size, image->kernel_path, err);
	if (ret < 0)
		return ret;
	*entry = elf.entry;
	return elf_load(&elf, place, elf.entry, bounds, err);
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

static void fill_modules(struct info_block *block, const struct place *place, struct span initrd)
{
	const struct boot_image *image = place->image;
	uint32_t text = BOOT_MODULE_TEXTS;

	if (!image->n_modules)
		return;
	block->info.flags |= INFO_MODULES;
	block->info.mods_count = image->n_modules;
	block->info.mods_addr = BOOT_INFO + offsetof(struct info_block, module);
	for (unsigned i = 0; i < image->n_modules; i++) {
		const struct boot_module *module = &image->module[i];
		uint32_t start = (uint32_t)(initrd.start + module->start);
		size_t len = strlen(module->text) + 1; /* the sum was checked when they were read */

		block->module[i] = (struct module){
			.start = start, .end = start + (uint32_t)module->size, .string = text
		};
		memcpy(place->low + text, module->text, len);
		text += (uint32_t)len;
	}
}

static void fill_info(struct info_block *block, const struct place *place)
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
}

int multiboot_place(const struct place *place, struct kvm_entry *entry, struct err *err)
{
	struct info_block block = { 0 };
	struct span kernel, initrd;
	uint64_t start = 0;
	int ret = load(place, &start, &kernel, err);

	if (ret == 0)
		ret = space_initrd(place, GPA_LOW_RAM_END, kernel, &initrd, err);
	if (ret < 0)
		return ret;
	fill_info(&block, place);
	fill_modules(&block, place, initrd);
	memcpy(place->low + BOOT_INFO, &block, sizeof(block));
	fill_cmdline(place);
	low_gdt(place->low, false, entry);
	entry->mode = KVM_ENTRY_PROTECTED;
	entry->rip = start;
	entry->rsp = BOOT_STACK_TOP;
	entry->arg = BOOT_INFO;
	entry->magic = BOOTED_MAGIC;
	return 0;
}
