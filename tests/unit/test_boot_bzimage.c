/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_boot_bzimage.c - bzImage: what is refused and why, and what the kernel finds in RAM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#include <portcullis/err.h>

#include "boot_fixture.h"
#include "says.h"

static const struct fixture_range ram_512[] = { { 0, 512 * MIB } };

static struct fixture_kernel kernel;
static struct setup_header *header;
static struct ram ram;
static struct boot_load load;
static struct kvm_entry entry;
static struct err err;

static void fresh(void)
{
	fixture_bzimage(&kernel);
	header = fixture_bzimage_header(&kernel);
}

static int setup(void **state)
{
	(void)state;
	fresh();
	fixture_ram(&ram, ram_512, 1);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_ram_release(&ram);
	return 0;
}

static void use_ram(const struct fixture_range *ranges, unsigned count)
{
	fixture_ram_release(&ram);
	fixture_ram(&ram, ranges, count);
}

static void place(void)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	assert_int_equal(kernel.image.kind, BOOT_BZIMAGE);
	assert_int_equal(boot_place(&kernel.image, &ram, 0xe0000, &load, &entry, &err), 0);
	fixture_load(&load);
}

static const struct boot_params *zero_page(void)
{
	assert_int_equal(entry.mode, KVM_ENTRY_LONG);
	return ram_hva(&ram, entry.arg, sizeof(struct boot_params));
}

static void expect_refused(int code, const char *text)
{
	assert_int_equal(boot_recognise(&kernel.image, &err), -code);
	assert_says(err.text, text);
}

static void test_registers_and_memory(void **state)
{
	const struct boot_params *params;
	const uint8_t *code;

	(void)state;
	memset(kernel.bytes, 0x5a, 0x1f1); /* the boot sector's code is not for the zero page */
	place();
	assert_int_equal(entry.rip, 16 * MIB + 0x200);
	code = ram_hva(&ram, 16 * MIB, FIXTURE_PAYLOAD);
	for (unsigned i = 0; i < FIXTURE_PAYLOAD; i++)
		assert_int_equal(code[i], 0xcc);
	params = zero_page();
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.loadflags, LOADED_HIGH);
	assert_int_equal(params->hdr.version, 0x020f);
	assert_int_equal(params->hdr.init_size, 4 * MIB);
	assert_int_equal(params->hdr.ramdisk_size, 0);
	assert_int_equal(params->acpi_rsdp_addr, 0xe0000);
	assert_string_equal(ram_hva(&ram, params->hdr.cmd_line_ptr, 32), "console=ttyS0");
	assert_int_equal(params->e820_entries, 5);
	assert_int_equal(params->e820_table[0].size, 0x9fc00);
	assert_int_equal(params->e820_table[1].type, 2);
	assert_int_equal(params->e820_table[2].size, 511 * MIB);
	assert_int_equal(params->screen_info.orig_video_isVGA, 0);
}

/* Walks the tables as the CPU would. */
static uint64_t translate(uint64_t address)
{
	uint64_t table = entry.page_table;

	for (int shift = 39; shift >= 21; shift -= 9) {
		const uint64_t *entries = ram_hva(&ram, table, 4096);
		uint64_t e = entries[address >> shift & 511];

		assert_int_equal(e & 3, 3);
		if (e & 0x80) {
			assert_int_equal(shift, 21);
			return (e & ~0x1fffffull) | (address & 0x1fffff);
		}
		table = e & ~0xfffull;
	}
	fail();
	return 0;
}

