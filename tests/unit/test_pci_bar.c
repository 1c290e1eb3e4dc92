/* SPDX-License-Identifier: Apache-2.0 */
/* test_pci_bar.c - BARs: size probing, decode, what the machine is told and when. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/pci.h>

#include "../../src/pci/bar.h"
#include "pci_fake.h"

#define BAR(i) (PCI_BASE_ADDRESS_0 + 4 * (i))
#define GIB (1ull << 30)

/* 0: 64-bit prefetchable 16 GiB, 2: 32-bit 16 KiB, 3: I/O 32, 4: 64-bit 1 MiB; ROM 64 KiB */
static int setup(void **state)
{
	struct fake_bus *f;

	(void)fake_bus_setup(state);
	f = *state;
	pci_set_bar(&f->fn, 0, PCI_BAR_MEM64, 16 * GIB, true);
	pci_set_bar(&f->fn, 2, PCI_BAR_MEM32, 0x4000, false);
	pci_set_bar(&f->fn, 3, PCI_BAR_IO, 32, false);
	pci_set_bar(&f->fn, 4, PCI_BAR_MEM64, 0x100000, false);
	pci_set_bar(&f->fn, PCI_ROM, PCI_BAR_ROM, 0x10000, false);
	(void)pci_plug(&f->bus, &f->fn, 8, false, NULL);
	return 0;
}

static uint32_t probe(struct fake_bus *f, unsigned offset)
{
	(void)fake_write(&f->fake, &f->fn, offset, 4, 0xffffffff);
	return fake_read(&f->fn, offset, 4);
}

static void test_size_probing(void **state)
{
	struct fake_bus *f = *state;

	assert_int_equal(probe(f, BAR(0)), 0x0000000c);
	assert_int_equal(probe(f, BAR(1)), 0xfffffffc);
	assert_int_equal(probe(f, BAR(2)), 0xffffc000);
	assert_int_equal(probe(f, BAR(3)), 0xffffffe1);
	assert_int_equal(probe(f, BAR(4)), 0xfff00004);
	assert_int_equal(probe(f, BAR(5)), 0xffffffff);
	assert_int_equal(probe(f, PCI_ROM_ADDRESS), 0xffff0001);
	/* With decode off none of it concerns main. */
	assert_int_equal(f->fake.calls, 0);
}

static void test_probing_with_decode_on_maps_nothing(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(probe(f, BAR(2)), 0xffffc000);
	assert_int_equal(probe(f, BAR(3)), 0xffffffe1);
	assert_int_equal(probe(f, BAR(4)), 0xfff00004);
	assert_int_equal(probe(f, BAR(5)), 0xffffffff);
	assert_int_equal(fake_sink_count(&f->fake, 'm'), 0);
}

static void test_decode_on_and_off(void **state)
{
	struct fake_bus *f = *state;

	assert_false(fake_write(&f->fake, &f->fn, BAR(2), 4, 0xd0004000));
	assert_int_equal(f->fn.bar[2].addr, 0xd0004000);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY));
	assert_int_equal(fake_sink_count(&f->fake, 'm'), 1);
	assert_int_equal(f->fake.log[0].what, 'm');
	assert_int_equal(f->fake.log[0].bar, 2);
	assert_int_equal(f->fake.log[0].addr, 0xd0004000);
	assert_int_equal(f->fake.log[1].what, 'c');
	fake_sink_clear(&f->fake);
	/* Bus mastering on top concerns nobody. */
	assert_false(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0x6));
	assert_int_equal(f->fake.calls, 0);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0));
	assert_int_equal(f->fake.log[0].what, 'u');
	assert_int_equal(f->fake.log[0].addr, 0xd0004000);
	assert_int_equal(f->fake.log[1].what, 'c');
	assert_int_equal(f->fake.calls, 2);
}

static void test_io_and_memory_decode_are_apart(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, BAR(2), 4, 0xd0004000);
	(void)fake_write(&f->fake, &f->fn, BAR(3), 4, 0xc040);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_IO));
	assert_int_equal(fake_sink_count(&f->fake, 'm'), 1);
	assert_int_equal(f->fake.log[0].bar, 3);
	assert_int_equal(f->fake.log[0].addr, 0xc040);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY));
	assert_false(f->fn.bar[3].mapped);
	assert_true(f->fn.bar[2].mapped);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_IO));
	/* Beyond 64 KiB there are no ports. */
	assert_true(fake_write(&f->fake, &f->fn, BAR(3), 4, 0x1c040));
	assert_false(f->fn.bar[3].mapped);
	assert_true(fake_write(&f->fake, &f->fn, BAR(3), 4, 0xffe0));
	assert_int_equal(f->fn.bar[3].mapped_at, 0xffe0);
}

