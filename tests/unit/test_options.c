/* SPDX-License-Identifier: Apache-2.0 */
/* test_options.c - command lines that are right, and what they mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/root_port.h>
#include <portcullis/version.h>
#include <portcullis/vfio.h>

#include "cmdline_fixture.h"

/* Parses a line that must be right. */
static void good(struct cmdline *c, const char *line)
{
	cmdline_parse(c, line);
	if (c->ret != 0)
		fail_msg("%s: %s", line, c->err.text);
	assert_null(c->text);
}

static void defaults(void **state)
{
	struct cmdline c;

	(void)state;
	good(&c, "-kernel vmlinuz");
	assert_string_equal(c.config.kernel, "vmlinuz");
	assert_null(c.config.initrd);
	assert_null(c.config.append);
	assert_int_equal(c.config.cpus, 1);
	assert_int_equal(c.config.ram_size, 512 << 20);
	assert_int_equal(c.config.serial.kind, SERIAL_NONE);
	assert_false(c.config.daemonize || c.config.freeze || c.config.no_reboot ||
		     c.config.no_shutdown || c.config.no_seccomp || c.config.mem_prealloc);
	assert_int_equal(c.config.n_devices + c.config.n_qmp + c.config.n_globals, 0);
	cmdline_release(&c);
}

static void actions(void **state)
{
	struct cmdline c;

	(void)state;
	good(&c,
		"-kernel k -action panic=pause,reboot=shutdown -action shutdown=pause,watchdog=reset");
	assert_int_equal(c.config.panic_action, PANIC_PAUSE);
	assert_true(c.config.no_reboot && c.config.no_shutdown);
	cmdline_release(&c);
	/* The last one counts. */
	good(&c, "-kernel k -no-reboot -no-shutdown -action panic=none "
		 "-action reboot=reset,shutdown=poweroff,panic=exit-failure");
	assert_int_equal(c.config.panic_action, PANIC_EXIT_FAILURE);
	assert_false(c.config.no_reboot || c.config.no_shutdown);
	cmdline_release(&c);
	good(&c, "-kernel k");
	assert_int_equal(c.config.panic_action, PANIC_SHUTDOWN);
	cmdline_release(&c);
}

static void strings_and_switches(void **state)
{
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k --initrd i -append console=ttyS0~quiet -mem-path /dev/hugepages "
		 "-mem-prealloc -pidfile p -D log -daemonize -S -no-reboot --no-shutdown "
		 "-disable-seccomp -name web -uuid 00112233-4455-6677-8899-AABBccddeeff");
	assert_string_equal(c.config.initrd, "i");
	assert_string_equal(c.config.append, "console=ttyS0 quiet");
	assert_string_equal(c.config.mem_path, "/dev/hugepages");
	assert_string_equal(c.config.pidfile, "p");
	assert_string_equal(c.config.log_file, "log");
	assert_string_equal(c.config.name, "web");
	assert_true(c.config.mem_prealloc);
	assert_true(c.config.daemonize);
	assert_true(c.config.freeze);
	assert_true(c.config.no_reboot);
	assert_true(c.config.no_shutdown);
	assert_true(c.config.no_seccomp);
	assert_true(c.config.uuid.set);
	for (unsigned i = 0; i < UUID_SIZE; i++)
		assert_int_equal(c.config.uuid.byte[i], i * 0x11);
	cmdline_release(&c);
}

static void empty_append_is_allowed(void **state)
{
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k -append ''");
	assert_string_equal(c.config.append, "");
	cmdline_release(&c);
}

static void names(void **state)
{
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k -name guest=a,,b,debug-threads=on");
	assert_string_equal(c.config.name, "a,b");
	cmdline_release(&c);
}

static void overcommit(void **state)
{
	static const struct {
		const char *line;
		bool on;
	} rows[] = {
		{ "-kernel k", false },
		{ "-kernel k -overcommit cpu-pm=on", true },
		{ "-kernel k -overcommit mem-lock=on,cpu-pm=on", true },
		{ "-kernel k -overcommit cpu-pm=on -overcommit mem-lock=on", true },
		{ "-kernel k -overcommit cpu-pm=on -overcommit cpu-pm=off", false },
	};
	struct cmdline c;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		good(&c, rows[i].line);
		assert_int_equal(c.config.cpu_pm, rows[i].on);
		cmdline_release(&c);
	}
}

