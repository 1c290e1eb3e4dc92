/* SPDX-License-Identifier: Apache-2.0 */
/* pci_topology.c - see pci_topology.h. */
#include "pci_topology.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "../../src/pci/bar.h"

static const struct pci_windows standard = {
	.io_start = 0x1000,
	.io_end = 0x10000,
	.mem32_start = 0xd0000000,
	.mem32_end = 0xfeb00000,
	.mem64_start = 0x2000000000,
	.mem64_end = 0x10000000000,
};

int topology_setup(void **state)
{
	struct topology *t = calloc(1, sizeof(*t));

	fake_sink_init(&t->fake);
	pci_bus_init(&t->root, "pcie.0", NULL, &t->fake.sink);
	pci_host_bridge_init(&t->host_bridge, 0x8086, 0x29c0);
	assert_int_equal(pci_plug(&t->root, &t->host_bridge, 0, false, NULL), 0);
	t->windows = standard;
	*state = t;
	return 0;
}

int topology_teardown(void **state)
{
	struct topology *t = *state;

	for (unsigned i = 0; i < t->n_ports; i++)
		root_port_release(&t->port[i]);
	for (unsigned i = 0; i < t->n_cards; i++)
		pci_function_release(&t->card[i]);
	pci_function_release(&t->host_bridge);
	fake_sink_release(&t->fake);
	free(t);
	return 0;
}

struct root_port *topology_add_port(struct topology *t, uint8_t devfn, const char *text)
{
	struct root_port *port = &t->port[t->n_ports];
	void *options;
	char id[128];

	assert_int_equal(props_new(&root_port_type, &options), 0);
	snprintf(id, sizeof(id), "id=rp%u%s", t->n_ports, text);
	assert_int_equal(props_parse(&root_port_type, options, id, NULL), 0);
	assert_int_equal(root_port_init(port, options, &t->fake.sink), 0);
	assert_int_equal(pci_plug(&t->root, &port->function, devfn, true, NULL), 0);
	t->n_ports++;
	return port;
}

struct pci_function *topology_add_card(struct topology *t, struct pci_bus *bus, uint8_t devfn)
{
	struct pci_function *card = &t->card[t->n_cards];

	snprintf(t->card_id[t->n_cards], sizeof(t->card_id[0]), "card%u", t->n_cards);
	pci_function_init(card, t->card_id[t->n_cards], NULL, NULL);
	assert_int_equal(pci_plug(bus, card, devfn, true, NULL), 0);
	t->n_cards++;
	return card;
}

void topology_set_bar(struct pci_function *fn, unsigned bar, enum pci_bar_kind kind, uint64_t size,
	bool prefetchable)
{
	pci_set_bar(fn, bar, kind, size, prefetchable);
	pci_function_save(fn);
}

/* The slots behind the host bridge, with all their functions. */
uint8_t topology_devfn(unsigned n)
{
	return PCI_DEVFN(1 + n / 8, n % 8);
}

/* --- the properties --- */

struct span {
	uint64_t start, end; /* exclusive */
	const struct pci_function *owner;
};

struct spans {
	struct span span[CARDS_MAX * PCI_BARS + PORTS_MAX * 2];
	unsigned count;
};

/* Page-sized at least in memory: two BARs in one page cannot both be mapped into a guest. */
static void note(struct spans *all, uint64_t start, uint64_t size, const struct pci_function *owner)
{
	struct span span = { start, start + size, owner };

	for (unsigned i = 0; i < all->count; i++)
		assert_true(span.end <= all->span[i].start || all->span[i].end <= span.start);
	all->span[all->count++] = span;
}

static void check_inside(uint64_t start, uint64_t size, uint64_t first, uint64_t end)
{
	assert_true(start >= first);
	assert_true(end - start >= size);
}

/* A BAR behind a port is reachable only through the window of its kind. */
static void check_behind(struct pci_function *port, const struct pci_bar *bar)
{
	enum pci_window window = PCI_WINDOW_MEM32;
	uint64_t base, last;

	if (bar->kind == PCI_BAR_IO)
		window = PCI_WINDOW_IO;
	else if (bar->addr > UINT32_MAX) {
		assert_true(bar->prefetchable);
		window = PCI_WINDOW_PREF64;
	}
	assert_true(fake_bridge_window(port, window, &base, &last));
	check_inside(bar->addr, bar->size, base, last + 1);
}

static void check_on_root(const struct pci_windows *w, const struct pci_bar *bar)
{
	if (bar->kind == PCI_BAR_IO)
		check_inside(bar->addr, bar->size, w->io_start, w->io_end);
	else if (bar->addr <= UINT32_MAX)
		check_inside(bar->addr, bar->size, w->mem32_start, w->mem32_end);
	else
		check_inside(bar->addr, bar->size, w->mem64_start, w->mem64_end);
}

