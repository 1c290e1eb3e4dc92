/* SPDX-License-Identifier: Apache-2.0 */
/* irq.c - which of INTx, MSI, MSI-X is on; reserves; error and request events. */
#include "irq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "device.h"

int vfio_irq_query(struct vfio_pci *dev)
{
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = i };
		int ret = dev->io->ops->irq_info(dev->io, i, &info);

		/* Who does not know the index does not offer it: old kernels, mediated devices. */
		if (ret && ret != -EINVAL && i < VFIO_PCI_ERR_IRQ_INDEX)
			return ret;
		dev->irqs.count[i] = ret || !(info.flags & VFIO_IRQ_INFO_EVENTFD) ? 0 : info.count;
		dev->irqs.flags[i] = info.flags;
	}
	dev->irqs.msix.resizable =
		!(dev->irqs.flags[VFIO_PCI_MSIX_IRQ_INDEX] & VFIO_IRQ_INFO_NORESIZE);
	return 0;
}

static void device_error(void *opaque, uint32_t events)
{
	struct vfio_pci *dev = opaque;

	(void)events;
	role_enter_worker();
	if (sys_eventfd_drain(dev->irqs.err_fd))
		vfio_error_happened(dev);
}

static void device_request(void *opaque, uint32_t events)
{
	struct vfio_pci *dev = opaque;

	(void)events;
	if (sys_eventfd_drain(dev->irqs.req_fd))
		dev->env.ops->wants_back(dev->env.opaque, dev);
}

/* These events are a service, not a need: without them the device still works. */
static void watch_event(struct vfio_pci *dev, unsigned index, int *fd, struct loop_fd *watch,
	loop_fd_fn fn) ON_WORKER
{
	if (!dev->irqs.count[index] || *fd >= 0)
		return;
	*fd = sys_eventfd();
	if (*fd < 0)
		return;
	*watch = (struct loop_fd){ .fd = *fd, .fn = fn, .opaque = dev };
	if (loop_fd_add(dev->worker, watch, EPOLLIN))
		goto fail;
	if (vfio_irq_set(dev, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, 1, fd) == 0)
		return;
	loop_fd_del(dev->worker, watch);
fail:
	sys_closep(fd);
	log_warn("vfio-pci '%s': the kernel does not report %s events", dev->options->device.id,
		index == VFIO_PCI_ERR_IRQ_INDEX ? "error" : "request");
}

static void unwatch_event(
	struct vfio_pci *dev, unsigned index, int *fd, struct loop_fd *watch) ON_WORKER
{
	if (*fd < 0)
		return;
	vfio_irq_disable(dev, index);
	loop_fd_del(dev->worker, watch);
	sys_closep(fd);
}

static int reserve_vectors(struct vfio_pci *dev, struct err *err) ON_WORKER
{
	struct vfio_irqs *irqs = &dev->irqs;
	unsigned n = irqs->n_vectors;
	int ret;

	irqs->vector = calloc(n ? n : 1, sizeof(*irqs->vector));
	irqs->set = malloc(sizeof(*irqs->set) + n * sizeof(int32_t));
	irqs->route = calloc(n ? n : 1, sizeof(*irqs->route));
	irqs->routed = calloc(n ? n : 1, sizeof(struct vfio_vector *));
	ret = msix_table_init(&irqs->msix.table, irqs->msix.n);
	if (!irqs->vector || !irqs->set || !irqs->route || !irqs->routed || ret)
		return err_set(err, ENOMEM, "no memory for %u interrupt vectors", n);
	for (unsigned i = 0; i < n; i++) {
		ret = vfio_vector_reserve(&irqs->vector[i], dev, i);
		if (!ret)
			continue;
		err_set_errno(err, -ret, "cannot reserve interrupt vector %u of %u", i + 1, n);
		if (ret == -EMFILE)
			err_hint(err, "raise the limit of open files (ulimit -n)");
		return ret;
	}
	return 0;
}

int vfio_irq_reserve(struct vfio_pci *dev, struct err *err)
{
	struct vfio_irqs *irqs = &dev->irqs;
	int ret = reserve_vectors(dev, err);

	if (ret)
		return ret;
	if (irqs->count[VFIO_PCI_INTX_IRQ_INDEX] && dev->fn.config[PCI_INTERRUPT_PIN]) {
		irqs->intx_trigger = sys_eventfd();
		irqs->intx_resample = sys_eventfd();
		if (irqs->intx_trigger < 0 || irqs->intx_resample < 0)
			return err_set(err, EMFILE, "cannot create the eventfds of INTx");
	}
	vfio_intx_gate(dev, false);
	watch_event(dev, VFIO_PCI_ERR_IRQ_INDEX, &irqs->err_fd, &irqs->err_watch, device_error);
	watch_event(dev, VFIO_PCI_REQ_IRQ_INDEX, &irqs->req_fd, &irqs->req_watch, device_request);
	return 0;
}

