/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the properties of -device vfio-pci. */
#include <portcullis/vfio.h>
#include <portcullis/vfio_fault.h>

#define AT(field) offsetof(struct vfio_pci_options, field)

static const char *const on_error[] = { [VFIO_ON_ERROR_STOP] = "stop",
	[VFIO_ON_ERROR_UNPLUG] = "unplug",
	[VFIO_ON_ERROR_RESET] = "reset",
	[VFIO_ON_ERROR_REPORT] = "report",
	NULL };

/* clang-format off */
static const struct prop props[] = {
	{ .name = "id", .kind = PROP_STRING, .offset = AT(id), .required = true,
	  .help = "name of the device, for device_del and in messages" },
	/* One of the two; vfio_attach() says so when neither is there. */
	{ .name = "host", .kind = PROP_BDF, .offset = AT(host),
	  .help = "host PCI address, [DDDD:]BB:DD.F" },
	{ .name = "sysfsdev", .kind = PROP_STRING, .offset = AT(sysfsdev),
	  .help = "sysfs directory of the device, for those without a PCI address (mdev)" },
	{ .name = "bus", .kind = PROP_STRING, .offset = AT(bus), .def = "pcie.0",
	  .help = "pcie.0 or the id of a pcie-root-port" },
	{ .name = "addr", .kind = PROP_DEVFN, .offset = AT(addr),
	  .help = "guest slot and function, SLOT[.FN]; the first free slot if not given" },
	{ .name = "multifunction", .kind = PROP_BOOL, .offset = AT(multifunction), .def = "off",
	  .help = "other functions share the slot" },
	{ .name = "iommufd", .kind = PROP_STRING, .offset = AT(iommufd),
	  .help = "id of an iommufd object: use it instead of the device's group" },
	{ .name = "fd", .kind = PROP_STRING, .offset = AT(fd),
	  .help = "with iommufd: number of an fd that is open on the device's cdev" },
	{ .name = "rombar", .kind = PROP_BOOL, .offset = AT(rombar), .def = "on",
	  .help = "show the guest an expansion ROM, the device's own or romfile" },
	{ .name = "romfile", .kind = PROP_STRING, .offset = AT(romfile),
	  .may_be_empty = true,
	  .help = "file to show as expansion ROM instead of the device's own; romfile= (empty) shows none" },
	{ .name = "x-expect", .kind = PROP_PCI_IDS, .offset = AT(expect),
	  .help = "refuse the device, before it is touched, if it is any other" },
	{ .name = "x-p2p", .kind = PROP_BOOL, .offset = AT(p2p), .def = "on",
	  .help = "map its BARs for DMA by the other passed-through devices" },
	{ .name = "x-allow-unsafe-interrupts", .kind = PROP_BOOL, .def = "off",
	  .offset = AT(allow_unsafe_interrupts),
	  .help = "also on hosts whose IOMMU cannot tell interrupts from DMA writes" },
	{ .name = "unplug-timeout", .kind = PROP_UINT, .offset = AT(unplug_timeout), .def = "10",
	  .min = 1, .max = 3600,
	  .help = "seconds the guest has to let go after device_del" },
	{ .name = "on-error", .kind = PROP_CHOICE, .offset = AT(on_error), .def = "stop",
	  .choices = on_error,
	  .help = "when the device reports an error (AER): stop or reset the guest, unplug the device, or only report it" },
	{ .name = NULL },
};
/* clang-format on */

const struct prop_type vfio_pci_type = {
	.name = "vfio-pci",
	.help = "a host PCI device, handed to the guest",
	.size = sizeof(struct vfio_pci_options),
	.props = props,
};
