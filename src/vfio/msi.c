/* SPDX-License-Identifier: Apache-2.0 */
/* msi.c - MSI: one to 32 vectors that differ in the low bits of the message's data. */
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>

#include "device.h"

struct msi {
	unsigned n;
	struct msi_message message;
	uint32_t masked;
};

static struct msi msi_get(struct vfio_pci *dev)
{
	const uint8_t *config = dev->fn.config + dev->firewall.msi;
	struct msi out = { .masked = 0 };
	uint32_t flags;
	unsigned want, most, wide;

	pthread_mutex_lock(&dev->fn.lock);
	flags = pci_get(config, PCI_MSI_FLAGS, 2);
	wide = flags & PCI_MSI_FLAGS_64BIT ? 4 : 0;
	out.message.addr = pci_get(config, PCI_MSI_ADDRESS_LO, 4);
	if (wide)
		out.message.addr |= (uint64_t)pci_get(config, PCI_MSI_ADDRESS_HI, 4) << 32;
	out.message.data = pci_get(config, PCI_MSI_DATA_32 + wide, 2);
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		out.masked = pci_get(config, PCI_MSI_MASK_32 + wide, 4);
	pthread_mutex_unlock(&dev->fn.lock);
	/* A guest may write more than the capability offers. */
	want = (flags & PCI_MSI_FLAGS_QSIZE) >> 4;
	most = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
	out.n = 1u << (want < most ? want : most);
	if (out.n > dev->irqs.n_vectors)
		out.n = dev->irqs.n_vectors;
	return out;
}

/* The messages of all that are not masked, at once. */
static void route(struct vfio_pci *dev, const struct msi *msi) ON_WORKER
{
	struct msi_message message = msi->message;

	for (unsigned i = 0; i < msi->n; i++) {
		message.data = (msi->message.data & ~(msi->n - 1)) | i;
		if (!(msi->masked >> i & 1))
			vfio_vector_route(&dev->irqs.vector[i], &message);
	}
	vfio_vectors_commit(dev);
}

static void deliver(struct vfio_pci *dev, const struct msi *msi, unsigned i) ON_WORKER
{
	int ret;

	if (msi->masked >> i & 1) {
		vfio_vector_mask(&dev->irqs.vector[i]);
		return;
	}
	ret = vfio_vector_connect(&dev->irqs.vector[i]);
	if (ret) {
		dev->irqs.counts.failures++;
		log_guest("vfio-pci '%s': cannot deliver MSI vector %u: %s",
			dev->options->device.id, i, strerror(-ret));
	}
}

static void arm(struct vfio_pci *dev, unsigned n) ON_WORKER
{
	int32_t fds[MSI_VECTORS_MAX];
	int ret;

	for (unsigned i = 0; i < n; i++)
		fds[i] = dev->irqs.vector[i].fd;
	ret = vfio_irq_set(dev, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, n, fds);
	if (ret > 0 && (unsigned)ret < n) { /* the host has only so many in a row */
		n = (unsigned)ret;
		ret = vfio_irq_set(
			dev, VFIO_PCI_MSI_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, n, fds);
		log_guest("vfio-pci '%s': the host has only %u MSI vectors",
			dev->options->device.id, n);
	}
	if (ret) {
		dev->irqs.counts.failures++;
		log_guest("vfio-pci '%s': cannot enable MSI: %s", dev->options->device.id,
			ret < 0 ? strerror(-ret) : "the host is out of interrupt vectors");
		return;
	}
	for (unsigned i = 0; i < n; i++)
		vfio_vector_arm(&dev->irqs.vector[i], true);
}

void vfio_msi_sync(struct vfio_pci *dev)
{
	struct msi msi = msi_get(dev);

	/* The number is fixed while MSI is on; a guest that changes it anyway starts over. */
	if (dev->irqs.msi_armed && dev->irqs.msi_armed != msi.n)
		vfio_msi_off(dev);
	route(dev, &msi);
	for (unsigned i = 0; i < msi.n; i++)
		deliver(dev, &msi, i);
	if (!dev->irqs.msi_armed) {
		arm(dev, msi.n);
		dev->irqs.msi_armed = msi.n;
	}
}

void vfio_msi_restore(struct vfio_pci *dev)
{
	unsigned at = dev->firewall.msi + PCI_MSI_FLAGS, n = 0, log = 0;
	uint32_t flags;

	while (n < dev->irqs.msi_armed && dev->irqs.vector[n].armed)
		n++;
	if (dev->irqs.mode != VFIO_IRQ_MSI || !n)
		return;
	while (1u << log < n) /* as the kernel rounds */
		log++;
	pthread_mutex_lock(&dev->fn.lock);
	flags = pci_get(dev->fn.config, at, 2);
	pthread_mutex_unlock(&dev->fn.lock);
	flags = (flags & ~(uint32_t)PCI_MSI_FLAGS_QSIZE) | log << 4;
	if (flags & PCI_MSI_FLAGS_ENABLE)
		(void)vfio_device_write(dev, at, 2, flags);
}

void vfio_msi_off(struct vfio_pci *dev)
{
	if (dev->irqs.msi_armed)
		vfio_irq_disable(dev, VFIO_PCI_MSI_IRQ_INDEX);
	for (unsigned i = 0; i < dev->irqs.n_vectors && i < MSI_VECTORS_MAX; i++)
		vfio_vector_drop(&dev->irqs.vector[i]);
	dev->irqs.msi_armed = 0;
}
