/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pci_assign.c - a firmware's work: named cases, and properties that hold for any topology:
 * aligned, inside its window, overlapping nothing, reachable through the bridges.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/root_port.h>

#include "pci_fake.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PORTS_MAX 60
#define CARDS_MAX 120

static const struct pci_windows standard = {
	.io_start = 0x1000,
	.io_end = 0x10000,
	.mem32_start = 0xd0000000,
	.mem32_end = 0xfeb00000,
	.mem64_start = 0x2000000000,
	.mem64_end = 0x10000000000,
};

struct fixture {
	struct fake_sink fake;
	struct pci_bus root;
	struct pci_function host_bridge;
	struct root_port port[PORTS_MAX];
	struct pci_function card[CARDS_MAX];
	char card_id[CARDS_MAX][16];
	unsigned n_ports, n_cards;
	struct pci_windows windows;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_sink_init(&f->fake);
	pci_bus_init(&f->root, "pcie.0", NULL, &f->fake.sink);
	pci_host_bridge_init(&f->host_bridge);
	assert_int_equal(pci_plug(&f->root, &f->host_bridge, 0, false, NULL), 0);
	f->windows = standard;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < f->n_ports; i++)
		root_port_release(&f->port[i]);
	for (unsigned i = 0; i < f->n_cards; i++)
		pci_function_release(&f->card[i]);
	pci_function_release(&f->host_bridge);
	fake_sink_release(&f->fake);
	free(f);
	return 0;
}

static struct root_port *add_port(struct fixture *f, uint8_t devfn, const char *text)
{
	struct root_port *port = &f->port[f->n_ports];
	struct root_port_options options;
	char id[128];

	assert_int_equal(props_init(&root_port_type, &options), 0);
	snprintf(id, sizeof(id), "id=rp%u%s", f->n_ports, text);
	assert_int_equal(props_parse(&root_port_type, &options, id, NULL), 0);
	assert_int_equal(root_port_init(port, &options, &f->fake.sink), 0);
	assert_int_equal(pci_plug(&f->root, &port->function, devfn, true, NULL), 0);
	f->n_ports++;
	return port;
}

static struct pci_function *add_card(struct fixture *f, struct pci_bus *bus, uint8_t devfn)
{
	struct pci_function *card = &f->card[f->n_cards];

	snprintf(f->card_id[f->n_cards], sizeof(f->card_id[0]), "card%u", f->n_cards);
	pci_function_init(card, f->card_id[f->n_cards], NULL, NULL);
	assert_int_equal(pci_plug(bus, card, devfn, true, NULL), 0);
	f->n_cards++;
	return card;
}

static void set_bar(struct pci_function *fn, unsigned bar, enum pci_bar_kind kind, uint64_t size,
	bool prefetchable)
{
	pci_set_bar(fn, bar, kind, size, prefetchable);
	pci_function_save(fn);
}

/* The slots behind the host bridge, with all their functions. */
static uint8_t devfn_of(unsigned n)
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
	assert_true(pci_bridge_window(port, window, &base, &last));
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
	for (unsigned i = 0; i < PCI_ROM; i++) {
		const struct pci_bar *bar = &fn->bar[i];

		if (bar->kind != PCI_BAR_NONE && !missing[bar->kind == PCI_BAR_IO])
			assert_true(pci_bar_target(fn, i) == bar->addr);
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

		if (pci_bridge_window(fn, i, &base, &last)) {
			size = last - base + 1;
			check_inside(base, size, first[i], end[i]);
			note(i == PCI_WINDOW_IO ? io : mem, base, size, fn);
		}
		broken += reserve[i] != PCI_RESERVE_AUTO && size < reserve[i] &&
			  !(i == PCI_WINDOW_PREF64 && first[i] >= end[i]);
	}
	assert_int_equal(pci_get(fn->config, PCI_COMMAND, 2) & 7, 7);
	assert_int_equal(fn->config[PCI_PRIMARY_BUS], 0);
	assert_true(fn->config[PCI_SECONDARY_BUS] > 0);
	assert_int_equal(fn->config[PCI_SECONDARY_BUS], fn->config[PCI_SUBORDINATE_BUS]);
	return broken;
}

