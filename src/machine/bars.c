/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bars.c - what PCI functions ask of the machine (struct pci_sink): a place for their BARs in the
 * guest's address space, on the bus and in memslots.
 *
 * The whole BAR goes on the bus, trapped; memslots then lie over the pieces that can be mapped. KVM
 * exits only where no memslot is, so one that cannot be had costs speed, never function.
 *
 * A BAR smaller than a page has its page while it begins it and is alone there. When another one comes
 * or goes, who lies at the start of the page is looked at again.
 */
#include <errno.h>
#include <string.h>

#include <portcullis/log.h>

#include "state.h"

/* Bytes of guest memory that a mapped area takes at gpa, 0: it has to be trapped. */
static uint64_t memslot_size(const struct machine *m, uint64_t gpa, uint64_t size) ON_MAIN
{
	if (size >= PCI_PAGE)
		return size;
	return gpa % PCI_PAGE || bus_count(&m->bus, BUS_MMIO, gpa, PCI_PAGE) > 1 ? 0 : PCI_PAGE;
}

static void memslots_add(struct machine *m, struct pci_function *fn, unsigned bar) ON_MAIN
{
	struct pci_bar_place *place = &fn->place[bar];
	struct pci_area area[PCI_AREAS_MAX];
	unsigned n = place->space == BUS_PIO || !fn->ops->areas ? 0 : fn->ops->areas(fn, bar, area);

	for (unsigned i = 0; i < n; i++) {
		uint64_t gpa = place->base + area[i].offset;
		uint64_t size = area[i].hva ? memslot_size(m, gpa, area[i].size) : 0;
		int ret;

		if (!size)
			continue;
		ret = kvm_memslot_add(&m->vm, gpa, area[i].hva, size, area[i].readonly,
			&place->memslot[place->n_memslots]);
		if (!ret)
			place->n_memslots++;
		else
			log_guest("device '%s': BAR %u at 0x%llx is trapped: %s", fn->id, bar,
				(unsigned long long)place->base, strerror(-ret));
	}
}

static void memslots_del(struct machine *m, struct pci_function *fn, unsigned bar) ON_MAIN
{
	struct pci_bar_place *place = &fn->place[bar];

	for (unsigned i = 0; i < place->n_memslots; i++)
		kvm_memslot_del(&m->vm, place->memslot[i]);
	place->n_memslots = 0;
}

/* Whose small BAR begins this page of guest memory. */
static struct pci_function *small_bar_at(struct pci_bus *bus, uint64_t page, unsigned *bar) ON_MAIN
{
	const unsigned functions = bus->bridge ? 8 : 256;

	for (unsigned i = 0; i < functions; i++) {
		struct pci_function *fn = atomic_load(&bus->function[i]), *behind = NULL;

		for (*bar = 0; fn && *bar < PCI_BARS; (*bar)++) {
			const struct pci_bar_place *place = &fn->place[*bar];

			if (place->on_bus && place->space == BUS_MMIO && place->base == page &&
				fn->bar[*bar].size < PCI_PAGE)
				return fn;
		}
		if (fn && fn->child)
			behind = small_bar_at(fn->child, page, bar);
		if (behind)
			return behind;
	}
	return NULL;
}

/* A BAR has come to addr, or left: that is another one's page, perhaps. */
static void page_changed(
	struct machine *m, const struct pci_function *fn, unsigned bar, uint64_t addr) ON_MAIN
{
	struct pci_function *first;
	unsigned small;

	if (fn->bar[bar].size >= PCI_PAGE || fn->place[bar].space == BUS_PIO ||
		addr % PCI_PAGE == 0)
		return;
	first = small_bar_at(&m->pcie0, addr - addr % PCI_PAGE, &small);
	if (!first || first->bars_trapped)
		return;
	memslots_del(m, first, small);
	memslots_add(m, first, small);
}

static int bar_map(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;
	struct pci_bar_place *place = &fn->place[bar];
	struct bus_region region = { .base = addr, .size = fn->bar[bar].size, .name = "bar" };
	int ret;

	role_enter_main();
	if (!fn->ops || !fn->ops->bar_access)
		return -ENODEV;
	region.fn = fn->ops->bar_access;
	region.opaque = fn->ops->bar_opaque(fn, bar);
	place->space = fn->bar[bar].kind == PCI_BAR_IO ? BUS_PIO : BUS_MMIO;
	ret = bus_add(&m->bus, place->space, &region);
	if (ret)
		return ret;
	place->on_bus = true;
	place->base = addr;
	page_changed(m, fn, bar, addr);
	if (!fn->bars_trapped)
		memslots_add(m, fn, bar);
	if (fn->ops->bar_moved)
		fn->ops->bar_moved(fn, bar, addr, true);
	return 0;
}

static void bar_unmap(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;
	struct pci_bar_place *place = &fn->place[bar];

	role_enter_main();
	if (!fn->ops)
		return;
	memslots_del(m, fn, bar);
	if (place->on_bus)
		(void)bus_del(&m->bus, place->space, place->base);
	place->on_bus = false;
	page_changed(m, fn, bar, addr);
	if (fn->ops->bar_moved)
		fn->ops->bar_moved(fn, bar, addr, false);
}

static void bars_trap(void *opaque, struct pci_function *fn, bool trapped)
{
	struct machine *m = opaque;

	role_enter_main();
	if (fn->bars_trapped == trapped)
		return;
	fn->bars_trapped = trapped;
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (trapped)
			memslots_del(m, fn, bar);
		else if (fn->place[bar].on_bus)
			memslots_add(m, fn, bar);
	}
}

static void raise_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct machine *m = opaque;

	(void)kvm_signal_msi(&m->vm, addr, data);
}

static void commit(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	bus_publish(&m->bus);
}

void sink_init(struct machine *m)
{
	m->sink = (struct pci_sink){
		.map_bar = bar_map,
		.unmap_bar = bar_unmap,
		.trap_bars = bars_trap,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop,
	};
}
