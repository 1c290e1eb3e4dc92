/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c - config space of the device itself: pread and pwrite on its fd.
 *
 * With trapped BAR accesses (bar_access.c) all that a vCPU ever does to the hardware itself.
 */
#include <errno.h>

#include <linux/pci_regs.h>

#include "device.h"

int vfio_device_read(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t *value)
{
	uint8_t bytes[4] = { 0 };
	ssize_t got;

	if (!dev->io || offset + size > dev->config_size)
		return -EIO;
	got = dev->io->ops->pread(dev->io, bytes, size, dev->config_at + offset);
	if (got != (ssize_t)size)
		return got < 0 ? (int)got : -EIO;
	*value = pci_get(bytes, 0, size);
	return 0;
}

int vfio_device_write(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value)
{
	uint8_t bytes[4];
	ssize_t put;

	if (!dev->io || offset + size > dev->config_size)
		return -EIO;
	pci_put(bytes, 0, size, value);
	put = dev->io->ops->pwrite(dev->io, bytes, size, dev->config_at + offset);
	if (put != (ssize_t)size)
		return put < 0 ? (int)put : -EIO;
	return 0;
}

/*
 * Decode stays on while the device is ours: turning it off would take the mappings from under a
 * guest that races with itself. The guest's own decode bits decide what we map into it.
 */
static uint32_t decode(const struct vfio_pci *dev)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (dev->fn.bar[i].kind == PCI_BAR_IO)
			bits |= PCI_COMMAND_IO;
		else if (dev->fn.bar[i].kind != PCI_BAR_NONE)
			bits |= PCI_COMMAND_MEMORY;
	}
	return bits;
}

uint32_t vfio_device_decode_lost(const struct vfio_pci *dev, uint32_t command)
{
	return decode(dev) & ~command;
}

int vfio_device_command(struct vfio_pci *dev, bool master)
{
	uint32_t command, want;
	int ret = vfio_device_read(dev, PCI_COMMAND, 2, &command);

	if (ret)
		return ret;
	/* Ones are no device's bits to keep, but for INTx disable, which is the kernel's own. */
	if (command & 0xf800)
		command &= PCI_COMMAND_INTX_DISABLE;
	want = (command & ~(uint32_t)PCI_COMMAND_MASTER) | decode(dev);
	want |= master ? PCI_COMMAND_MASTER : 0;
	return want == command ? 0 : vfio_device_write(dev, PCI_COMMAND, 2, want);
}