/* What the guest asked for. MSI-X beats MSI if a guest enables both, which the spec forbids. */
static enum vfio_irq_mode wanted_mode(struct vfio_pci *dev)
{
	const uint8_t *config = dev->fn.config;
	uint32_t command;
	unsigned pin;
	bool msi, msix;

	if (!dev->io || dev->quarantined)
		return VFIO_IRQ_OFF;
	pthread_mutex_lock(&dev->fn.lock);
	msix = dev->firewall.msix &&
	       pci_get(config, dev->firewall.msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE;
	msi = dev->firewall.msi &&
	      pci_get(config, dev->firewall.msi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE;
	command = pci_get(config, PCI_COMMAND, 2);
	pin = config[PCI_INTERRUPT_PIN];
	pthread_mutex_unlock(&dev->fn.lock);
	if (msix)
		return VFIO_IRQ_MSIX;
	if (msi)
		return VFIO_IRQ_MSI;
	/* A function that decodes nothing is not in use: its line stays quiet until it is. */
	if (pin && command & 7 && atomic_load(&dev->irqs.intx_gsi) >= 0)
		return VFIO_IRQ_INTX;
	return VFIO_IRQ_OFF;
}

void vfio_irq_off(struct vfio_pci *dev)
{
	enum vfio_irq_mode mode = dev->irqs.mode;

	switch (mode) {
	case VFIO_IRQ_OFF:
		break;
	case VFIO_IRQ_INTX:
		vfio_intx_off(dev);
		break;
	case VFIO_IRQ_MSI:
		vfio_msi_off(dev);
		break;
	case VFIO_IRQ_MSIX:
		vfio_msix_off(dev);
		break;
	}
	/*
	 * With MSI the kernel has cleared INTx disable in the device, whatever config space says:
	 * only a change is written.
	 */
	if (mode == VFIO_IRQ_MSI || mode == VFIO_IRQ_MSIX)
		vfio_intx_gate(dev, true);
	dev->irqs.mode = VFIO_IRQ_OFF;
	vfio_intx_gate(dev, false);
}

static bool intx_disabled(struct vfio_pci *dev)
{
	uint32_t command;

	pthread_mutex_lock(&dev->fn.lock);
	command = pci_get(dev->fn.config, PCI_COMMAND, 2);
	pthread_mutex_unlock(&dev->fn.lock);
	return command & PCI_COMMAND_INTX_DISABLE;
}

void vfio_irq_sync(struct vfio_pci *dev)
{
	enum vfio_irq_mode mode = wanted_mode(dev);
	bool changed = mode != dev->irqs.mode;

	if (changed)
		vfio_irq_off(dev);
	dev->irqs.mode = mode;
	if (mode == VFIO_IRQ_MSIX)
		vfio_msix_sync(dev, 0, dev->irqs.msix.n - 1);
	else if (mode == VFIO_IRQ_MSI)
		vfio_msi_sync(dev);
	else if (mode == VFIO_IRQ_INTX && changed)
		vfio_intx_on(dev);
	vfio_intx_gate(dev, dev->irqs.mode != VFIO_IRQ_OFF && !intx_disabled(dev));
}

void vfio_irq_release(struct vfio_pci *dev)
{
	struct vfio_irqs *irqs = &dev->irqs;

	vfio_irq_off(dev);
	unwatch_event(dev, VFIO_PCI_REQ_IRQ_INDEX, &irqs->req_fd, &irqs->req_watch);
	unwatch_event(dev, VFIO_PCI_ERR_IRQ_INDEX, &irqs->err_fd, &irqs->err_watch);
	sys_closep(&irqs->intx_trigger);
	sys_closep(&irqs->intx_resample);
	for (unsigned i = 0; irqs->vector && i < irqs->n_vectors; i++)
		vfio_vector_release(&irqs->vector[i]);
	free(irqs->vector);
	free(irqs->set);
	free(irqs->route);
	free(irqs->routed);
	msix_table_release(&irqs->msix.table);
	irqs->vector = NULL;
	irqs->set = NULL;
	irqs->route = NULL;
	irqs->routed = NULL;
}
