/* SPDX-License-Identifier: Apache-2.0 */
/* set_irqs.c - VFIO_DEVICE_SET_IRQS, by which every interrupt and event is turned on and off. */
#include <errno.h>
#include <string.h>

#include "device.h"

int vfio_irq_set(struct vfio_pci *dev, unsigned index, uint32_t action, unsigned start,
	unsigned count, const int32_t *fds)
{
	/* Before the reserve exists (and after) only single vectors are set. */
	_Alignas(struct vfio_irq_set) uint8_t one[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
	struct vfio_irq_set *set = count > 1 && fds ? dev->irqs.set : (struct vfio_irq_set *)one;
	size_t bytes = fds ? count * sizeof(*fds) : 0;

	if (!dev->io)
		return -ENODEV;
	*set = (struct vfio_irq_set){ .argsz = (uint32_t)(sizeof(*set) + bytes),
		.flags = action | (fds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE),
		.index = index,
		.start = start,
		.count = count };
	/* The fds may stand where they go already: vfio_irq_set_fds(). */
	if (bytes)
		memmove((uint8_t *)set + sizeof(*set), fds, bytes);
	dev->irqs.counts.set_irqs++;
	return dev->io->ops->set_irqs(dev->io, set);
}

int32_t *vfio_irq_set_fds(struct vfio_pci *dev)
{
	return (int32_t *)((uint8_t *)dev->irqs.set + sizeof(*dev->irqs.set));
}

int vfio_irq_disable(struct vfio_pci *dev, unsigned index)
{
	return vfio_irq_set(dev, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL);
}
