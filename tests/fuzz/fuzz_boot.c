/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_boot.c - kernel files from an enemy: recognising and placing them stays inside file and RAM.
 *
 * Input: byte 0 chooses what the rest is. 0: a whole file. 1 to 4: changes to a good bzImage, PVH,
 * Multiboot or flat Multiboot kernel (offset low, offset high, value) - so that the fuzzer need not
 * find the magic numbers first. Bit 7: with an initrd.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>

#include "../unit/boot_cost.h"
#include "../unit/boot_fixture.h"

static const struct fixture_range ranges[] = { { 0, 20 * MIB }, { 22 * MIB, 2 * MIB } };

static void flat(struct fixture_kernel *kernel)
{
	(void)fixture_multiboot_flat(kernel);
}

static size_t make_kernel(uint8_t kind, const uint8_t *data, size_t size, uint8_t *out)
{
	static void (*const fixtures[])(struct fixture_kernel *) = { fixture_bzimage, fixture_pvh,
		fixture_multiboot, flat };
	static struct fixture_kernel kernel;

	if (kind == 0 || kind > 4) {
		size = size < FIXTURE_SIZE ? size : FIXTURE_SIZE;
		memcpy(out, data, size);
		return size;
	}
	fixtures[kind - 1](&kernel);
	for (; size >= 3; data += 3, size -= 3)
		kernel.bytes[(data[0] | data[1] << 8) % FIXTURE_SIZE] = data[2];
	memcpy(out, kernel.bytes, kernel.image.kernel_size);
	return kernel.image.kernel_size;
}

static void must(bool what)
{
	if (!what)
		abort();
}

/* What the first vCPU is given lies in RAM. */
static void check_entry(const struct kvm_entry *entry, const struct ram *ram)
{
	must(ram_hva(ram, entry->rip, 1));
	must(ram_hva(ram, entry->arg, 64));
	must(ram_hva(ram, entry->gdt, entry->gdt_size));
	must(entry->mode == KVM_ENTRY_PROTECTED || ram_hva(ram, entry->page_table, 6 * 4096));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buffer[FIXTURE_SIZE], initrd[5000];
	static struct ram ram;
	struct boot_image image = {
		.cmdline = (char *)"quiet", .kernel_path = "kernel", .initrd_path = "initrd"
	};
	static struct boot_load load;
	struct kvm_entry entry;
	struct err err;

	if (!size)
		return 0;
	if (!ram.layout.count)
		fixture_ram(&ram, ranges, 2);
	image.kernel_size = make_kernel(data[0] & 0x7f, data + 1, size - 1, buffer);
	/* A block of just that size, for the sanitizer to watch its end. */
	image.kernel = malloc(image.kernel_size);
	if (!image.kernel)
		return 0;
	memcpy(image.kernel, buffer, image.kernel_size);
	if (data[0] & 0x80) {
		image.initrd = initrd;
		image.initrd_size = sizeof(initrd);
		image.module[0] =
			(struct boot_module){ .size = sizeof(initrd), .text = (char *)"initrd" };
		image.n_modules = 1;
	}
	if (boot_recognise(&image, &err) == 0 &&
		boot_place(&image, &ram, 0xe0000, &load, &entry, &err) == 0) {
		must(!boot_cost_plan(&load, &image, &ram, false));
		fixture_load(&load);
		must(!boot_cost_loaded(&load, false));
		check_entry(&entry, &ram);
	} else {
		must(err.text[0] && err.code);
	}
	free(image.kernel);
	return 0;
}
