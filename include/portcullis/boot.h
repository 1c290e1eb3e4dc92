/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot.h - kernels without firmware: bzImage by its 64-bit entry, PVH ELF, Multiboot 1.
 *
 * Layer: L3, includes base, memory, kvm (struct kvm_entry only).
 * Files are read whole before lock-down (boot_read), and placed again at every reset (boot_place)
 * from memory: nothing is opened afterwards. Kernel files are untrusted input.
 */
#ifndef PORTCULLIS_BOOT_H
#define PORTCULLIS_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/kvm.h>

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
	char *cmdline;			       /* owned, never NULL */
	const char *kernel_path, *initrd_path; /* borrowed, for messages */
};

/*
 * Reads and recognises the kernel. Errors name the file and what is wrong: missing, empty, a
 * folder, truncated (which header promises what), not a kernel, too old boot protocol (< 2.12), no
 * 64-bit entry, command line longer than the kernel takes. For a Multiboot kernel initrd is a list
 * of modules, "FILE ARGUMENTS,FILE ARGUMENTS" (",," is a comma).
 */
int boot_read(struct boot_image *image, const char *kernel, const char *initrd, const char *cmdline,
	struct err *err);
void boot_release(struct boot_image *image);
/* The part of boot_read() that looks at the bytes of image->kernel and the command line: sets kind.
 */
int boot_recognise(struct boot_image *image, struct err *err);
/*
 * Copies kernel, initrd (as high as it may lie), zero page or start info with the e820 map, command
 * line, page tables and GDT into RAM. RAM's ACPI area and 0xa0000..0xfffff are reserved in e820,
 * ECAM too. -E2BIG names what does not fit and how much RAM there is.
 */
int boot_place(const struct boot_image *image, const struct ram *ram, uint64_t rsdp,
	struct kvm_entry *entry, struct err *err);

#endif
