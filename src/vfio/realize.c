/* SPDX-License-Identifier: Apache-2.0 */
/* realize.c - from an attached device to a function that a guest can be given. */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/log.h>

#include "device.h"

static bool on_root_bus(const struct vfio_pci *dev)
{
	return !dev->options->device.bus || !strcmp(dev->options->device.bus, "pcie.0");
}

/*
 * A copy of config space, in one piece, which the kernel cuts up as it must; where that fails,
 * piece by piece: what cannot be read behind the header is zero.
 */
static int read_config(struct vfio_pci *dev, uint8_t raw[static PCI_CONFIG_SIZE])
{
	ssize_t got;

	memset(raw, 0, PCI_CONFIG_SIZE);
	got = dev->io->ops->pread(dev->io, raw, dev->config_size, dev->config_at);
	if (got == (ssize_t)dev->config_size)
		return 0;
	for (unsigned at = 0; at < dev->config_size; at += 4) {
		uint32_t value;
		int ret = vfio_device_read(dev, at, 4, &value);

		if (ret && at < 64)
			return ret;
		pci_put(raw, at, 4, ret ? 0 : value);
	}
	return 0;
}

static uint64_t pow2_up(uint64_t size)
{
	uint64_t out = 1;

	while (out < size && out < 1ull << 63)
		out <<= 1;
	return out;
}