/* Each of them changes nothing. */
static void without_meaning(void **state)
{
	static const char *const lines[] = { "-machine q35", "-machine type=q35,accel=kvm",
		"-machine accel=kvm -machine q35,usb=off,dump-guest-core=off,mem-share=on",
		"-M pc-q35-7.2,kernel_irqchip=on,vmport=off,smm=off,hpet=off,acpi=on", "-cpu host",
		"-cpu max,migratable=off", "-accel kvm", "-accel kvm,kernel-irqchip=on",
		"-enable-kvm",
		"-nodefaults -no-user-config -display none -vga none -monitor none -parallel none",
		"-net none -nic none -no-hpet -no-fd-bootchk -boot strict=on",
		"-rtc base=utc,clock=host", "-overcommit mem-lock=off,cpu-pm=off",
		"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-msg timestamp=on", "-realtime mlock=off" };
	struct cmdline plain, c;

	(void)state;
	good(&plain, "-kernel k");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[256] = "-kernel k ";

		good(&c, strcat(line, lines[i]));
		free(c.config.kernel);
		c.config.kernel = plain.config.kernel;
		assert_memory_equal(&c.config, &plain.config, sizeof(c.config));
		c.config.kernel = NULL;
		cmdline_release(&c);
	}
	cmdline_release(&plain);
}

static void memory(void **state)
{
	static const struct {
		const char *line;
		uint64_t bytes;
	} cases[] = { { "-m 1024", 1ull << 30 }, { "-m 128", 128ull << 20 },
		{ "-m 2G", 2ull << 30 }, { "-m size=3g", 3ull << 30 }, { "-m 1T", 1ull << 40 },
		{ "-m 131072K", 128ull << 20 }, { "-m 134221824B", 134221824 },
		{ "-m 0x100", 256ull << 20 }, { "-m 64T", 64ull << 40 } };
	struct cmdline c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[64] = "-kernel k ";

		good(&c, strcat(line, cases[i].line));
		assert_int_equal(c.config.ram_size, cases[i].bytes);
		cmdline_release(&c);
	}
}

static void smp(void **state)
{
	static const struct {
		const char *line;
		unsigned cpus, sockets, cores, threads;
	} cases[] = { { "-smp 1", 1, 1, 1, 1 }, { "-smp 4", 4, 1, 4, 1 },
		{ "-smp 64", 64, 1, 64, 1 }, { "-smp cpus=8,sockets=2", 8, 2, 4, 1 },
		{ "-smp 8,cores=2", 8, 4, 2, 1 }, { "-smp 8,threads=2", 8, 1, 4, 2 },
		{ "-smp 8,sockets=2,cores=2", 8, 2, 2, 2 },
		{ "-smp sockets=2,cores=3,threads=2", 12, 2, 3, 2 }, { "-smp cores=6", 6, 1, 6, 1 },
		{ "-smp 8,sockets=2,cores=2,threads=2,maxcpus=8", 8, 2, 2, 2 },
		{ "-smp maxcpus=4", 4, 1, 4, 1 }, { "-smp 4,dies=1,clusters=1", 4, 1, 4, 1 },
		{ "-smp 0x10", 16, 1, 16, 1 },
		{ "-smp 3,sockets=3,cores=1,threads=1", 3, 3, 1, 1 } };
	struct cmdline c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[128] = "-kernel k ";

		good(&c, strcat(line, cases[i].line));
		assert_int_equal(c.config.cpus, cases[i].cpus);
		assert_int_equal(c.config.sockets, cases[i].sockets);
		assert_int_equal(c.config.cores, cases[i].cores);
		assert_int_equal(c.config.threads, cases[i].threads);
		cmdline_release(&c);
	}
}

static void serial(void **state)
{
	static const struct {
		const char *line;
		enum serial_kind kind;
		const char *path;
		bool server, wait;
	} cases[] = { { "-serial stdio", SERIAL_STDIO, NULL, false, false },
		{ "-serial mon:stdio", SERIAL_STDIO, NULL, false, false },
		{ "-nographic", SERIAL_STDIO, NULL, false, false },
		{ "-nographic -serial none", SERIAL_NONE, NULL, false, false },
		{ "-serial none", SERIAL_NONE, NULL, false, false },
		{ "-serial null", SERIAL_FILE, "/dev/null", false, false },
		{ "-serial file:/tmp/a,b", SERIAL_FILE, "/tmp/a,b", false, false },
		{ "-serial unix:s", SERIAL_UNIX, "s", false, false },
		{ "-serial unix:s,server", SERIAL_UNIX, "s", true, true },
		{ "-serial unix:s,server,nowait", SERIAL_UNIX, "s", true, false },
		{ "-serial unix:a,,b,server=on,wait=off", SERIAL_UNIX, "a,b", true, false },
		{ "-serial unix:path=a=b,server=on,wait=on", SERIAL_UNIX, "a=b", true, true },
		{ "-serial unix:server=on,path=s,wait=off", SERIAL_UNIX, "s", true, false },
		{ "-serial unix:,,a,server,nowait", SERIAL_UNIX, ",a", true, false },
		{ "-serial unix:fd=7,server=on,wait=off", SERIAL_FD, NULL, true, false },
		{ "-serial unix:fd=7", SERIAL_FD, NULL, false, false },
		{ "-serial unix:s,abstract=off,tight=on,reconnect=0,mux=off", SERIAL_UNIX, "s",
			false, false },
		{ "-serial unix:s,noserver", SERIAL_UNIX, "s", false, false },
		{ "-daemonize -nographic -serial none", SERIAL_NONE, NULL, false, false } };
	struct cmdline c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[128] = "-kernel k ";

		good(&c, strcat(line, cases[i].line));
		assert_int_equal(c.config.serial.kind, cases[i].kind);
		if (cases[i].path)
			assert_string_equal(c.config.serial.path, cases[i].path);
		else
			assert_null(c.config.serial.path);
		assert_int_equal(c.config.serial.server, cases[i].server);
		assert_int_equal(c.config.serial.wait, cases[i].wait);
		assert_int_equal(c.config.serial.fd, cases[i].kind == SERIAL_FD ? 7 : 0);
		cmdline_release(&c);
	}
}

