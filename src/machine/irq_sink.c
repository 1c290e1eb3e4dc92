/* SPDX-License-Identifier: Apache-2.0 */
/* irq_sink.c - what devices ask of the interrupt controllers, in KVM. */
#include <portcullis/board.h>

#include "state.h"

static int gsi_alloc(void *opaque, uint32_t *gsi)
{
	struct machine *m = opaque;

	return kvm_gsi_alloc(&m->vm, gsi);
}

static void gsi_free(void *opaque, uint32_t gsi)
{
	struct machine *m = opaque;

	kvm_gsi_free(&m->vm, gsi);
}

static int gsi_set_routes(void *opaque, const struct msi_route *route, unsigned n)
{
	struct machine *m = opaque;

	return kvm_gsi_set_routes(&m->vm, route, n);
}

static int irqfd_add(void *opaque, uint32_t gsi, int fd, int resample_fd)
{
	struct machine *m = opaque;

	return kvm_irqfd_add(&m->vm, gsi, fd, resample_fd);
}

static int irqfd_del(void *opaque, uint32_t gsi, int fd)
{
	struct machine *m = opaque;

	return kvm_irqfd_del(&m->vm, gsi, fd);
}

/* PCI-to-PCI bridge swizzle: every bridge on the way adds the slot number below it. */
static uint32_t intx_gsi(void *opaque, const struct pci_function *fn, unsigned pin)
{
	struct machine *m = opaque;
	unsigned line = pin - 1;

	while (fn) {
		line += fn->devfn >> 3;
		fn = fn->bus ? fn->bus->bridge : NULL;
	}
	return m->board->intx_gsi[line & 3];
}

void irq_sink_init(struct machine *m)
{
	m->irq_sink = (struct irq_sink){
		.gsi_alloc = gsi_alloc,
		.gsi_free = gsi_free,
		.gsi_set_routes = gsi_set_routes,
		.irqfd_add = irqfd_add,
		.irqfd_del = irqfd_del,
		.intx_gsi = intx_gsi,
		.opaque = m,
	};
}
