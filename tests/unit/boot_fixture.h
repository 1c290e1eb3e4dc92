/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_fixture.h - guest RAM of any layout and small well-formed kernels, for tests to spoil.
 */
#ifndef BOOT_FIXTURE_H
#define BOOT_FIXTURE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/boot.h>
#include <portcullis/memory.h>

#define MIB 0x100000ull
#define GIB 0x40000000ull

struct fixture_range {
	uint64_t gpa, size;
};

/* Segments of untouched memory; release with fixture_ram_release(). */
void fixture_ram(struct ram *ram, const struct fixture_range *ranges, unsigned count);
void fixture_ram_release(struct ram *ram);

/* Is every byte there this one? */
bool fixture_holds(const struct ram *ram, uint64_t gpa, size_t size, uint8_t value);
/* What the first vCPU does with what boot_place() planned. */
void fixture_load(struct boot_load *load);

/* A kernel file in memory. The tests change bytes of it, then call boot_recognise(). */
#define FIXTURE_SIZE 16384
struct fixture_kernel {
	_Alignas(16) uint8_t bytes[FIXTURE_SIZE];
	struct boot_image image; /* kernel = bytes, paths "kernel" and "initrd", command line */
	char cmdline[128];
};

/* bzImage, protocol 2.15, 4 setup sectors, 8 KiB payload of 0xcc, relocatable, prefers 16 MiB. */
void fixture_bzimage(struct fixture_kernel *kernel);
void *fixture_bzimage_header(struct fixture_kernel *kernel); /* at 0x1f1 */
#define FIXTURE_PAYLOAD 8192

/*
 * ELF64 with one segment of 4 KiB of 0xcc (8 KiB in memory) at 16 MiB and a PVH note: 16 MiB + 64.
 */
void fixture_pvh(struct fixture_kernel *kernel);
Elf64_Phdr *fixture_phdr(struct fixture_kernel *kernel, unsigned i);

/* ELF32 with one segment (as above) at 4 MiB, entry 4 MiB + 32, and a Multiboot header. */
void fixture_multiboot(struct fixture_kernel *kernel);
uint32_t *fixture_multiboot_header(struct fixture_kernel *kernel);
/*
 * No ELF file: 2 KiB of 0xcc with a Multiboot header at byte 64 that says to load from byte 32 to
 * 2 MiB, 1000 bytes and 4 KiB of zeros behind them, and to enter at 2 MiB + 100. Returns the
 * header.
 */
uint32_t *fixture_multiboot_flat(struct fixture_kernel *kernel);

#endif
