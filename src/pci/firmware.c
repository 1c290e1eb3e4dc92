/* SPDX-License-Identifier: Apache-2.0 */
/* firmware.c - pci_assign(): around the address layout, what else firmware leaves behind. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "assign.h"
#include "bar.h"
#include "function.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)
#define IO_UNIT 4096ull

static void for_each(
	struct pci_bus *bus, void (*fn)(void *opaque, struct pci_function *), void *opaque)
{
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *function = atomic_load(&bus->function[i]);

		if (!function)
			continue;
		fn(opaque, function);
		if (function->child)
			for_each(function->child, fn, opaque);
	}
}

static void reset(void *opaque, struct pci_function *fn) ON_MAIN
{
	(void)opaque;
	pci_function_reset(fn);
}

/* Windows are handed out by ports: each port's share, and one for what sits on bus 0 itself. */
static uint64_t share(uint64_t start, uint64_t end, uint64_t unit, unsigned nth, unsigned of)
{
	return nth == of ? end : start + (end - start) / of * nth / unit * unit;
}

static void cut_windows(struct pci_windows *out, const struct pci_windows *all, unsigned from,
	unsigned to, unsigned of)
{
	*out = (struct pci_windows){
		.io_start = share(all->io_start, all->io_end, IO_UNIT, from, of),
		.io_end = share(all->io_start, all->io_end, IO_UNIT, to, of),
		.mem32_start = share(all->mem32_start, all->mem32_end, MIB, from, of),
		.mem32_end = share(all->mem32_start, all->mem32_end, MIB, to, of),
		.mem64_start = share(all->mem64_start, all->mem64_end, GIB, from, of),
		.mem64_end = share(all->mem64_start, all->mem64_end, GIB, to, of),
	};
}

unsigned pci_roots(struct pci_bus *root, const struct pci_windows *windows,
	struct pci_root out[static PCI_ROOTS_MAX])
{
	unsigned n = 1, ports = 0, before = 0;

	memset(out, 0, PCI_ROOTS_MAX * sizeof(out[0]));
	for (unsigned i = 0; i < 256; i++) {
		const struct pci_function *fn = atomic_load(&root->function[i]);

		if (!fn || fn->root >= PCI_ROOTS_MAX)
			continue;
		out[fn->root].n_ports += fn->child != NULL;
		ports += fn->child != NULL;
		if (fn->root >= n)
			n = fn->root + 1u;
	}
	for (unsigned i = 0; i < n; i++) {
		const unsigned upto = before + out[i].n_ports + (i == 0);

		out[i].bus = i ? (uint8_t)(out[i - 1].last_bus + 1) : 0;
		out[i].last_bus = (uint8_t)(out[i].bus + out[i].n_ports);
		cut_windows(&out[i].windows, windows, before, upto, ports + 1);
		before = upto;
	}
	return n;
}

/* Every port gets one bus for good: what is plugged later is a function, never a bridge. */
static void number(struct pci_bus *root, unsigned index, const struct pci_root *at)
{
	uint32_t bus = at->bus;

	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *fn = atomic_load(&root->function[i]);

		if (!fn || fn->root != index)
			continue;
		fn->root_bus = at->bus;
		if (!fn->child)
			continue;
		bus++;
		pthread_mutex_lock(&fn->lock);
		pci_put(fn->config, PCI_PRIMARY_BUS, 3, at->bus | bus << 8 | bus << 16);
		atomic_store(&fn->bus_numbers, pci_get(fn->config, PCI_PRIMARY_BUS, 4));
		pthread_mutex_unlock(&fn->lock);
	}
}

static void enable(void *opaque, struct pci_function *fn)
{
	uint16_t io = 0, memory = 0;

	(void)opaque;
	pthread_mutex_lock(&fn->lock);
	if (fn->child) {
		fn->config[PCI_COMMAND] |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	} else {
		/* Decode of a space needs every BAR in it to have an address. */
		for (unsigned i = 0; i < PCI_ROM; i++) {
			uint16_t *space = fn->bar[i].kind == PCI_BAR_IO ? &io : &memory;

			if (fn->bar[i].kind != PCI_BAR_NONE)
				*space |= fn->bar[i].addr ? 1 : 2;
		}
		if (io == 1)
			fn->config[PCI_COMMAND] |= PCI_COMMAND_IO;
		if (memory == 1)
			fn->config[PCI_COMMAND] |= PCI_COMMAND_MEMORY;
	}
	pthread_mutex_unlock(&fn->lock);
}

