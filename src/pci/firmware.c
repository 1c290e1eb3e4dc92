/* SPDX-License-Identifier: Apache-2.0 */
/* firmware.c - pci_assign(): around the address layout, what else firmware leaves behind. */
#include <errno.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "assign.h"
#include "bar.h"
#include "function.h"

#define GIB (1ull << 30)
#define MIB (1ull << 20)

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

/* Every port gets one bus for good: what is plugged later is a function, never a bridge. */
static void number(void *opaque, struct pci_function *fn)
{
	uint8_t *next = opaque;
	uint32_t bus;

	if (!fn->child)
		return;
	bus = ++*next;
	pthread_mutex_lock(&fn->lock);
	pci_put(fn->config, PCI_PRIMARY_BUS, 3, bus << 8 | bus << 16);
	atomic_store(&fn->bus_numbers, pci_get(fn->config, PCI_PRIMARY_BUS, 4));
	pthread_mutex_unlock(&fn->lock);
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

static void report_bar(const struct pci_function *fn, unsigned bar, struct err *err)
{
	unsigned long long value;
	const char *unit = amount(fn->bar[bar].size, &value);

	err_append(err, " BAR %u of '%s' (%llu %s)", bar, fn->id, value, unit);
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

int pci_assign(struct pci_bus *root, const struct pci_windows *windows, struct err *err)
{
	struct plan plan = { .windows = windows,
		.have_mem64 = windows->mem64_start < windows->mem64_end };
	const size_t room = 256 * (PCI_BARS + 1);
	uint8_t last_bus = 0;
	int ret = -ENOMEM;

	for_each(root, reset, NULL);
	for_each(root, number, &last_bus);
	plan.pieces = calloc(room, sizeof(*plan.pieces));
	plan.items = calloc(room, sizeof(*plan.items));
	if (!plan.pieces || !plan.items) {
		err_set_errno(err, ENOMEM, "cannot assign PCI addresses");
		goto out;
	}
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *fn = atomic_load(&root->function[i]);

		if (fn)
			plan.count += pieces_of(fn, &plan.pieces[plan.count]);
	}
	ret = assign_plan(&plan, err);
	for_each(root, enable, NULL);
out:
	free(plan.pieces);
	free(plan.items);
	return ret;
}
