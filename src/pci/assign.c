/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assign.c - a firmware's work: bus numbers, BAR addresses, bridge windows.
 *
 * Each of the three spaces (I/O, 32-bit memory, 64-bit prefetchable memory) is laid out by itself:
 * what sits on pcie.0, and one window per root port. A window's size is the larger of what is
 * plugged behind the port and what is reserved for what may be plugged later. Reserves nobody asked
 * for start generous and are halved until everything fits; reserves by option are kept to the last.
 */
#include <errno.h>

#include <portcullis/err.h>

#include "assign.h"
#include "bar.h"
#include "function.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

const struct assign_space assign_spaces[PCI_WINDOWS] = {
	[PCI_WINDOW_IO] = { "I/O", .unit = 4 * KIB, .least = 1, .reserve = 4 * KIB },
	/* A graphics card wants 16 or 32 MiB here; a drive or network card less than one. */
	[PCI_WINDOW_MEM32] = { "32-bit memory", .unit = MIB, .least = PCI_PAGE,
		.reserve = 64 * MIB },
	/* A 128 GiB BAR and its neighbours. */
	[PCI_WINDOW_PREF64] = { "64-bit memory", .unit = MIB, .least = PCI_PAGE,
		.reserve = 256 * GIB },
};

/* On pcie.0 a 64-bit BAR that is smaller goes where every guest can reach it. */
#define SMALL_BAR (1 * MIB)

enum pci_window assign_window(const struct pci_function *fn, unsigned bar, bool have_mem64)
{
	const struct pci_bar *b = &fn->bar[bar];
	const struct pci_bus *bus = fn->bus;

	if (b->kind == PCI_BAR_IO)
		return PCI_WINDOW_IO;
	if (b->kind != PCI_BAR_MEM64 || !have_mem64)
		return PCI_WINDOW_MEM32;
	if (b->prefetchable)
		return PCI_WINDOW_PREF64;
	/* A bridge forwards non-prefetchable memory through its 32-bit window only. */
	return bus->bridge || b->size < SMALL_BAR ? PCI_WINDOW_MEM32 : PCI_WINDOW_PREF64;
}

/* Room for a BAR: memory BARs never share a page, so that each can be mapped into the guest. */
static uint64_t room(const struct pci_bar *bar, enum pci_window window)
{
	uint64_t least = assign_spaces[window].least;

	return bar->size > least ? bar->size : least;
}

static uint64_t round_up(uint64_t size, uint64_t unit)
{
	return size > UINT64_MAX - unit ? size & ~(unit - 1) : (size + unit - 1) & ~(unit - 1);
}

static uint64_t power_below(uint64_t size)
{
	return 1ull << (63 - __builtin_clzll(size));
}

/* What the functions behind a port take, packed from large to small: no holes. */
static uint64_t needed(const struct plan *plan, struct pci_function *port, enum pci_window window)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < PORT_FUNCTIONS; i++) {
		struct pci_function *fn = atomic_load(&port->child->function[i]);

		for (unsigned bar = 0; fn && bar < PCI_BARS; bar++) {
			if (fn->bar[bar].kind == PCI_BAR_NONE ||
				assign_window(fn, bar, plan->have_mem64) != window)
				continue;
			if (__builtin_add_overflow(sum, room(&fn->bar[bar], window), &sum))
				return UINT64_MAX; /* fits nowhere, and is reported */
		}
	}
	return sum;
}

static uint64_t reserve_of(const struct pci_function *port, enum pci_window window)
{
	const uint64_t reserves[PCI_WINDOWS] = { port->reserve_io, port->reserve_mem32,
		port->reserve_pref64 };

	return reserves[window];
}

/* One try: with what unasked reserves are now, and with reserves by option or without. */
static void fill_window(struct plan *plan, struct layout_item *item, struct pci_function *port,
	enum pci_window window, uint64_t automatic, bool asked)
{
	const struct assign_space *space = &assign_spaces[window];
	uint64_t reserve = reserve_of(port, window), size = needed(plan, port, window);
	bool unasked = reserve == PCI_RESERVE_AUTO;

