/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_elf.c - ELF kernels from an enemy, PVH and Multiboot: any program headers whatever. What is
 * taken costs no more than the file's bytes and the memory it needs.
 *
 * Input: byte 0: bit 0: a 32-bit Multiboot kernel, else a 64-bit PVH one; bit 1: with an initrd;
 * bit 2: in memory that a guest has used. Byte 1: number of segments, 8 bytes each (struct record).
 * The rest: changes to the file (offset low, offset high, value).
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>

#include "../unit/boot_cost.h"
#include "../unit/boot_fixture.h"

#define HEADERS 1024u /* the program headers */
#define NOTE 128u
#define MULTIBOOT 256u
#define GRAIN 256u

static const struct fixture_range ranges[] = { { 0, 2 * MIB }, { 3 * MIB, MIB / 2 } };

struct record {
	uint8_t type;	/* bits 0-1 */
	uint8_t adjust; /* by how much the others are off their grains, 2 bits each */
	uint8_t offset[2], file_size, addr[2], size;
};
_Static_assert(HEADERS + 256 * sizeof(Elf64_Phdr) <= FIXTURE_SIZE, "room for all headers");

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static void must_cost(const char *what)
{
	if (what)
		fprintf(stderr, "%s\n", what);
	must(!what);
}

/* 0, 1 more, 1 less; 3: so large that sums overflow. */
static uint64_t adjusted(uint64_t value, unsigned how)
{
	static const int64_t by[] = { 0, 1, -1, INT64_MIN };

	return value + (uint64_t)by[how & 3];
}

static Elf64_Phdr segment(const struct record *r)
{
	static const uint32_t types[] = { PT_LOAD, PT_LOAD, PT_NOTE, PT_NULL };

	return (Elf64_Phdr){
		.p_type = types[r->type & 3],
		.p_offset = r->offset[0] | (unsigned)r->offset[1] << 8,
		.p_filesz = adjusted(r->file_size * 16u, r->adjust),
		.p_paddr = adjusted(
			MIB + (r->addr[0] | (unsigned)r->addr[1] << 8) * GRAIN, r->adjust >> 2),
		.p_memsz = adjusted((uint64_t)r->size * r->size * GRAIN, r->adjust >> 4),
		.p_align = r->adjust >> 6,
	};
}

static void put_segment(uint8_t *file, bool is32, unsigned i, const Elf64_Phdr *p)
{
	const Elf32_Phdr p32 = { .p_type = p->p_type,
		.p_offset = (uint32_t)p->p_offset,
		.p_filesz = (uint32_t)p->p_filesz,
		.p_paddr = (uint32_t)p->p_paddr,
		.p_memsz = (uint32_t)p->p_memsz,
		.p_align = (uint32_t)p->p_align };

	if (is32)
		memcpy(file + HEADERS + i * sizeof(p32), &p32, sizeof(p32));
	else
		memcpy(file + HEADERS + i * sizeof(*p), p, sizeof(*p));
}

static void put_headers(uint8_t *file, bool is32, unsigned n)
{
	static const uint32_t multiboot[] = { 0x1badb002, 3, -(0x1badb002 + 3u) };
	static const uint32_t note[] = { 4, 4, 18, 0x006e6558 /* "Xen" */, MIB + 64 };
	Elf64_Ehdr e64 = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = HEADERS,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (uint16_t)n };
	Elf32_Ehdr e32 = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_entry = MIB + 64,
		.e_phoff = HEADERS,
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = (uint16_t)n };

	memcpy(file, is32 ? (const void *)&e32 : &e64, is32 ? sizeof(e32) : sizeof(e64));
	if (is32)
		memcpy(file + MULTIBOOT, multiboot, sizeof(multiboot));
	memcpy(file + NOTE, note, sizeof(note));
}

/* Returns what of the input is left. */
static const uint8_t *put_file(uint8_t *file, bool is32, const uint8_t *data, const uint8_t *end)
{
	unsigned n = *data++;
	Elf64_Phdr p = {
		.p_type = PT_NOTE, .p_offset = NOTE, .p_filesz = 20, .p_memsz = 20, .p_align = 4
	};

	memset(file, 0xcc, FIXTURE_SIZE);
	for (unsigned i = 0; i < n; i++, data += sizeof(struct record)) {
		if ((size_t)(end - data) < sizeof(struct record)) {
			n = i;
			break;
		}
		p = segment((const struct record *)data);
		put_segment(file, is32, i, &p);
	}
	put_headers(file, is32, n + !is32);
	if (!is32) { /* the note that makes it a PVH kernel comes last */
		p = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE, .p_filesz = 20 };
		put_segment(file, false, n, &p);
	}
	return data;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t initrd[5000];
	static struct ram ram;
	static struct boot_load load;
	const uint8_t *end = data + size;
	struct boot_image image = {
		.cmdline = (char *)"quiet", .kernel_path = "kernel", .initrd_path = "initrd"
	};
	struct kvm_entry entry;
	bool fresh;
	struct err err;

	if (size < 2)
		return 0;
	if (!ram.layout.count)
		fixture_ram(&ram, ranges, 2);
	fresh = !(data[0] & 4);
	if (data[0] & 2) {
		image.initrd = initrd;
		image.initrd_size = sizeof(initrd);
		image.module[0] =
			(struct boot_module){ .size = sizeof(initrd), .text = (char *)"initrd" };
		image.n_modules = 1;
	}
	image.kernel_size = FIXTURE_SIZE;
	image.kernel = malloc(FIXTURE_SIZE); /* for the sanitizer to watch its end */
	if (!image.kernel)
		return 0;
	for (data = put_file(image.kernel, data[0] & 1, data + 1, end); end - data >= 3; data += 3)
		image.kernel[(data[0] | data[1] << 8) % FIXTURE_SIZE] = data[2];
	boot_cost_fresh(&ram);
	if (!fresh)
		boot_cost_used(&ram);
	if (boot_recognise(&image, &err) == 0 &&
		boot_place(&image, &ram, 0xe0000, &load, &entry, &err) == 0) {
		must_cost(boot_cost_plan(&load, &image, &ram, fresh));
		fixture_load(&load);
		must_cost(boot_cost_loaded(&load, fresh));
		must(ram_hva(&ram, entry.rip, 1));
	} else {
		must(err.text[0] && err.code);
	}
	free(image.kernel);
	return 0;
}
