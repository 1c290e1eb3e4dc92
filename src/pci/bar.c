/* SPDX-License-Identifier: Apache-2.0 */
/* bar.c - base address registers: probing, decoding, and telling the machine (PCI 3.0 6.2.5). */
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>
#include <portcullis/pci.h>

#include "bar.h"

#define IO_LAST 0xffffu

static bool is_bridge(const struct pci_function *fn)
{
	return (fn->config[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) == PCI_HEADER_TYPE_BRIDGE;
}

static unsigned bar_offset(const struct pci_function *fn, unsigned index)
{
	if (index == PCI_ROM)
		return is_bridge(fn) ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
	return PCI_BASE_ADDRESS_0 + 4 * index;
}

static uint32_t type_bits(const struct pci_bar *bar)
{
	uint32_t pref = bar->prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;

	switch (bar->kind) {
	case PCI_BAR_IO:
		return PCI_BASE_ADDRESS_SPACE_IO;
	case PCI_BAR_MEM32:
		return pref;
	case PCI_BAR_MEM64:
		return pref | PCI_BASE_ADDRESS_MEM_TYPE_64;
	case PCI_BAR_ROM:
	case PCI_BAR_NONE:
		break;
	}
	return 0;
}

void pci_set_bar(struct pci_function *fn, unsigned index, enum pci_bar_kind kind, uint64_t size,
	bool prefetchable)
{
	struct pci_bar *bar = &fn->bar[index];
	unsigned at = bar_offset(fn, index);
	uint64_t mask = ~(size - 1);

	*bar = (struct pci_bar){ .kind = kind, .size = size, .prefetchable = prefetchable };
	if (kind == PCI_BAR_NONE) {
		pci_put(fn->config, at, 4, 0);
		pci_put(fn->wmask, at, 4, 0);
		return;
	}
	pci_put(fn->config, at, 4, type_bits(bar));
	if (kind == PCI_BAR_ROM)
		mask |= PCI_ROM_ADDRESS_ENABLE;
	pci_put(fn->wmask, at, 4, (uint32_t)mask);
	if (kind == PCI_BAR_MEM64) {
		pci_put(fn->config, at + 4, 4, 0);
		pci_put(fn->wmask, at + 4, 4, (uint32_t)(mask >> 32));
	}
}

static uint64_t address(const struct pci_function *fn, const uint8_t *header, unsigned index)
{
	const struct pci_bar *bar = &fn->bar[index];
	unsigned at = bar_offset(fn, index);
	uint64_t addr = pci_get(header, at, 4);

	if (bar->kind == PCI_BAR_MEM64)
		addr |= (uint64_t)pci_get(header, at + 4, 4) << 32;
	return addr & ~(bar->size - 1);
}

static bool enabled(const struct pci_function *fn, const uint8_t *header, unsigned index)
{
	uint8_t command = header[PCI_COMMAND];

	switch (fn->bar[index].kind) {
	case PCI_BAR_IO:
		return command & PCI_COMMAND_IO;
	case PCI_BAR_MEM32:
	case PCI_BAR_MEM64:
		return command & PCI_COMMAND_MEMORY;
	case PCI_BAR_ROM:
		return command & PCI_COMMAND_MEMORY &&
		       header[bar_offset(fn, index)] & PCI_ROM_ADDRESS_ENABLE;
	case PCI_BAR_NONE:
		break;
	}
	return false;
}

/*
 * Address 0 is "not assigned yet", and the last byte at the very end of the 32- or 64-bit space is
 * what a BAR holds while its size is probed.
 */
static uint64_t target(const struct pci_function *fn, const uint8_t *header, unsigned index)
{
	uint64_t addr, last;

	if (!enabled(fn, header, index))
		return PCI_UNMAPPED;
	addr = address(fn, header, index);
	last = addr + (fn->bar[index].size - 1);
	if (addr == 0 || last < addr || last == UINT32_MAX || last == UINT64_MAX)
		return PCI_UNMAPPED;
	if (fn->bar[index].kind == PCI_BAR_IO && last > IO_LAST)
		return PCI_UNMAPPED;
	return addr;
}

void pci_bar_targets(
	const struct pci_function *fn, const uint8_t *header, struct pci_bar_targets *out)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		out->at[i] = target(fn, header, i);
}

void pci_bars_refresh(struct pci_function *fn)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (fn->bar[i].kind != PCI_BAR_NONE)
			fn->bar[i].addr = address(fn, fn->config, i);
}

void pci_bar_put(struct pci_function *fn, unsigned index, uint64_t addr)
{
	struct pci_bar *bar = &fn->bar[index];
	unsigned at = bar_offset(fn, index);

	if (bar->kind == PCI_BAR_NONE)
		return;
	bar->addr = addr & ~(bar->size - 1);
	pci_put(fn->config, at, 4, (uint32_t)bar->addr | type_bits(bar));
	if (bar->kind == PCI_BAR_MEM64)
		pci_put(fn->config, at + 4, 4, (uint32_t)(bar->addr >> 32));
}

void pci_bars_reset(struct pci_function *fn)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		pci_bar_put(fn, i, 0);
}

void pci_update_mappings(struct pci_function *fn)
{
	struct pci_bus *bus = atomic_load(&fn->bus);
	struct pci_bar_targets want;

	if (!bus)
		return;
	pthread_mutex_lock(&fn->lock);
	pci_bar_targets(fn, fn->config, &want);
	pthread_mutex_unlock(&fn->lock);
	/* First everything that goes, so that BARs may trade places. */
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &fn->bar[i];

		if (!bar->mapped || bar->mapped_at == want.at[i])
			continue;
		bus->sink->unmap_bar(bus->sink->opaque, fn, i, bar->mapped_at);
		bar->mapped = false;
	}
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &fn->bar[i];

		if (bar->mapped || want.at[i] == PCI_UNMAPPED)
			continue;
		if (bus->sink->map_bar(bus->sink->opaque, fn, i, want.at[i])) {
			log_guest("device '%s': BAR %u cannot be mapped at 0x%llx", fn->id, i,
				(unsigned long long)want.at[i]);
			continue;
		}
		bar->mapped = true;
		bar->mapped_at = want.at[i];
	}
}
