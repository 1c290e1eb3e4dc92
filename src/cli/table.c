/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - every option there is. Help, man page, docs/cli.md and suggestions are read from it. */
#include "cli.h"

static const char *const only_none[] = { "none", NULL };

#define FIELD(member) .offset = offsetof(struct config, member)

const char *const group_titles[GROUPS] = {
	[GROUP_MACHINE] = "The machine",
	[GROUP_BOOT] = "What it boots",
	[GROUP_DEVICE] = "Devices",
	[GROUP_CONSOLE] = "Console",
	[GROUP_QMP] = "Management (QMP)",
	[GROUP_PROCESS] = "The process",
	[GROUP_HELP] = "Help",
	[GROUP_IGNORED] = "Accepted for the sake of scripts; they change nothing here",
};

const struct option options[] = {
	{ "machine", "q35[,accel=kvm]", GROUP_MACHINE, true, opt_machine,
		.help = "The kind of machine; q35, a PCI Express machine, is the only one and the "
			"default." },
	{ "M", "q35", GROUP_MACHINE, true, opt_machine, .help = NULL },
	{ "cpu", "host", GROUP_MACHINE, false, opt_cpu,
		.help = "The vCPUs are like the host's CPUs, with all features that KVM offers." },
	{ "smp", "N|cpus=N[,sockets=N][,cores=N][,threads=N]", GROUP_MACHINE, false, opt_smp,
		.help = "Number of vCPUs, 1 (default) to 64, and how they are grouped: sockets * "
			"cores * threads is the number of CPUs; what is left out is computed." },
	{ "m", "SIZE", GROUP_MACHINE, false, opt_memory,
		.help = "Guest memory, in MiB or with suffix K, M, G or T; at least 128M, 512M by "
			"default." },
	{ "mem-path", "PATH", GROUP_MACHINE, false, opt_string,
		.help = "Take guest memory from a file in this folder, such as a hugetlbfs mount.",
		FIELD(mem_path) },
	{ "mem-prealloc", NULL, GROUP_MACHINE, true, opt_flag,
		.help = "Touch all guest memory before the guest starts.", FIELD(mem_prealloc) },
	{ "name", "NAME|guest=NAME", GROUP_MACHINE, false, opt_name,
		.help = "The guest's name, as QMP's query-name says." },
	{ "uuid", "UUID", GROUP_MACHINE, false, opt_uuid,
		.help = "The guest's UUID, in its SMBIOS and by QMP's query-uuid." },

	{ "kernel", "FILE", GROUP_BOOT, false, opt_string,
		.help = "The kernel: a Linux bzImage, or an ELF file with a PVH entry or a "
			"Multiboot header.",
		FIELD(kernel) },
	{ "initrd", "FILE", GROUP_BOOT, false, opt_string,
		.help = "The initial RAM disk; for a Multiboot kernel its modules, "
			"'FILE ARGUMENTS,FILE ARGUMENTS'.",
		FIELD(initrd) },
	{ "append", "TEXT", GROUP_BOOT, false, opt_string, .help = "The kernel's command line.",
		FIELD(append), .may_be_empty = true },

	{ "device", "TYPE[,PROPERTY=VALUE]...", GROUP_DEVICE, true, opt_device,
		.help = "Adds a device. '-device help' lists the types, '-device TYPE,help' a "
			"type's properties. A comma in a value is written twice." },
	{ "object", "iommufd,id=ID[,fd=FD]", GROUP_DEVICE, true, opt_object,
		.help = "Makes /dev/iommu, or an fd open on it, known by a name. Devices with "
			"'iommufd=ID' are reached through it and not through their group's node. "
			"'-object TYPE,help' lists a type's properties." },
	{ "global", "TYPE.PROPERTY=VALUE", GROUP_DEVICE, true, opt_global,
		.help = "Changes a property's default for all devices of a type, hot-plugged ones "
			"included.",
		.may_be_empty = true },

	{ "serial", "stdio|none|null|file:PATH|unix:PATH|unix:fd=FD[,server=on[,wait=off]]",
		GROUP_CONSOLE, false, opt_serial,
		.help = "Where the serial port (ttyS0) leads: this terminal (Ctrl-A X quits), "
			"nowhere (none: the default), a file, or a unix socket. With 'server=on' "
			"it "
			"is listened on, and the guest waits for the first client unless "
			"'wait=off' "
			"is given; without, it is connected to. 'unix:fd=FD' is a socket that is "
			"open already, listening or connected." },
	{ "nographic", NULL, GROUP_CONSOLE, true, opt_nographic,
		.help = "Same as '-serial stdio' unless -serial is given." },

	{ "qmp", "unix:PATH|unix:fd=FD|tcp:ADDRESS:PORT,server=on,wait=off", GROUP_QMP, true,
		opt_qmp,
		.help = "Serves QMP on a socket; may be repeated. Without 'wait=off' the guest "
			"starts when the first client has connected. Whoever can connect controls "
			"the machine. 'fd=FD' is a listening socket that is handed over. 'server' "
			"and "
			"'nowait' may be written for 'server=on' and 'wait=off'." },
	{ "chardev", "socket,id=ID,path=PATH|fd=FD|host=ADDR,port=PORT,server=on,wait=off",
		GROUP_QMP, true, opt_chardev, .help = "A socket that -mon refers to." },
	{ "mon", "chardev=ID,mode=control", GROUP_QMP, true, opt_mon,
		.help = "Serves QMP on a -chardev; both together are the same as -qmp." },

	{ "S", NULL, GROUP_PROCESS, true, opt_flag,
		.help = "Do not start the guest: QMP's 'cont' does.", FIELD(freeze) },
	{ "no-reboot", NULL, GROUP_PROCESS, true, opt_flag, .help = "End when the guest reboots.",
		FIELD(no_reboot) },
	{ "no-shutdown", NULL, GROUP_PROCESS, true, opt_flag,
		.help = "Stay, with the guest stopped, when it powers off; QMP's 'quit' ends.",
		FIELD(no_shutdown) },
	{ "daemonize", NULL, GROUP_PROCESS, true, opt_flag,
		.help = "Go on in the background; returns when the guest has started, or with the "
			"error.",
		FIELD(daemonize) },
	{ "pidfile", "FILE", GROUP_PROCESS, false, opt_string,
		.help = "Write the process id to a file, locked while the process lives and "
			"removed at its end.",
		FIELD(pidfile) },
	{ "D", "LOGFILE", GROUP_PROCESS, false, opt_string,
		.help = "Append messages to a file instead of standard error.", FIELD(log_file) },
	{ "disable-seccomp", NULL, GROUP_PROCESS, true, opt_flag,
		.help = "Run without system call filters; for debugging only.", FIELD(no_seccomp) },

	{ "help", NULL, GROUP_HELP, true, opt_help, .help = "This text." },
	{ "h", NULL, GROUP_HELP, true, opt_help, .help = NULL },
	{ "help-man", NULL, GROUP_HELP, true, opt_help_man, .help = NULL },
	{ "help-markdown", NULL, GROUP_HELP, true, opt_help_markdown, .help = NULL },
	{ "version", NULL, GROUP_HELP, true, opt_version, .help = "The version." },

	{ "accel", "kvm", GROUP_IGNORED, true, opt_accel, .help = "Guests always run on KVM." },
	{ "enable-kvm", NULL, GROUP_IGNORED, true, opt_ignore, .help = "Likewise." },
	{ "nodefaults", NULL, GROUP_IGNORED, true, opt_ignore,
		.help = "There are no default devices." },
	{ "no-user-config", NULL, GROUP_IGNORED, true, opt_ignore,
		.help = "There are no configuration files." },
	{ "display", "none", GROUP_IGNORED, true, opt_ignore, .help = "There is no display.",
		.values = only_none },
	{ "vga", "none", GROUP_IGNORED, true, opt_ignore, .help = "Likewise.",
		.values = only_none },
	{ "monitor", "none", GROUP_IGNORED, true, opt_ignore,
		.help = "There is no human monitor; see -qmp.", .values = only_none },
	{ "parallel", "none", GROUP_IGNORED, true, opt_ignore, .help = "There is no parallel port.",
		.values = only_none },
	{ "net", "none", GROUP_IGNORED, true, opt_ignore, .help = "There is no emulated network.",
		.values = only_none },
	{ "nic", "none", GROUP_IGNORED, true, opt_ignore, .help = "Likewise.",
		.values = only_none },
	{ "no-hpet", NULL, GROUP_IGNORED, true, opt_ignore, .help = "There is no HPET." },
	{ "no-fd-bootchk", NULL, GROUP_IGNORED, true, opt_ignore,
		.help = "There is no floppy drive." },
	{ "boot", "...", GROUP_IGNORED, true, opt_ignore, .help = "There is no firmware." },
	{ "rtc", "base=utc", GROUP_IGNORED, true, opt_rtc, .help = "The clock shows UTC." },
	{ "overcommit", "mem-lock=on|off,cpu-pm=on|off", GROUP_IGNORED, true, opt_overcommit,
		.help = "Memory that a device can reach is pinned in any case." },
	{ "sandbox", "on,...", GROUP_IGNORED, true, opt_ignore,
		.help = "System call filters are on; see -disable-seccomp." },
	{ "msg", "timestamp=on|off", GROUP_IGNORED, true, opt_ignore,
		.help = "Messages in a -D file have one." },
	{ "realtime", "mlock=on|off", GROUP_IGNORED, true, opt_ignore, .help = "See -overcommit." },
	{ 0 },
};

