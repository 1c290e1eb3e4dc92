/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirror.c - x-trap-config-mirror: ways to config space and to the MSI-X table that some cards have
 * in their BARs, answered as config space and table themselves are (rows of quirks.c).
 *
 * It costs a trap for each access to the pages that they are in, which drivers may use for every
 * packet, and is no wall: whoever drives a card can make it do anything within the IOMMU.
 */
#include <string.h>

#include <linux/pci_regs.h>

#include "device.h"

void vfio_mirror_find(struct vfio_pci *dev)
{
	static const enum vfio_quirk_kind kinds[VFIO_MIRRORS_MAX] = { VFIO_QUIRK_CONFIG_MIRROR,
		VFIO_QUIRK_CONFIG_WINDOW, VFIO_QUIRK_MSIX_WINDOW };

	dev->n_mirrors = 0;
	memset(dev->window, 0, sizeof(dev->window));
	if (!dev->options->trap_config_mirror)
		return;
	for (unsigned i = 0; i < VFIO_MIRRORS_MAX; i++) {
		const struct vfio_quirk *quirk = vfio_quirk_find(kinds[i], dev->fn.config);
		struct vfio_region *region = quirk ? &dev->region[quirk->bar] : NULL;

		if (!region || region->size < (uint64_t)quirk->at + quirk->size)
			continue;
		region_hole(region, quirk->at, quirk->size);
		dev->mirror[dev->n_mirrors++] = quirk;
	}
}

/* What is not a config access reads ones and changes nothing. */
static enum io_status config_access(struct vfio_pci *dev, unsigned at, struct io_access *access)
{
	if (access->size > 4 || at + access->size > PCI_CONFIG_SIZE) {
		access->data = access->write ? access->data : ~0ull >> (64 - 8 * access->size);
		return IO_DONE;
	}
	if (access->write)
		return vfio_config_write(&dev->fn, at, access->size, access);
	access->data = vfio_config_read(&dev->fn, at, access->size);
	return IO_DONE;
}

/* NVIDIA's drivers acknowledge an MSI with a write to id and next pointer, which is the card's. */
static bool acknowledges(const struct vfio_pci *dev, unsigned at, const struct io_access *access)
{
	unsigned msi = dev->firewall.msi;

	return msi && access->write && at >= msi && at + access->size <= msi + PCI_MSI_FLAGS;
}

static bool config_mirror(struct vfio_pci *dev, const struct vfio_quirk *quirk,
	struct io_access *access, enum io_status *status)
{
	unsigned at = (unsigned)(access->offset - quirk->at);

	if (access->offset < quirk->at)
		at = PCI_CONFIG_SIZE; /* across its start: none */
	else if (acknowledges(dev, at, access))
		return false;
	*status = config_access(dev, at, access);
	return true;
}

/* Both registers as the guest last wrote them; bytes, because it may write them one by one. */
static void window_write(
	struct vfio_pci *dev, const struct vfio_quirk *quirk, const struct io_access *access)
{
	for (unsigned i = 0; access->write && i < access->size; i++)
		if (access->offset + i >= quirk->at && access->offset + i < quirk->at + 8)
			dev->window[access->offset + i - quirk->at] =
				(uint8_t)(access->data >> (8 * i));
}

/* One of the two registers, 0 or 4. */
static uint32_t window_register(struct vfio_pci *dev, unsigned at)
{
	return pci_get(dev->window, at, 4);
}

static bool config_window(struct vfio_pci *dev, const struct vfio_quirk *quirk,
	struct io_access *access, enum io_status *status)
{
	uint32_t index;

	pthread_mutex_lock(&dev->fn.lock);
	index = window_register(dev, 0);
	if (access->offset < quirk->at + 4)
		window_write(dev, quirk, access);
	pthread_mutex_unlock(&dev->fn.lock);
	if (access->offset < quirk->at + 4 || (index & ~(PCI_CONFIG_SIZE - 1u)) != quirk->match)
		return false;
	*status = config_access(dev,
		(index & (PCI_CONFIG_SIZE - 1u)) + (unsigned)(access->offset - quirk->at - 4),
		access);
	return true;
}

#define MSIX_WINDOW_WRITE 0x80000000u
#define MSIX_WINDOW_TYPE 0x7fff0000u
#define MSIX_WINDOW_OFFSET 0xfffu

/* The entry's dword in the guest's table. */
static enum io_status table_access(
	struct vfio_pci *dev, uint32_t index, bool write, uint32_t data, struct io_access *access)
{
	const struct vfio_msix *msix = &dev->irqs.msix;
	struct io_access own = { .offset = msix->table_at + (index & MSIX_WINDOW_OFFSET & ~3u),
		.size = 4,
		.write = write,
		.data = data,
		.request = access->request };
	enum io_status status = IO_DONE;

	if (msix->n && own.offset + own.size <= msix->table_end)
		status = vfio_msix_access(dev, msix->table_bar, &own);
	if (!write)
		access->data = own.data;
	return status;
}

/*
 * The guest writes data, then an index that says "write"; or an index, and reads data. Either is
 * done when the index reads back with the direction turned around.
 */
static bool msix_window(struct vfio_pci *dev, const struct vfio_quirk *quirk,
	struct io_access *access, enum io_status *status)
{
	bool at_index = access->offset >= quirk->at + 4;
	uint32_t index, data;

	pthread_mutex_lock(&dev->fn.lock);
	window_write(dev, quirk, access);
	data = window_register(dev, 0);
	index = window_register(dev, 4);
	pthread_mutex_unlock(&dev->fn.lock);
	if ((index & MSIX_WINDOW_TYPE) != quirk->match || access->size != 4)
		return false;
	*status = IO_DONE;
	if (access->write) {
		if (!at_index || !(index & MSIX_WINDOW_WRITE))
			return false;
		*status = table_access(dev, index, true, data, access);
	} else if (at_index) {
		access->data = index ^ MSIX_WINDOW_WRITE;
	} else {
		*status = table_access(dev, index, false, 0, access);
	}
	return true;
}

static bool (*const ways[])(struct vfio_pci *dev, const struct vfio_quirk *quirk,
	struct io_access *access, enum io_status *status) = {
	[VFIO_QUIRK_CONFIG_MIRROR] = config_mirror,
	[VFIO_QUIRK_CONFIG_WINDOW] = config_window,
	[VFIO_QUIRK_MSIX_WINDOW] = msix_window,
};

bool vfio_mirror_access(
	struct vfio_region *region, struct io_access *access, enum io_status *status)
{
	struct vfio_pci *dev = region->dev;

	for (unsigned i = 0; i < dev->n_mirrors; i++) {
		const struct vfio_quirk *quirk = dev->mirror[i];

		if (quirk->bar == region->index && access->offset < quirk->at + quirk->size &&
			access->offset + access->size > quirk->at)
			return ways[quirk->kind](dev, quirk, access, status);
	}
	return false;
}