static void test_a_64_bit_bar_moves_in_two_halves(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, BAR(1), 4, 0x80);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY));
	assert_true(f->fn.bar[0].mapped_at == 0x8000000000);
	fake_sink_clear(&f->fake);
	assert_true(fake_write(&f->fake, &f->fn, BAR(1), 4, 0x84));
	assert_int_equal(f->fake.log[0].what, 'u');
	assert_true(f->fake.log[0].addr == 0x8000000000);
	assert_int_equal(f->fake.log[1].what, 'm');
	assert_true(f->fake.log[1].addr == 0x8400000000);
	assert_int_equal(fake_sink_count(&f->fake, 'c'), 1);
	/* A write that changes nothing is no move. */
	assert_false(fake_write(&f->fake, &f->fn, BAR(1), 4, 0x84));
	assert_false(fake_write(&f->fake, &f->fn, BAR(0), 4, 0xfff0000c));
}

static void test_rom_needs_both_enables(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, PCI_ROM_ADDRESS, 4, 0xd0100000);
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_false(f->fn.bar[PCI_ROM].mapped);
	assert_true(fake_write(&f->fake, &f->fn, PCI_ROM_ADDRESS, 4, 0xd0100001));
	assert_true(f->fn.bar[PCI_ROM].mapped);
	assert_int_equal(f->fn.bar[PCI_ROM].mapped_at, 0xd0100000);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0));
	assert_false(f->fn.bar[PCI_ROM].mapped);
}

/* Two BARs that trade places: both go before either comes. */
static void test_unmaps_come_before_maps(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, BAR(2), 4, 0xd0000000);
	(void)fake_write(&f->fake, &f->fn, BAR(4), 4, 0xd0100000);
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_sink_clear(&f->fake);
	pci_bar_put(&f->fn, 2, 0xd0100000);
	pci_bar_put(&f->fn, 4, 0xd0000000);
	pci_update_mappings(&f->fn);
	assert_int_equal(f->fake.calls, 4);
	assert_int_equal(f->fake.log[0].what, 'u');
	assert_int_equal(f->fake.log[1].what, 'u');
	assert_int_equal(f->fake.log[2].what, 'm');
	assert_int_equal(f->fake.log[3].what, 'm');
	pci_update_mappings(&f->fn);
	assert_int_equal(f->fake.calls, 4);
}

static void test_failed_mapping_is_tried_again(void **state)
{
	struct fake_bus *f = *state;

	f->fake.map_result = -EBUSY;
	(void)fake_write(&f->fake, &f->fn, BAR(2), 4, 0xd0000000);
	assert_true(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY));
	assert_false(f->fn.bar[2].mapped);
	f->fake.map_result = 0;
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0);
	assert_int_equal(fake_sink_count(&f->fake, 'u'), 0);
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(f->fn.bar[2].mapped);
}

static void test_unplug_unmaps_and_commits(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, BAR(2), 4, 0xd0000000);
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	fake_sink_clear(&f->fake);
	pci_unplug(&f->fn);
	assert_int_equal(f->fake.log[0].what, 'u');
	assert_int_equal(f->fake.log[1].what, 'c');
	assert_null(f->fn.bus);
	assert_null(atomic_load(&f->bus.function[8]));
	fake_sink_clear(&f->fake);
	pci_unplug(&f->fn);
	pci_update_mappings(&f->fn);
	assert_int_equal(f->fake.calls, 0);
	/* Writes to it still end. */
	assert_false(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0));
}

static void test_address_zero_and_wrap_are_not_mapped(void **state)
{
	struct fake_bus *f = *state;

	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_sink_count(&f->fake, 'm'), 0);
	(void)fake_write(&f->fake, &f->fn, BAR(4), 4, 0xfff00000);
	(void)fake_write(&f->fake, &f->fn, BAR(5), 4, 0xffffffff);
	assert_false(f->fn.bar[4].mapped);
	(void)fake_write(&f->fake, &f->fn, BAR(5), 4, 0x1);
	assert_true(f->fn.bar[4].mapped_at == 0x1fff00000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fake_bus_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_size_probing),
		T(test_probing_with_decode_on_maps_nothing),
		T(test_decode_on_and_off),
		T(test_io_and_memory_decode_are_apart),
		T(test_a_64_bit_bar_moves_in_two_halves),
		T(test_rom_needs_both_enables),
		T(test_unmaps_come_before_maps),
		T(test_failed_mapping_is_tried_again),
		T(test_unplug_unmaps_and_commits),
		T(test_address_zero_and_wrap_are_not_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
