/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.c - peer-to-peer mappings follow the device's BARs.
 *
 * Main says where a BAR is, the worker maps it for DMA there: that takes long for a large one, and
 * neither main nor a vCPU may wait for it. So a BAR can be reached by CPUs a moment before it can
 * be reached by other devices.
 */
#include "device.h"

bool vfio_follow_moved(struct vfio_pci *dev, unsigned bar, uint64_t addr)
{
	if (bar >= VFIO_PEER_BARS || !dev->options->p2p || dev->fn.bar[bar].kind == PCI_BAR_IO)
		return false;
	/* In this order: either we see what the worker has shown meanwhile, or it sees our wish. */
	atomic_store(&dev->bar_wanted[bar], addr);
	return atomic_load(&dev->bar_shown[bar]) != addr;
}

/* False: somebody else is at it. */
static bool show(struct vfio_pci *dev, unsigned bar, uint64_t addr) ON_WORKER
{
	const struct vfio_region *region = &dev->region[bar];
	unsigned n = addr == VFIO_NOWHERE ? 0 : region->n_areas;

	if (vfio_attachment_show_bar(dev->attachment, bar, addr, region->area, n))
		return false;
	atomic_store(&dev->bar_shown[bar], addr);
	return true;
}

enum vfio_follow vfio_follow(struct vfio_pci *dev)
{
	uint64_t wanted[VFIO_PEER_BARS];
	bool moved = false;
	int ret;

	if (!dev->attachment || dev->fenced)
		return VFIO_FOLLOW_DONE;
	/* First everything that goes, so that BARs may trade places. */
	for (unsigned i = 0; i < VFIO_PEER_BARS; i++) {
		uint64_t shown = atomic_load(&dev->bar_shown[i]);

		wanted[i] = atomic_load(&dev->bar_wanted[i]);
		if (wanted[i] == shown || shown == VFIO_NOWHERE)
			continue;
		if (!show(dev, i, VFIO_NOWHERE))
			return VFIO_FOLLOW_LATER;
	}
	for (unsigned i = 0; i < VFIO_PEER_BARS; i++) {
		if (wanted[i] != atomic_load(&dev->bar_shown[i]) && !show(dev, i, wanted[i]))
			return VFIO_FOLLOW_LATER;
		moved |= atomic_load(&dev->bar_wanted[i]) != wanted[i];
	}
	ret = vfio_attachment_step(dev->attachment);
	if (ret < 0)
		return VFIO_FOLLOW_LATER;
	return ret || moved ? VFIO_FOLLOW_MORE : VFIO_FOLLOW_DONE;
}

void vfio_follow_end(struct vfio_pci *dev)
{
	if (!dev->attachment)
		return;
	vfio_attachment_hide_bars(dev->attachment);
	for (unsigned i = 0; i < VFIO_PEER_BARS; i++)
		atomic_store(&dev->bar_shown[i], VFIO_NOWHERE);
}
