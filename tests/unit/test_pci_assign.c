/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pci_assign.c - a firmware's work: named cases, and any topology (properties:
 * pci_topology.c).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "../../src/pci/bar.h"
#include "pci_topology.h"

/* --- named cases --- */

static void test_nothing_but_the_host_bridge(void **state)
{
	struct err err;

	assert_int_equal(topology_assign(*state, &err), 0);
}

static void test_nvme_on_the_root_bus_is_below_4_gib(void **state)
{
	struct topology *t = *state;
	struct pci_function *nvme = topology_add_card(t, &t->root, PCI_DEVFN(3, 0));
	struct pci_bar_targets targets;
	struct err err;

	topology_set_bar(nvme, 0, PCI_BAR_MEM64, 16 * KIB, false);
	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(nvme->bar[0].addr < 4 * GIB);
	assert_int_equal(pci_get(nvme->config, PCI_BASE_ADDRESS_0, 4), nvme->bar[0].addr | 4);
	pci_bar_targets(nvme, nvme->config, &targets);
	assert_true(targets.at[0] == nvme->bar[0].addr);
	assert_int_equal(t->fake.calls, 0);
}

static void test_large_bars_go_high(void **state)
{
	struct topology *t = *state;
	struct pci_function *gpu = topology_add_card(t, &t->root, PCI_DEVFN(3, 0));
	struct err err;

	topology_set_bar(gpu, 0, PCI_BAR_MEM32, 16 * MIB, false);
	topology_set_bar(gpu, 1, PCI_BAR_MEM64, 64 * GIB, true);
	topology_set_bar(gpu, 3, PCI_BAR_MEM64, 32 * MIB, true);
	topology_set_bar(gpu, 5, PCI_BAR_IO, 128, false);
	topology_set_bar(gpu, PCI_ROM, PCI_BAR_ROM, 512 * KIB, false);
	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(gpu->bar[1].addr >= t->windows.mem64_start);
	assert_true(gpu->bar[3].addr >= t->windows.mem64_start);
	assert_true(gpu->bar[0].addr < 4 * GIB);
	assert_true(gpu->bar[PCI_ROM].addr < 4 * GIB);
}

static void test_behind_a_port(void **state)
{
	struct topology *t = *state;
	struct root_port *port = topology_add_port(t, PCI_DEVFN(1, 0), "");
	struct pci_function *nvme = topology_add_card(t, &port->bus, 0),
			    *gpu = topology_add_card(t, &port->bus, 1);
	struct err err;

	topology_set_bar(nvme, 0, PCI_BAR_MEM64, 16 * KIB, false);
	topology_set_bar(gpu, 0, PCI_BAR_MEM64, 64 * GIB, true);
	topology_set_bar(gpu, 2, PCI_BAR_IO, 32, false);
	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(nvme->bar[0].addr < 4 * GIB);
	assert_true(gpu->bar[0].addr >= t->windows.mem64_start);
	assert_int_not_equal(gpu->bar[2].addr, 0);
}

/* An empty port has room for a card with a 16 GiB BAR, a 64-bit one of 16 KiB, and I/O. */
static void test_default_reserves(void **state)
{
	struct topology *t = *state;
	uint64_t base, last;
	struct err err;

	for (unsigned n = 0; n < 24; n++)
		topology_add_port(t, topology_devfn(n), "");
	assert_int_equal(topology_assign(t, &err), 0);
	for (unsigned i = 0; i < 24; i++) {
		struct pci_function *port = &t->port[i].function;

		assert_true(fake_bridge_window(port, PCI_WINDOW_MEM32, &base, &last));
		assert_true(last - base + 1 >= 16 * MIB);
		assert_true(fake_bridge_window(port, PCI_WINDOW_PREF64, &base, &last));
		assert_true(last - base + 1 >= 16 * GIB);
		assert_int_equal(base % (16 * GIB), 0);
		/* I/O ports run out after the fifteenth; the others have no I/O window at all. */
		assert_int_equal(fake_bridge_window(port, PCI_WINDOW_IO, &base, &last), i < 15);
		assert_int_equal(port->wmask[PCI_IO_BASE] != 0, i < 15);
	}
}

