/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reset_prepare.c - before a function is reset under a running guest, and after it.
 *
 * While the kernel resets a function, it holds everybody who touches it: a config access until the
 * card is back, which may take a minute, a page fault on a mapped BAR inside KVM_RUN. A change of
 * memslots waits for such a fault, and main with it. So nobody touches it: main takes its BARs out
 * of the memslots, vCPUs find no device, as they would on the wire, and the worker begins when the
 * last of them has left.
 */
#include "device.h"

bool vfio_device_absent(const struct vfio_pci *dev)
{
	return atomic_load(&dev->quarantined) || atomic_load(&dev->resetting);
}

void vfio_pci_reset_prepare(struct vfio_pci *dev)
{
	struct pci_bus *bus = atomic_load(&dev->fn.bus);

	if (dev->resets++ || !bus)
		return;
	atomic_store(&dev->resetting, true);
	bus->sink->trap_bars(bus->sink->opaque, &dev->fn, true);
	atomic_store(&dev->reset_grace, dev->env.ops->grace(dev->env.opaque));
}

void vfio_pci_reset_done(struct vfio_pci *dev)
{
	struct pci_bus *bus = atomic_load(&dev->fn.bus);

	if (--dev->resets)
		return;
	atomic_store(&dev->reset_grace, 0);
	atomic_store(&dev->resetting, false);
	if (bus)
		bus->sink->trap_bars(bus->sink->opaque, &dev->fn, false);
}

void vfio_reset_wait(struct vfio_pci *dev)
{
	uint64_t grace = atomic_load(&dev->reset_grace);

	if (grace)
		dev->env.ops->grace_wait(dev->env.opaque, grace);
}
