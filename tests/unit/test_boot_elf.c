/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_boot_elf.c - ELF kernels: PVH and Multiboot, and files that lie about themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <portcullis/err.h>

#include "boot_fixture.h"
#include "says.h"

static const struct fixture_range ram_64[] = { { 0, 64 * MIB } };

static struct fixture_kernel kernel;
static struct ram ram;
static struct boot_load load;
static struct kvm_entry entry;
static struct err err;

static int setup(void **state)
{
	(void)state;
	fixture_pvh(&kernel);
	fixture_ram(&ram, ram_64, 1);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_ram_release(&ram);
	return 0;
}

static void place(enum boot_kind kind)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	assert_int_equal(kernel.image.kind, kind);
	assert_int_equal(boot_place(&kernel.image, &ram, 0xe0000, &load, &entry, &err), 0);
	fixture_load(&load);
	assert_int_equal(entry.mode, KVM_ENTRY_PROTECTED);
}

static void expect_refused(const char *text)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), -ENOEXEC);
	assert_says(err.text, text);
}

static void expect_no_place(int code, const char *text)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	assert_int_equal(boot_place(&kernel.image, &ram, 0, &load, &entry, &err), -code);
	assert_says(err.text, text);
}

static uint64_t u64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, ram_hva(&ram, gpa, sizeof(value)), sizeof(value));
	return value;
}

static uint32_t u32(uint64_t gpa)
{
	return (uint32_t)u64(gpa);
}

static void test_pvh(void **state)
{
	static uint8_t initrd[4097];
	uint64_t map;

	(void)state;
	memset(initrd, 0xdd, sizeof(initrd));
	kernel.image.initrd = initrd;
	kernel.image.initrd_size = sizeof(initrd);
	memset(ram_hva(&ram, 16 * MIB, 8192), 0xff, 8192); /* BSS must be cleared */
	place(BOOT_PVH);
	assert_int_equal(entry.rip, 16 * MIB + 64);
	assert_true(fixture_holds(&ram, 16 * MIB, 4096, 0xcc));
	assert_true(fixture_holds(&ram, 16 * MIB + 4096, 4096, 0));
	/* hvm_start_info */
	assert_int_equal(u32(entry.arg), 0x336ec578);
	assert_int_equal(u32(entry.arg + 4), 1);
	assert_int_equal(u32(entry.arg + 12), 1);
	assert_int_equal(u64(u64(entry.arg + 16)), 64 * MIB - 8192);
	assert_int_equal(u64(u64(entry.arg + 16) + 8), sizeof(initrd));
	assert_memory_equal(ram_hva(&ram, 64 * MIB - 8192, 4097), initrd, 4097);
	assert_string_equal(ram_hva(&ram, u64(entry.arg + 24), 32), "console=ttyS0");
	assert_int_equal(u64(entry.arg + 32), 0xe0000);
	assert_int_equal(u32(entry.arg + 48), 5);
	map = u64(entry.arg + 40);
	assert_int_equal(u64(map), 0);
	assert_int_equal(u64(map + 8), 0x9fc00);
	assert_int_equal(u32(map + 16), 1);
	assert_int_equal(u64(map + 24), 0x9fc00);
	assert_int_equal(u32(map + 24 + 16), 2);
	/* A flat 32-bit code segment. */
	assert_int_equal(u64(entry.gdt + entry.code_selector), 0x00cf9b000000ffff);
}

static void test_pvh_without_initrd(void **state)
{
	(void)state;
	place(BOOT_PVH);
	assert_int_equal(u32(entry.arg + 12), 0);
	assert_int_equal(u64(entry.arg + 16), 0);
}

static void test_pvh_32_bit_note(void **state)
{
	uint32_t *note = (uint32_t *)(void *)(kernel.bytes + 2048 + 24);

	(void)state;
	note[1] = 4;
	fixture_phdr(&kernel, 1)->p_filesz -= 4;
	place(BOOT_PVH);
	assert_int_equal(entry.rip, 16 * MIB + 64);
}

