/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema_table.c - the commands, events and types themselves. Names and meaning are QEMU's wherever
 * QEMU has them, so that its clients work unchanged.
 */
#include "schema.h"

#define MEMBERS(...)                                                                               \
	(const struct qmp_member[])                                                                \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			.name = NULL                                                               \
		}                                                                                  \
	}
#define VALUES(...)                                                                                \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define OBJECT(type, ...)                                                                          \
	{                                                                                          \
		.name = type, .members = MEMBERS(__VA_ARGS__)                                      \
	}
#define ENUM(type, ...)                                                                            \
	{                                                                                          \
		.name = type, .values = VALUES(__VA_ARGS__)                                        \
	}
#define HAS(member, of, text)                                                                      \
	{                                                                                          \
		.name = member, .type = of, .doc = text                                            \
	}
#define MAY_HAVE(member, of, text)                                                                 \
	{                                                                                          \
		.name = member, .type = of, .optional = true, .doc = text                          \
	}

const struct qmp_type qmp_types[] = {
	/* arguments */
	OBJECT("QmpCapabilities", MAY_HAVE("enable", "[str]", "none is offered")),
	OBJECT("DeviceAdd", HAS("driver", "str", "device type, as with -device"),
		MAY_HAVE("id", "str", "name of the new device"),
		MAY_HAVE("bus", "str", "id of a pcie-root-port")),
	OBJECT("DeviceDel",
		HAS("id", "str", "id of the device, or its path /machine/peripheral/ID"),
		MAY_HAVE("force", "bool", "take it away without the guest's word")),
	OBJECT("DeviceListProperties", HAS("typename", "str", "device type")),
	OBJECT("FdName", HAS("fdname", "str", "name for the fd; does not start with a digit")),
	OBJECT("AddFd", MAY_HAVE("fdset-id", "int", "set to add to; a new one otherwise"),
		MAY_HAVE("opaque", "str", "text kept with the fd")),
	OBJECT("RemoveFd", HAS("fdset-id", "int", NULL),
		MAY_HAVE("fd", "int", "one of the set; all otherwise")),

	/* replies */
	OBJECT("VersionTriple", HAS("major", "int", NULL), HAS("minor", "int", NULL),
		HAS("micro", "int", NULL)),
	OBJECT("VersionInfo", HAS("qemu", "VersionTriple", "this program's version"),
		HAS("package", "str", "its name and version")),
	OBJECT("CommandInfo", HAS("name", "str", NULL)),
	OBJECT("EventInfo", HAS("name", "str", NULL)),
	ENUM("RunState", "prelaunch", "running", "paused", "shutdown", "internal-error"),
	OBJECT("StatusInfo", HAS("running", "bool", NULL),
		HAS("singlestep", "bool", "always false"), HAS("status", "RunState", NULL)),
	OBJECT("NameInfo", MAY_HAVE("name", "str", "of -name")),
	OBJECT("UuidInfo", HAS("UUID", "str", "of -uuid, zeros otherwise")),
	OBJECT("KvmInfo", HAS("enabled", "bool", NULL), HAS("present", "bool", NULL)),
	OBJECT("MachineInfo", HAS("name", "str", NULL), HAS("is-default", "bool", NULL),
		HAS("cpu-max", "int", NULL), HAS("hotpluggable-cpus", "bool", NULL),
		HAS("numa-mem-supported", "bool", NULL), HAS("deprecated", "bool", NULL)),
	OBJECT("TargetInfo", HAS("arch", "str", NULL)),
	OBJECT("CpuProperties", HAS("socket-id", "int", NULL), HAS("core-id", "int", NULL),
		HAS("thread-id", "int", NULL)),
	OBJECT("CpuInfo", HAS("CPU", "int", NULL), HAS("current", "bool", NULL),
		HAS("halted", "bool", "cannot go on until system_reset"),
		HAS("qom_path", "str", NULL), HAS("thread_id", "int", "of Linux"),
		HAS("arch", "str", NULL), HAS("props", "CpuProperties", NULL)),
	OBJECT("CpuInfoFast", HAS("cpu-index", "int", NULL), HAS("qom-path", "str", NULL),
		HAS("thread-id", "int", "of Linux"), HAS("props", "CpuProperties", NULL),
		HAS("target", "str", NULL)),

	OBJECT("PciMemoryRange", HAS("base", "int", NULL), HAS("limit", "int", "inclusive")),
	OBJECT("PciMemoryRegion", HAS("bar", "int", "6: expansion ROM"),
		HAS("type", "str", "'io' or 'memory'"), HAS("address", "int", "-1: not decoded"),
		HAS("size", "int", NULL), MAY_HAVE("prefetch", "bool", "memory only"),
		MAY_HAVE("mem_type_64", "bool", "memory only")),
	OBJECT("PciBusInfo", HAS("number", "int", NULL), HAS("secondary", "int", NULL),
		HAS("subordinate", "int", NULL), HAS("io_range", "PciMemoryRange", NULL),
		HAS("memory_range", "PciMemoryRange", NULL),
		HAS("prefetchable_range", "PciMemoryRange", NULL)),
	OBJECT("PciBridgeInfo", HAS("bus", "PciBusInfo", NULL),
		MAY_HAVE("devices", "[PciDeviceInfo]", "behind the bridge")),
	OBJECT("PciDeviceClass", MAY_HAVE("desc", "str", NULL), HAS("class", "int", NULL)),
	OBJECT("PciDeviceId", HAS("device", "int", NULL), HAS("vendor", "int", NULL),
		MAY_HAVE("subsystem", "int", NULL), MAY_HAVE("subsystem-vendor", "int", NULL)),
	OBJECT("PciDeviceInfo", HAS("bus", "int", NULL), HAS("slot", "int", NULL),
		HAS("function", "int", NULL), HAS("class_info", "PciDeviceClass", NULL),
		HAS("id", "PciDeviceId", NULL), MAY_HAVE("irq", "int", NULL),
		HAS("irq_pin", "int", "0: none, 1: INTA, ..."), HAS("qdev_id", "str", "id, or ''"),
		MAY_HAVE("pci_bridge", "PciBridgeInfo", NULL),
		HAS("regions", "[PciMemoryRegion]", NULL)),
	OBJECT("PciInfo", HAS("bus", "int", NULL), HAS("devices", "[PciDeviceInfo]", NULL)),

	ENUM("VfioAccess", "mapped", "read-only", "trapped"),
	OBJECT("VfioArea", HAS("offset", "int", "bytes into the BAR"), HAS("size", "int", "bytes"),
		HAS("access", "VfioAccess", "how the guest reaches it")),
	OBJECT("VfioTraps", HAS("offset", "int", "of a page of the BAR, or of a larger unit"),
		HAS("size", "int", "bytes"), HAS("count", "int", "accesses that were trapped")),
	ENUM("VfioBarKind", "io", "mem32", "mem64", "rom"),
	OBJECT("VfioBar", HAS("bar", "int", "0 to 5; 6 is the expansion ROM"),
		HAS("kind", "VfioBarKind", NULL), HAS("prefetchable", "bool", NULL),
		HAS("size", "int", "bytes"),
		MAY_HAVE("address", "int", "where the guest has it, while it decodes it"),
		HAS("memslots", "int", "of KVM; fewer than mapped areas: the rest is trapped"),
		HAS("areas", "[VfioArea]", "the whole BAR, piece by piece"),
		HAS("traps", "[VfioTraps]", "pages with trapped accesses, up to 64"),
		HAS("trapped", "int", "trapped accesses, all pages"),
		HAS("refused", "int", "of those, refused by the device or the kernel")),
	ENUM("VfioStage", "new", "attached", "realized", "plugged", "requested", "guest-released",
		"fenced", "closed"),
	ENUM("VfioIrqMode", "off", "intx", "msi", "msix"),
	OBJECT("VfioInterrupts", HAS("mode", "VfioIrqMode", "what the guest turned on"),
		HAS("vectors", "int", "that it could use in this mode"),
		HAS("armed", "int", "those the host has one for; a masked one stays armed"),
		HAS("connected", "int", "those KVM delivers by itself; the others are masked"),
		HAS("pending", "int", "those that came while they were masked"),
		HAS("set-irqs", "int", "calls of VFIO_DEVICE_SET_IRQS so far"),
		HAS("masked", "int", "times that one was masked so far"),
		HAS("held", "int", "interrupts that came while masked so far"),
		HAS("failures", "int", "what the kernel refused so far")),
	OBJECT("VfioDeviceInfo", HAS("id", "str", NULL),
		HAS("host", "str", "address or sysfs folder"), HAS("bus", "str", NULL),
		HAS("slot", "int", NULL), HAS("function", "int", NULL),
		HAS("stage", "VfioStage", "of plug and unplug"),
		HAS("backend", "str", "'group' or 'iommufd'"),
		MAY_HAVE("group", "int", "IOMMU group; -1: none"),
		MAY_HAVE("container", "int", "number of its DMA address space"),
		MAY_HAVE("mapped-bytes", "int", "guest memory mapped for its DMA"),
		HAS("worker", "str", "the thread that serves it"),
		HAS("memslots", "int", "of KVM, that its BARs take"),
		HAS("reset", "str", "how it was last reset: 'flr', 'pm', 'bus', ... or 'none'"),
		HAS("denied-writes", "int", "to config space, by the guest; they changed nothing"),
		HAS("quarantined", "bool",
			"did not come back from a reset: the guest sees no device"),
		MAY_HAVE("error", "VfioSeverity", "the last one the device reported"),
		MAY_HAVE("last-error", "str", NULL),
		HAS("bars", "[VfioBar]", "while it is plugged"),
		HAS("interrupts", "VfioInterrupts", NULL)),
	OBJECT("VfioMapping", HAS("container", "int", "number of the DMA address space"),
		HAS("backend", "str", "'type1v2' or 'iommufd'"),
		HAS("iova", "int", "address that devices use"), HAS("size", "int", "bytes"),
		HAS("ram", "bool", "guest memory"),
		MAY_HAVE("host", "str", "else: the host device whose BAR it is")),

	OBJECT("ObjectPropertyInfo", HAS("name", "str", NULL), HAS("type", "str", NULL),
		MAY_HAVE("description", "str", NULL), MAY_HAVE("default-value", "any", NULL)),
	OBJECT("FdInfo", HAS("fd", "int", NULL), MAY_HAVE("opaque", "str", NULL)),
	OBJECT("FdsetInfo", HAS("fdset-id", "int", NULL), HAS("fds", "[FdInfo]", NULL)),
	OBJECT("AddFdInfo", HAS("fdset-id", "int", NULL), HAS("fd", "int", NULL)),

	ENUM("SchemaMetaType", "builtin", "enum", "array", "object", "command", "event"),
	OBJECT("SchemaInfoMember", HAS("name", "str", NULL), HAS("type", "str", NULL),
		MAY_HAVE("default", "any", "null: the member is optional")),
	OBJECT("SchemaInfoEnumMember", HAS("name", "str", NULL)),
	OBJECT("SchemaInfo", HAS("name", "str", NULL), HAS("meta-type", "SchemaMetaType", NULL),
		MAY_HAVE("json-type", "str", "builtin"), MAY_HAVE("values", "[str]", "enum"),
		MAY_HAVE("element-type", "str", "array"),
		MAY_HAVE("members", "[any]", "object, enum"),
		MAY_HAVE("arg-type", "str", "command, event"),
		MAY_HAVE("ret-type", "str", "command"), MAY_HAVE("allow-oob", "bool", "command")),

	/* events */
	ENUM("ShutdownCause", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal",
		"guest-shutdown", "guest-reset", "guest-panic"),
	OBJECT("ShutdownData", HAS("guest", "bool", "asked by the guest"),
		HAS("reason", "ShutdownCause", NULL)),
	OBJECT("DeviceData", MAY_HAVE("device", "str", "id"), HAS("path", "str", NULL)),
	OBJECT("UnplugErrorData", MAY_HAVE("device", "str", "id"), HAS("path", "str", NULL),
		HAS("stage", "str", "where the unplug stands still")),
	ENUM("VfioSeverity", "nonfatal", "fatal", "lost", "unknown"),
	ENUM("VfioOnError", "stop", "unplug", "reset", "report"),
	OBJECT("VfioErrorData", HAS("device", "str", "id"), HAS("path", "str", NULL),
		HAS("severity", "VfioSeverity", "lost: it does not answer after a reset"),
		HAS("action", "VfioOnError", "what is done about it")),
	{ .name = NULL },
};

