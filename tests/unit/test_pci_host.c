/* SPDX-License-Identifier: Apache-2.0 */
/* test_pci_host.c - config cycles through CF8/CFC and ECAM, and which function they reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>

#include "pci_fake.h"

struct fixture {
	struct fake_sink fake;
	struct pci_bus root, child;
	struct pci_function bridge, hb, dev;
	struct pci_host host;
	unsigned cf9;
};

static enum io_status cf9(void *opaque, struct io_access *access)
{
	struct fixture *f = opaque;

	assert_int_equal(access->offset, 0);
	if (access->write)
		f->cf9 = (unsigned)access->data;
	access->data = 0x5a;
	return IO_DONE;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_sink_init(&f->fake);
	pci_bus_init(&f->root, "pcie.0", NULL, &f->fake.sink);
	pci_host_bridge_init(&f->hb, 0x8086, 0x29c0);
	pci_function_init(&f->bridge, "rp", NULL, NULL);
	pci_bridge_init(&f->bridge);
	pci_bus_init(&f->child, "rp", &f->bridge, &f->fake.sink);
	f->bridge.child = &f->child;
	pci_function_init(&f->dev, "dev", NULL, NULL);
	pci_put(f->dev.config, 0, 4, 0x44332211);
	(void)pci_plug(&f->root, &f->hb, 0, false, NULL);
	(void)pci_plug(&f->root, &f->bridge, PCI_DEVFN(2, 0), false, NULL);
	(void)pci_plug(&f->child, &f->dev, 0, false, NULL);
	f->host.root = &f->root;
	f->host.cf9 = cf9;
	f->host.cf9_opaque = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	pci_function_release(&f->dev);
	pci_function_release(&f->bridge);
	pci_function_release(&f->hb);
	fake_sink_release(&f->fake);
	free(f);
	return 0;
}

static uint64_t rd(struct fixture *f, io_fn fn, uint64_t offset, uint8_t size)
{
	struct io_access access = { .offset = offset, .size = size };

	assert_int_equal(fn(&f->host, &access), IO_DONE);
	return access.data;
}

static void wr(struct fixture *f, io_fn fn, uint64_t offset, uint8_t size, uint64_t data)
{
	struct io_access access = { .offset = offset, .size = size, .write = true, .data = data };

	assert_int_equal(fn(&f->host, &access), IO_DONE);
	assert_int_equal(access.offset, offset);
}

static void test_host_bridge_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, pci_host_ecam, 0, 4), 0x29c08086);
	assert_int_equal(rd(f, pci_host_ecam, PCI_CLASS_DEVICE, 2), 0x0600);
	assert_int_equal(rd(f, pci_host_ecam, PCI_HEADER_TYPE, 1), 0);
	wr(f, pci_host_ecam, PCI_COMMAND, 2, 0);
	assert_int_equal(rd(f, pci_host_ecam, PCI_COMMAND, 2) & 6, 6);
}

static void test_cf8_latch(void **state)
{
	struct fixture *f = *state;

	/* What Linux does to find the mechanism. */
	wr(f, pci_host_cf8, 3, 1, 1);
	wr(f, pci_host_cf8, 0, 4, 0x80000000);
	assert_int_equal(rd(f, pci_host_cf8, 0, 4), 0x80000000);
	assert_int_equal(rd(f, pci_host_cfc, 0, 4), 0x29c08086);
	assert_int_equal(rd(f, pci_host_cfc, 0, 2), 0x8086);
	assert_int_equal(rd(f, pci_host_cfc, 2, 2), 0x29c0);
	assert_int_equal(rd(f, pci_host_cfc, 3, 1), 0x29);
	/* Reserved bits do not stick; anything but a dword is no config address. */
	wr(f, pci_host_cf8, 0, 4, 0xffffffff);
	assert_int_equal(rd(f, pci_host_cf8, 0, 4), 0x80fffffc);
	wr(f, pci_host_cf8, 0, 2, 0);
	assert_int_equal(rd(f, pci_host_cf8, 0, 4), 0x80fffffc);
	assert_int_equal(rd(f, pci_host_cf8, 0, 2), 0xffff);
	/* Not enabled: nobody answers. */
	wr(f, pci_host_cf8, 0, 4, 0);
	assert_int_equal(rd(f, pci_host_cfc, 0, 4), 0xffffffff);
	wr(f, pci_host_cfc, 0, 4, 0);
}

