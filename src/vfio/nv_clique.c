/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nv_clique.c - x-nv-gpudirect-clique: a vendor-specific capability of ours that tells NVIDIA's
 * driver which GPUs reach each other peer to peer, as QEMU has it.
 *
 * Spec: "Specification for GPUDirect P2P in VMs" (NVIDIA, 2017; 2023 for Turing and later), linked in
 *       QEMU's hw/vfio/pci-quirks.c: 09, next 0, length 8, "P2P", the clique in bits 3-6; at 0xc8, or
 *       at 0xd4 where MSI-X is at 0xc8; last in the list.
 */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "device.h"

#define NVIDIA 0x10de
#define DISPLAY 0x03
#define SIZE 8

static int check_card(const struct vfio_pci *dev, struct err *err)
{
	const uint8_t *config = dev->fn.config;
	uint32_t vendor = pci_get(config, PCI_VENDOR_ID, 2);

	if (vendor == NVIDIA && config[PCI_CLASS_DEVICE + 1] == DISPLAY)
		return 0;
	err_set(err, EINVAL,
		"x-nv-gpudirect-clique is for NVIDIA's GPUs (10de, class 03xx): this is %04x:%04x, class %02x%02x",
		vendor, pci_get(config, PCI_DEVICE_ID, 2), config[PCI_CLASS_DEVICE + 1],
		config[PCI_CLASS_DEVICE]);
	err_hint(err, "leave x-nv-gpudirect-clique out for this device");
	return -EINVAL;
}

/* Our capability closes what was a register of the card's there. */
static void put(struct vfio_pci *dev, unsigned at, unsigned clique)
{
	const uint8_t bytes[SIZE] = { CAP_ID_VENDOR, 0, SIZE, 'P', '2', 'P', (uint8_t)(clique << 3),
		0 };
	uint8_t *config = dev->fn.config;
	unsigned link = PCI_CAPABILITY_LIST;

	while (config[link])
		link = config[link] + 1u;
	config[link] = (uint8_t)at;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	memcpy(config + at, bytes, SIZE);
	memset(dev->fn.wmask + at, 0, SIZE);
	memset(dev->firewall.live + at, 0, SIZE);
	memset(dev->firewall.pass + at, 0, SIZE);
}

int vfio_nv_clique_add(struct vfio_pci *dev, struct err *err)
{
	static const uint8_t places[] = { 0xc8, 0xd4 };
	uint64_t clique = dev->options->nv_clique;
	int ret;

	if (clique == VFIO_NV_CLIQUE_NONE)
		return 0;
	ret = check_card(dev, err);
	if (ret)
		return ret;
	for (unsigned i = 0; i < sizeof(places); i++) {
		if (vfio_firewall_claimed(&dev->firewall, places[i], SIZE))
			continue;
		put(dev, places[i], (unsigned)clique);
		return 0;
	}
	return err_set(err, ENOSPC,
		"no room for x-nv-gpudirect-clique: the card has capabilities at 0xc8 and at 0xd4");
}
