/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the properties of -device vfio-pci. */
#include <portcullis/vfio.h>

#define AT(field) offsetof(struct vfio_pci_options, field)

static const struct prop props[] = {
	{ .name = "id", .kind = PROP_STRING, .offset = AT(id), .required = true,
		.help = "name of the device, for device_del and in messages" },
	{ .name = "host", .kind = PROP_BDF, .offset = AT(host), .required = true,
		.help = "host PCI address, [DDDD:]BB:DD.F" },
	{ .name = "bus", .kind = PROP_STRING, .offset = AT(bus), .def = "pcie.0",
		.help = "pcie.0 or the id of a pcie-root-port" },
	{ .name = "addr", .kind = PROP_DEVFN, .offset = AT(addr),
		.help = "guest slot and function, SLOT[.FN]; the first free slot if not given" },
	{ .name = "multifunction", .kind = PROP_BOOL, .offset = AT(multifunction), .def = "off",
		.help = "other functions share the slot" },
	{ .name = NULL },
};

const struct prop_type vfio_pci_type = {
	.name = "vfio-pci",
	.help = "a host PCI device, handed to the guest",
	.size = sizeof(struct vfio_pci_options),
	.props = props,
};