static void qmp(void **state)
{
	struct cmdline c;
	const struct config_qmp *q;

	(void)state;
	good(&c, "-kernel k -qmp unix:/run/q,server,nowait -qmp tcp:127.0.0.1:4444,server "
		 "-qmp tcp:[::1]:5,server=on,wait=off "
		 "-mon chardev=c,mode=control -chardev socket,id=c,path=/run/c,server,nowait "
		 "-chardev socket,host=localhost,id=d,port=7,server=on,wait=on -mon d,mode=control "
		 "-qmp unix:fd=8,server=on,wait=off -qmp unix:path=/run/p,server=on,wait=off "
		 "-chardev socket,id=e,fd=9,server=on,wait=off -mon e,mode=control");
	assert_int_equal(c.config.n_qmp, 8);
	q = c.config.qmp;
	assert_int_equal(q[0].kind, QMP_UNIX);
	assert_string_equal(q[0].path, "/run/q");
	assert_false(q[0].wait);
	assert_int_equal(q[1].kind, QMP_TCP);
	assert_string_equal(q[1].host, "127.0.0.1");
	assert_int_equal(q[1].port, 4444);
	assert_true(q[1].wait);
	assert_string_equal(q[2].host, "::1");
	assert_int_equal(q[2].port, 5);
	assert_false(q[2].wait);
	assert_int_equal(q[3].kind, QMP_FD);
	assert_int_equal(q[3].fd, 8);
	assert_null(q[3].path);
	assert_false(q[3].wait);
	assert_string_equal(q[4].path, "/run/p");
	assert_string_equal(q[5].path, "/run/c");
	assert_false(q[5].wait);
	assert_string_equal(q[6].host, "127.0.0.1");
	assert_int_equal(q[6].port, 7);
	assert_true(q[6].wait);
	assert_int_equal(q[7].kind, QMP_FD);
	assert_int_equal(q[7].fd, 9);
	cmdline_release(&c);
}

/* The manual's commands, as written. */
static void devices(void **state)
{
	const struct root_port_options *port;
	const struct vfio_pci_options *net, *second;
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k "
		 "-device "
		 "vfio-pci,host=0000:1a:00.3,id=net,bus=pcie.0,addr=0x03.0x0,multifunction=on "
		 "-device "
		 "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1,multifunction=on "
		 "-device driver=vfio-pci,host=1a:00.4,id=second,addr=10");
	assert_int_equal(c.config.n_devices, 3);
	assert_ptr_equal(c.config.devices[0].type, &vfio_pci_type);
	assert_ptr_equal(c.config.devices[1].type, &root_port_type);
	net = c.config.devices[0].options;
	port = c.config.devices[1].options;
	second = c.config.devices[2].options;
	assert_string_equal(net->device.id, "net");
	assert_string_equal(net->device.bus, "pcie.0");
	assert_int_equal(net->device.addr, 3 << 3);
	assert_true(net->device.multifunction);
	assert_int_equal(net->host.bus, 0x1a);
	assert_int_equal(net->host.function, 3);
	assert_string_equal(port->device.id, "pcie.1");
	assert_int_equal(port->device.addr, 1 << 3);
	assert_int_equal(second->device.addr, 0x10 << 3);
	assert_false(second->device.multifunction);
	cmdline_release(&c);
}

static void objects(void **state)
{
	const struct vfio_iommufd_options *first, *second;
	const struct vfio_pci_options *device;
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k -object iommufd,id=iommufd0 -object qom-type=iommufd,fd=7,id=other "
		 "-device vfio-pci,id=a,host=1a:0.0,iommufd=iommufd0,fd=8");
	assert_int_equal(c.config.n_objects, 2);
	assert_ptr_equal(c.config.objects[0].type, &vfio_iommufd_type);
	first = c.config.objects[0].options;
	second = c.config.objects[1].options;
	device = c.config.devices[0].options;
	assert_string_equal(first->id, "iommufd0");
	assert_int_equal(first->fd, -1);
	assert_string_equal(second->id, "other");
	assert_int_equal(second->fd, 7);
	assert_string_equal(device->iommufd, "iommufd0");
	assert_int_equal(device->fd, 8);
	cmdline_release(&c);
}

