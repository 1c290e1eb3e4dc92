/* SPDX-License-Identifier: Apache-2.0 */
/* device_props.c - the properties of -device vfio-pci. */
#include <portcullis/vfio.h>

#define AT(field) offsetof(struct vfio_pci_options, field)

DEVICE_OPTIONS_HEAD(struct vfio_pci_options, device);

/* clang-format off */
static const struct prop props[] = {
	DEVICE_PROP_ID(.required = true, .help = "name of the device, for device_del and in messages"),
	/* One of the two; vfio_attach() says so when neither is there. */
	{ .name = "host", .kind = PROP_BDF, .offset = AT(host),
	  .help = "host PCI address, [DDDD:]BB:DD.F" },
	{ .name = "sysfsdev", .kind = PROP_STRING, .offset = AT(sysfsdev),
	  .help = "sysfs directory of the device, for those without a PCI address (mdev)" },
	DEVICE_PROP_BUS(.help = "pcie.0 or the id of a pcie-root-port"),
	DEVICE_PROP_ADDR(.help = "guest slot and function, SLOT[.FN]; the first free slot if not given"),
	DEVICE_PROP_MULTIFUNCTION(.help = "other functions share the slot"),
	{ .name = "iommufd", .kind = PROP_STRING, .offset = AT(iommufd),
	  .help = "id of an iommufd object: use it instead of the device's group" },
	{ .name = "fd", .kind = PROP_FD, .offset = AT(fd),
	  .help = "with iommufd: number of an fd that is open on the device's cdev" },
	{ .name = "rombar", .kind = PROP_ON_OFF_AUTO, .offset = AT(rombar), .def = "auto",
	  .help = "show the guest an expansion ROM, the device's own or romfile; auto: unless it is known to hang guests" },
	{ .name = "romfile", .kind = PROP_STRING, .offset = AT(romfile),
	  .may_be_empty = true,
	  .help = "file to show as expansion ROM instead of the device's own; romfile= (empty) shows none" },
	{ .name = "vf-token", .kind = PROP_UUID, .offset = AT(vf_token),
	  .help = "for a physical function and its virtual functions, when it is bound to vfio-pci: the same for all" },
	{ .name = "x-expect", .kind = PROP_PCI_IDS, .offset = AT(expect),
	  .help = "refuse the device, before it is touched, if it is any other" },
	{ .name = "x-p2p", .kind = PROP_BOOL, .offset = AT(p2p), .def = "on",
	  .help = "map its BARs for DMA by the other passed-through devices" },
	{ .name = "x-strict-config", .kind = PROP_BOOL, .offset = AT(strict_config), .def = "off",
	  .help = "config space: only registers of known capabilities; some drivers need others" },
	{ .name = "x-nv-gpudirect-clique", .kind = PROP_UINT, .offset = AT(nv_clique),
	  .def = "18446744073709551615" /* VFIO_NV_CLIQUE_NONE */, .max = 15,
	  .help = "0 to 15: tells NVIDIA's driver which GPUs reach each other peer to peer, those with the same number" },
	{ .name = "x-no-intx", .kind = PROP_BOOL, .offset = AT(no_intx), .def = "off",
	  .help = "show no INTx, for cards that cannot mask it and share their line" },
	{ .name = "x-trap-config-mirror", .kind = PROP_BOOL, .offset = AT(trap_config_mirror), .def = "off",
	  .help = "answer the ways to config space that some cards have in their BARs (docs/quirks.md); slow" },
	{ .name = "x-allow-unsafe-interrupts", .kind = PROP_BOOL, .def = "off",
	  .offset = AT(allow_unsafe_interrupts),
	  .help = "also on hosts whose IOMMU cannot tell interrupts from DMA writes" },
	DEVICE_PROP_UNPLUG_TIMEOUT,
	DEVICE_PROP_ON_ERROR,
	{ .name = NULL },
};
/* clang-format on */

const struct prop_type vfio_pci_type = {
	.name = "vfio-pci",
	.help = "a host PCI device, handed to the guest",
	.size = sizeof(struct vfio_pci_options),
	.props = props,
};
