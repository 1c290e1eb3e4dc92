/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intx.c - INTx: VFIO masks the line when it fires and signals the trigger; KVM raises the guest's
 * pin, and when the guest acknowledges it (EOI) signals the resample eventfd, on which VFIO unmasks
 * the line. Nobody in user space wakes, but for mediated devices that cannot listen to an eventfd.
 * A guest that masks with INTx disable in its command register costs one write of config space:
 * everything stays connected, the kernel masks.
 *
 * While nobody in the kernel handles the line, a function that raises it would have the host turn
 * it off, for all devices that share it. So INTx disable is set whenever INTx is not in use.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "device.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX

static void disable(struct vfio_pci *dev) ON_WORKER
{
	/* Or it might fire between the end of its handler and vfio_intx_gate(). */
	vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_MASK, 0, 1, NULL);
	vfio_irq_disable(dev, INTX);
}

static void resampled(void *opaque, uint32_t events)
{
	struct vfio_pci *dev = opaque;

	(void)events;
	role_enter_worker();
	if (sys_eventfd_drain(dev->irqs.intx_resample))
		vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
}

static int connect_resample(struct vfio_pci *dev) ON_WORKER
{
	struct vfio_irqs *irqs = &dev->irqs;
	struct loop_fd watch = { .fd = irqs->intx_resample, .fn = resampled, .opaque = dev };
	int ret = vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, &irqs->intx_resample);

	if (ret != -ENOTTY)
		return ret;
	irqs->intx_watch = watch;
	ret = loop_fd_add(dev->worker, &irqs->intx_watch, EPOLLIN);
	if (ret)
		irqs->intx_watch.fn = NULL;
	return ret;
}

static void disconnect_resample(struct vfio_pci *dev) ON_WORKER
{
	struct loop_fd *watch = &dev->irqs.intx_watch;

	if (!watch->fn)
		return;
	loop_fd_del(dev->worker, watch);
	watch->fn = NULL;
}

/* Where a card cannot mask its line the kernel takes it only if nobody shares it. */
static const char *why_busy(const struct vfio_pci *dev, int ret)
{
	if (ret != -EBUSY)
		return "";
	if (vfio_quirk_find(VFIO_QUIRK_INTX_MASK, dev->fn.reset_config))
		return ": the card is known not to mask its line, which others share; x-no-intx=on hides INTx";
	return ": the line is shared, and the kernel wants it alone for this card; x-no-intx=on hides INTx";
}

void vfio_intx_on(struct vfio_pci *dev)
{
	const struct irq_sink *irq = dev->env.irq;
	struct vfio_irqs *irqs = &dev->irqs;
	uint32_t gsi = (uint32_t)atomic_load(&irqs->intx_gsi);
	int ret;

	sys_eventfd_drain(irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_resample);
	ret = irq->irqfd_add(irq->opaque, gsi, irqs->intx_trigger, irqs->intx_resample);
	if (ret)
		goto fail;
	irqs->intx_connected = gsi;
	ret = vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, &irqs->intx_trigger);
	if (ret)
		goto fail_irqfd;
	ret = connect_resample(dev);
	if (ret)
		goto fail_trigger;
	/* An interrupt between the two calls left the line masked. */
	vfio_irq_set(dev, INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
	return;
fail_trigger:
	disable(dev);
fail_irqfd:
	irq->irqfd_del(irq->opaque, gsi, irqs->intx_trigger);
fail:
	irqs->mode = VFIO_IRQ_OFF; /* the next sync tries again */
	irqs->counts.failures++;
	log_guest("vfio-pci '%s': cannot enable INTx: %s%s", dev->options->device.id,
		ret < 0 ? strerror(-ret) : "unexpected answer of the kernel", why_busy(dev, ret));
}

void vfio_intx_off(struct vfio_pci *dev)
{
	const struct irq_sink *irq = dev->env.irq;
	struct vfio_irqs *irqs = &dev->irqs;

	disconnect_resample(dev);
	disable(dev);
	irq->irqfd_del(irq->opaque, irqs->intx_connected, irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_trigger);
	sys_eventfd_drain(irqs->intx_resample);
}

void vfio_intx_gate(struct vfio_pci *dev, bool open)
{
	const uint32_t bit = PCI_COMMAND_INTX_DISABLE >> 8;
	uint32_t high, want;

	if (!dev->io || !dev->irqs.count[INTX])
		return;
	/* Only this byte: decode and bus mastering are vfio_device_command()'s. */
	if (vfio_device_read(dev, PCI_COMMAND + 1, 1, &high) || high & 0xf8)
		return; /* reserved bits: the device does not answer */
	want = open ? high & ~bit : high | bit;
	if (want != high)
		vfio_device_write(dev, PCI_COMMAND + 1, 1, want);
}
