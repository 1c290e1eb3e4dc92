/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bars.c - the BARs of a function that has nothing to do with VFIO: on the bus, in memslots,
 * trapped while it is reset, and gone with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "../../src/machine/state.h"
#include "fake_kvm.h"

#define BAR_SIZE 0x4000u
#define SLOT 3

static struct machine m;
static struct bus_reader reader;

static struct card {
	struct pci_function fn;
	uint8_t memory[0x1000];
	uint64_t reg, at;
	unsigned moved;
	bool no_areas;
} card;

/* The first page is memory, the second cannot be written, the rest are registers. */
static unsigned areas(struct pci_function *fn, unsigned bar, struct pci_area *out)
{
	struct card *c = fn->opaque;

	assert_int_equal(bar, 0);
	if (c->no_areas)
		return 0;
	out[0] = (struct pci_area){ .offset = 0, .size = 0x1000, .hva = c->memory };
	out[1] = (struct pci_area){ 0x1000, 0x1000, c->memory, true };
	out[2] = (struct pci_area){ .offset = 0x2000, .size = 0x2000 };
	return 3;
}

static enum io_status bar_access(void *opaque, struct io_access *access)
{
	struct card *c = opaque;

	if (access->write)
		c->reg = access->data;
	else
		access->data = access->offset;
	return IO_DONE;
}

static void *bar_opaque(struct pci_function *fn, unsigned bar)
{
	assert_int_equal(bar, 0);
	return fn->opaque;
}

static void bar_moved(struct pci_function *fn, unsigned bar, uint64_t addr, bool mapped)
{
	struct card *c = fn->opaque;

	assert_int_equal(bar, 0);
	c->at = mapped ? addr : 0;
	c->moved++;
}

static const struct pci_function_ops ops = {
	.areas = areas,
	.bar_access = bar_access,
	.bar_opaque = bar_opaque,
	.bar_moved = bar_moved,
};

static void config_write(unsigned offset, unsigned size, uint32_t value)
{
	pthread_mutex_lock(&card.fn.lock);
	(void)pci_config_apply(&card.fn, offset, size, value);
	pthread_mutex_unlock(&card.fn.lock);
	pci_update_mappings(&card.fn);
	m.sink.commit(m.sink.opaque);
}

static uint64_t read_at(uint64_t addr)
{
	struct io_access access = { .size = 4 };

	bus_dispatch(&m.bus, &reader, BUS_MMIO, addr, &access);
	return access.data;
}

static int setup(void **state)
{
	struct err err = { 0 };

	(void)state;
	memset(&m, 0, sizeof(m));
	memset(&card, 0, sizeof(card));
	fake_kvm_clear();
	role_enter_main();
	assert_int_equal(bus_init(&m.bus), 0);
	assert_int_equal(bus_add_reader(&m.bus, &reader), 0);
	sink_init(&m);
	pci_bus_init(&m.pcie0, "pcie.0", NULL, &m.sink);
	pci_function_init(&card.fn, "card", &ops, &card);
	pci_set_bar(&card.fn, 0, PCI_BAR_MEM32, BAR_SIZE, false);
	card.fn.wmask[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	pci_function_save(&card.fn);
	assert_int_equal(bus_reserve(&m.bus, PCI_BARS), 0);
	assert_int_equal(pci_plug(&m.pcie0, &card.fn, PCI_DEVFN(SLOT, 0), false, &err), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (card.fn.bus)
		pci_unplug(&card.fn);
	pci_function_release(&card.fn);
	bus_release(&m.bus);
	assert_int_equal(fake_kvm.memslots, 0);
	return 0;
}

static void mapped_where_the_guest_puts_it(void **state)
{
	(void)state;
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	assert_int_equal(card.moved, 0);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(card.at, 0xe0000000);
	assert_int_equal(fake_kvm.memslots, 2);
	assert_int_equal(read_at(0xe0000000 + 0x2010), 0x2010);
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe8000000);
	assert_int_equal(card.at, 0xe8000000);
	assert_int_equal(fake_kvm.memslots, 2);
	assert_int_equal(read_at(0xe8000000 + 0x3ffc), 0x3ffc);
	assert_int_equal(read_at(0xe0000000 + 0x2010), 0xffffffff);
	config_write(PCI_COMMAND, 2, 0);
	assert_int_equal(card.at, 0);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe8000000 + 0x3ffc), 0xffffffff);
}

static void trapped_while_it_is_reset(void **state)
{
	(void)state;
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	m.sink.trap_bars(m.sink.opaque, &card.fn, true);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0000000), 0);
	/* Moved meanwhile: still no memslot. */
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe8000000);
	assert_int_equal(fake_kvm.memslots, 0);
	m.sink.trap_bars(m.sink.opaque, &card.fn, false);
	assert_int_equal(fake_kvm.memslots, 2);
}

static void without_memslots_it_traps(void **state)
{
	(void)state;
	fake_kvm.memslot_limit = 1;
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_kvm.memslots, 1);
	assert_int_equal(read_at(0xe0000000 + 0x1004), 0x1004);
	config_write(PCI_COMMAND, 2, 0);
	card.no_areas = true;
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0000000 + 4), 4);
}

static void gone_with_its_function(void **state)
{
	(void)state;
	config_write(PCI_BASE_ADDRESS_0, 4, 0xe0000000);
	config_write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_unplug(&card.fn);
	assert_int_equal(card.at, 0);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0000000 + 4), 0xffffffff);
	/* Nobody said what a BAR of this one is. */
	assert_int_equal(
		m.sink.map_bar(m.sink.opaque, &(struct pci_function){ 0 }, 0, 0xe0000000), -ENODEV);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(mapped_where_the_guest_puts_it),
		CASE(trapped_while_it_is_reset),
		CASE(without_memslots_it_traps),
		CASE(gone_with_its_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