static void test_reset_register_inside_cf8(void **state)
{
	struct fixture *f = *state;

	wr(f, pci_host_cf8, 0, 4, 0x80001234);
	wr(f, pci_host_cf8, 1, 1, 0x0e);
	assert_int_equal(f->cf9, 0x0e);
	assert_int_equal(rd(f, pci_host_cf8, 1, 1), 0x5a);
	assert_int_equal(rd(f, pci_host_cf8, 0, 4), 0x80001234);
	assert_int_equal(rd(f, pci_host_cf8, 2, 1), 0xff);
	f->host.cf9 = NULL;
	assert_int_equal(rd(f, pci_host_cf8, 1, 1), 0xff);
}

static void test_absent_functions_read_ones(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, pci_host_ecam, 5 << 15, 4), 0xffffffff);
	assert_int_equal(rd(f, pci_host_ecam, 5 << 15, 2), 0xffff);
	assert_int_equal(rd(f, pci_host_ecam, (1 << 20), 1), 0xff);
	assert_true(rd(f, pci_host_ecam, 5 << 15, 8) == UINT64_MAX);
	wr(f, pci_host_ecam, 5 << 15, 4, 0);
}

static void test_buses_are_where_the_guest_says(void **state)
{
	struct fixture *f = *state;
	uint64_t bridge = (uint64_t)PCI_DEVFN(2, 0) << 12;

	assert_null(pci_host_find(&f->host, 1, 0));
	wr(f, pci_host_ecam, bridge + PCI_PRIMARY_BUS, 4, 0x00070500);
	assert_ptr_equal(pci_host_find(&f->host, 5, 0), &f->dev);
	assert_null(pci_host_find(&f->host, 6, 0));
	assert_null(pci_host_find(&f->host, 5, 8));
	assert_int_equal(rd(f, pci_host_ecam, 5 << 20, 4), 0x44332211);
	/* One byte at a time, and a subordinate below the secondary: closed. */
	wr(f, pci_host_ecam, bridge + PCI_SECONDARY_BUS, 1, 6);
	assert_null(pci_host_find(&f->host, 5, 0));
	assert_ptr_equal(pci_host_find(&f->host, 6, 0), &f->dev);
	wr(f, pci_host_ecam, bridge + PCI_SUBORDINATE_BUS, 1, 2);
	assert_null(pci_host_find(&f->host, 6, 0));
	/* Bus 0 is pcie.0, whatever a bridge claims. */
	wr(f, pci_host_ecam, bridge + PCI_PRIMARY_BUS, 4, 0x00ff0000);
	assert_ptr_equal(pci_host_find(&f->host, 0, 0), &f->hb);
}

/* Two root buses: each shows its own functions of pcie.0, and nobody another's. */
static void test_root_buses(void **state)
{
	struct fixture *f = *state;
	uint64_t bridge = (uint64_t)PCI_DEVFN(2, 0) << 12;
	struct pci_function *port = pci_host_find(&f->host, 0, PCI_DEVFN(2, 0));

	assert_non_null(port);
	port->root_bus = 9;
	assert_null(pci_host_find(&f->host, 0, PCI_DEVFN(2, 0)));
	assert_ptr_equal(pci_host_find(&f->host, 9, PCI_DEVFN(2, 0)), port);
	assert_null(pci_host_find(&f->host, 9, 0));
	assert_ptr_equal(pci_host_find(&f->host, 0, 0), &f->hb);
	assert_int_equal(rd(f, pci_host_ecam, bridge, 4), 0xffffffff);
	wr(f, pci_host_ecam, (9 << 20) + bridge + PCI_PRIMARY_BUS, 4, 0x000a0a09);
	assert_ptr_equal(pci_host_find(&f->host, 10, 0), &f->dev);
}

static void test_odd_accesses(void **state)
{
	struct fixture *f = *state;

	pci_put(f->hb.config, 0x80, 4, 0xd4c3b2a1);
	pci_put(f->hb.config, 0x84, 4, 0x18171615);
	pci_put(f->hb.wmask, 0x80, 4, 0xffffffff);
	assert_int_equal(rd(f, pci_host_ecam, 0x81, 2), 0xc3b2);
	assert_int_equal(rd(f, pci_host_ecam, 0x83, 4), 0x171615d4);
	assert_true(rd(f, pci_host_ecam, 0x80, 8) == 0x18171615d4c3b2a1);
	wr(f, pci_host_ecam, 0x81, 2, 0);
	wr(f, pci_host_ecam, 0x80, 8, 0);
	assert_int_equal(rd(f, pci_host_ecam, 0x80, 4), 0xd4c3b2a1);
	/* Over the end of a function. */
	assert_int_equal(rd(f, pci_host_ecam, 0xffe, 4), 0xffffffff);
	wr(f, pci_host_ecam, 0xffe, 4, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_host_bridge_identity),
		T(test_cf8_latch),
		T(test_reset_register_inside_cf8),
		T(test_absent_functions_read_ones),
		T(test_buses_are_where_the_guest_says),
		T(test_root_buses),
		T(test_odd_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
