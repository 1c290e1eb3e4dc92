/* SPDX-License-Identifier: Apache-2.0 */
/* host_bridge.c - 00:00.0 as guests know it from q35: an 82G33 host bridge without functions. */
#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>

void pci_host_bridge_init(struct pci_function *fn)
{
	pci_function_init(fn, "host bridge", NULL, NULL);
	pci_put(fn->config, PCI_VENDOR_ID, 2, 0x8086);
	pci_put(fn->config, PCI_DEVICE_ID, 2, 0x29c0);
	pci_put(fn->config, PCI_CLASS_DEVICE, 2, 0x0600);
	pci_put(fn->config, PCI_SUBSYSTEM_VENDOR_ID, 2, 0x1af4);
	pci_put(fn->config, PCI_SUBSYSTEM_ID, 2, 0x1100);
	/* It answers and masters always. */
	pci_put(fn->config, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_put(fn->wmask, PCI_COMMAND, 2, PCI_COMMAND_SERR | PCI_COMMAND_PARITY);
	fn->wmask[PCI_INTERRUPT_LINE] = 0;
	pci_function_save(fn);
}
