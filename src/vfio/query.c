/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - a device as query-vfio shows it. */
#include <string.h>

#include "device.h"

static const char *const severity_names[] = {
	[VFIO_ERROR_UNKNOWN] = "unknown",
	[VFIO_ERROR_NONFATAL] = "nonfatal",
	[VFIO_ERROR_FATAL] = "fatal",
	[VFIO_ERROR_LOST] = "lost",
};

const char *vfio_severity_name(enum vfio_severity severity)
{
	return severity_names[severity];
}

/* What there are of them is known when one of these modes is on; before, the worker writes it. */
static unsigned vectors_of(const struct vfio_irqs *irqs, enum vfio_irq_mode mode)
{
	switch (mode) {
	case VFIO_IRQ_INTX:
		return 1;
	case VFIO_IRQ_MSI:
		return irqs->count[VFIO_PCI_MSI_IRQ_INDEX];
	case VFIO_IRQ_MSIX:
		return irqs->msix.n;
	default:
		return 0;
	}
}

static void query_interrupts(const struct vfio_irqs *irqs, struct vfio_interrupts *out)
{
	static const char *const names[] = {
		[VFIO_IRQ_OFF] = "off",
		[VFIO_IRQ_INTX] = "intx",
		[VFIO_IRQ_MSI] = "msi",
		[VFIO_IRQ_MSIX] = "msix",
	};
	enum vfio_irq_mode mode = irqs->mode;

	*out = (struct vfio_interrupts){
		.mode = names[mode],
		.vectors = vectors_of(irqs, mode),
		.armed = mode == VFIO_IRQ_INTX ? 1 : irqs->counts.armed,
		.connected = mode == VFIO_IRQ_INTX ? 1 : irqs->counts.connected,
		.pending = irqs->counts.pending,
		.set_irqs = irqs->counts.set_irqs,
		.masked = irqs->counts.masked,
		.held = irqs->counts.held,
		.failures = irqs->counts.failures,
	};
}

void vfio_pci_query(const struct vfio_pci *dev, struct vfio_pci_info *out)
{
	*out = (struct vfio_pci_info){ .group = -1,
		.reset = atomic_load(&dev->reset_how),
		.error = (enum vfio_severity)atomic_load(&dev->error),
		.quarantined = atomic_load(&dev->quarantined),
		.denied = atomic_load_explicit(&dev->firewall.denied, memory_order_relaxed) };
	if (atomic_load(&dev->identified)) {
		strcpy(out->name, dev->name);
		out->group = dev->group;
		out->container = dev->container;
		out->backend = dev->backend;
	}
	query_interrupts(&dev->irqs, &out->interrupts);
}

static void area_traps(
	const struct vfio_region *region, unsigned area, vfio_traps_fn fn, void *opaque)
{
	const struct region_traps *traps = &region->traps[area];
	uint64_t size = region->area[area].size;

	for (unsigned i = 0; i < traps->n; i++) {
		unsigned long count = atomic_load_explicit(&traps->count[i], memory_order_relaxed);
		uint64_t at = (uint64_t)i << traps->shift, unit = 1ull << traps->shift;
		struct vfio_traps out = { .offset = region->area[area].offset + at,
			.size = size - at < unit ? size - at : unit,
			.count = count };

		if (count)
			fn(&out, opaque);
	}
}

void vfio_pci_traps(const struct vfio_pci *dev, unsigned bar, vfio_traps_fn fn, void *opaque)
{
	const struct vfio_region *region = &dev->region[bar];

	for (unsigned i = 0; i < region->n_areas; i++)
		area_traps(region, i, fn, opaque);
}

unsigned long vfio_pci_traps_failed(const struct vfio_pci *dev, unsigned bar)
{
	return atomic_load_explicit(&dev->region[bar].failed, memory_order_relaxed);
}
