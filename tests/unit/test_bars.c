/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bars.c - the BARs of functions that have nothing to do with VFIO: on the bus, in memslots,
 * trapped while they are reset, gone with them; and those smaller than a page, which share pages.
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
	_Alignas(0x1000) uint8_t memory[0x1000];
	uint64_t size; /* of BAR 0 */
	uint64_t reg, at;
	unsigned moved;
	bool no_areas;
} card, one, two;

/* The first page is memory, the second cannot be written, the rest are registers. Or all a page's. */
static unsigned areas(struct pci_function *fn, unsigned bar, struct pci_area *out)
{
	struct card *c = fn->opaque;

	assert_int_equal(bar, 0);
	if (c->no_areas)
		return 0;
	if (c->size < 0x1000) {
		out[0] = (struct pci_area){ .offset = 0, .size = c->size, .hva = c->memory };
		return 1;
	}
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

static void write_to(struct card *c, unsigned offset, unsigned size, uint32_t value)
{
	pthread_mutex_lock(&c->fn.lock);
	(void)pci_config_apply(&c->fn, offset, size, value);
	pthread_mutex_unlock(&c->fn.lock);
	pci_update_mappings(&c->fn);
	m.sink.commit(m.sink.opaque);
}

static void config_write(unsigned offset, unsigned size, uint32_t value)
{
	write_to(&card, offset, size, value);
}

static uint64_t read_at(uint64_t addr)
{
	struct io_access access = { .size = 4 };

	bus_dispatch(&m.bus, &reader, BUS_MMIO, addr, &access);
	return access.data;
}

static void plug(struct card *c, struct pci_bus *bus, unsigned slot, uint64_t size)
{
	struct err err = { 0 };

	memset(c, 0, sizeof(*c));
	c->size = size;
	pci_function_init(&c->fn, "card", &ops, c);
	pci_set_bar(&c->fn, 0, PCI_BAR_MEM32, size, false);
	c->fn.wmask[PCI_COMMAND] = PCI_COMMAND_MEMORY;
	pci_function_save(&c->fn);
	assert_int_equal(bus_reserve(&m.bus, PCI_BARS), 0);
	assert_int_equal(pci_plug(bus, &c->fn, PCI_DEVFN(slot, 0), false, &err), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&m, 0, sizeof(m));
	one.fn.bus = two.fn.bus = NULL;
	fake_kvm_clear();
	role_enter_main();
	assert_int_equal(bus_init(&m.bus), 0);
	assert_int_equal(bus_add_reader(&m.bus, &reader), 0);
	sink_init(&m);
	pci_bus_init(&m.pcie0, "pcie.0", NULL, &m.sink);
	plug(&card, &m.pcie0, SLOT, BAR_SIZE);
	return 0;
}

static void unplug(struct card *c)
{
	if (c->fn.bus)
		pci_unplug(&c->fn);
	pci_function_release(&c->fn);
}

static int teardown(void **state)
{
	(void)state;
	unplug(&card);
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

/* --- BARs smaller than a page --- */

static struct pci_function port;
static struct pci_bus behind;

/* Two of them: one on the root bus, two behind a root port. */
static int setup_small(void **state)
{
	struct err err = { 0 };

	setup(state);
	plug(&one, &m.pcie0, SLOT + 1, 0x800);
	pci_function_init(&port, "port", NULL, NULL);
	pci_bus_init(&behind, "port", &port, &m.sink);
	port.child = &behind;
	assert_int_equal(pci_plug(&m.pcie0, &port, PCI_DEVFN(SLOT + 2, 0), false, &err), 0);
	plug(&two, &behind, 0, 0x100);
	return 0;
}

static int teardown_small(void **state)
{
	unplug(&two);
	pci_unplug(&port);
	pci_function_release(&port);
	unplug(&one);
	return teardown(state);
}

static void put(struct card *c, uint32_t addr)
{
	write_to(c, PCI_BASE_ADDRESS_0, 4, addr);
	write_to(c, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

/* Is the page, all of it, the guest's at addr? */
static bool mapped(const struct card *c, uint64_t addr)
{
	for (unsigned i = 0; i < FAKE_KVM_MEMSLOTS; i++) {
		const struct fake_memslot *at = &fake_kvm.at[i];

		if (fake_kvm.memslot[i] && at->size == 0x1000 && at->gpa == addr &&
			at->hva == c->memory)
			return true;
	}
	return false;
}

static void small_one_has_its_page(void **state)
{
	(void)state;
	put(&one, 0xe0000000);
	assert_true(mapped(&one, 0xe0000000));
	assert_int_equal(fake_kvm.memslots, 1);
	/* Without a memslot it would be answered here, and what lies behind it by nobody. */
	assert_int_equal(read_at(0xe0000000 + 0x7fc), 0x7fc);
	assert_int_equal(read_at(0xe0000000 + 0x800), 0xffffffff);
	write_to(&one, PCI_COMMAND, 2, 0);
	assert_int_equal(fake_kvm.memslots, 0);
}

static void small_one_off_the_page_is_trapped(void **state)
{
	(void)state;
	put(&one, 0xe0000800);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(fake_kvm.calls, 0); /* nor was it tried */
	assert_int_equal(read_at(0xe0000800 + 4), 4);
	put(&one, 0xe0001000);
	assert_true(mapped(&one, 0xe0001000));
	put(&one, 0xe0001800);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0001800 + 4), 4);
	assert_int_equal(read_at(0xe0001000 + 4), 0xffffffff);
}

/* Each answers for itself, trapped, until one of them leaves the page. */
static void small_ones_share_no_page(void **state)
{
	(void)state;
	put(&one, 0xe0000000);
	put(&two, 0xe0000f00);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0000000 + 0x10), 0x10);
	assert_int_equal(read_at(0xe0000f00 + 0x20), 0x20);
	put(&two, 0xe0002000);
	assert_true(mapped(&one, 0xe0000000));
	assert_true(mapped(&two, 0xe0002000));
	put(&two, 0xe0000800);
	assert_int_equal(fake_kvm.memslots, 0);
	write_to(&two, PCI_COMMAND, 2, 0);
	assert_true(mapped(&one, 0xe0000000));
	/* The other way round: who begins the page comes last, and goes first. */
	put(&one, 0xe0000800);
	put(&two, 0xe0000000);
	assert_int_equal(fake_kvm.memslots, 0);
	put(&one, 0xe0003000);
	assert_true(mapped(&two, 0xe0000000));
	assert_true(mapped(&one, 0xe0003000));
	put(&two, 0xe0003800);
	assert_int_equal(fake_kvm.memslots, 0);
	pci_unplug(&two.fn);
	assert_true(mapped(&one, 0xe0003000));
}