/* A default for all devices of the type, wherever it stands; the device's own word wins. */
static void globals(void **state)
{
	const struct root_port_options *ports[2];
	struct cmdline c;

	(void)state;
	good(&c, "-kernel k -device pcie-root-port,id=a,addr=1 "
		 "-global pcie-root-port.native-hotplug=on "
		 "-device pcie-root-port,id=b,addr=2,native-hotplug=off "
		 "-global driver=pcie-root-port,property=fast-unplug,value=1");
	ports[0] = c.config.devices[0].options;
	ports[1] = c.config.devices[1].options;
	assert_true(ports[0]->native_hotplug);
	assert_false(ports[1]->native_hotplug);
	assert_true(ports[0]->fast_unplug);
	assert_int_equal(c.config.n_globals, 2);
	assert_string_equal(c.config.globals[0].driver, "pcie-root-port");
	assert_string_equal(c.config.globals[0].property, "native-hotplug");
	assert_string_equal(c.config.globals[0].value, "on");
	cmdline_release(&c);
}

/* romfile= means no ROM: a default for all, or one device's own word. */
static void empty_values(void **state)
{
	static const struct {
		const char *line, *romfile;
	} cases[] = { { "-device vfio-pci,id=d,host=1:0.0,romfile=", "" },
		{ "-device vfio-pci,id=d,romfile=,host=1:0.0 -global vfio-pci.romfile=x", "" },
		{ "-device vfio-pci,id=d,host=1:0.0 -global vfio-pci.romfile=", "" },
		{ "-device vfio-pci,id=d,host=1:0.0,romfile=y -global vfio-pci.romfile=", "y" },
		{ "-device vfio-pci,id=d,host=1:0.0 "
		  "-global driver=vfio-pci,property=romfile,value=",
			"" } };
	struct cmdline c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vfio_pci_options *device;
		char line[256];

		snprintf(line, sizeof(line), "-kernel k %s", cases[i].line);
		good(&c, line);
		device = c.config.devices[0].options;
		assert_non_null(device->romfile);
		assert_string_equal(device->romfile, cases[i].romfile);
		cmdline_release(&c);
	}
}

/* Texts to print instead of running: no kernel is needed, what follows is not looked at. */
static void texts(void **state)
{
	static const struct {
		const char *line, *contains;
	} cases[] = { { "-help", "-device TYPE" }, { "-h", "Examples" },
		{ "--help -nonsense", "Usage" },
		{ "-version", "portcullis " PORTCULLIS_VERSION "\n" },
		{ "--version", PORTCULLIS_VERSION }, { "-device help", "pcie-root-port" },
		{ "-device ?", "vfio-pci" }, { "-object help", "iommufd" },
		{ "-object iommufd,help", "fd=" }, { "-device vfio-pci,help", "multifunction=" },
		{ "-machine help", "q35" }, { "-device pcie-root-port,?", "native-hotplug=" },
		{ "-cpu help", "host" }, { "-accel help", "kvm" },
		{ "-kernel k -version", "portcullis" }, { "-help-man", ".SH OPTIONS" },
		{ "-help-markdown", "## -device vfio-pci" },
		{ "-help-markdown", "## -object iommufd" } };
	struct cmdline c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cmdline_parse(&c, cases[i].line);
		assert_int_equal(c.ret, 0);
		assert_non_null(c.text);
		if (!strstr(c.text, cases[i].contains))
			fail_msg("%s prints: %s", cases[i].line, c.text);
		cmdline_release(&c);
	}
}

/* A terminal is 80 columns wide. */
static void help_fits(void **state)
{
	struct cmdline c;

	(void)state;
	cmdline_parse(&c, "-help");
	for (const char *line = c.text; *line; line += strcspn(line, "\n") + 1)
		if (strcspn(line, "\n") > 80)
			fail_msg("too long: %.*s", (int)strcspn(line, "\n"), line);
	cmdline_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(strings_and_switches),
		cmocka_unit_test(actions),
		cmocka_unit_test(empty_append_is_allowed),
		cmocka_unit_test(names),
		cmocka_unit_test(overcommit),
		cmocka_unit_test(without_meaning),
		cmocka_unit_test(memory),
		cmocka_unit_test(smp),
		cmocka_unit_test(serial),
		cmocka_unit_test(qmp),
		cmocka_unit_test(devices),
		cmocka_unit_test(objects),
		cmocka_unit_test(globals),
		cmocka_unit_test(empty_values),
		cmocka_unit_test(texts),
		cmocka_unit_test(help_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