const struct qmp_command qmp_commands[] = {
	{ .name = "qmp_capabilities",
		.args = "QmpCapabilities",
		.fn = qmp_cmd_capabilities,
		.doc = "The first command of every client; no other is taken before." },
	{ .name = "query-version",
		.returns = "VersionInfo",
		.fn = qmp_cmd_query_version,
		.doc = "The program's version." },
	{ .name = "query-commands",
		.returns = "[CommandInfo]",
		.fn = qmp_cmd_query_commands,
		.doc = "Every command there is." },
	{ .name = "query-events",
		.returns = "[EventInfo]",
		.fn = qmp_cmd_query_events,
		.doc = "Every event there is." },
	{ .name = "query-qmp-schema",
		.returns = "[SchemaInfo]",
		.fn = qmp_cmd_query_schema,
		.doc = "Commands, events and types, as QEMU describes its own." },
	{ .name = "query-status",
		.returns = "StatusInfo",
		.fn = qmp_cmd_query_status,
		.doc = "Does the guest run?" },
	{ .name = "query-name",
		.returns = "NameInfo",
		.fn = qmp_cmd_query_name,
		.doc = "The machine's name." },
	{ .name = "query-uuid",
		.returns = "UuidInfo",
		.fn = qmp_cmd_query_uuid,
		.doc = "The machine's UUID." },
	{ .name = "query-kvm",
		.returns = "KvmInfo",
		.fn = qmp_cmd_query_kvm,
		.doc = "KVM is always in use." },
	{ .name = "query-machines",
		.returns = "[MachineInfo]",
		.fn = qmp_cmd_query_machines,
		.doc = "The machine types there are." },
	{ .name = "query-target",
		.returns = "TargetInfo",
		.fn = qmp_cmd_query_target,
		.doc = "The guest's architecture." },
	{ .name = "query-cpus",
		.returns = "[CpuInfo]",
		.fn = qmp_cmd_query_cpus,
		.doc = "The vCPUs, in the words of QEMU before 6.0." },
	{ .name = "query-cpus-fast",
		.returns = "[CpuInfoFast]",
		.fn = qmp_cmd_query_cpus_fast,
		.doc = "The vCPUs and their threads." },
	{ .name = "query-pci",
		.returns = "[PciInfo]",
		.fn = qmp_cmd_query_pci,
		.doc = "The PCI devices as the guest has set them up." },
	{ .name = "query-vfio",
		.returns = "[VfioDeviceInfo]",
		.fn = qmp_cmd_query_vfio,
		.doc = "The passed-through devices: where they stand, how they are reached." },
	{ .name = "query-vfio-mappings",
		.returns = "[VfioMapping]",
		.fn = qmp_cmd_query_vfio_mappings,
		.doc = "What passed-through devices' DMA reaches: guest memory, each other's "
		       "BARs." },
	{ .name = "device-list-properties",
		.args = "DeviceListProperties",
		.returns = "[ObjectPropertyInfo]",
		.fn = qmp_cmd_device_list_properties,
		.enodev_class = true,
		.doc = "The properties of a device type." },
	{ .name = "stop", .fn = qmp_cmd_stop, .doc = "Stops all vCPUs." },
	{ .name = "cont", .fn = qmp_cmd_cont, .doc = "Lets the vCPUs run." },
	{ .name = "system_reset",
		.fn = qmp_cmd_system_reset,
		.doc = "Resets the machine, passed-through devices included." },
	{ .name = "system_powerdown",
		.fn = qmp_cmd_system_powerdown,
		.doc = "Presses the power button." },
	{ .name = "quit",
		.fn = qmp_cmd_quit,
		.doc = "Ends the program; devices are reset and given back." },
	{ .name = "device_add",
		.args = "DeviceAdd",
		.open_args = true,
		.fn = qmp_cmd_device_add,
		.doc = "Plugs a device in. Every property of -device is an argument. The reply "
		       "comes "
		       "when the guest has been told, or everything has been taken back. A file "
		       "descriptor given by fd is the device's, and closed if the command fails." },
	{ .name = "device_del",
		.args = "DeviceDel",
		.fn = qmp_cmd_device_del,
		.enodev_class = true,
		.doc = "Asks the guest to let go of a device and takes it out. The reply comes "
		       "after "
		       "DEVICE_DELETED: the device's last file descriptor is closed, the host may "
		       "have it. If the guest does not let go within the device's unplug-timeout, "
		       "the "
		       "reply is an error and the device stays." },
	{ .name = "getfd",
		.args = "FdName",
		.fn = qmp_cmd_getfd,
		.doc = "Names the file descriptor that was sent along (SCM_RIGHTS). The name is "
		       "this "
		       "client's, and goes with it." },
	{ .name = "closefd",
		.args = "FdName",
		.fn = qmp_cmd_closefd,
		.doc = "Closes a named file descriptor." },
	{ .name = "add-fd",
		.args = "AddFd",
		.returns = "AddFdInfo",
		.fn = qmp_cmd_add_fd,
		.doc = "Puts the file descriptor that was sent along into a set." },
	{ .name = "remove-fd",
		.args = "RemoveFd",
		.fn = qmp_cmd_remove_fd,
		.doc = "Closes a set, or one file descriptor of it." },
	{ .name = "query-fdsets",
		.returns = "[FdsetInfo]",
		.fn = qmp_cmd_query_fdsets,
		.doc = "The sets of file descriptors." },
	{ .name = NULL },
};

const struct qmp_event_type qmp_events[] = {
	{ MACHINE_SHUTDOWN, "SHUTDOWN", "ShutdownData", "The machine has ended." },
	{ MACHINE_POWERDOWN, "POWERDOWN", NULL, "The power button was pressed." },
	{ MACHINE_RESET, "RESET", "ShutdownData", "The machine was reset." },
	{ MACHINE_STOP, "STOP", NULL, "The vCPUs stand still." },
	{ MACHINE_RESUME, "RESUME", NULL, "The vCPUs run again." },
	{ MACHINE_DEVICE_DELETED, "DEVICE_DELETED", "DeviceData",
		"A device is gone: its last file descriptor is closed." },
	{ MACHINE_DEVICE_UNPLUG_GUEST_ERROR, "DEVICE_UNPLUG_GUEST_ERROR", "UnplugErrorData",
		"An unplug did not get on within its deadline." },
	{ MACHINE_VFIO_DEVICE_ERROR, "VFIO_DEVICE_ERROR", "VfioErrorData",
		"A passed-through device reported an error (AER), or was lost in a reset." },
	{ .name = NULL },
};