static size_t pieces_of(struct pci_function *fn, struct piece *out)
{
	size_t count = 0;

	for (unsigned i = 0; i < PCI_BARS; i++)
		if (fn->bar[i].kind != PCI_BAR_NONE)
			out[count++] = (struct piece){ .fn = fn, .bar = i };
	if (fn->child)
		out[count++] = (struct piece){ .fn = fn, .bar = PIECE_WINDOW };
	return count;
}

static const char *amount(uint64_t size, unsigned long long *value)
{
	*value = size >= GIB ? size / GIB : size >= MIB ? size / MIB : size;
	return size >= GIB ? "GiB" : size >= MIB ? "MiB" : "bytes";
}

static void report_bar(struct pci_function *fn, unsigned bar, struct err *err)
{
	unsigned long long value;
	const char *unit = amount(fn->bar[bar].size, &value);

	err_append(err, " BAR %u of '%s' (%llu %s)", bar, fn->id, value, unit);
	/* One hint is enough: the first that helps. */
	if (err && !err->hint[0] && fn->ops && fn->ops->bar_hint)
		fn->ops->bar_hint(fn, bar, err);
}

int assign_report(
	const struct plan *plan, enum pci_window window, size_t missing, int ret, struct err *err)
{
	const char *name = assign_spaces[window].name;

	if (!missing) {
		if (!ret)
			err_set(err, ENOSPC,
				"the %s reserves of the root ports do not fit: they are left out",
				name);
		return -ENOSPC;
	}
	if (ret)
		err_append(err, "; ");
	else
		err_set(err, ENOSPC, "%s", "");
	err_append(err, "no room in the %s window for", name);
	for (size_t i = 0; i < plan->count; i++) {
		struct pci_function *fn = plan->pieces[i].fn;

		if (plan->items[i].placed || plan->items[i].optional)
			continue;
		if (plan->pieces[i].bar != PIECE_WINDOW) {
			report_bar(fn, plan->pieces[i].bar, err);
			continue;
		}
		for (unsigned at = 0; at < PORT_FUNCTIONS; at++) {
			struct pci_function *child = atomic_load(&fn->child->function[at]);

			for (unsigned bar = 0; child && bar < PCI_BARS; bar++)
				if (child->bar[bar].kind != PCI_BAR_NONE &&
					assign_window(child, bar, plan->have_mem64) == window)
					report_bar(child, bar, err);
		}
	}
	return -ENOSPC;
}

static int assign_root(struct pci_bus *root, unsigned index, const struct pci_root *at,
	struct plan *plan, struct err *err)
{
	plan->windows = &at->windows;
	plan->have_mem64 = at->windows.mem64_start < at->windows.mem64_end;
	plan->count = 0;
	number(root, index, at);
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *fn = atomic_load(&root->function[i]);

		if (fn && fn->root == index)
			plan->count += pieces_of(fn, &plan->pieces[plan->count]);
	}
	return assign_plan(plan, err);
}

int pci_assign(struct pci_bus *root, const struct pci_windows *windows, struct err *err)
{
	const size_t room = 256 * (PCI_BARS + 1);
	struct pci_root roots[PCI_ROOTS_MAX];
	const unsigned n = pci_roots(root, windows, roots);
	struct plan plan = { .pieces = calloc(room, sizeof(*plan.pieces)),
		.items = calloc(room, sizeof(*plan.items)) };
	int ret = -ENOMEM;

	for_each(root, reset, NULL);
	if (!plan.pieces || !plan.items) {
		for (unsigned i = 0; i < n; i++)
			number(root, i, &roots[i]);
		err_set_errno(err, ENOMEM, "cannot assign PCI addresses");
		goto out;
	}
	ret = 0;
	for (unsigned i = 0; i < n; i++) {
		int one = assign_root(root, i, &roots[i], &plan, ret ? NULL : err);

		ret = ret ? ret : one; /* the first to fail is told */
	}
	for_each(root, enable, NULL);
out:
	free(plan.pieces);
	free(plan.items);
	return ret;
}
