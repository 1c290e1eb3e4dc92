/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifetime.c - who refers to the device object: its owner, mail under way, deferred accesses.
 */
#include <stdlib.h>

#include "device.h"

void vfio_device_get(struct vfio_pci *dev)
{
	atomic_fetch_add(&dev->references, 1);
}

void vfio_device_put(struct vfio_pci *dev)
{
	if (atomic_fetch_sub(&dev->references, 1) != 1)
		return;
	for (unsigned i = 0; i < PCI_BARS; i++)
		region_release(&dev->region[i]);
	vfio_rom_release(dev);
	pci_function_release(&dev->fn);
	props_free(&vfio_pci_type, dev->options, dev->env.closer);
	free(dev);
}

enum io_status vfio_defer(struct vfio_pci *dev, struct io_access *access,
	void (*finish)(struct io_request *), uint32_t arg)
{
	vfio_device_get(dev);
	return io_defer(access, dev->worker, finish, dev, arg);
}
