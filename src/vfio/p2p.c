/* SPDX-License-Identifier: Apache-2.0 */
/*
 * p2p.c - peer to peer: BARs are mapped for other devices' DMA where the guest has them.
 *
 * Main says where a BAR is, the worker maps it for DMA there: that takes long for a large one, and
 * neither main nor a vCPU may wait for it. So a BAR can be reached by CPUs a moment before it can
 * be reached by other devices.
 */
#include "device.h"

bool vfio_p2p_moved(struct vfio_pci *dev, unsigned bar, uint64_t addr)
{
	if (bar >= VFIO_P2P_BARS || !dev->options->p2p || dev->fn.bar[bar].kind == PCI_BAR_IO)
		return false;
	/* In this order: either we see what the worker has mapped meanwhile, or it sees our wish. */
	atomic_store(&dev->p2p_wanted[bar], addr);
	return atomic_load(&dev->p2p_mapped[bar]) != addr;
}

/* False: somebody else is at it. */
static bool set_bar(struct vfio_pci *dev, unsigned bar, uint64_t addr) ON_WORKER
{
	const struct vfio_region *region = &dev->region[bar];
	/* An IOMMU maps pages, and in the guest other BARs may share that of a small one. */
	bool none = addr == VFIO_BAR_UNMAPPED || region->size < REGION_PAGE;
	unsigned n = none ? 0 : region->n_areas;

	if (vfio_attachment_p2p_set(dev->attachment, bar, addr, region->area, n))
		return false;
	atomic_store(&dev->p2p_mapped[bar], addr);
	return true;
}

enum vfio_p2p_sync vfio_p2p_sync(struct vfio_pci *dev)
{
	uint64_t wanted[VFIO_P2P_BARS];
	bool moved = false;
	int ret;

	if (!dev->attachment || dev->fenced)
		return VFIO_P2P_DONE;
	/* First everything that goes, so that BARs may trade places. */
	for (unsigned i = 0; i < VFIO_P2P_BARS; i++) {
		uint64_t mapped = atomic_load(&dev->p2p_mapped[i]);

		wanted[i] = atomic_load(&dev->p2p_wanted[i]);
		if (wanted[i] == mapped || mapped == VFIO_BAR_UNMAPPED)
			continue;
		if (!set_bar(dev, i, VFIO_BAR_UNMAPPED))
			return VFIO_P2P_RETRY;
	}
	for (unsigned i = 0; i < VFIO_P2P_BARS; i++) {
		if (wanted[i] != atomic_load(&dev->p2p_mapped[i]) && !set_bar(dev, i, wanted[i]))
			return VFIO_P2P_RETRY;
		moved |= atomic_load(&dev->p2p_wanted[i]) != wanted[i];
	}
	ret = vfio_attachment_p2p_map(dev->attachment);
	if (ret < 0)
		return VFIO_P2P_RETRY;
	return ret || moved ? VFIO_P2P_MORE : VFIO_P2P_DONE;
}

void vfio_p2p_end(struct vfio_pci *dev)
{
	if (!dev->attachment)
		return;
	vfio_attachment_p2p_unmap(dev->attachment);
	for (unsigned i = 0; i < VFIO_P2P_BARS; i++)
		atomic_store(&dev->p2p_mapped[i], VFIO_BAR_UNMAPPED);
}
