/* SPDX-License-Identifier: Apache-2.0 */
/* root_port_props.c - the properties of -device pcie-root-port. */
#include <portcullis/root_port.h>

#define AT(field) offsetof(struct root_port_options, field)
/* UINT64_MAX: PCI_RESERVE_AUTO. */
#define AUTO "18446744073709551615"

/* Codes and lanes of Link Capabilities are made of the index (root_port_express.c). */
static const char *const speeds[] = { "2_5", "5", "8", "16", "32", "64", NULL };
static const char *const widths[] = { "1", "2", "4", "8", "12", "16", "32", NULL };

DEVICE_OPTIONS_HEAD(struct root_port_options, device);

static const struct prop props[] = {
	DEVICE_PROP_ID(.required = true, .help = "name of the port, and of the bus behind it"),
	DEVICE_PROP_BUS(.help = "pcie.0"),
	DEVICE_PROP_ADDR(
			.help = "slot and function on pcie.0, SLOT[.FN]; the first free slot if not given"),
	DEVICE_PROP_MULTIFUNCTION(.help = "other ports share the slot of pcie.0"),
	{ .name = "port",
		.kind = PROP_UINT,
		.offset = AT(port),
		.def = "0",
		.max = 255,
		.help = "PCI Express port number" },
	{ .name = "chassis",
		.kind = PROP_UINT,
		.offset = AT(chassis),
		.def = "0",
		.max = 255,
		.help = "chassis number; accepted, guests are not shown one" },
	{ .name = "slot",
		.kind = PROP_UINT,
		.offset = AT(slot),
		.def = "0",
		.max = 8191,
		.help = "physical slot number; 0: made of addr" },
	{ .name = "mem-reserve",
		.kind = PROP_SIZE,
		.offset = AT(mem_reserve),
		.def = AUTO,
		.help = "bytes of 32-bit memory kept for hot plug; as much as fits if not given" },
	{ .name = "pref64-reserve",
		.kind = PROP_SIZE,
		.offset = AT(pref64_reserve),
		.def = AUTO,
		.help = "bytes of 64-bit prefetchable memory kept for hot plug; as much as fits if not given" },
	{ .name = "io-reserve",
		.kind = PROP_SIZE,
		.offset = AT(io_reserve),
		.def = AUTO,
		.help = "bytes of I/O ports kept for hot plug; 4096 while there are some if not given" },
	{ .name = "numa_node",
		.kind = PROP_UINT,
		.offset = AT(numa_node),
		.def = AUTO,
		.help = "NUMA node of the guest (-numa node) that devices behind the port are of: the port gets a root bus of that node" },
	{ .name = "native-hotplug",
		.kind = PROP_BOOL,
		.offset = AT(native_hotplug),
		.def = "off",
		.help = "PCI Express hot plug (pciehp) instead of ACPI" },
	{ .name = "fast-unplug",
		.kind = PROP_BOOL,
		.offset = AT(fast_unplug),
		.def = "off",
		.help = "accepted: unplugging by ACPI is fast, and natively the guest decides" },
	{ .name = "x-speed",
		.kind = PROP_CHOICE,
		.offset = AT(x_speed),
		.def = "32",
		.choices = speeds,
		.help = "what the link can do at most, GT/s" },
	{ .name = "x-width",
		.kind = PROP_CHOICE,
		.offset = AT(x_width),
		.def = "32",
		.choices = widths,
		.help = "lanes the link has at most" },
	{ .name = NULL },
};

const struct prop_type root_port_type = {
	.name = "pcie-root-port",
	.help = "a root port with a slot for one hot-pluggable device",
	.size = sizeof(struct root_port_options),
	.props = props,
};