#define NO_DISKS "no disks are emulated: pass a device through with -device vfio-pci"
#define NO_NET "no network is emulated: pass a device through with -device vfio-pci"
#define NO_SCREEN "there is no display: use -serial"

const struct refused refused_options[] = {
	{ "bios", "there is no firmware: a kernel is started directly with -kernel" },
	{ "pflash", "there is no firmware: a kernel is started directly with -kernel" },
	{ "no-acpi", "the machine needs ACPI to describe itself" },
	{ "drive", NO_DISKS },
	{ "blockdev", NO_DISKS },
	{ "hda", NO_DISKS },
	{ "hdb", NO_DISKS },
	{ "hdc", NO_DISKS },
	{ "hdd", NO_DISKS },
	{ "cdrom", NO_DISKS },
	{ "fda", NO_DISKS },
	{ "fdb", NO_DISKS },
	{ "virtfs", NO_DISKS },
	{ "netdev", NO_NET },
	{ "vnc", NO_SCREEN },
	{ "spice", NO_SCREEN },
	{ "numa", "guest memory is one node" },
	{ "usb", "no USB is emulated: pass a host controller through with -device vfio-pci" },
	{ "incoming", "physical devices cannot migrate" },
	{ "snapshot", NO_DISKS },
	{ "gdb", "there is no debugger stub" },
	{ "s", "there is no debugger stub" },
	{ "runas", "start the program as the user it shall run as" },
	{ "chroot", "start the program where it shall run" },
	{ "readconfig", "there are no configuration files" },
	{ 0 },
};
