/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - a device as query-vfio shows it. */
#include "device.h"

void vfio_pci_get_facts(const struct vfio_pci *dev, struct vfio_pci_facts *out)
{
	*out = dev->facts;
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
