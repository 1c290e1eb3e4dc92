/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_bridge.c - the host bridge: its function at 00:00.0, and config cycles by ports CF8/CFC
 * (PCI 3.0 3.2.2.3.2) and ECAM (PCIe 5.0 7.2.2).
 *
 * A register access is naturally aligned and at most four bytes. Anything else is not defined by
 * the specification: it reads what its bytes would read and writes nothing.
 */
#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>

#define CF8_ENABLE 0x80000000u
#define CF8_WRITABLE 0x80fffffcu
#define CF9_OFFSET 1 /* of port 0xcf9 from 0xcf8 */

struct register_address {
	uint8_t bus, devfn;
	uint16_t offset;
};

uint32_t pci_function_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	if (fn->ops && fn->ops->config_read)
		return fn->ops->config_read(fn, offset, size);
	return pci_config_read(fn, offset, size);
}

enum io_status pci_function_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access)
{
	if (fn->ops && fn->ops->config_write)
		return fn->ops->config_write(fn, offset, size, access);
	return pci_config_write(fn, offset, size, access);
}

struct pci_function *pci_host_find(struct pci_host *host, uint8_t bus, uint8_t devfn)
{
	struct pci_function *here = atomic_load(&host->root->function[devfn]);

	if (here && here->root_bus == bus)
		return here;
	if (bus == 0)
		return NULL;
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *fn = atomic_load(&host->root->function[i]);
		uint32_t numbers;

		if (!fn || !fn->child)
			continue;
		numbers = atomic_load(&fn->bus_numbers);
		/*
		 * No bridges below root ports: of secondary..subordinate only the first bus is
		 * there.
		 */
		if ((numbers >> 8 & 0xff) == bus && (numbers >> 16 & 0xff) >= bus)
			return atomic_load(&fn->child->function[devfn]);
	}
	return NULL;
}

static bool is_register(unsigned offset, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && !(offset & (size - 1));
}

static uint64_t ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

static enum io_status access_register(
	struct pci_host *host, struct register_address at, struct io_access *access)
{
	struct pci_function *fn = pci_host_find(host, at.bus, at.devfn);
	unsigned size = access->size;

	if (access->write) {
		if (!fn || !is_register(at.offset, size))
			return IO_DONE;
		return pci_function_write(fn, at.offset, size, access);
	}
	access->data = ones(size);
	if (!fn || at.offset + size > PCI_CONFIG_SIZE)
		return IO_DONE;
	if (is_register(at.offset, size)) {
		access->data = pci_function_read(fn, at.offset, size) & ones(size);
		return IO_DONE;
	}
	access->data = 0;
	for (unsigned i = 0; i < size; i++)
		access->data |= (uint64_t)(pci_function_read(fn, at.offset + i, 1) & 0xff)
				<< (8 * i);
	return IO_DONE;
}

enum io_status pci_host_cf8(void *opaque, struct io_access *access)
{
	struct pci_host *host = opaque;
	enum io_status status;

	if (access->offset == 0 && access->size == 4) {
		if (access->write)
			atomic_store(&host->address, (uint32_t)access->data & CF8_WRITABLE);
		else
			access->data = atomic_load(&host->address);
		return IO_DONE;
	}
	if (access->offset == CF9_OFFSET && access->size == 1 && host->cf9) {
		access->offset = 0;
		status = host->cf9(host->cf9_opaque, access);
		access->offset = CF9_OFFSET;
		return status;
	}
	if (!access->write)
		access->data = ones(access->size);
	return IO_DONE;
}

enum io_status pci_host_cfc(void *opaque, struct io_access *access)
{
	struct pci_host *host = opaque;
	uint32_t address = atomic_load(&host->address);
	struct register_address at = {
		.bus = (uint8_t)(address >> 16),
		.devfn = (uint8_t)(address >> 8),
		.offset = (uint16_t)((address & 0xfc) + (access->offset & 3)),
	};

	if (address & CF8_ENABLE)
		return access_register(host, at, access);
	if (!access->write)
		access->data = ones(access->size);
	return IO_DONE;
}

enum io_status pci_host_ecam(void *opaque, struct io_access *access)
{
	struct register_address at = {
		.bus = (uint8_t)(access->offset >> 20),
		.devfn = (uint8_t)(access->offset >> 12),
		.offset = (uint16_t)(access->offset & 0xfff),
	};

	return access_register(opaque, at, access);
}

void pci_host_bridge_init(struct pci_function *fn, uint16_t vendor, uint16_t device)
{
	pci_function_init(fn, "host bridge", NULL, NULL);
	pci_put(fn->config, PCI_VENDOR_ID, 2, vendor);
	pci_put(fn->config, PCI_DEVICE_ID, 2, device);
	pci_put(fn->config, PCI_CLASS_DEVICE, 2, 0x0600);
	pci_put(fn->config, PCI_SUBSYSTEM_VENDOR_ID, 2, 0x1af4);
	pci_put(fn->config, PCI_SUBSYSTEM_ID, 2, 0x1100);
	/* It answers and masters always. */
	pci_put(fn->config, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_put(fn->wmask, PCI_COMMAND, 2, PCI_COMMAND_SERR | PCI_COMMAND_PARITY);
	fn->wmask[PCI_INTERRUPT_LINE] = 0;
	pci_function_save(fn);
}
