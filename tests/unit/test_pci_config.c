/* SPDX-License-Identifier: Apache-2.0 */
/* test_pci_config.c - config bytes, masks, capabilities, plugging. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/pci.h>

#include "../../src/pci/function.h"
#include "pci_fake.h"

static void test_bytes_are_little_endian(void **state)
{
	uint8_t bytes[8] = { 0 };

	(void)state;
	pci_put(bytes, 1, 4, 0x11223344);
	assert_int_equal(bytes[1], 0x44);
	assert_int_equal(bytes[4], 0x11);
	assert_int_equal(bytes[5], 0);
	assert_int_equal(pci_get(bytes, 1, 4), 0x11223344);
	assert_int_equal(pci_get(bytes, 2, 2), 0x2233);
	assert_int_equal(pci_get(bytes, 3, 1), 0x22);
}

static void test_only_masked_bits_change(void **state)
{
	struct fake_bus *f = *state;

	pci_put(f->fn.config, 0x80, 4, 0xaaaaaaaa);
	pci_put(f->fn.wmask, 0x80, 4, 0x00ffff00);
	assert_false(fake_write(&f->fake, &f->fn, 0x80, 4, 0x55555555));
	assert_int_equal(fake_read(&f->fn, 0x80, 4), 0xaa5555aa);
	assert_false(fake_write(&f->fake, &f->fn, 0x81, 1, 0x12));
	assert_int_equal(fake_read(&f->fn, 0x80, 4), 0xaa5512aa);
	assert_false(fake_write(&f->fake, &f->fn, 0x82, 2, 0x3456));
	assert_int_equal(fake_read(&f->fn, 0x80, 4), 0xaa5612aa);
}

static void test_writing_one_clears(void **state)
{
	struct fake_bus *f = *state;

	pci_put(f->fn.config, PCI_STATUS, 2, 0xf910);
	assert_false(fake_write(&f->fake, &f->fn, PCI_STATUS, 2, 0x0110));
	assert_int_equal(fake_read(&f->fn, PCI_STATUS, 2), 0xf810);
	assert_false(fake_write(&f->fake, &f->fn, PCI_STATUS, 2, 0xffff));
	assert_int_equal(fake_read(&f->fn, PCI_STATUS, 2), 0x0010);
}

static void test_accesses_outside_are_harmless(void **state)
{
	struct fake_bus *f = *state;
	struct io_access access = { .size = 4, .write = true, .data = 5 };

	assert_int_equal(fake_read(&f->fn, PCI_CONFIG_SIZE, 1), 0xffffffff);
	assert_int_equal(fake_read(&f->fn, PCI_CONFIG_SIZE - 1, 2), 0xffffffff);
	assert_int_equal(fake_read(&f->fn, UINT32_MAX, 4), 0xffffffff);
	assert_int_equal(fake_read(&f->fn, 0, 3), 0xffffffff);
	memset(f->fn.wmask, 0xff, sizeof(f->fn.wmask));
	assert_int_equal(pci_config_write(&f->fn, PCI_CONFIG_SIZE - 2, 4, &access), IO_DONE);
	assert_int_equal(fake_read(&f->fn, PCI_CONFIG_SIZE - 2, 2), 0);
	assert_int_equal(fake_read(&f->fn, PCI_CONFIG_SIZE - 4, 4), 0);
}

static void test_ordinary_writes_are_not_deferred(void **state)
{
	struct fake_bus *f = *state;

	assert_int_equal(pci_plug(&f->bus, &f->fn, 8, false, NULL), 0);
	/* No BAR, so nothing moves. */
	assert_false(fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0x7));
	assert_int_equal(fake_read(&f->fn, PCI_COMMAND, 2), 0x7);
	assert_false(fake_write(&f->fake, &f->fn, PCI_INTERRUPT_LINE, 1, 11));
	assert_int_equal(fake_read(&f->fn, PCI_INTERRUPT_LINE, 1), 11);
	assert_false(fake_write(&f->fake, &f->fn, PCI_VENDOR_ID, 2, 0x1234));
	assert_int_equal(fake_read(&f->fn, PCI_VENDOR_ID, 2), 0);
	assert_int_equal(f->fake.calls, 0);
}