static void test_most_ports_possible(void **state)
{
	struct topology *t = *state;
	uint64_t base, last;
	struct err err;

	for (unsigned n = 0; n < PORTS_MAX; n++)
		topology_add_port(t, topology_devfn(n), "");
	assert_int_equal(topology_assign(t, &err), 0);
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		assert_true(
			fake_bridge_window(&t->port[i].function, PCI_WINDOW_MEM32, &base, &last));
		assert_true(last - base + 1 >= 2 * MIB);
	}
}

static void test_reserves_by_option(void **state)
{
	struct topology *t = *state;
	struct root_port *big = topology_add_port(
		t, PCI_DEVFN(1, 0), ",pref64-reserve=64G,mem-reserve=100M,io-reserve=8K");
	struct root_port *none = topology_add_port(
		t, PCI_DEVFN(1, 1), ",pref64-reserve=0,mem-reserve=0,io-reserve=0");
	uint64_t base, last;
	struct err err;

	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(fake_bridge_window(&big->function, PCI_WINDOW_PREF64, &base, &last));
	assert_true(last - base + 1 == 64 * GIB && base % (64 * GIB) == 0);
	assert_true(fake_bridge_window(&big->function, PCI_WINDOW_MEM32, &base, &last));
	assert_true(last - base + 1 == 100 * MIB && base % (64 * MIB) == 0);
	assert_true(fake_bridge_window(&big->function, PCI_WINDOW_IO, &base, &last));
	assert_int_equal(last - base + 1, 8 * KIB);
	for (unsigned i = 0; i < PCI_WINDOWS; i++)
		assert_false(fake_bridge_window(&none->function, i, &base, &last));
}

/* What is there comes before what may come. */
static void test_reserves_give_way(void **state)
{
	struct topology *t = *state;
	struct root_port *port = topology_add_port(t, PCI_DEVFN(1, 0), ",mem-reserve=700M");
	struct pci_function *card = topology_add_card(t, &t->root, PCI_DEVFN(3, 0));
	struct err err;

	topology_set_bar(card, 0, PCI_BAR_MEM32, 256 * MIB, false);
	assert_int_equal(topology_assign(t, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "32-bit memory reserves"));
	assert_int_not_equal(card->bar[0].addr, 0);
	/* A reserve no window could ever hold. */
	port->function.reserve_mem32 = UINT64_MAX - 1;
	assert_int_equal(topology_assign(t, &err), -ENOSPC);
	assert_int_not_equal(card->bar[0].addr, 0);
}

static void bar_hint(struct pci_function *fn, unsigned bar, struct err *err)
{
	err_hint(err, "BAR %u of %s", bar, fn->id);
}

static const struct pci_function_ops with_hint = { .bar_hint = bar_hint };

static void test_what_does_not_fit_is_named(void **state)
{
	struct topology *t = *state;
	struct root_port *port = topology_add_port(t, PCI_DEVFN(1, 0), "");
	struct pci_function *big = topology_add_card(t, &port->bus, 0);
	struct pci_function *small = topology_add_card(t, &t->root, PCI_DEVFN(3, 0));
	struct err err;

	topology_set_bar(big, 2, PCI_BAR_MEM32, 1 * GIB, false);
	topology_set_bar(big, 1, PCI_BAR_IO, 32, false);
	topology_set_bar(small, 0, PCI_BAR_MEM32, 4 * KIB, false);
	topology_set_bar(small, 1, PCI_BAR_MEM64, 2048 * GIB, true);
	assert_int_equal(topology_assign(t, &err), -ENOSPC);
	assert_string_equal(err.text,
		"no room in the 32-bit memory window for BAR 2 of 'card0' (1 GiB); "
		"no room in the 64-bit memory window for BAR 1 of 'card1' (2048 GiB)");
	assert_string_equal(err.hint, "");
	/* Whoever can do something about it says so. */
	small->ops = &with_hint;
	assert_int_equal(topology_assign(t, &err), -ENOSPC);
	assert_string_equal(err.hint, "BAR 1 of card1");
	small->ops = NULL;
	/* The rest works. */
	assert_int_not_equal(small->bar[0].addr, 0);
	assert_int_equal(big->bar[2].addr, 0);
	assert_int_not_equal(big->bar[1].addr, 0);
	assert_true(big->config[PCI_COMMAND] & PCI_COMMAND_IO);
	assert_int_equal(pci_assign(&t->root, &t->windows, NULL), -ENOSPC);
}

