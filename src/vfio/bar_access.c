/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bar_access.c - the guest's BARs: what can be mapped, and the accesses that are trapped.
 *
 * Imports no allocator and no ioctl; with config_access.c and msix.c the whole vCPU side of vfio.
 */
#include <inttypes.h>
#include <string.h>

#include <portcullis/log.h>

#include "device.h"

static void forward(struct vfio_region *region, struct io_access *access, bool *failed)
{
	struct vfio_device_io *io = region->dev->io;
	uint64_t at = region->offset + access->offset;
	uint64_t data = access->data; /* x86: memory order is the guest's */
	ssize_t done;

	if (access->write) {
		done = region->writable ? io->ops->pwrite(io, &data, access->size, at)
					: access->size;
		*failed = done != access->size;
		return;
	}
	data = 0;
	done = io->ops->pread(io, &data, access->size, at);
	*failed = done != access->size;
	access->data = *failed ? ~0ull >> (64 - 8 * access->size) : data;
}

static void count_trap(struct vfio_region *region, uint64_t offset)
{
	for (unsigned i = 0; i < region->n_areas; i++) {
		struct region_traps *traps = &region->traps[i];
		uint64_t at = offset - region->area[i].offset;

		if (at >= region->area[i].size)
			continue;
		if (at >> traps->shift < traps->n)
			atomic_fetch_add_explicit(
				&traps->count[at >> traps->shift], 1, memory_order_relaxed);
		return;
	}
}

enum io_status vfio_bar_access(void *opaque, struct io_access *access)
{
	struct vfio_region *region = opaque;
	struct vfio_pci *dev = region->dev;
	enum io_status status;
	bool failed = false;

	if (!dev->io || vfio_device_absent(dev) || access->offset >= region->size ||
		access->size > region->size - access->offset) {
		access->data = access->write ? access->data : ~0ull >> (64 - 8 * access->size);
		return IO_DONE;
	}
	count_trap(region, access->offset);
	if (vfio_msix_covers(&dev->irqs.msix, region->index, access->offset, access->size))
		return vfio_msix_access(dev, region->index, access);
	if (dev->n_mirrors && vfio_mirror_access(region, access, &status))
		return status;
	if (region->index == PCI_ROM && atomic_load(&dev->rom.ready)) {
		if (access->write)
			return IO_DONE;
		access->data = 0;
		memcpy(&access->data, dev->rom.image + access->offset, access->size);
		return IO_DONE;
	}
	forward(region, access, &failed);
	if (failed) {
		atomic_fetch_add_explicit(&region->failed, 1, memory_order_relaxed);
		log_guest("vfio-pci '%s': BAR %u does not answer at 0x%" PRIx64,
			dev->options->device.id, region->index, access->offset);
	}
	return IO_DONE;
}

unsigned vfio_bar_areas(struct pci_function *fn, unsigned bar, struct pci_area *out)
{
	const struct vfio_pci *dev = fn->opaque;
	const struct vfio_region *region = &dev->region[bar];

	memcpy(out, region->area, region->n_areas * sizeof(*out));
	return region->n_areas;
}

void *vfio_bar_opaque(struct pci_function *fn, unsigned bar)
{
	struct vfio_pci *dev = fn->opaque;

	return &dev->region[bar];
}
