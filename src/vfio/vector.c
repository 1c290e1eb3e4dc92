/* SPDX-License-Identifier: Apache-2.0 */
/* vector.c - one interrupt vector: eventfd, GSI, and who listens. */
#include <errno.h>
#include <sys/epoll.h>

#include <linux/pci_regs.h>

#include <portcullis/sys.h>

#include "device.h"

static void unwatch(struct vfio_vector *v)
{
	if (v->watched)
		loop_fd_del(v->dev->worker, &v->watch);
	v->watched = false;
}

/* One of a vector's states, and the device's count of vectors in it. False: it was that already. */
static bool change(bool *state, bool to, atomic_uint *counter)
{
	if (*state == to)
		return false;
	*state = to;
	if (to)
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
	return true;
}

/* The guest sees it in the PBA or the MSI capability. */
static void show_pending(struct vfio_pci *dev, unsigned index, bool pending)
{
	struct vfio_irqs *irqs = &dev->irqs;
	unsigned msi = dev->firewall.msi;

	pthread_mutex_lock(&dev->fn.lock);
	if (irqs->mode == VFIO_IRQ_MSIX && index < irqs->msix.n) {
		msix_table_set_pending(&irqs->msix.table, index, pending);
	} else if (irqs->mode == VFIO_IRQ_MSI && index < MSI_VECTORS_MAX) {
		uint32_t flags = pci_get(dev->fn.config, msi + PCI_MSI_FLAGS, 2);
		unsigned at = msi + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_PENDING_64
								 : PCI_MSI_PENDING_32);
		uint32_t bit = 1u << index;

		if (flags & PCI_MSI_FLAGS_MASKBIT)
			pci_put(dev->fn.config, at, 4,
				(pci_get(dev->fn.config, at, 4) & ~bit) | (pending ? bit : 0));
	}
	pthread_mutex_unlock(&dev->fn.lock);
}

static void set_pending(struct vfio_vector *v, bool pending)
{
	struct vfio_irq_counts *counts = &v->dev->irqs.counts;

	if (!change(&v->pending, pending, &counts->pending))
		return;
	counts->held += pending;
	show_pending(v->dev, v->index, pending);
}

/* A masked vector's interrupt. Once pending, more of them say nothing new: stop listening. */
static void arrived(void *opaque, uint32_t events)
{
	struct vfio_vector *v = opaque;

	(void)events;
	if (!sys_eventfd_drain(v->fd))
		return;
	unwatch(v);
	set_pending(v, true);
}

void vfio_vector_arm(struct vfio_vector *v, bool armed)
{
	change(&v->armed, armed, &v->dev->irqs.counts.armed);
}

static void set_connected(struct vfio_vector *v, bool connected)
{
	change(&v->connected, connected, &v->dev->irqs.counts.connected);
}

static void watch(struct vfio_vector *v)
{
	if (v->watched || v->pending)
		return;
	v->watch = (struct loop_fd){ .fd = v->fd, .fn = arrived, .opaque = v };
	if (loop_fd_add(v->dev->worker, &v->watch, EPOLLIN) == 0)
		v->watched = true;
	else
		v->dev->irqs.counts.failures++; /* what comes is found when it is unmasked */
}

static int alloc_gsi(struct vfio_vector *v)
{
	const struct irq_sink *irq = v->dev->env.irq;
	int ret = irq->gsi_alloc(irq->opaque, &v->gsi);

	v->has_gsi = ret == 0;
	v->message_set = false;
	return ret;
}

static void free_gsi(struct vfio_vector *v)
{
	const struct irq_sink *irq = v->dev->env.irq;

	if (v->has_gsi)
		irq->gsi_free(irq->opaque, v->gsi);
	v->has_gsi = false;
}

int vfio_vector_reserve(struct vfio_vector *v, struct vfio_pci *dev, unsigned index)
{
	int ret;

	*v = (struct vfio_vector){ .dev = dev, .index = index, .fd = -1 };
	v->fd = sys_eventfd();
	if (v->fd < 0)
		return v->fd;
	if (index >= IRQ_GSI_RESERVE)
		return 0;
	ret = alloc_gsi(v);
	v->own_gsi = v->has_gsi;
	return ret;
}

void vfio_vector_release(struct vfio_vector *v)
{
	if (!v->dev)
		return;
	vfio_vector_drop(v);
	free_gsi(v);
	sys_closep(&v->fd);
	v->dev = NULL;
}

void vfio_vector_route(struct vfio_vector *v, const struct msi_message *message)
{
	struct vfio_irqs *irqs = &v->dev->irqs;

	v->route_error = v->has_gsi ? 0 : alloc_gsi(v);
	if (v->route_error)
		return;
	if (v->message_set && v->message.addr == message->addr && v->message.data == message->data)
		return;
	v->message = *message;
	irqs->routed[irqs->n_routes] = v;
	irqs->route[irqs->n_routes++] =
		(struct msi_route){ .gsi = v->gsi, .addr = message->addr, .data = message->data };
}

/* All or none, so halves of what was refused are tried: few calls when few are refused. */
static void commit_some(
	struct vfio_irqs *irqs, const struct irq_sink *irq, unsigned first, unsigned n) ON_WORKER
{
	int ret = irq->gsi_set_routes(irq->opaque, &irqs->route[first], n);

	if (ret && n > 1) {
		commit_some(irqs, irq, first, n / 2);
		commit_some(irqs, irq, first + n / 2, n - n / 2);
		return;
	}
	for (unsigned i = first; i < first + n; i++) {
		irqs->routed[i]->route_error = ret;
		irqs->routed[i]->message_set = ret == 0;
	}
}

void vfio_vectors_commit(struct vfio_pci *dev)
{
	struct vfio_irqs *irqs = &dev->irqs;

	if (irqs->n_routes)
		commit_some(irqs, dev->env.irq, 0, irqs->n_routes);
	irqs->n_routes = 0;
}

static void disconnect(struct vfio_vector *v)
{
	const struct irq_sink *irq = v->dev->env.irq;

	if (!v->connected)
		return;
	set_connected(v, false);
	if (irq->irqfd_del(irq->opaque, v->gsi, v->fd))
		v->dev->irqs.counts.failures++;
}

void vfio_vector_mask(struct vfio_vector *v)
{
	v->dev->irqs.counts.masked += v->connected;
	disconnect(v);
	watch(v);
}

int vfio_vector_connect(struct vfio_vector *v)
{
	const struct irq_sink *irq = v->dev->env.irq;
	int ret;

	if (v->route_error) {
		/* Kept until it can be delivered, not delivered as the message before said. */
		vfio_vector_mask(v);
		return v->route_error;
	}
	if (v->connected)
		return 0;
	unwatch(v);
	if (sys_eventfd_drain(v->fd))
		set_pending(v, true);
	ret = irq->irqfd_add(irq->opaque, v->gsi, v->fd, -1);
	if (ret) {
		watch(v);
		return ret;
	}
	set_connected(v, true);
	if (v->pending) {
		set_pending(v, false);
		sys_eventfd_signal(v->fd);
	}
	return 0;
}

void vfio_vector_drop(struct vfio_vector *v)
{
	disconnect(v);
	unwatch(v);
	if (v->fd >= 0)
		sys_eventfd_drain(v->fd);
	set_pending(v, false);
	vfio_vector_arm(v, false);
	if (!v->own_gsi)
		free_gsi(v);
}