static void test_capabilities_are_linked_in_order(void **state)
{
	struct fake_bus *f = *state;
	unsigned pm, msi, exp;

	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_PM), 0);
	assert_int_equal(f->fn.config[PCI_STATUS] & PCI_STATUS_CAP_LIST, 0);
	pm = pci_add_cap(&f->fn, PCI_CAP_ID_PM, 0, 8);
	msi = pci_add_cap(&f->fn, PCI_CAP_ID_MSI, 0, 14);
	exp = pci_add_cap(&f->fn, PCI_CAP_ID_EXP, 0x90, 0x3c);
	assert_int_equal(pm, 0x40);
	assert_int_equal(msi, 0x48);
	assert_int_equal(exp, 0x90);
	assert_int_not_equal(f->fn.config[PCI_STATUS] & PCI_STATUS_CAP_LIST, 0);
	assert_int_equal(f->fn.config[PCI_CAPABILITY_LIST], pm);
	assert_int_equal(f->fn.config[pm + 1], msi);
	assert_int_equal(f->fn.config[msi + 1], exp);
	assert_int_equal(f->fn.config[exp + 1], 0);
	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_EXP), exp);
	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_MSIX), 0);
	assert_int_equal(pci_add_cap(&f->fn, PCI_CAP_ID_VNDR, 0, 6), 0xcc);
	/* 6 bytes end unaligned: the next one starts on a dword. */
	assert_int_equal(pci_add_cap(&f->fn, PCI_CAP_ID_SSVID, 0, 8), 0xd4);
	assert_int_equal(pci_add_cap(&f->fn, PCI_CAP_ID_MSIX, 0, 0x40), 0);
	assert_int_equal(pci_add_cap(&f->fn, PCI_CAP_ID_MSIX, 0x20, 8), 0);
	assert_int_equal(pci_add_cap(&f->fn, PCI_CAP_ID_MSIX, 0, 12), 0xdc);
}

static void test_a_looping_list_ends(void **state)
{
	struct fake_bus *f = *state;

	f->fn.config[PCI_CAPABILITY_LIST] = 0x40;
	f->fn.config[0x40] = PCI_CAP_ID_PM;
	f->fn.config[0x41] = 0x40;
	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_MSI), 0);
	f->fn.config[0x41] = 0xfc;
	f->fn.config[0xfd] = 0x43;
	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_MSI), 0);
	f->fn.config[0xfd] = 0x10; /* inside the header */
	assert_int_equal(fake_find_cap(&f->fn, PCI_CAP_ID_MSI), 0);
}

static void test_reset_restores_power_on_state(void **state)
{
	struct fake_bus *f = *state;

	pci_put(f->fn.config, PCI_VENDOR_ID, 4, 0x12345678);
	pci_set_bar(&f->fn, 0, PCI_BAR_MEM64, 0x1000, true);
	pci_function_save(&f->fn);
	assert_int_equal(pci_plug(&f->bus, &f->fn, 8, true, NULL), 0);
	(void)fake_write(&f->fake, &f->fn, PCI_BASE_ADDRESS_0, 4, 0x12340000);
	(void)fake_write(&f->fake, &f->fn, PCI_COMMAND, 2, 0x7);
	pci_function_reset(&f->fn);
	assert_int_equal(fake_read(&f->fn, PCI_VENDOR_ID, 4), 0x12345678);
	assert_int_equal(fake_read(&f->fn, PCI_COMMAND, 2), 0);
	assert_int_equal(fake_read(&f->fn, PCI_BASE_ADDRESS_0, 4), 0xc);
	assert_int_equal(f->fn.bar[0].addr, 0);
	/* The slot still has several functions. */
	assert_int_equal(fake_read(&f->fn, PCI_HEADER_TYPE, 1), 0x80);
}

/* --- plugging --- */

static void test_occupied_slot_is_refused(void **state)
{
	struct fake_bus *f = *state;
	struct pci_function other;
	struct err err = { 0 };

	pci_function_init(&other, "net0", NULL, NULL);
	assert_int_equal(pci_plug(&f->bus, &other, PCI_DEVFN(3, 0), false, NULL), 0);
	assert_int_equal(pci_plug(&f->bus, &f->fn, PCI_DEVFN(3, 0), false, &err), -EBUSY);
	assert_string_equal(err.text, "PCI: slot 3 function 0 already occupied by 'net0'");
	assert_null(f->fn.bus);
	pci_unplug(&other);
	assert_int_equal(pci_plug(&f->bus, &f->fn, PCI_DEVFN(3, 0), false, &err), 0);
	pci_function_release(&other);
}

