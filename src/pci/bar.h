/* SPDX-License-Identifier: Apache-2.0 */
/* bar.h - where BARs lie, and handing config writes on. (private to src/pci and tests) */
#ifndef PORTCULLIS_PCI_BAR_H
#define PORTCULLIS_PCI_BAR_H

#include <portcullis/pci.h>

#define PCI_UNMAPPED UINT64_MAX
/* Programs an address as the guest would: type bits stay, a ROM stays disabled. Lock held. */
void pci_bar_put(struct pci_function *fn, unsigned index, uint64_t addr);

struct pci_bar_targets {
	uint64_t at[PCI_BARS]; /* PCI_UNMAPPED: decode is off or no usable address */
};

/* As header (64 bytes of config space) puts them. */
void pci_bar_targets(
	const struct pci_function *fn, const uint8_t *header, struct pci_bar_targets *out);
/* bar[].addr from config. */
void pci_bars_refresh(struct pci_function *fn);
/* Type bits of all BARs, addresses 0. */
void pci_bars_reset(struct pci_function *fn);

/* What pci_config_apply() would return; changes nothing. Lock held. */
bool pci_config_moves(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value);
/* io_defer() for a config register: request->arg is its offset, request->size its size. */
enum io_status pci_defer(struct io_access *access, struct loop *owner,
	void (*finish)(struct io_request *), struct pci_function *fn, unsigned offset,
	unsigned size);

#endif