/* Over one another: the second is nowhere (its guest's fault), and the first keeps its page. */
static void small_one_under_another(void **state)
{
	(void)state;
	put(&one, 0xe0000000);
	put(&two, 0xe0000400);
	assert_true(mapped(&one, 0xe0000000));
	assert_int_equal(two.moved, 0);
	/* And under a large one: that is not mapped, either. */
	put(&card, 0xe0000000);
	assert_int_equal(fake_kvm.memslots, 1);
	assert_true(mapped(&one, 0xe0000000));
}

/* What a reset takes away is not given back by a neighbour. */
static void small_one_is_reset(void **state)
{
	(void)state;
	put(&one, 0xe0000000);
	put(&two, 0xe0000800);
	m.sink.trap_bars(m.sink.opaque, &one.fn, true);
	put(&two, 0xe0001000);
	assert_false(mapped(&one, 0xe0000000));
	assert_true(mapped(&two, 0xe0001000));
	m.sink.trap_bars(m.sink.opaque, &one.fn, false);
	assert_true(mapped(&one, 0xe0000000));
	m.sink.trap_bars(m.sink.opaque, &one.fn, true);
	put(&two, 0xe0000800);
	m.sink.trap_bars(m.sink.opaque, &one.fn, false);
	assert_int_equal(fake_kvm.memslots, 0);
}

/* Something of the board's lies in the page. */
static void small_one_beside_no_card(void **state)
{
	const struct bus_region board = {
		.base = 0xe0000ff0, .size = 16, .name = "board", .fn = bar_access, .opaque = &card
	};

	(void)state;
	assert_int_equal(bus_add(&m.bus, BUS_MMIO, &board), 0);
	put(&one, 0xe0000000);
	assert_int_equal(fake_kvm.memslots, 0);
	assert_int_equal(read_at(0xe0000ff4), 4);
}

#define SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown_small)
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(mapped_where_the_guest_puts_it),
		CASE(trapped_while_it_is_reset),
		CASE(without_memslots_it_traps),
		CASE(gone_with_its_function),
		SMALL(small_one_has_its_page),
		SMALL(small_one_off_the_page_is_trapped),
		SMALL(small_ones_share_no_page),
		SMALL(small_one_under_another),
		SMALL(small_one_is_reset),
		SMALL(small_one_beside_no_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