static void test_no_note(void **state)
{
	uint32_t *note = (uint32_t *)(void *)(kernel.bytes + 2048 + 24);

	(void)state;
	note[2] = 17;
	expect_refused("neither a PVH entry nor a Multiboot header");
	note[2] = 18;
	note[3] = 0x006e6559;
	expect_refused("neither a PVH entry nor a Multiboot header");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 1)->p_filesz = 47; /* the note is cut off */
	expect_refused("neither a PVH entry nor a Multiboot header");
	fixture_pvh(&kernel);
	note[0] = UINT32_MAX;
	expect_refused("neither a PVH entry nor a Multiboot header");
	fixture_pvh(&kernel);
	note[1] = UINT32_MAX;
	expect_refused("neither a PVH entry nor a Multiboot header");
}

static void test_headers_that_lie(void **state)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)kernel.bytes;

	(void)state;
	kernel.image.kernel_size = 40;
	expect_refused("truncated: its header promises an ELF header of 64 bytes");
	kernel.image.kernel_size = 6;
	expect_refused("truncated");
	fixture_pvh(&kernel);
	kernel.image.kernel_size = 8191;
	expect_refused("a segment of 4096 bytes at offset 4096, the file has 8191 bytes");
	fixture_pvh(&kernel);
	header->e_phoff = UINT64_MAX - 8;
	expect_refused("promises program headers");
	fixture_pvh(&kernel);
	header->e_phnum = 0;
	expect_refused("0 program headers");
	fixture_pvh(&kernel);
	header->e_phnum = 257;
	expect_refused("257 program headers");
	fixture_pvh(&kernel);
	header->e_phentsize = 55;
	expect_refused("of 55 bytes");
	fixture_pvh(&kernel);
	header->e_machine = EM_AARCH64;
	expect_refused("for another processor");
	fixture_pvh(&kernel);
	header->e_type = ET_REL;
	expect_refused("not an executable");
	fixture_pvh(&kernel);
	header->e_ident[EI_DATA] = ELFDATA2MSB;
	expect_refused("not an x86 ELF file");
	fixture_pvh(&kernel);
	header->e_ident[EI_CLASS] = 3;
	expect_refused("not an x86 ELF file");
}

static void test_segments_that_lie(void **state)
{
	(void)state;
	fixture_phdr(&kernel, 0)->p_offset = UINT64_MAX - 100;
	expect_refused("truncated");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 0)->p_filesz = UINT64_MAX;
	expect_refused("truncated");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 0)->p_memsz = 4095;
	expect_refused("segment 0 is invalid");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 0)->p_memsz = UINT64_MAX - 16 * MIB + 1;
	expect_refused("segment 0 is invalid");
}

static void test_segments_outside_ram(void **state)
{
	(void)state;
	fixture_phdr(&kernel, 0)->p_paddr = MIB - 4096; /* where the tables and ROM space are */
	expect_no_place(E2BIG, "0xff000-0x100fff, where the guest has no RAM");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 0)->p_paddr = 64 * MIB - 4096;
	expect_no_place(E2BIG, "no RAM (it has 67108864 bytes)");
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 0)->p_paddr = 4 * GIB - 4096;
	expect_no_place(E2BIG, "no RAM");
	fixture_ram_release(&ram);
	fixture_ram(&ram, &(struct fixture_range){ 0, 5 * GIB }, 1); /* RAM, but beyond 32 bits */
	expect_no_place(E2BIG, "no RAM");
	fixture_ram_release(&ram);
	fixture_ram(&ram, ram_64, 1);
	fixture_pvh(&kernel);
	*(uint32_t *)(void *)(kernel.bytes + 2048 + 40) = 15 << 20;
	expect_no_place(ENOEXEC, "entry point 0xf00000 lies in none of its segments");
}

static void test_initrd_beside_the_kernel(void **state)
{
	static uint8_t initrd[50 * MIB];

	(void)state;
	kernel.image.initrd = initrd;
	kernel.image.initrd_size = 47 * MIB;
	place(BOOT_PVH);
	assert_int_equal(u64(u64(entry.arg + 16)), 17 * MIB);
	assert_true(fixture_holds(&ram, 16 * MIB, 4096, 0xcc));
	kernel.image.initrd_size = 48 * MIB;
	expect_no_place(E2BIG, "initrd 'initrd' of 50331648 bytes does not fit beside the kernel");
}