static void test_without_a_64_bit_window(void **state)
{
	struct topology *t = *state;
	struct root_port *port = topology_add_port(t, PCI_DEVFN(1, 0), "");
	struct pci_function *card = topology_add_card(t, &port->bus, 0);
	uint64_t base, last;
	struct err err;

	topology_set_bar(card, 0, PCI_BAR_MEM64, 32 * MIB, true);
	t->windows.mem64_start = t->windows.mem64_end = 0;
	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(card->bar[0].addr < 4 * GIB);
	assert_false(fake_bridge_window(&port->function, PCI_WINDOW_PREF64, &base, &last));
}

static void check_inside(
	const struct pci_function *fn, enum pci_window window, uint64_t start, uint64_t end)
{
	uint64_t base, last;

	assert_true(fake_bridge_window(fn, window, &base, &last));
	assert_true(base >= start && last < end);
}

/* Root buses of NUMA nodes: numbers in a row, and windows that nobody else has. */
static void test_several_root_buses(void **state)
{
	struct topology *t = *state;
	struct root_port *first = topology_add_port(t, PCI_DEVFN(1, 0), "");
	struct root_port *near = topology_add_port(t, PCI_DEVFN(2, 0), "");
	struct root_port *last = topology_add_port(t, PCI_DEVFN(3, 0), "");
	struct root_port *also = topology_add_port(t, PCI_DEVFN(4, 0), "");
	struct pci_function *gpu = topology_add_card(t, &near->bus, 0);
	struct pci_function *here = topology_add_card(t, &t->root, PCI_DEVFN(5, 0));
	struct pci_root roots[PCI_ROOTS_MAX];
	struct err err;

	assert_int_equal(pci_roots(&t->root, &t->windows, roots), 1);
	assert_memory_equal(&roots[0].windows, &t->windows, sizeof(t->windows));
	near->function.root = also->function.root = 1;
	last->function.root = 2;
	topology_set_bar(gpu, 0, PCI_BAR_MEM64, 64 * GIB, true);
	topology_set_bar(here, 0, PCI_BAR_MEM32, 4 * KIB, false);
	assert_int_equal(topology_assign(t, &err), 0);
	assert_int_equal(pci_roots(&t->root, &t->windows, roots), 3);
	assert_int_equal(roots[0].bus, 0);
	assert_int_equal(roots[0].last_bus, 1);
	assert_int_equal(roots[1].bus, 2);
	assert_int_equal(roots[1].last_bus, 4);
	assert_int_equal(roots[2].bus, 5);
	assert_int_equal(roots[2].last_bus, 6);
	assert_int_equal(pci_get(first->function.config, PCI_PRIMARY_BUS, 3), 0x010100);
	assert_int_equal(pci_get(near->function.config, PCI_PRIMARY_BUS, 3), 0x030302);
	assert_int_equal(pci_get(also->function.config, PCI_PRIMARY_BUS, 3), 0x040402);
	assert_int_equal(pci_get(last->function.config, PCI_PRIMARY_BUS, 3), 0x060605);
	assert_int_equal(also->function.root_bus, 2);
	assert_int_equal(here->root_bus, 0);
	for (unsigned i = 0; i < 3; i++) {
		const struct pci_windows *w = &roots[i].windows;
		const struct root_port *port = i == 0 ? first : i == 1 ? near : last;

		check_inside(&port->function, PCI_WINDOW_MEM32, w->mem32_start, w->mem32_end);
		check_inside(&port->function, PCI_WINDOW_PREF64, w->mem64_start, w->mem64_end);
		assert_int_equal(
			w->io_end, i < 2 ? roots[i + 1].windows.io_start : t->windows.io_end);
		assert_true(w->mem32_end ==
			    (i < 2 ? roots[i + 1].windows.mem32_start : t->windows.mem32_end));
		assert_true(w->mem64_end ==
			    (i < 2 ? roots[i + 1].windows.mem64_start : t->windows.mem64_end));
	}
}