static void check_all(struct fixture *f, int ret, const struct err *err)
{
	static struct spans io, mem, io_behind, mem_behind;
	unsigned missing = 0, broken = 0;
	bool buses[256] = { false };

	io.count = mem.count = io_behind.count = mem_behind.count = 0;
	for (unsigned i = 0; i < f->n_ports; i++) {
		uint8_t bus = f->port[i].function.config[PCI_SECONDARY_BUS];

		broken += check_port(&f->windows, &f->port[i], &io, &mem);
		assert_false(buses[bus]);
		buses[bus] = true;
	}
	for (unsigned i = 0; i < f->n_cards; i++) {
		struct pci_bus *bus = atomic_load(&f->card[i].bus);
		bool behind = bus->bridge;

		missing += check_card(&f->windows, &f->card[i], behind ? &io_behind : &io,
			behind ? &mem_behind : &mem);
	}
	assert_int_equal(ret, missing || broken ? -ENOSPC : 0);
	assert_int_equal(err->code, missing || broken ? ENOSPC : 0);
}

static int assign(struct fixture *f, struct err *err)
{
	int ret;

	memset(err, 0, sizeof(*err));
	ret = pci_assign(&f->root, &f->windows, err);
	check_all(f, ret, err);
	return ret;
}

/* --- named cases --- */

static void test_nothing_but_the_host_bridge(void **state)
{
	struct err err;

	assert_int_equal(assign(*state, &err), 0);
}

static void test_nvme_on_the_root_bus_is_below_4_gib(void **state)
{
	struct fixture *f = *state;
	struct pci_function *nvme = add_card(f, &f->root, PCI_DEVFN(3, 0));
	struct err err;

	set_bar(nvme, 0, PCI_BAR_MEM64, 16 * KIB, false);
	assert_int_equal(assign(f, &err), 0);
	assert_true(nvme->bar[0].addr < 4 * GIB);
	assert_int_equal(pci_get(nvme->config, PCI_BASE_ADDRESS_0, 4), nvme->bar[0].addr | 4);
	assert_true(pci_bar_target(nvme, 0) == nvme->bar[0].addr);
	assert_int_equal(f->fake.calls, 0);
}

static void test_large_bars_go_high(void **state)
{
	struct fixture *f = *state;
	struct pci_function *gpu = add_card(f, &f->root, PCI_DEVFN(3, 0));
	struct err err;

	set_bar(gpu, 0, PCI_BAR_MEM32, 16 * MIB, false);
	set_bar(gpu, 1, PCI_BAR_MEM64, 64 * GIB, true);
	set_bar(gpu, 3, PCI_BAR_MEM64, 32 * MIB, true);
	set_bar(gpu, 5, PCI_BAR_IO, 128, false);
	set_bar(gpu, PCI_ROM, PCI_BAR_ROM, 512 * KIB, false);
	assert_int_equal(assign(f, &err), 0);
	assert_true(gpu->bar[1].addr >= standard.mem64_start);
	assert_true(gpu->bar[3].addr >= standard.mem64_start);
	assert_true(gpu->bar[0].addr < 4 * GIB);
	assert_true(gpu->bar[PCI_ROM].addr < 4 * GIB);
}

static void test_behind_a_port(void **state)
{
	struct fixture *f = *state;
	struct root_port *port = add_port(f, PCI_DEVFN(1, 0), "");
	struct pci_function *nvme = add_card(f, &port->bus, 0), *gpu = add_card(f, &port->bus, 1);
	struct err err;

	set_bar(nvme, 0, PCI_BAR_MEM64, 16 * KIB, false);
	set_bar(gpu, 0, PCI_BAR_MEM64, 64 * GIB, true);
	set_bar(gpu, 2, PCI_BAR_IO, 32, false);
	assert_int_equal(assign(f, &err), 0);
	assert_true(nvme->bar[0].addr < 4 * GIB);
	assert_true(gpu->bar[0].addr >= standard.mem64_start);
	assert_int_not_equal(gpu->bar[2].addr, 0);
}