static void test_page_tables_and_gdt(void **state)
{
	static const uint64_t probes[] = { 0, 0x7123, 16 * MIB, GIB - 1, GIB, 3 * GIB + 5,
		4 * GIB - 1 };
	const uint64_t *gdt;

	(void)state;
	place();
	for (unsigned i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		assert_int_equal(translate(probes[i]), probes[i]);
	assert_int_equal(entry.code_selector, 0x10);
	assert_int_equal(entry.data_selector, 0x18);
	gdt = ram_hva(&ram, entry.gdt, entry.gdt_size);
	assert_int_equal(gdt[0x10 / 8], 0x00af9b000000ffff);
	assert_int_equal(gdt[0x18 / 8], 0x00cf93000000ffff);
}

static void test_kernel_moves_when_its_place_is_taken(void **state)
{
	static const struct fixture_range low[] = { { 0, 12 * MIB } };
	static const struct fixture_range hole[] = { { 0, 17 * MIB }, { 64 * MIB, 64 * MIB } };
	static const struct fixture_range payload[] = { { 0, 16 * MIB + 4096 } };
	static const struct fixture_range huge[] = { { 0, 5 * GIB } };

	(void)state;
	use_ram(low, 1);
	place();
	assert_int_equal(entry.rip, 2 * MIB + 0x200);
	assert_int_equal(zero_page()->hdr.code32_start, 2 * MIB);
	header->init_size = 20 * MIB;
	use_ram(hole, 2);
	place();
	assert_int_equal(entry.rip, 64 * MIB + 0x200);
	/* A header that asks for less than the file has. */
	header->init_size = 0;
	use_ram(payload, 1);
	place();
	assert_int_equal(entry.rip, 2 * MIB + 0x200);
	/* Where the page tables do not reach is no place for it. */
	header->init_size = 4 * MIB;
	header->pref_address = 4 * GIB;
	use_ram(huge, 1);
	place();
	assert_int_equal(entry.rip, 2 * MIB + 0x200);
	header->pref_address = 4 * GIB - 2 * MIB;
	place();
	assert_int_equal(entry.rip, 2 * MIB + 0x200);
}

static void test_kernel_does_not_fit(void **state)
{
	(void)state;
	header->relocatable_kernel = 0;
	header->pref_address = 510 * MIB;
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
	assert_int_equal(boot_place(&kernel.image, &ram, 0, &load, &entry, &err), -E2BIG);
	assert_non_null(
		strstr(err.text, "4194304 bytes of RAM at 0x1fe00000; the guest has 536870912"));
	header->relocatable_kernel = 1;
	header->init_size = 0x20000000;
	assert_int_equal(boot_place(&kernel.image, &ram, 0, &load, &entry, &err), -E2BIG);
	assert_non_null(strstr(err.text, "or above 1 MiB"));
}

static void test_initrd(void **state)
{
	static const struct fixture_range high[] = { { 0, 64 * MIB }, { 4 * GIB, 64 * MIB } };
	static uint8_t initrd[20 * MIB];
	const struct boot_params *params;

	(void)state;
	memset(initrd, 0xdd, sizeof(initrd));
	kernel.image.initrd = initrd;
	kernel.image.initrd_size = 5000;
	place();
	assert_int_equal(zero_page()->hdr.ramdisk_image, 512 * MIB - 8192);
	assert_int_equal(zero_page()->hdr.ramdisk_size, 5000);
	assert_memory_equal(ram_hva(&ram, 512 * MIB - 8192, 5000), initrd, 5000);
	/* The kernel's own limit, used to the last byte. */
	header->initrd_addr_max = 100 * MIB - 1;
	kernel.image.initrd_size = 8192;
	place();
	assert_int_equal(zero_page()->hdr.ramdisk_image, 100 * MIB - 8192);
	/* Low memory is full: above 4 GiB, in two halves. */
	header->init_size = 46 * MIB;
	kernel.image.initrd_size = sizeof(initrd);
	use_ram(high, 2);
	place();
	params = zero_page();
	assert_int_equal(params->ext_ramdisk_image, 1);
	assert_int_equal(params->hdr.ramdisk_image, 44 * MIB);
	assert_int_equal(params->ext_ramdisk_size, 0);
	/* Unless the kernel cannot take it there. */
	header->xloadflags = XLF_KERNEL_64;
	assert_int_equal(boot_place(&kernel.image, &ram, 0, &load, &entry, &err), -E2BIG);
	assert_non_null(strstr(err.text, "initrd 'initrd' of 20971520 bytes does not fit"));
	assert_non_null(strstr(err.text, "134217728 bytes of RAM"));
}

/* A reset places everything again over what the guest left behind. */
static void test_second_placement_equals_first(void **state)
{
	static uint8_t first[0x20000];
	uint8_t *low;

	(void)state;
	place();
	low = ram_hva(&ram, 0, sizeof(first));
	memcpy(first, low, sizeof(first));
	memset(low, 0xa5, sizeof(first));
	place();
	assert_memory_equal(low, first, sizeof(first));
}

static void test_long_header_is_copied_whole(void **state)
{
	(void)state;
	kernel.bytes[0x201] = 0xff; /* as far as it goes: up to the end of the field */
	kernel.bytes[0x28f] = 0x77;
	kernel.bytes[0x290] = 0x88;
	place();
	assert_int_equal(((const uint8_t *)zero_page())[0x28f], 0x77);
	assert_int_equal(((const uint8_t *)zero_page())[0x290], 0);
	kernel.bytes[0x201] = 0x70; /* up to 0x272 */
	kernel.bytes[0x271] = 0x77;
	kernel.bytes[0x272] = 0x88;
	place();
	assert_int_equal(((const uint8_t *)zero_page())[0x271], 0x77);
	assert_int_equal(((const uint8_t *)zero_page())[0x272], 0);
}

static void test_refused(void **state)
{
	(void)state;
	header->version = 0x020b;
	expect_refused(ENOEXEC, "kernel 'kernel' speaks boot protocol 2.11");
	fresh();
	header->xloadflags = XLF_CAN_BE_LOADED_ABOVE_4G;
	expect_refused(ENOEXEC, "32-bit kernel");
	fresh();
	kernel.image.kernel_size -= 16;
	expect_refused(ENOEXEC, "promises 10752 bytes, the file has 10736");
	fresh();
	header->syssize = UINT32_MAX;
	expect_refused(ENOEXEC, "promises 68719479280 bytes");
	fresh();
	header->syssize = 0x200 / 16; /* nothing at the entry */
	expect_refused(ENOEXEC, "512 bytes of kernel");
	fresh();
	header->kernel_alignment = 0x300000;
	expect_refused(ENOEXEC, "alignment 0x300000");
	fresh();
	header->kernel_alignment = 0;
	expect_refused(ENOEXEC, "alignment 0");
	fresh();
	header->cmdline_size = 12;
	expect_refused(E2BIG, "has 13 bytes, kernel 'kernel' takes at most 12");
	fresh();
	header->cmdline_size = 13;
	assert_int_equal(boot_recognise(&kernel.image, &err), 0);
}

/* Whatever the kernel says of itself, there is room for 65535. */
static void test_command_line_without_a_limit(void **state)
{
	static char text[0x10001];

	(void)state;
	header->cmdline_size = UINT32_MAX;
	memset(text, 'x', sizeof(text) - 1);
	kernel.image.cmdline = text;
	expect_refused(E2BIG, "has 65536 bytes, kernel 'kernel' takes at most 65535");
	text[0xffff] = '\0';
	place();
	assert_string_equal(ram_hva(&ram, zero_page()->hdr.cmd_line_ptr, 0x10000), text);
}

/* The header counts units of 16 bytes; files end where their last byte is (memtest86+ does). */
static void test_last_unit_is_not_whole(void **state)
{
	const uint64_t end = 16 * MIB + FIXTURE_PAYLOAD;

	(void)state;
	for (unsigned missing = 0; missing < 16; missing++) {
		fresh();
		kernel.image.kernel_size -= missing;
		memset(ram_hva(&ram, end - 16, 17), 0x55, 17);
		place();
		assert_true(fixture_holds(&ram, end - 16, 16 - missing, 0xcc));
		assert_true(fixture_holds(&ram, end - missing, missing, 0));
		assert_true(fixture_holds(&ram, end, 1, 0x55));
	}
}

static void test_zero_setup_sectors_mean_four(void **state)
{
	(void)state;
	header->setup_sects = 0;
	place();
	assert_memory_equal(ram_hva(&ram, 16 * MIB, 512), kernel.bytes + 5 * 512, 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers_and_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_tables_and_gdt, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_kernel_moves_when_its_place_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_does_not_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_initrd, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_second_placement_equals_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_header_is_copied_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command_line_without_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_unit_is_not_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zero_setup_sectors_mean_four, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