static void test_again_at_reset(void **state)
{
	struct topology *t = *state;
	struct root_port *port = topology_add_port(t, PCI_DEVFN(1, 0), "");
	struct pci_function *card = topology_add_card(t, &port->bus, 0);
	uint64_t addr;
	struct err err;

	topology_set_bar(card, 0, PCI_BAR_MEM64, 32 * MIB, true);
	assert_int_equal(topology_assign(t, &err), 0);
	addr = card->bar[0].addr;
	(void)fake_write(&t->fake, card, PCI_BASE_ADDRESS_0 + 4, 4, 0x55);
	(void)fake_write(&t->fake, card, PCI_COMMAND, 2, 0x547);
	(void)fake_write(&t->fake, &port->function, PCI_PRIMARY_BUS, 4, 0x00202000);
	assert_int_equal(topology_assign(t, &err), 0);
	assert_true(card->bar[0].addr == addr);
	assert_int_equal(port->function.config[PCI_SECONDARY_BUS], 1);
}

/* --- any topology --- */

static uint64_t random_size(unsigned low, unsigned high)
{
	return 1ull << (low + (unsigned)rand() % (high - low));
}

static void random_bars(struct pci_function *fn)
{
	for (unsigned bar = 0; bar < 6; bar++) {
		switch (rand() % 6) {
		case 0:
			topology_set_bar(fn, bar, PCI_BAR_IO, random_size(2, 9), false);
			break;
		case 1:
			topology_set_bar(fn, bar, PCI_BAR_MEM32, random_size(4, 26), rand() & 1);
			break;
		case 2:
			if (bar < 5)
				topology_set_bar(
					fn, bar++, PCI_BAR_MEM64, random_size(4, 24), false);
			break;
		case 3:
			if (bar < 5)
				topology_set_bar(
					fn, bar++, PCI_BAR_MEM64, random_size(4, 38), true);
			break;
		default:
			break;
		}
	}
	if (rand() & 1)
		topology_set_bar(fn, PCI_ROM, PCI_BAR_ROM, random_size(11, 21), false);
}

static void random_port(struct topology *t, uint8_t devfn)
{
	struct root_port *port;
	char text[96] = "";

	if (rand() % 4 == 0)
		snprintf(text, sizeof(text), ",mem-reserve=%dK,pref64-reserve=%dM,io-reserve=%d",
			rand() % 50000, rand() % 100000, rand() % 9000);
	port = topology_add_port(t, devfn, text);
	for (uint8_t fn = 0; fn < 8 && t->n_cards < CARDS_MAX && rand() % 2; fn++)
		random_bars(topology_add_card(t, &port->bus, fn));
}

static void random_topology(struct topology *t)
{
	unsigned count = 1 + (unsigned)rand() % 80;

	for (unsigned n = 0; n < count; n++) {
		if (rand() % 2 && t->n_ports < PORTS_MAX)
			random_port(t, topology_devfn(n));
		else if (t->n_cards < CARDS_MAX)
			random_bars(topology_add_card(t, &t->root, topology_devfn(n)));
	}
	if (rand() % 8 == 0)
		t->windows.mem64_end = t->windows.mem64_start;
	else
		t->windows.mem64_start += (uint64_t)rand() % 1000 * GIB / 8;
	t->windows.mem32_start += ((uint64_t)rand() % 100) * MIB;
}

static void test_any_topology(void **state)
{
	unsigned fit = 0, unfit = 0;

	(void)state;
	srand(3);
	for (unsigned round = 0; round < 400; round++) {
		void *own;
		struct err err;

		assert_int_equal(topology_setup(&own), 0);
		random_topology(own);
		if (topology_assign(own, &err))
			unfit++;
		else
			fit++;
		topology_teardown(&own);
	}
	/* Both outcomes were seen often enough to mean something. */
	assert_true(fit > 50);
	assert_true(unfit > 50);
}

#define T(name) cmocka_unit_test_setup_teardown(name, topology_setup, topology_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_but_the_host_bridge),
		T(test_nvme_on_the_root_bus_is_below_4_gib),
		T(test_large_bars_go_high),
		T(test_behind_a_port),
		T(test_default_reserves),
		T(test_most_ports_possible),
		T(test_reserves_by_option),
		T(test_reserves_give_way),
		T(test_what_does_not_fit_is_named),
		T(test_without_a_64_bit_window),
		T(test_several_root_buses),
		T(test_again_at_reset),
		cmocka_unit_test(test_any_topology),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