/* An empty port has room for a card with a 16 GiB BAR, a 64-bit one of 16 KiB, and I/O. */
static void test_default_reserves(void **state)
{
	struct fixture *f = *state;
	uint64_t base, last;
	struct err err;

	for (unsigned n = 0; n < 24; n++)
		add_port(f, devfn_of(n), "");
	assert_int_equal(assign(f, &err), 0);
	for (unsigned i = 0; i < 24; i++) {
		struct pci_function *port = &f->port[i].function;

		assert_true(pci_bridge_window(port, PCI_WINDOW_MEM32, &base, &last));
		assert_true(last - base + 1 >= 16 * MIB);
		assert_true(pci_bridge_window(port, PCI_WINDOW_PREF64, &base, &last));
		assert_true(last - base + 1 >= 16 * GIB);
		assert_int_equal(base % (16 * GIB), 0);
		/* I/O ports run out after the fifteenth; the others have no I/O window at all. */
		assert_int_equal(pci_bridge_window(port, PCI_WINDOW_IO, &base, &last), i < 15);
		assert_int_equal(port->wmask[PCI_IO_BASE] != 0, i < 15);
	}
}

static void test_most_ports_possible(void **state)
{
	struct fixture *f = *state;
	uint64_t base, last;
	struct err err;

	for (unsigned n = 0; n < PORTS_MAX; n++)
		add_port(f, devfn_of(n), "");
	assert_int_equal(assign(f, &err), 0);
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		assert_true(
			pci_bridge_window(&f->port[i].function, PCI_WINDOW_MEM32, &base, &last));
		assert_true(last - base + 1 >= 2 * MIB);
	}
}

static void test_reserves_by_option(void **state)
{
	struct fixture *f = *state;
	struct root_port *big =
		add_port(f, PCI_DEVFN(1, 0), ",pref64-reserve=64G,mem-reserve=100M,io-reserve=8K");
	struct root_port *none =
		add_port(f, PCI_DEVFN(1, 1), ",pref64-reserve=0,mem-reserve=0,io-reserve=0");
	uint64_t base, last;
	struct err err;

	assert_int_equal(assign(f, &err), 0);
	assert_true(pci_bridge_window(&big->function, PCI_WINDOW_PREF64, &base, &last));
	assert_true(last - base + 1 == 64 * GIB && base % (64 * GIB) == 0);
	assert_true(pci_bridge_window(&big->function, PCI_WINDOW_MEM32, &base, &last));
	assert_true(last - base + 1 == 100 * MIB && base % (64 * MIB) == 0);
	assert_true(pci_bridge_window(&big->function, PCI_WINDOW_IO, &base, &last));
	assert_int_equal(last - base + 1, 8 * KIB);
	for (unsigned i = 0; i < PCI_WINDOWS; i++)
		assert_false(pci_bridge_window(&none->function, i, &base, &last));
}

/* What is there comes before what may come. */
static void test_reserves_give_way(void **state)
{
	struct fixture *f = *state;
	struct root_port *port = add_port(f, PCI_DEVFN(1, 0), ",mem-reserve=700M");
	struct pci_function *card = add_card(f, &f->root, PCI_DEVFN(3, 0));
	struct err err;

	set_bar(card, 0, PCI_BAR_MEM32, 256 * MIB, false);
	assert_int_equal(assign(f, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "32-bit memory reserves"));
	assert_int_not_equal(card->bar[0].addr, 0);
	/* A reserve no window could ever hold. */
	port->function.reserve_mem32 = UINT64_MAX - 1;
	assert_int_equal(assign(f, &err), -ENOSPC);
	assert_int_not_equal(card->bar[0].addr, 0);
}

static void test_what_does_not_fit_is_named(void **state)
{
	struct fixture *f = *state;
	struct root_port *port = add_port(f, PCI_DEVFN(1, 0), "");
	struct pci_function *big = add_card(f, &port->bus, 0);
	struct pci_function *small = add_card(f, &f->root, PCI_DEVFN(3, 0));
	struct err err;

	set_bar(big, 2, PCI_BAR_MEM32, 1 * GIB, false);
	set_bar(big, 1, PCI_BAR_IO, 32, false);
	set_bar(small, 0, PCI_BAR_MEM32, 4 * KIB, false);
	set_bar(small, 1, PCI_BAR_MEM64, 2048 * GIB, true);
	assert_int_equal(assign(f, &err), -ENOSPC);
	assert_string_equal(err.text,
		"no room in the 32-bit memory window for BAR 2 of 'card0' (1 GiB); "
		"no room in the 64-bit memory window for BAR 1 of 'card1' (2048 GiB)");
	/* The rest works. */
	assert_int_not_equal(small->bar[0].addr, 0);
	assert_int_equal(big->bar[2].addr, 0);
	assert_int_not_equal(big->bar[1].addr, 0);
	assert_true(big->config[PCI_COMMAND] & PCI_COMMAND_IO);
	assert_int_equal(pci_assign(&f->root, &f->windows, NULL), -ENOSPC);
}

