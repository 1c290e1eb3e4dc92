/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_boot_load.c - what loading costs: every byte of the file and of RAM at most once, in steps.
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

/* More than a whole file in memory; the rest is a segment's. */
#define BIG_SIZE (BOOT_STEP + BOOT_STEP / 2)

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

static void plan(void)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	assert_int_equal(boot_place(&kernel.image, &ram, 0xe0000, &load, &entry, &err), 0);
}

static unsigned steps(void)
{
	uint64_t before = load.written;
	unsigned n = 1;

	for (bool more = true; more; n += more) {
		more = boot_load_step(&load);
		assert_true(load.written - before <= BOOT_STEP);
		before = load.written;
	}
	return n;
}

static void expect_refused(const char *text)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), -ENOEXEC);
	assert_says(err.text, text);
}

/* The program header is moved from behind the note to the front, for a second segment. */
static Elf64_Phdr *second_segment(void)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)kernel.bytes;

	fixture_pvh(&kernel);
	header->e_phnum = 3;
	*fixture_phdr(&kernel, 2) = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = 0,
		.p_paddr = 16 * MIB + 8192,
		.p_filesz = 4096,
		.p_memsz = 4096 };
	return fixture_phdr(&kernel, 2);
}

static void test_segments_must_not_overlap(void **state)
{
	Elf64_Phdr *second = second_segment();

	(void)state;
	plan();
	steps();
	assert_int_equal(load.written, 8192);
	second->p_paddr--;
	expect_refused("segments 0 and 2 overlap in memory, at 0x1001fff");
	second->p_paddr = 16 * MIB - 4095;
	expect_refused("segments 0 and 2 overlap in memory, at 0xfff001");
	second->p_paddr--;
	plan();
	second->p_paddr = 16 * MIB + 100;
	second->p_filesz = 0;
	second->p_memsz = 1;
	expect_refused("segments 0 and 2 overlap");
	second->p_paddr = 2 * MIB;
	second->p_memsz = 62 * MIB;
	expect_refused("segments 0 and 2 overlap");
	second->p_paddr = 16 * MIB + 100; /* of no bytes */
	second->p_memsz = 0;
	plan();
}

/* As many bytes as the file has, or some would be copied more than once. */
static void test_segments_share_no_bytes(void **state)
{
	Elf64_Phdr *second = second_segment();

	(void)state;
	kernel.image.kernel_size = 8192;
	plan();
	second->p_filesz = second->p_memsz = 4097;
	expect_refused("overlap in the file: they have 8193 bytes, it has 8192");
}

/* Of notes no more bytes are looked at than the file has. */
static void test_notes_are_read_once(void **state)
{
	Elf64_Ehdr *header = (Elf64_Ehdr *)(void *)kernel.bytes;

	(void)state;
	header->e_phnum = 3;
	*fixture_phdr(&kernel, 2) = *fixture_phdr(&kernel, 1);
	*fixture_phdr(&kernel, 1) =
		(Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 4096, .p_filesz = 4096 };
	plan();
	fixture_phdr(&kernel, 1)->p_offset = 0;
	fixture_phdr(&kernel, 1)->p_filesz = kernel.image.kernel_size;
	expect_refused("neither a PVH entry");
}

/* The smallest file that wants all memory: nothing but its bytes is written to fresh memory. */
static void test_all_ram_is_bss(void **state)
{
	const struct fixture_range most = { 0, 3 * GIB };
	Elf64_Phdr *segment = fixture_phdr(&kernel, 0);

	(void)state;
	fixture_ram_release(&ram);
	fixture_ram(&ram, &most, 1);
	segment->p_paddr = MIB;
	segment->p_memsz = 3 * GIB - MIB;
	*(uint32_t *)(void *)(kernel.bytes + 2048 + 40) = MIB + 64;
	plan();
	assert_int_equal(load.count, 1);
	assert_int_equal(load.written, 0);
	/* Some of it is enough: all would touch 3 GiB. */
	for (unsigned i = 0; i < 20; i++)
		assert_true(boot_load_step(&load));
	assert_int_equal(load.written, 4096);
	assert_int_equal(load.done, 4096 + 19ull * BOOT_STEP);
}

/* After a reset: what the guest has changed is zero again, what it has not is left alone. */
static void test_used_ram_is_cleared(void **state)
{
	uint8_t *bss;

	(void)state;
	fixture_phdr(&kernel, 0)->p_memsz = 20 * MIB + 123;
	plan();
	assert_int_equal(steps(), 6);
	assert_int_equal(load.written, 4096);
	bss = ram_hva(&ram, 16 * MIB + 4096, 20 * MIB);
	bss[5 * MIB - 1] = 1;
	bss[20 * MIB - 4096 + 122] = 2; /* its last byte */
	bss[20 * MIB - 4096 + 123] = 3; /* behind it */
	plan();
	steps();
	assert_int_equal(load.written, 4096 + 4096 + 123);
	assert_true(fixture_holds(&ram, 16 * MIB + 4096, 20 * MIB - 4096 + 123, 0));
	assert_int_equal(bss[20 * MIB - 4096 + 123], 3);
	assert_false(boot_load_step(&load)); /* it has ended, and stays so */
	assert_int_equal(load.written, 4096 + 4096 + 123);
}

/* Files larger than a step: the initrd here, and what is behind it stays as it is. */
static void test_large_files(void **state)
{
	static uint8_t initrd[BIG_SIZE];
	uint64_t gpa = (64 * MIB - sizeof(initrd)) & ~4095ull;

	(void)state;
	memset(initrd, 0xdd, sizeof(initrd));
	kernel.image.initrd = initrd;
	kernel.image.initrd_size = sizeof(initrd) - 1;
	memset(ram_hva(&ram, gpa, sizeof(initrd)), 0x55, sizeof(initrd));
	plan();
	assert_int_equal(load.count, 2);
	assert_int_equal(steps(), 4);
	assert_true(fixture_holds(&ram, gpa, sizeof(initrd) - 1, 0xdd));
	assert_true(fixture_holds(&ram, gpa + sizeof(initrd) - 1, 1, 0x55));
	assert_int_equal(load.written, 4096 + sizeof(initrd) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_segments_must_not_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_segments_share_no_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notes_are_read_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_ram_is_bss, setup, teardown),
		cmocka_unit_test_setup_teardown(test_used_ram_is_cleared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