static void test_multiboot(void **state)
{
	static uint8_t module[10] = "module";
	const uint32_t *info;

	(void)state;
	fixture_multiboot(&kernel);
	kernel.image.initrd = module;
	kernel.image.initrd_size = sizeof(module);
	kernel.image.module[0] =
		(struct boot_module){ .size = sizeof(module), .text = (char *)"initrd" };
	kernel.image.n_modules = 1;
	place(BOOT_MULTIBOOT);
	assert_int_equal(entry.rip, 4 * MIB + 32);
	assert_int_equal(entry.magic, 0x2badb002);
	assert_true(fixture_holds(&ram, 4 * MIB, 64, 0xcc));
	assert_true(fixture_holds(&ram, 4 * MIB + 4096, 4096, 0));
	info = ram_hva(&ram, entry.arg, 116);
	assert_int_equal(info[0], 1 | 4 | 8 | 0x40 | 0x200);
	assert_int_equal(info[1], 639);
	assert_int_equal(info[2], 63 * 1024);
	assert_string_equal(ram_hva(&ram, info[4], 32), "kernel console=ttyS0");
	assert_int_equal(info[5], 1);
	assert_int_equal(u32(info[6]), 64 * MIB - 4096);
	assert_int_equal(u32(info[6] + 4), 64 * MIB - 4096 + 10);
	assert_string_equal(ram_hva(&ram, u32(info[6] + 8), 32), "initrd");
	assert_string_equal(ram_hva(&ram, u32(info[6]), 10), "module");
	assert_int_equal(info[11], 5 * 24);
	assert_int_equal(u32(info[12]), 20); /* the size does not count itself */
	assert_int_equal(u64(info[12] + 4 + 8), 0x9fc00);
	assert_int_equal(u32(info[12] + 4 + 16), 1);
	assert_string_equal(ram_hva(&ram, info[16], 16), "portcullis");
}

static void test_multiboot_modules(void **state)
{
	static uint8_t memory[3 * 4096];
	const uint32_t *info;
	uint32_t mods;

	(void)state;
	fixture_multiboot(&kernel);
	memset(memory, 'a', 4096);
	memset(memory + 4096, 'b', 4097);
	kernel.image.initrd = memory;
	kernel.image.initrd_size = sizeof(memory);
	kernel.image.module[0] = (struct boot_module){ 0, 10, (char *)"a" };
	kernel.image.module[1] = (struct boot_module){ 4096, 4097, (char *)"dir/b -x y=z" };
	kernel.image.n_modules = 2;
	place(BOOT_MULTIBOOT);
	info = ram_hva(&ram, entry.arg, 116);
	assert_int_equal(info[0] & 8, 8);
	assert_int_equal(info[5], 2);
	mods = info[6];
	assert_int_equal(u32(mods), 64 * MIB - 3 * 4096);
	assert_int_equal(u32(mods + 4), 64 * MIB - 3 * 4096 + 10);
	assert_string_equal(ram_hva(&ram, u32(mods + 8), 2), "a");
	assert_int_equal(u32(mods + 12), 0);
	assert_int_equal(u32(mods + 16), 64 * MIB - 2 * 4096);
	assert_int_equal(u32(mods + 20), 64 * MIB - 2 * 4096 + 4097);
	assert_string_equal(ram_hva(&ram, u32(mods + 24), 13), "dir/b -x y=z");
	assert_true(fixture_holds(&ram, u32(mods + 16), 4097, 'b'));
}