/* Returns how many BARs have no address. */
static unsigned check_card(
	const struct pci_windows *w, struct pci_function *fn, struct spans *io, struct spans *mem)
{
	struct pci_bar_targets targets;
	struct pci_bus *bus = atomic_load(&fn->bus);
	unsigned missing[2] = { 0, 0 }, present[2] = { 0, 0 }, all = 0;
	uint32_t command = pci_get(fn->config, PCI_COMMAND, 2);

	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &fn->bar[i];
		bool is_io = bar->kind == PCI_BAR_IO;
		uint64_t room = !is_io && bar->size < 4096 ? 4096 : bar->size;

		if (bar->kind == PCI_BAR_NONE)
			continue;
		if (i != PCI_ROM) {
			present[is_io]++;
			missing[is_io] += bar->addr == 0;
		}
		all += bar->addr == 0;
		if (bar->addr == 0)
			continue;
		assert_true((bar->addr & (bar->size - 1)) == 0);
		if (bus->bridge)
			check_behind(bus->bridge, bar);
		else
			check_on_root(w, bar);
		note(is_io ? io : mem, bar->addr, room, fn);
		assert_int_equal(i == PCI_ROM ? fn->config[PCI_ROM_ADDRESS] & 1 : 0, 0);
	}
	pci_bar_targets(fn, fn->config, &targets);
	for (unsigned i = 0; i < PCI_ROM; i++) {
		const struct pci_bar *bar = &fn->bar[i];

		if (bar->kind != PCI_BAR_NONE && !missing[bar->kind == PCI_BAR_IO])
			assert_true(targets.at[i] == bar->addr);
	}
	assert_int_equal((command & PCI_COMMAND_IO) != 0, present[1] && !missing[1]);
	assert_int_equal((command & PCI_COMMAND_MEMORY) != 0, present[0] && !missing[0]);
	assert_int_equal(command & PCI_COMMAND_MASTER, 0);
	return all;
}

/* Windows of the ports and BARs of pcie.0 share nothing; returns reserves that were not kept. */
static unsigned check_port(
	const struct pci_windows *w, struct root_port *port, struct spans *io, struct spans *mem)
{
	struct pci_function *fn = &port->function;
	const uint64_t reserve[PCI_WINDOWS] = { fn->reserve_io, fn->reserve_mem32,
		fn->reserve_pref64 };
	const uint64_t first[PCI_WINDOWS] = { w->io_start, w->mem32_start, w->mem64_start };
	const uint64_t end[PCI_WINDOWS] = { w->io_end, w->mem32_end, w->mem64_end };
	unsigned broken = 0;

	for (unsigned i = 0; i < PCI_WINDOWS; i++) {
		uint64_t base, last, size = 0;

		if (fake_bridge_window(fn, i, &base, &last)) {
			size = last - base + 1;
			check_inside(base, size, first[i], end[i]);
			note(i == PCI_WINDOW_IO ? io : mem, base, size, fn);
		}
		broken += reserve[i] != PCI_RESERVE_AUTO && size < reserve[i] &&
			  !(i == PCI_WINDOW_PREF64 && first[i] >= end[i]);
	}
	assert_int_equal(pci_get(fn->config, PCI_COMMAND, 2) & 7, 7);
	assert_int_equal(fn->config[PCI_PRIMARY_BUS], fn->root_bus);
	assert_true(fn->config[PCI_SECONDARY_BUS] > 0);
	assert_int_equal(fn->config[PCI_SECONDARY_BUS], fn->config[PCI_SUBORDINATE_BUS]);
	return broken;
}

static void check_all(struct topology *t, int ret, const struct err *err)
{
	static struct spans io, mem, io_behind, mem_behind;
	unsigned missing = 0, broken = 0;
	bool buses[256] = { false };

	io.count = mem.count = io_behind.count = mem_behind.count = 0;
	for (unsigned i = 0; i < t->n_ports; i++) {
		uint8_t bus = t->port[i].function.config[PCI_SECONDARY_BUS];

		broken += check_port(&t->windows, &t->port[i], &io, &mem);
		assert_false(buses[bus]);
		buses[bus] = true;
	}
	for (unsigned i = 0; i < t->n_cards; i++) {
		struct pci_bus *bus = atomic_load(&t->card[i].bus);
		bool behind = bus->bridge;

		missing += check_card(&t->windows, &t->card[i], behind ? &io_behind : &io,
			behind ? &mem_behind : &mem);
	}
	assert_int_equal(ret, missing || broken ? -ENOSPC : 0);
	assert_int_equal(err->code, missing || broken ? ENOSPC : 0);
}

int topology_assign(struct topology *t, struct err *err)
{
	int ret;

	memset(err, 0, sizeof(*err));
	ret = pci_assign(&t->root, &t->windows, err);
	check_all(t, ret, err);
	return ret;
}