static void test_without_a_64_bit_window(void **state)
{
	struct fixture *f = *state;
	struct root_port *port = add_port(f, PCI_DEVFN(1, 0), "");
	struct pci_function *card = add_card(f, &port->bus, 0);
	uint64_t base, last;
	struct err err;

	set_bar(card, 0, PCI_BAR_MEM64, 32 * MIB, true);
	f->windows.mem64_start = f->windows.mem64_end = 0;
	assert_int_equal(assign(f, &err), 0);
	assert_true(card->bar[0].addr < 4 * GIB);
	assert_false(pci_bridge_window(&port->function, PCI_WINDOW_PREF64, &base, &last));
}

static void test_again_at_reset(void **state)
{
	struct fixture *f = *state;
	struct root_port *port = add_port(f, PCI_DEVFN(1, 0), "");
	struct pci_function *card = add_card(f, &port->bus, 0);
	uint64_t addr;
	struct err err;

	set_bar(card, 0, PCI_BAR_MEM64, 32 * MIB, true);
	assert_int_equal(assign(f, &err), 0);
	addr = card->bar[0].addr;
	(void)fake_write(&f->fake, card, PCI_BASE_ADDRESS_0 + 4, 4, 0x55);
	(void)fake_write(&f->fake, card, PCI_COMMAND, 2, 0x547);
	(void)fake_write(&f->fake, &port->function, PCI_PRIMARY_BUS, 4, 0x00202000);
	assert_int_equal(assign(f, &err), 0);
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
			set_bar(fn, bar, PCI_BAR_IO, random_size(2, 9), false);
			break;
		case 1:
			set_bar(fn, bar, PCI_BAR_MEM32, random_size(4, 26), rand() & 1);
			break;
		case 2:
			if (bar < 5)
				set_bar(fn, bar++, PCI_BAR_MEM64, random_size(4, 24), false);
			break;
		case 3:
			if (bar < 5)
				set_bar(fn, bar++, PCI_BAR_MEM64, random_size(4, 38), true);
			break;
		default:
			break;
		}
	}
	if (rand() & 1)
		set_bar(fn, PCI_ROM, PCI_BAR_ROM, random_size(11, 21), false);
}

static void random_port(struct fixture *f, uint8_t devfn)
{
	struct root_port *port;
	char text[96] = "";

	if (rand() % 4 == 0)
		snprintf(text, sizeof(text), ",mem-reserve=%dK,pref64-reserve=%dM,io-reserve=%d",
			rand() % 50000, rand() % 100000, rand() % 9000);
	port = add_port(f, devfn, text);
	for (uint8_t fn = 0; fn < 8 && f->n_cards < CARDS_MAX && rand() % 2; fn++)
		random_bars(add_card(f, &port->bus, fn));
}

static void random_topology(struct fixture *f)
{
	unsigned count = 1 + (unsigned)rand() % 80;

	for (unsigned n = 0; n < count; n++) {
		if (rand() % 2 && f->n_ports < PORTS_MAX)
			random_port(f, devfn_of(n));
		else if (f->n_cards < CARDS_MAX)
			random_bars(add_card(f, &f->root, devfn_of(n)));
	}
	if (rand() % 8 == 0)
		f->windows.mem64_end = f->windows.mem64_start;
	else
		f->windows.mem64_start += (uint64_t)rand() % 1000 * GIB / 8;
	f->windows.mem32_start += ((uint64_t)rand() % 100) * MIB;
}

static void test_any_topology(void **state)
{
	unsigned fit = 0, not = 0;

	(void)state;
	srand(3);
	for (unsigned round = 0; round < 400; round++) {
		void *own;
		struct err err;

		assert_int_equal(setup(&own), 0);
		random_topology(own);
		if (assign(own, &err))
			not++;
		else
			fit++;
		teardown(&own);
	}
	/* Both outcomes were seen often enough to mean something. */
	assert_true(fit > 50);
	assert_true(not > 50);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		T(test_again_at_reset),
		cmocka_unit_test(test_any_topology),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