	if (unasked)
		reserve = automatic;
	else if (!asked)
		reserve = 0;
	item->optional = unasked && size == 0 && window == PCI_WINDOW_IO;
	if (size < reserve)
		size = reserve;
	if (window == PCI_WINDOW_PREF64 && !plan->have_mem64)
		size = 0;
	item->size = round_up(size, space->unit);
	item->align = space->unit;
	if (item->size > space->unit)
		item->align = power_below(item->size);
}

static void fill(struct plan *plan, enum pci_window window, uint64_t automatic, bool asked)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct piece *piece = &plan->pieces[i];
		struct layout_item *item = &plan->items[i];
		struct pci_function *fn = piece->fn;

		*item = (struct layout_item){ .align = 1 };
		if (piece->bar == PIECE_WINDOW) {
			fill_window(plan, item, fn, window, automatic, asked);
		} else if (assign_window(fn, piece->bar, plan->have_mem64) == window) {
			item->size = room(&fn->bar[piece->bar], window);
			item->align = item->size;
		}
	}
}

/* Returns how many pieces have no place; *dropped: reserves by option were given up. */
static size_t place(struct plan *plan, enum pci_window window, bool *dropped)
{
	uint64_t start[PCI_WINDOWS] = { plan->windows->io_start, plan->windows->mem32_start,
		plan->windows->mem64_start };
	uint64_t end[PCI_WINDOWS] = { plan->windows->io_end, plan->windows->mem32_end,
		plan->windows->mem64_end };
	uint64_t automatic = assign_spaces[window].reserve;
	size_t missing;

	*dropped = false;
	for (;;) {
		fill(plan, window, automatic, true);
		missing = layout_place(plan->items, plan->count, start[window], end[window]);
		if (!missing || !automatic)
			break;
		automatic = automatic / 2 < assign_spaces[window].unit ? 0 : automatic / 2;
	}
	if (missing) {
		fill(plan, window, 0, false);
		missing = layout_place(plan->items, plan->count, start[window], end[window]);
		*dropped = true;
	}
	return missing;
}

/* Behind a port: from large to small, each BAR is aligned by what lies before it. */
static void place_children(
	struct plan *plan, struct pci_function *port, enum pci_window window, uint64_t at)
{
	for (uint64_t size = 1ull << 63; size; size >>= 1) {
		for (unsigned i = 0; i < PORT_FUNCTIONS; i++) {
			struct pci_function *fn = atomic_load(&port->child->function[i]);

			for (unsigned bar = 0; fn && bar < PCI_BARS; bar++) {
				if (fn->bar[bar].kind == PCI_BAR_NONE ||
					room(&fn->bar[bar], window) != size ||
					assign_window(fn, bar, plan->have_mem64) != window)
					continue;
				pthread_mutex_lock(&fn->lock);
				pci_bar_put(fn, bar, at);
				pthread_mutex_unlock(&fn->lock);
				at += size;
			}
		}
	}
}

static void apply(struct plan *plan, enum pci_window window)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct piece *piece = &plan->pieces[i];
		struct layout_item *item = &plan->items[i];
		uint64_t size = item->placed ? item->size : 0;

		pthread_mutex_lock(&piece->fn->lock);
		if (piece->bar == PIECE_WINDOW)
			pci_bridge_set_window(piece->fn, window, item->addr, size);
		else if (size)
			pci_bar_put(piece->fn, piece->bar, item->addr);
		pthread_mutex_unlock(&piece->fn->lock);
		if (piece->bar == PIECE_WINDOW && size)
			place_children(plan, piece->fn, window, item->addr);
	}
}

int assign_plan(struct plan *plan, struct err *err)
{
	int ret = 0;

	for (unsigned window = 0; window < PCI_WINDOWS; window++) {
		bool dropped;
		size_t missing = place(plan, window, &dropped);

		apply(plan, window);
		if (missing || dropped)
			ret = assign_report(plan, window, missing, ret, err);
	}
	return ret;
}