/* BARs as the device has them; sizes from the kernel, kinds from the registers. */
static void declare_bars(struct vfio_pci *dev, const uint8_t *raw) ON_WORKER
{
	for (unsigned i = 0; i < 6; i++) {
		uint32_t reg = pci_get(raw, PCI_BASE_ADDRESS_0 + 4 * i, 4);
		enum pci_bar_kind kind = PCI_BAR_MEM32;
		uint64_t size = pow2_up(dev->region[i].size);

		if (!dev->region[i].size)
			continue;
		if (reg & PCI_BASE_ADDRESS_SPACE_IO)
			kind = PCI_BAR_IO;
		else if ((reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64 &&
			 i < 5)
			kind = PCI_BAR_MEM64;
		if (kind == PCI_BAR_MEM64 ? size > 1ull << 52 : size > 1ull << 31) {
			log_warn("vfio-pci '%s': BAR %u is larger than its kind allows: left out",
				dev->options->device.id, i);
			continue;
		}
		if (kind != PCI_BAR_IO && size < 16)
			size = 16;
		pci_set_bar(&dev->fn, i, kind, size < 4 ? 4 : size,
			kind != PCI_BAR_IO && reg & PCI_BASE_ADDRESS_MEM_PREFETCH);
		if (kind == PCI_BAR_MEM64)
			i++;
	}
	vfio_rom_declare(dev);
}

/* Vectors of MSI-X, 0 when there is none that can work. */
static unsigned find_msix(struct vfio_pci *dev, const uint8_t *raw)
{
	struct vfio_msix *msix = &dev->irqs.msix;
	unsigned offered = dev->irqs.count[VFIO_PCI_MSIX_IRQ_INDEX];
	uint64_t bar_size[6];
	struct cap_list list;
	const struct cap *cap;

	for (unsigned i = 0; i < 6; i++)
		bar_size[i] = dev->region[i].size;
	caps_walk(raw, &list);
	cap = caps_find(&list, CAP_ID_MSIX);
	if (!cap || cap->room < 12 || !offered)
		return msix->n = 0;
	if (offered > MSIX_VECTORS_MAX)
		offered = MSIX_VECTORS_MAX;
	if (vfio_msix_locate(msix, raw, cap->offset, offered, bar_size)) {
		log_warn("vfio-pci '%s': the MSI-X table lies outside its BAR: MSI-X hidden",
			dev->options->device.id);
		return 0;
	}
	region_hole(&dev->region[msix->table_bar], msix->table_at, msix_table_size(msix->n));
	if (msix->pba_end && !msix->pba_ours)
		region_hole(&dev->region[msix->pba_bar], msix->pba_at, msix_pba_size(msix->n));
	return msix->n;
}

/* A card in D3cold, or behind a dead link; its ids may still be the kernel's memory of them. */
static int refuse_silent(const uint8_t *raw, struct err *err)
{
	if (raw[PCI_HEADER_TYPE] != 0xff)
		return 0;
	err_set(err, EIO, "host device does not answer: its config space reads as ones");
	err_hint(err,
		"a cold boot of the host usually brings a card back; dmesg may say why it is gone");
	return -EIO;
}

/* The guest finds the pending bits where we have them, if that is not where the card says. */
static void show_pba(struct vfio_pci *dev) ON_WORKER
{
	const struct vfio_msix *msix = &dev->irqs.msix;
	struct vfio_region *region = &dev->region[msix->pba_bar];

	if (!msix->n || !msix->pba_end)
		return;
	pci_put(dev->fn.config, dev->firewall.msix + PCI_MSIX_PBA, 4,
		(uint32_t)msix->pba_at | msix->pba_bar);
	if (msix->pba_ours && region->size < msix->pba_end) {
		region->size = msix->pba_end;
		region_plan(region);
	}
}

static int build_view(struct vfio_pci *dev, const uint8_t *raw, struct err *err) ON_WORKER
{
	struct vfio_firewall_facts facts = {
		.config_size = dev->config_size,
		.root_bus = on_root_bus(dev),
		.can_reset = vfio_reset_possible(dev),
		.strict = dev->options->strict_config,
		.intx = dev->irqs.count[VFIO_PCI_INTX_IRQ_INDEX] > 0 && !dev->options->no_intx,
		.msi = dev->irqs.count[VFIO_PCI_MSI_IRQ_INDEX],
	};
	unsigned msi;
	int ret;

	facts.msix = find_msix(dev, raw);
	if (vfio_firewall_build(&dev->firewall, &dev->fn, raw, &facts)) {
		err_set(err, EINVAL, "host device is a bridge (header type %u)",
			raw[PCI_HEADER_TYPE] & 0x7fu);
		err_hint(err, "only ordinary functions can be passed through");
		return -EINVAL;
	}
	/*
	 * A capability that the firewall refused after all (twice there, no room) has no vectors.
	 */
	if (!dev->firewall.msix)
		dev->irqs.msix.n = 0;
	msi = dev->firewall.msi ? facts.msi : 0;
	dev->irqs.n_vectors = msi < MSI_VECTORS_MAX ? msi : MSI_VECTORS_MAX;
	if (dev->irqs.n_vectors < dev->irqs.msix.n)
		dev->irqs.n_vectors = dev->irqs.msix.n;
	show_pba(dev);
	if (dev->firewall.tags10)
		dev->completes |= PCI_EXP_DEVCAP2_TAG10_COMP;
	declare_bars(dev, raw);
	vfio_mirror_find(dev);
	ret = vfio_nv_clique_add(dev, err);
	if (ret)
		return ret;
	vfio_error_locate(dev, raw);
	memcpy(dev->fn.reset_config, dev->fn.config, sizeof(dev->fn.config));
	if (dev->firewall.broken)
		log_warn(
			"vfio-pci '%s': the device's capability lists are broken: ignored what they lead to",
			dev->options->device.id);
	return 0;
}

static int first_reset(struct vfio_pci *dev, struct err *err) ON_WORKER
{
	struct err why = { 0 };
	int ret = vfio_reset_function(dev, &why);

	dev->needs_reset = true;
	if (ret == -ENOTTY) {
		log_warn("vfio-pci '%s': %s: it comes to the guest as it is",
			dev->options->device.id, why.text);
		return 0;
	}
	if (ret && err)
		*err = why;
	return ret;
}

static int realize(struct vfio_pci *dev, struct err *err) ON_WORKER
{
	uint8_t raw[PCI_CONFIG_SIZE];
	int ret = first_reset(dev, err);

	if (ret)
		return ret;
	ret = read_config(dev, raw);
	if (ret)
		return err_set_errno(err, -ret, "cannot read config space");
	ret = refuse_silent(raw, err);
	if (!ret)
		ret = build_view(dev, raw, err);
	if (ret)
		return ret;
	ret = vfio_irq_reserve(dev, err);
	if (ret)
		return ret;
	/* Mappings of a device that does not decode memory fault: decode first. */
	ret = vfio_device_command(dev, false);
	if (ret)
		return err_set_errno(err, -ret, "cannot turn on the device's memory decode");
	for (unsigned i = 0; i < 6; i++)
		region_map(&dev->region[i], dev->io, dev->options->device.id);
	for (unsigned i = 0; i < PCI_BARS && !ret; i++)
		ret = region_count(&dev->region[i]);
	if (ret)
		return err_set_errno(err, -ret, "cannot keep count of trapped accesses");
	dev->realized = true;
	if (dev->attachment)
		vfio_attachment_set_busy(dev->attachment, true);
	return 0;
}

int vfio_pci_realize(struct vfio_pci *dev, struct err *err)
{
	return realize(dev, err) ? err_prefix(err, "vfio-pci '%s'", dev->options->device.id) : 0;
}
