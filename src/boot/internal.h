/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of src/boot share: low memory map, e820, finding room, ELF.
 *
 * Kernel files are untrusted: every offset and size taken from one is checked here before use, and
 * nothing is written to the guest except through ram_hva().
 */
#ifndef PORTCULLIS_BOOT_INTERNAL_H
#define PORTCULLIS_BOOT_INTERNAL_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/boot.h>
#include <portcullis/memory.h>
#include <portcullis/q35.h>

struct err;

/* Where the loader's own data lies. All of it is usable RAM to the guest once it has read it. */
#define BOOT_GDT 0x500u
#define BOOT_INFO 0x6000u      /* PVH start info or Multiboot info */
#define BOOT_ZERO_PAGE 0x7000u /* struct boot_params */
#define BOOT_STACK_TOP 0x9000u
#define BOOT_PAGE_TABLE 0x9000u /* PML4, PDPT, 4 page directories */
#define BOOT_PAGE_TABLE_END 0xf000u
/* Entries without paging have no page tables; Multiboot's modules have their names there. */
#define BOOT_MODULE_TEXTS BOOT_PAGE_TABLE
#define BOOT_MODULE_TEXTS_SIZE (BOOT_PAGE_TABLE_END - BOOT_PAGE_TABLE)
#define BOOT_CMDLINE 0x10000u
#define BOOT_CMDLINE_SIZE 0x10000u
#define BOOT_LOW_END 0x20000u
#define BOOT_LOW_RAM_END 0x9fc00u /* usable below 1 MiB: 639 KiB, the classic size */
#define BOOT_MIB 0x100000u	  /* kernels and initrd lie at or above */

#define BOOT_CODE_SELECTOR 0x10 /* __BOOT_CS, __BOOT_DS of the boot protocol */
#define BOOT_DATA_SELECTOR 0x18

struct span {
	uint64_t start, size;
};

/* --- e820.c --- */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };
struct e820_entry {
	uint64_t start, size;
	uint32_t type;
};
struct e820 {
	unsigned count;
	struct e820_entry entry[RAM_SEGMENTS_MAX + 4];
};
/* RAM with its holes left out, sorted, without overlaps. */
void e820_build(struct e820 *map, const struct ram_layout *layout);

/* --- space.c --- */
/*
 * Room in RAM at or above 1 MiB, below limit (exclusive), outside avoid. -ENOSPC. align: power of
 * 2.
 */
int space_highest(const struct ram *ram, uint64_t size, uint64_t align, uint64_t limit,
	struct span avoid, uint64_t *out);
int space_lowest(
	const struct ram *ram, uint64_t size, uint64_t align, uint64_t limit, uint64_t *out);
struct place;
/*
 * Places the initrd as high as possible below limit, and outside the kernel. *at is empty without
 * an initrd. -E2BIG with the sizes.
 */
int space_initrd(const struct place *place, uint64_t limit, struct span kernel, struct span *at,
	struct err *err);

/* --- low.c: CPU tables and command line below 128 KiB --- */
void low_gdt(uint8_t *low, bool long_mode, struct kvm_entry *entry);
void low_page_tables(uint8_t *low, struct kvm_entry *entry);
/* low is the HVA of GPA 0. */
void low_cmdline(uint8_t *low, const char *text);

/* --- file.c --- */
/*
 * Reads a regular file whole; what is "kernel", "initrd" or "module". More than max bytes are
 * refused before anything is read, with why. *data is unmapped with sys_munmap().
 */
struct file_limit {
	uint64_t max;
	const char *why; /* "the guest's memory has" (max bytes) */
};
int file_read(const char *path, const char *what, struct file_limit limit, uint8_t **data,
	size_t *size, struct err *err);

/* --- load.c: what is to be copied; whoever adds sees to it that nothing overlaps --- */
/* to has room for size bytes, of which from has the first file_size. */
void load_add(struct boot_load *load, uint8_t *to, const uint8_t *from, uint64_t file_size,
	uint64_t size);
/* A piece of a kernel's file and where in RAM it goes; what the file does not fill is zero. */
struct piece {
	uint64_t offset, file_size, addr, size; /* the first two lie inside the file */
};
/* Entries without paging: everything must lie in RAM between 1 MiB and 4 GiB. -E2BIG. */
int load_piece(struct boot_load *load, const struct piece *piece, const uint8_t *file,
	const char *path, const struct ram *ram, struct err *err);

/* --- elf.c: ELF32 and ELF64 executables for x86 --- */
struct elf {
	const uint8_t *data;
	size_t size;
	const char *path;
	bool is64;
	uint16_t machine;
	uint64_t entry, phoff;
	unsigned phnum;
};
bool elf_probe(const uint8_t *data, size_t size);
/*
 * Checks the headers, and that every segment lies inside the file and none overlaps another: the
 * segments to be loaded are no more bytes than the file has, and as many in RAM as they say.
 */
int elf_open(struct elf *elf, const uint8_t *data, size_t size, const char *path, struct err *err);
void elf_phdr(const struct elf *elf, unsigned i, Elf64_Phdr *out);
/* The PHYS32_ENTRY note; false without one. */
bool elf_pvh_entry(const struct elf *elf, uint64_t *entry);
/* Adds the segments; *bounds encloses all. -E2BIG, or -ENOEXEC when entry is in none of them. */
int elf_load(const struct elf *elf, const struct place *place, uint64_t entry, struct span *bounds,
	struct err *err);

/* --- one file per protocol; low is the HVA of [0, BOOT_LOW_END) --- */
struct place {
	const struct boot_image *image;
	const struct ram *ram;
	struct boot_load *load;
	const struct e820 *map;
	uint8_t *low;
	uint64_t rsdp;
};
bool bzimage_probe(const uint8_t *data, size_t size);
int bzimage_check(const struct boot_image *image, struct err *err);
int bzimage_place(const struct place *place, struct kvm_entry *entry, struct err *err);

int pvh_place(const struct place *place, struct kvm_entry *entry, struct err *err);

bool multiboot_probe(const struct boot_image *image);
int multiboot_check(const struct boot_image *image, struct err *err);
int multiboot_place(const struct place *place, struct kvm_entry *entry, struct err *err);

/* --- modules.c: fills image->module and initrd from the list; release frees the texts --- */
int modules_read(
	struct boot_image *image, const char *list, struct file_limit limit, struct err *err);
void modules_release(struct boot_image *image);

#endif
