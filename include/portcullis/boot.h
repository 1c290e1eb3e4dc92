/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - kernels without firmware: bzImage by its 64-bit entry, PVH ELF, Multiboot 1.
 *
 * Layer: L3, includes base, memory, kvm (struct kvm_entry only).
 * Files are read whole before lock-down (boot_read), and placed again at every reset (boot_place)
 * from memory: nothing is opened afterwards. Kernel files are untrusted input.
 * Cost:  reading is linear in the files. Placing looks at headers and writes the lowest 128 KiB of
 *        RAM, whatever the file says: main does it. What has a size is only planned there, and
 *        copied by boot_load_step(), on the first vCPU: every byte of the files and every byte of
 *        RAM at most once, zeros only where there are none. So a file that would have a byte
 *        written twice is refused.
 */
#ifndef PORTCULLIS_BOOT_H
#define PORTCULLIS_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/kvm_vcpu.h>

struct err;
struct ram;

#define BOOT_MODULES_MAX 16

/* A Multiboot module: a piece of the initrd's memory. */
struct boot_module {
	size_t start, size; /* start is page-aligned */
	char *text;	    /* owned: what the user wrote, the file's name first */
};

enum boot_kind { BOOT_NONE, BOOT_BZIMAGE, BOOT_PVH, BOOT_MULTIBOOT };

struct boot_image {
	enum boot_kind kind;
	uint8_t *kernel, *initrd; /* owned, page-aligned anonymous memory; NULL: none */
	size_t kernel_size, initrd_size;
	struct boot_module module[BOOT_MODULES_MAX]; /* Multiboot: what the initrd consists of */
	unsigned n_modules;
	uint64_t pvh_entry;		       /* BOOT_PVH: where it starts */
	char *cmdline;			       /* owned, never NULL */
	const char *kernel_path, *initrd_path; /* borrowed, for messages */
};

#define BOOT_COPIES_MAX 257 /* an ELF file's segments and the initrd */

/* A range of RAM: bytes of the image, then zeros. */
struct boot_copy {
	uint8_t *to;
	const uint8_t *from; /* borrowed from the image */
	uint64_t file_size, size;
};

/* What boot_place() leaves to boot_load_step(). No two ranges overlap. */
struct boot_load {
	unsigned count, at; /* copies; the one that is under way */
	uint64_t done;	    /* bytes of that */
	uint64_t written;   /* bytes of RAM changed so far */
	struct boot_copy copy[BOOT_COPIES_MAX];
};

/*
 * Reads and recognises the kernel. Errors name the file and what is wrong: missing, empty, a
 * directory, truncated (which header promises what), not a kernel, too old boot protocol (< 2.12),
 * no 64-bit entry, command line longer than the kernel takes, segments that overlap, an initrd that
 * is larger than ram_size bytes. For a Multiboot kernel initrd is a list of modules,
 * "FILE ARGUMENTS,FILE ARGUMENTS" (",," is a comma). Warns when the command line is longer than
 * Linux keeps and the kernel cannot say so (PVH).
 */
int boot_read(struct boot_image *image, const char *kernel, const char *initrd, const char *cmdline,
	uint64_t ram_size, struct err *err);
void boot_release(struct boot_image *image);
/*
 * The part of boot_read() that looks at the bytes of image->kernel and the command line: sets kind
 * and pvh_entry.
 */
int boot_recognise(struct boot_image *image, struct err *err);
/*
 * Finds room for kernel and initrd (as high as it may lie), and puts zero page or start info with
 * the e820 map, command line, page tables and GDT into RAM. RAM's ACPI area and 0xa0000..0xfffff
 * are reserved in e820, ECAM too. -E2BIG names what does not fit and how much RAM there is. *load
 * is what remains to be done before the first instruction.
 */
int boot_place(const struct boot_image *image, const struct ram *ram, uint64_t rsdp,
	struct boot_load *load, struct kvm_entry *entry, struct err *err);
/*
 * Copies at most BOOT_STEP bytes, a millisecond or so; false when there is nothing left. Cannot
 * fail. Any thread, one at a time, while the image and RAM stay.
 */
#define BOOT_STEP (4u << 20)
bool boot_load_step(struct boot_load *load);

#endif
