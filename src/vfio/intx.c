/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intx.c - INTx: VFIO masks the line when it fires and signals the trigger; KVM raises the guest's
 * pin, and when the guest acknowledges it (EOI) signals the resample eventfd, on which VFIO unmasks
 * the line. Nobody in user space wakes.
 */
#include <string.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "device.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX

void vfio_intx_on(struct vfio_pci *dev)
{
	const struct vfio_env *env = &dev->env;
	struct vfio_irqs *irqs = &dev->irqs;
	uint32_t gsi = (uint32_t)atomic_load(&irqs->intx_gsi);
	int ret;

	sys_eventfd_drain(irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_resample);
	ret = env->ops->irqfd_add(env->opaque, gsi, irqs->intx_trigger, irqs->intx_resample);
	if (ret)
		goto fail;
	irqs->intx_connected = gsi;
	ret = vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &irqs->intx_trigger);
	if (ret)
		goto fail_irqfd;
	ret = vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, &irqs->intx_resample);
	if (ret)
		goto fail_trigger;
	/* An interrupt between the two calls left the line masked. */
	vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
	return;
fail_trigger:
	vfio_irq_disable(dev, INTX);
fail_irqfd:
	env->ops->irqfd_del(env->opaque, gsi, irqs->intx_trigger);
fail:
	irqs->mode = VFIO_IRQ_OFF; /* the next sync tries again */
	irqs->failures++;
	log_guest("vfio-pci '%s': cannot enable INTx: %s", dev->options->id,
		ret < 0 ? strerror(-ret) : "unexpected answer of the kernel");
}

void vfio_intx_off(struct vfio_pci *dev)
{
	struct vfio_irqs *irqs = &dev->irqs;

	vfio_irq_disable(dev, INTX);
	dev->env.ops->irqfd_del(dev->env.opaque, irqs->intx_connected, irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_resample);
}