static void test_multiboot_addresses(void **state)
{
	uint32_t *header = fixture_multiboot_flat(&kernel);

	(void)state;
	memset(ram_hva(&ram, 2 * MIB, 8192), 0x55, 8192);
	place(BOOT_MULTIBOOT);
	assert_int_equal(entry.rip, 2 * MIB + 100);
	/* From byte 32 of the file: header_addr - load_addr before the header. */
	assert_int_equal(u32(2 * MIB + 32), 0x1badb002);
	assert_true(fixture_holds(&ram, 2 * MIB, 32, 0xcc));
	assert_true(fixture_holds(&ram, 2 * MIB + 64, 1000 - 64, 0xcc));
	assert_true(fixture_holds(&ram, 2 * MIB + 1000, 4096, 0));
	assert_true(fixture_holds(&ram, 2 * MIB + 5096, 100, 0x55));
	header[5] = header[6] = 0; /* all of the file, no bss */
	memset(ram_hva(&ram, 2 * MIB, 8192), 0x55, 8192);
	place(BOOT_MULTIBOOT);
	assert_true(fixture_holds(&ram, 2 * MIB + 64, 2048 - 96, 0xcc));
	assert_true(fixture_holds(&ram, 2 * MIB + 2048 - 32, 32, 0x55));
	/* A 64-bit ELF file may say so, too: its own headers are not looked at. */
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 1)->p_type = PT_NULL;
	header = (uint32_t *)(void *)(kernel.bytes + 4096);
	memcpy(header,
		(const uint32_t[]){ 0x1badb002, 0x10000, (uint32_t)-0x1badc002, 2 * MIB, 2 * MIB, 0,
			0, 2 * MIB + 64 },
		32);
	header[2] = -(header[0] + header[1]);
	place(BOOT_MULTIBOOT);
	assert_int_equal(entry.rip, 2 * MIB + 64);
	assert_true(fixture_holds(&ram, 2 * MIB + 64, 4096 - 64, 0xcc));
}

static void test_multiboot_addresses_that_lie(void **state)
{
	static const struct {
		unsigned word;
		uint32_t value;
		const char *says;
	} cases[] = {
		{ 3, 2 * MIB - 1, "before the file's start" },
		{ 3, 2 * MIB + 65, "before the file's start" },
		{ 5, 2 * MIB - 1, "load_end_addr" },
		{ 5, 2 * MIB + 2017, "load_end_addr" },
		{ 6, 2 * MIB + 999, "bss_end_addr" },
		{ 7, 2 * MIB - 1, "entry_addr" },
		{ 7, 2 * MIB + 5096, "entry_addr" },
	};
	uint32_t *header;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		header = fixture_multiboot_flat(&kernel);
		header[cases[i].word] = cases[i].value;
		expect_refused(cases[i].says);
	}
	header = fixture_multiboot_flat(&kernel);
	header[6] = 65 * MIB;
	expect_no_place(E2BIG, "wants to lie at");
	/* Cut off in the middle of the header; no addresses and no ELF file either. */
	header = fixture_multiboot_flat(&kernel);
	kernel.image.kernel_size = 64 + 28;
	expect_refused("is not a kernel");
	header = fixture_multiboot_flat(&kernel);
	header[1] = 0;
	header[2] = -header[0];
	expect_refused("does not say where it is loaded");
	/* The header must end within the first 8 KiB. */
	fixture_multiboot_flat(&kernel);
	memmove(kernel.bytes + 8192 - 28, kernel.bytes + 64, 32);
	memset(kernel.bytes + 64, 0, 32);
	kernel.image.kernel_size = 12288;
	expect_refused("is not a kernel");
}

static void test_multiboot_refused(void **state)
{
	uint32_t *header = fixture_multiboot_header(&kernel);

	(void)state;
	fixture_multiboot(&kernel);
	header[1] = 4; /* a video mode */
	header[2] = -(header[0] + header[1]);
	assert_int_equal(boot_recognise(&kernel.image, &err), -ENOTSUP);
	header[1] = 3; /* page-aligned modules, memory information: as we do */
	header[2] = -(header[0] + header[1]);
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	header[2]++;
	expect_refused("neither a PVH entry nor a Multiboot header");
	fixture_multiboot(&kernel);
	memmove(kernel.bytes + 8192, kernel.bytes + 4096, 4096); /* behind the first 8 KiB */
	memset(kernel.bytes + 4096, 0, 4096);
	kernel.image.kernel_size = 12288;
	expect_refused("neither a PVH entry nor a Multiboot header");
	/* A 64-bit ELF file. */
	fixture_pvh(&kernel);
	fixture_phdr(&kernel, 1)->p_type = PT_NULL;
	memcpy(header, (const uint32_t[]){ 0x1badb002, 0, (uint32_t)-0x1badb002 }, 12);
	expect_refused("Multiboot kernels are 32-bit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pvh, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pvh_without_initrd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pvh_32_bit_note, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_note, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments_outside_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(test_initrd_beside_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multiboot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multiboot_modules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multiboot_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multiboot_addresses_that_lie, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multiboot_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