static void test_functions_need_multifunction(void **state)
{
	struct fake_bus *f = *state;
	struct pci_function one;
	struct err err = { 0 };

	pci_function_init(&one, "one", NULL, NULL);
	assert_int_equal(pci_plug(&f->bus, &f->fn, PCI_DEVFN(3, 0), false, NULL), 0);
	assert_int_equal(pci_plug(&f->bus, &one, PCI_DEVFN(3, 1), false, &err), -EBUSY);
	assert_non_null(
		strstr(err.text, "PCI: single function device can't be populated in function 3.1"));
	assert_non_null(strstr(err.text, "'dev'"));
	pci_unplug(&f->fn);
	assert_int_equal(pci_plug(&f->bus, &one, PCI_DEVFN(3, 1), false, &err), 0);
	assert_int_equal(pci_plug(&f->bus, &f->fn, PCI_DEVFN(3, 0), false, &err), -EBUSY);
	assert_non_null(strstr(err.text,
		"PCI: 3.0 indicates single function, but 3.1 is already populated by 'one'"));
	assert_int_equal(pci_plug(&f->bus, &f->fn, PCI_DEVFN(3, 0), true, &err), 0);
	assert_int_equal(fake_read(&f->fn, PCI_HEADER_TYPE, 1), 0x80);
	pci_unplug(&one);
	assert_int_equal(pci_plug(&f->bus, &one, PCI_DEVFN(3, 7), false, &err), 0);
	assert_int_equal(fake_read(&one, PCI_HEADER_TYPE, 1), 0);
	pci_unplug(&one);
	pci_function_release(&one);
}

static void test_behind_a_port_there_is_one_slot(void **state)
{
	struct fake_bus *f = *state;
	struct pci_function bridge;
	struct pci_bus child;
	struct err err = { 0 };

	pci_function_init(&bridge, "rp1", NULL, NULL);
	pci_bus_init(&child, "rp1", &bridge, &f->fake.sink);
	assert_int_equal(pci_plug(&child, &f->fn, PCI_DEVFN(1, 0), false, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'rp1'"));
	assert_int_equal(pci_plug(&child, &f->fn, 7, false, &err), 0);
	pci_function_release(&bridge);
}

/* Unplugged between the guest's write and main's turn: nothing is written, the guest goes on. */
static void test_a_late_write_to_an_unplugged_function(void **state)
{
	struct fake_bus *f = *state;
	struct io_request request = { .done = 1 };
	struct io_access access = { .size = 2, .write = true, .data = 2, .request = &request };

	pci_set_bar(&f->fn, 0, PCI_BAR_MEM32, 0x1000, false);
	assert_int_equal(pci_plug(&f->bus, &f->fn, 8, false, NULL), 0);
	(void)fake_write(&f->fake, &f->fn, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	assert_int_equal(pci_config_write(&f->fn, PCI_COMMAND, 2, &access), IO_DEFER);
	pci_unplug(&f->fn);
	io_post(&request);
	loop_step(&f->fake.loop, 0);
	assert_int_equal(atomic_load(&request.done), 1);
	assert_int_equal(fake_read(&f->fn, PCI_COMMAND, 2), 0);
	assert_int_equal(fake_sink_count(&f->fake, 'm'), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fake_bus_setup, fake_bus_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes_are_little_endian),
		T(test_only_masked_bits_change),
		T(test_writing_one_clears),
		T(test_accesses_outside_are_harmless),
		T(test_ordinary_writes_are_not_deferred),
		T(test_capabilities_are_linked_in_order),
		T(test_a_looping_list_ends),
		T(test_reset_restores_power_on_state),
		T(test_occupied_slot_is_refused),
		T(test_functions_need_multifunction),
		T(test_behind_a_port_there_is_one_slot),
		T(test_a_late_write_to_an_unplugged_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
