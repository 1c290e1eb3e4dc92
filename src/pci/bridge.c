/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - the type 1 header and its windows (PCI-to-PCI Bridge 1.2 ch. 3, PCIe 5.0 7.5.1.3). */
#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>

#include "function.h"

#define CLASS_BRIDGE_PCI 0x0604
#define MEM_UNIT 0x100000u
#define IO_UNIT 0x1000u
#define BRIDGE_CONTROL_WRITABLE                                                                    \
	(PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_ISA | PCI_BRIDGE_CTL_VGA |   \
		0x10 /* VGA 16-bit decode */ | PCI_BRIDGE_CTL_BUS_RESET)

void pci_bridge_init(struct pci_function *fn)
{
	pci_put(fn->config, PCI_CLASS_DEVICE, 2, CLASS_BRIDGE_PCI);
	fn->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	pci_put(fn->wmask, PCI_PRIMARY_BUS, 3, 0xffffff);
	pci_put(fn->w1cmask, PCI_SEC_STATUS, 2, PCI_STATUS_ERRORS);
	pci_put(fn->wmask, PCI_MEMORY_BASE, 4, 0xfff0fff0);
	pci_put(fn->wmask, PCI_PREF_MEMORY_BASE, 4, 0xfff0fff0);
	pci_put(fn->wmask, PCI_PREF_BASE_UPPER32, 4, UINT32_MAX);
	pci_put(fn->wmask, PCI_PREF_LIMIT_UPPER32, 4, UINT32_MAX);
	pci_put(fn->wmask, PCI_BRIDGE_CONTROL, 2, BRIDGE_CONTROL_WRITABLE);
	for (unsigned i = 0; i < PCI_WINDOWS; i++)
		pci_bridge_set_window(fn, i, 0, 0);
}

static void set_io(struct pci_function *fn, uint64_t base, uint64_t size)
{
	uint64_t last = base + size - 1;

	pci_put(fn->wmask, PCI_IO_BASE, 2, size ? 0xf0f0 : 0);
	pci_put(fn->config, PCI_IO_BASE, 1, size ? (uint32_t)(base >> 8) & 0xf0 : 0);
	pci_put(fn->config, PCI_IO_LIMIT, 1, size ? (uint32_t)(last >> 8) & 0xf0 : 0);
}

void pci_bridge_set_window(
	struct pci_function *fn, enum pci_window window, uint64_t base, uint64_t size)
{
	uint64_t last = base + size - 1;
	unsigned at = window == PCI_WINDOW_MEM32 ? PCI_MEMORY_BASE : PCI_PREF_MEMORY_BASE;
	uint32_t type = window == PCI_WINDOW_MEM32 ? 0 : PCI_PREF_RANGE_TYPE_64;

	if (window == PCI_WINDOW_IO) {
		set_io(fn, base, size);
		return;
	}
	if (!size) {
		base = 0xfff00000; /* base above limit: closed */
		last = 0;
	}
	pci_put(fn->config, at, 2, ((uint32_t)(base >> 16) & 0xfff0) | type);
	pci_put(fn->config, at + 2, 2, ((uint32_t)(last >> 16) & 0xfff0) | type);
	if (window == PCI_WINDOW_PREF64) {
		pci_put(fn->config, PCI_PREF_BASE_UPPER32, 4, (uint32_t)(base >> 32));
		pci_put(fn->config, PCI_PREF_LIMIT_UPPER32, 4, (uint32_t)(last >> 32));
	}
}
