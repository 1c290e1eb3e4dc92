/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_multiboot.c - Multiboot kernels that say themselves where they are loaded, and modules: what
 * is taken lies where it was asked for, apart, and costs what its bytes and memory cost.
 *
 * Input: byte 0: bits 0-1: number of modules; bit 2: in memory that a guest has used; bit 3: an ELF
 * file. Then the header: where in the file (2 bytes, words), flags (4), load_addr (2, above 1 MiB),
 * and from there header_addr (2), load_end (2, 0: none), bss_end (3, 0: none), entry (2). The
 * file's size (2), the modules' (2 each). The rest: changes to the file (offset low, offset high,
 * value).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>

#include "../unit/boot_cost.h"
#include "../unit/boot_fixture.h"

#define MODULES_MAX 3
#define PAGE 4096u

/*
 * So little that modules must share it with the kernel; a hole, and memory that they cannot reach.
 */
static const struct fixture_range ranges[] = { { 0, MIB + 0x20000 }, { MIB + 0x28000, 0x8000 },
	{ 4 * GIB, 0x20000 } };

static uint8_t file[FIXTURE_SIZE], modules[MODULES_MAX * 0x10000];

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

struct input {
	const uint8_t *at, *end;
};

/* What is missing is zero. */
static uint32_t take(struct input *in, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes && in->at < in->end; i++)
		value |= (uint32_t)*in->at++ << 8 * i;
	return value;
}

static void put_header(struct input *in)
{
	uint32_t at = take(in, 2) * 4, header[8] = { 0x1badb002, take(in, 4) };
	uint32_t load = (uint32_t)MIB + take(in, 2);

	header[2] = -(header[0] + header[1]);
	header[3] = load + take(in, 2);
	header[4] = load;
	for (unsigned i = 5; i < 8; i++) {
		uint32_t value = take(in, i == 6 ? 3 : 2);

		header[i] = value || i == 7 ? load + value : 0;
	}
	if (at + sizeof(header) <= FIXTURE_SIZE)
		memcpy(file + at, header, sizeof(header));
}

static void put_file(struct boot_image *image, struct input *in, bool elf)
{
	static struct fixture_kernel kernel;

	if (elf) {
		fixture_multiboot(&kernel);
		((Elf32_Phdr *)(void *)(kernel.bytes + sizeof(Elf32_Ehdr)))->p_paddr = MIB;
		((Elf32_Ehdr *)(void *)kernel.bytes)->e_entry = MIB + 32;
		memcpy(file, kernel.bytes, FIXTURE_SIZE);
	} else {
		memset(file, 0xcc, FIXTURE_SIZE);
		put_header(in);
	}
	image->kernel_size = take(in, 2) % FIXTURE_SIZE + 1;
}

/* As modules_read() joins them. */
static void put_modules(struct boot_image *image, struct input *in, unsigned n)
{
	static const char *const texts[] = { "a", "dir/b -x y=z", "" };

	memset(modules, 0, sizeof(modules));
	for (unsigned i = 0; i < n; i++) {
		size_t len = take(in, 2) + 1;

		image->module[i] = (struct boot_module){ image->initrd_size, len,
			(char *)(uintptr_t)texts[i] };
		memset(modules + image->initrd_size, 'a' + (int)i, len);
		image->initrd_size += (len + PAGE - 1) & ~(size_t)(PAGE - 1);
	}
	image->n_modules = n;
	image->initrd = n ? modules : NULL;
}

static uint32_t u32(const struct ram *ram, uint64_t gpa)
{
	const void *at = ram_hva(ram, gpa, 4);
	uint32_t value;

	must(at);
	memcpy(&value, at, sizeof(value));
	return value;
}

/* What the guest finds by its information structure is what it was given. */
static void check_modules(const struct boot_image *image, const struct ram *ram, uint64_t info)
{
	must(u32(ram, info) & 8 || !image->n_modules);
	must(!image->n_modules || u32(ram, info + 20) == image->n_modules);
	for (unsigned i = 0; i < image->n_modules; i++) {
		const uint64_t entry = u32(ram, info + 24) + 16ull * i;
		const uint32_t start = u32(ram, entry), end = u32(ram, entry + 4);
		const char *text = ram_hva(ram, u32(ram, entry + 8), 32);

		must(start % PAGE == 0 && end - start == image->module[i].size);
		must(fixture_holds(ram, start, end - start, (uint8_t)('a' + i)));
		must(text && strcmp(text, image->module[i].text) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ram ram;
	static struct boot_load load;
	struct boot_image image = {
		.cmdline = (char *)"quiet", .kernel_path = "kernel", .initrd_path = "initrd"
	};
	struct input in = { data, data + size };
	unsigned how = take(&in, 1);
	const bool fresh = !(how & 4);
	struct kvm_entry entry;
	struct err err;

	if (!ram.layout.count)
		fixture_ram(&ram, ranges, 3);
	put_file(&image, &in, how & 8);
	put_modules(&image, &in, how & 3);
	for (; in.end - in.at >= 3; in.at += 3)
		file[(in.at[0] | in.at[1] << 8) % FIXTURE_SIZE] = in.at[2];
	image.kernel = malloc(image.kernel_size); /* for the sanitizer to watch its end */
	if (!image.kernel)
		return 0;
	memcpy(image.kernel, file, image.kernel_size);
	boot_cost_fresh(&ram);
	if (!fresh)
		boot_cost_used(&ram);
	if (boot_recognise(&image, &err) == 0 &&
		boot_place(&image, &ram, 0xe0000, &load, &entry, &err) == 0) {
		must_cost(boot_cost_plan(&load, &image, &ram, fresh));
		fixture_load(&load);
		must_cost(boot_cost_loaded(&load, fresh));
		must(ram_hva(&ram, entry.rip, 1));
		if (image.kind == BOOT_MULTIBOOT)
			check_modules(&image, &ram, entry.arg);
	} else {
		must(err.text[0] && err.code);
	}
	free(image.kernel);
	return 0;
}
