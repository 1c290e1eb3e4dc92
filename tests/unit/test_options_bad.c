/* SPDX-License-Identifier: Apache-2.0 */
/* test_options_bad.c - command lines that are wrong: the message names what, and the remedy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmdline_fixture.h"

struct bad {
	const char *line;
	const char *text; /* part of the message */
	const char *hint; /* part of the hint; NULL: whatever */
};

static void check(const struct bad *cases, size_t n, const char *before)
{
	struct cmdline c;

	for (size_t i = 0; i < n; i++) {
		char line[2048];

		assert_true((size_t)snprintf(line, sizeof(line), "%s%s", before, cases[i].line) <
			    sizeof(line));
		cmdline_parse(&c, line);
		if (c.ret == 0)
			fail_msg("accepted: %s", line);
		assert_null(c.text);
		assert_int_equal(c.err.code, -c.ret);
		if (!strstr(c.err.text, cases[i].text))
			fail_msg("%s: got '%s', wanted '%s'", line, c.err.text, cases[i].text);
		if (cases[i].hint && !strstr(c.err.hint, cases[i].hint))
			fail_msg("%s: hint is '%s', wanted '%s'", line, c.err.hint, cases[i].hint);
		cmdline_release(&c);
	}
}
#define CHECK(cases, before) check(cases, sizeof(cases) / sizeof((cases)[0]), before)

static void unknown_options(void **state)
{
	static const struct bad cases[] = {
		{ "-action panic=burn", "option '-action': 'panic=burn'",
			"pause, exit-failure or none" },
		{ "-action panick=pause", "option '-action'", "panic" },
		{ "-action pause", "option '-action'", NULL },
		{ "-action panic=pause,panic=none", "given twice", NULL },
		{ "-action", "-action", NULL },
		{ "-kernal x", "unknown option '-kernal'", "'-kernel'" },
		{ "--kernel=x", "unknown option '--kernel=x'", "-kernel x" },
		{ "-no-rebot", "unknown option '-no-rebot'", "'-no-reboot'" },
		{ "-xyzzy-plugh", "unknown option '-xyzzy-plugh'", "'-help' lists" },
		{ "disk.img", "'disk.img' is not an option", "-help" },
		{ "-", "'-' is not an option", NULL },
		{ "--", "'--' is not an option", NULL },
		{ "''", "'' is not an option", NULL },
		{ "---kernel k", "unknown option '---kernel'", NULL },
		{ "-drive file=x", "'-drive' is not supported", "no disks" },
		{ "-netdev user", "'-netdev' is not supported", "vfio-pci" },
		{ "-bios x", "'-bios' is not supported", "-kernel" },
		{ "-no-acpi", "'-no-acpi' is not supported", "ACPI" },
	};

	(void)state;
	CHECK(cases, "");
}

static void arguments(void **state)
{
	static const struct bad cases[] = {
		{ "-kernel", "'-kernel': it needs an argument: -kernel FILE", NULL },
		{ "-kernel -initrd i", "it needs an argument (-kernel FILE), but '-initrd' follows",
			NULL },
		{ "-kernel k -m", "'-m': it needs an argument", NULL },
		{ "-kernel ''", "'-kernel': its argument is empty", NULL },
		{ "-kernel k -kernel l", "'-kernel': it is given twice", NULL },
		{ "-kernel k -m 1G -m 2G", "'-m': it is given twice", NULL },
		{ "-kernel k -serial none -serial stdio", "'-serial': it is given twice", NULL },
		{ "-kernel k -serial file:a -serial unix:b", "'-serial': it is given twice", NULL },
		{ "-kernel k -serial stdio -serial nosuch", "unknown destination 'nosuch'", NULL },
		{ "-kernel k -D ''", "'-D': its argument is empty", NULL },
		{ "-kernel k -device", "'-device': it needs an argument", NULL },
	};

	(void)state;
	CHECK(cases, "");
}

static void combinations(void **state)
{
	static const struct bad cases[] = {
		{ "", "no kernel was given", "-kernel FILE" },
		{ "-initrd i", "-initrd needs -kernel", NULL },
		{ "-append a", "-append needs -kernel", NULL },
		{ "-kernel k -daemonize -serial stdio",
			"-daemonize cannot be used with -serial stdio", "file:PATH" },
		{ "-kernel k -daemonize -nographic", "-daemonize cannot be used with -nographic",
			NULL },
		{ "-kernel k -qmp unix:a,server -qmp unix:a,server",
			"two QMP servers on the same socket 'a'", NULL },
		{ "-kernel k -qmp tcp:127.0.0.1:5,server -qmp tcp:localhost:5,server",
			"two QMP servers on the same port 127.0.0.1:5", NULL },
		{ "-kernel k -qmp unix:a,server -serial unix:a,server", "the same socket 'a'",
			NULL },
	};

	(void)state;
	CHECK(cases, "");
}

static void machine_options(void **state)
{
	static const struct bad cases[] = {
		{ "-machine microvm", "unknown machine 'microvm'", "'q35'" },
		{ "-machine pc", "unknown machine 'pc'", "'q35'" },
		{ "-machine q35,accel=tcg", "'accel' can only be kvm here, not 'tcg'", NULL },
		{ "-machine q35,usb=on", "'usb' can only be off here", NULL },
		{ "-machine q35,vmprt=off", "it has no 'vmprt'", "'vmport'" },
		{ "-machine q35,type=q35", "'type' is given twice", NULL },
		{ "-machine q35,", "a word is missing", NULL },
		{ "-machine ,", "a word is missing", NULL },
		{ "-machine q35,=on", "a name is missing", NULL },
		{ "-machine q35,usb=", "'usb' has no value", NULL },
		{ "-cpu EPYC", "unknown CPU 'EPYC'", "-cpu host" },
		{ "-cpu host,+avx", "it has no '+avx'", NULL },
		{ "-cpu host,pmu=off", "it has no 'pmu'", NULL },
		{ "-accel tcg", "'accel' can only be kvm here, not 'tcg'", NULL },
		{ "-name ''", "its argument is empty", NULL },
		{ "-name guest=", "'guest' has no value", NULL },
		{ "-name x,process=y", "it has no 'process'", NULL },
		{ "-name a\x01", "control character", NULL },
		{ "-uuid 1234", "'1234' is not a UUID", NULL },
		{ "-uuid 00112233-4455-6677-8899-aabbccddeefg", "is not a UUID", NULL },
		{ "-uuid 00112233-4455-6677-8899-aabbccddeeff0", "is not a UUID", NULL },
		{ "-uuid 0011223344556677-8899-aabb-ccdd-eeff", "is not a UUID", NULL },
		{ "-rtc base=localtime", "'base' can only be utc here", NULL },
		{ "-overcommit what=on", "it has no 'what'", NULL },
		{ "-display gtk", "'gtk' is not supported, only 'none' is", "no display" },
		{ "-monitor stdio", "'stdio' is not supported", "-qmp" },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

static void memory(void **state)
{
	static const struct bad cases[] = {
		{ "-m 127", "'127' is less than the 128 MiB", NULL },
		{ "-m 0", "less than the 128 MiB", NULL },
		{ "-m 134217729B", "not a multiple of the page size", NULL },
		{ "-m 65T", "more than the 64 TiB", NULL },
		{ "-m 99999999999999999999", "more than the 64 TiB", NULL },
		{ "-m 16777216T", "more than the 64 TiB", NULL },
		{ "-m 1Q", "'1Q' is not a size", NULL },
		{ "-m 1GB", "is not a size", NULL },
		{ "-m -1", "is not a size", NULL },
		{ "-m 1.5G", "is not a size", NULL },
		{ "-m G", "is not a size", NULL },
		{ "-m 1G,slots=2,maxmem=4G", "'slots' is for memory hot plug", "-m SIZE" },
		{ "-m size=", "'size' has no value", NULL },
		{ "-m 1G,siz=2", "it has no 'siz'", "'size'" },
		{ "-m 1G,size=1G", "'size' is given twice", NULL },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

static void smp(void **state)
{
	static const struct bad cases[] = {
		{ "-smp 0", "'cpus' cannot be '0'", NULL },
		{ "-smp 4097", "4097 CPUs are more than the 4096", NULL },
		{ "-smp x", "'cpus' cannot be 'x'", NULL },
		{ "-smp -1", "'cpus' cannot be '-1'", NULL },
		{ "-smp 4,sockets=0", "'sockets' cannot be '0'", NULL },
		{ "-smp 4,sockets=3", "sockets (3) * cores (1) * threads (1) must be the number",
			NULL },
		{ "-smp 4,sockets=8", "sockets (8) * cores (0)", NULL },
		{ "-smp 4,cores=2,threads=3", "sockets (0) * cores (2) * threads (3)", NULL },
		{ "-smp 2,maxcpus=4", "maxcpus (4) must be the number of CPUs (2)", "maxcpus out" },
		{ "-smp 4,maxcpus=2", "maxcpus (2) must be", NULL },
		{ "-smp 2,maxcpus=8192", "8192 CPUs are more", NULL },
		{ "-smp 4,dies=2", "'dies' can only be 1", NULL },
		{ "-smp 4,clusters=2", "'clusters' can only be 1", NULL },
		{ "-smp 4,core=2", "it has no 'core'", "'cores'" },
		{ "-smp 2,cpus=2", "'cpus' is given twice", NULL },
		{ "-smp sockets=4294967295,cores=4294967295,threads=4294967295",
			"are more than the 4096", NULL },
		{ "-smp 4294967297", "'cpus' cannot be '4294967297'", NULL },
		{ "-smp 4,sockets=4294967295,cores=4294967295,threads=4294967295",
			"must be the number", NULL },
		/* 2^64 + 4 */
		{ "-smp 4,sockets=22324,cores=429509837,threads=1923865", "must be the number",
			NULL },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

#define LONG_PATH                                                                                  \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234"    \
	"56789012345678901234567"

static void sockets(void **state)
{
	static const struct bad cases[] = {
		{ "-serial nosuch", "unknown destination 'nosuch'", "stdio, none, null" },
		{ "-serial pty", "'pty' is not supported here", "socat" },
		{ "-serial vc:80Cx25C", "'vc:80Cx25C' is not supported", "no display" },
		{ "-serial telnet::5,server", "'telnet::5,server' is not supported", "socat" },
		{ "-serial chardev:c", "'chardev:c' is not supported", "unix:PATH" },
		{ "-serial mon:unix:s", "'mon:unix:s' is not supported", "leave 'mon:' out" },
		{ "-serial COM1", "'COM1' is not supported", "socat" },
		{ "-serial con:", "'con:' is not supported", "no display" },
		{ "-serial /dev/ttyS0", "'/dev/ttyS0' is not supported", "socat" },
		{ "-serial unix:a=b,server", "'a=b' is not KEY=VALUE", "path=PATH" },
		{ "-serial unix:server=on", "the socket's path is missing", NULL },
		{ "-serial unix:s,nowait", "'wait' is for a socket that is listened on",
			"server=on" },
		{ "-serial unix:fd=x", "fd 'x' is not the number", NULL },
		{ "-serial unix:fd=9999999999", "fd '9999999999' is not the number", NULL },
		{ "-serial unix:fd=3,path=s", "handed over (fd=3) has no path", NULL },
		{ "-serial unix:s,reconnect=1", "'reconnect=1' is not supported", "server=on" },
		{ "-qmp unix:s,server,abstract=on", "'abstract=on' is not supported", "path" },
		{ "-qmp unix:s,server,telnet=on", "'telnet=on' is not supported", "socat" },
		{ "-qmp unix:s,server,tls-creds=x", "'tls-creds=x' is not supported", "tunnel" },
		{ "-qmp unix:s,server,mux=on", "'mux=on' is not supported", "leave 'mux' out" },
		{ "-qmp tcp:127.0.0.1:5,server,to=9", "'to=9' is not supported", "one port" },
		{ "-qmp unix:fd=3", "QMP is served here", "a listening socket" },
		{ "-qmp pty", "'pty' is not supported", "unix:PATH" },
		{ "-qmp none", "'none' is not supported", "leave -qmp out" },
		{ "-qmp chardev:c", "'chardev:c' is not supported", "-mon chardev=ID" },
		{ "-qmp /run/s,server", "'/run/s,server' is not tcp:ADDRESS:PORT", NULL },
		{ "-serial file:", "the file's name is missing", NULL },
		{ "-serial unix:", "the socket's path is missing", NULL },
		{ "-serial unix:,server", "the socket's path is missing", NULL },
		{ "-serial unix:s,serve", "it has no 'serve'", "'server'" },
		{ "-serial unix:s,server=maybe", "'server' is 'on' or 'off'", NULL },
		{ "-serial unix:s,port=5", "not both", NULL },
		{ "-serial unix:" LONG_PATH "x", "longer than 107 bytes", NULL },
		{ "-serial tcp:127.0.0.1:5", "is not supported here", "socat" },
		{ "-qmp unix:a", "QMP is served here", "server=on,wait=off" },
		{ "-qmp stdio", "'stdio' is not supported here", "unix:PATH" },
		{ "-qmp tcp:127.0.0.1,server", "is not tcp:ADDRESS:PORT", NULL },
		{ "-qmp tcp::4444,server", "'' is not an IP address", "127.0.0.1" },
		{ "-qmp tcp:example.org:4444,server", "'example.org' is not an IP address", NULL },
		{ "-qmp tcp:127.0.0.1:0,server", "'0' is not a port", NULL },
		{ "-qmp tcp:127.0.0.1:65536,server", "'65536' is not a port", NULL },
		{ "-qmp tcp:127.0.0.1:,server", "'' is not a port", NULL },
		{ "-qmp tcp:127.0.0.1:5,server,nowait,x", "it has no 'x'", NULL },
		{ "-chardev pty,id=c", "kind 'pty' is not supported here", "socket,id=ID" },
		{ "-chardev id=c,path=x", "its kind comes first", NULL },
		{ "-chardev socket,path=x,server", "it needs an id", NULL },
		{ "-chardev socket,id=c,server", "needs a path, an fd, or a host and a port",
			NULL },
		{ "-chardev socket,id=c,host=127.0.0.1,server", "needs a port", NULL },
		{ "-chardev socket,id=c,path=x,host=127.0.0.1", "not both", NULL },
		{ "-chardev socket,id=0c,path=x", "an id starts with a letter", NULL },
		{ "-chardev socket,id=c,path=x,server", "nothing uses chardev 'c'",
			"-mon chardev=c" },
		{ "-chardev socket,id=c,path=x -chardev socket,id=c,path=y", "id 'c' is used twice",
			NULL },
		{ "-mon chardev=c,mode=control,id=1m", "id '1m': an id starts with a letter",
			NULL },
		{ "-mon chardev=c,mode=control", "no -chardev with id 'c'", NULL },
		{ "-mon chardev=c", "it is -mon chardev=ID,mode=control", NULL },
		{ "-mon chardev=c,mode=readline", "mode 'readline' does not exist", NULL },
		{ "-chardev socket,id=c,path=x,server -mon c,mode=control -mon c,mode=control",
			"chardev 'c' has a monitor already", NULL },
		{ "-chardev socket,id=c,path=x -mon c,mode=control", "QMP is served here", NULL },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

static void devices(void **state)
{
	static const struct bad cases[] = {
		{ "-device vfio-pcie,id=x", "unknown device type 'vfio-pcie'", "'vfio-pci'" },
		{ "-device virtio-balloon-pci", "unknown device type", "there are: vfio-pci" },
		{ "-device ,id=x", "unknown device type ''", NULL },
		{ "-device {\"driver\":\"vfio-pci\"}", "not given as JSON", NULL },
		{ "-device vfio-pci", "vfio-pci needs 'id'", NULL },
		{ "-device vfio-pci,host=00:01.0", "vfio-pci needs 'id'", NULL },
		{ "-device vfio-pci,id=a,hots=00:01.0", "vfio-pci has no property 'hots'",
			"'host'" },
		{ "-device vfio-pci,id=a,host=banana", "property 'host' cannot be 'banana'", NULL },
		{ "-device vfio-pci,id=a,host=00:01.8", "property 'host' cannot be", NULL },
		{ "-device vfio-pci,id=a,addr=0x20", "property 'addr' cannot be '0x20'", NULL },
		{ "-device vfio-pci,id=a,addr", "property 'addr' needs a value", NULL },
		{ "-device vfio-pci,id=a,addr=", "property 'addr' cannot be ''", NULL },
		{ "-device vfio-pci,id=a,id=b", "property 'id' is given twice", NULL },
		{ "-device vfio-pci,id=,host=00:01.0", "property 'id' cannot be ''", NULL },
		{ "-device vfio-pci,id=1a,host=00:01.0", "starts with a letter", NULL },
		{ "-device vfio-pci,id=a,,b", "starts with a letter", NULL },
		{ "-device vfio-pci,id=a,=b", "a property name is missing", NULL },
		{ "-device vfio-pci,id=a,multifunction=2", "it is 'on' or 'off'", NULL },
		{ "-device vfio-pci,id=a,host=1:0.0 -device vfio-pci,id=a,host=2:0.0",
			"id 'a' is used twice", NULL },
		{ "-device vfio-pci,id=a,host=1:0.0 -device vfio-pci,id=b,host=0000:01:00.0",
			"host device 0000:01:00.0 is given twice", NULL },
		{ "-device pcie-root-port,id=pcie.0", "the name of the root bus", NULL },
		{ "-global nosuch.x=1", "unknown device type 'nosuch'", NULL },
		{ "-global vfio-pci.nosuch=1", "vfio-pci has no property 'nosuch'", NULL },
		{ "-global vfio-pci.multifunction=perhaps", "'multifunction' cannot be 'perhaps'",
			NULL },
		{ "-global vfio-pci.id=a", "'id' names one device", NULL },
		{ "-global vfio-pci.host=01:00.0", "'host' names one device", NULL },
		{ "-global vfio-pci", "is not TYPE.PROPERTY=VALUE", NULL },
		{ "-global vfio-pci=on", "is not TYPE.PROPERTY=VALUE", NULL },
		{ "-global .x=on", "is not TYPE.PROPERTY=VALUE", NULL },
		{ "-global vfio-pci.=on", "is not TYPE.PROPERTY=VALUE", NULL },
		{ "-global vfio-pci.addr=", "property 'addr' cannot be ''", NULL },
		{ "-global ''", "is not TYPE.PROPERTY=VALUE", NULL },
		{ "-global driver=,property=addr,value=1", "unknown device type ''", NULL },
		{ "-global vfio-pci.fd=7", "'fd' names one device", NULL },
		{ "-global vfio-pci.sysfsdev=/sys/x", "'sysfsdev' names one device", NULL },
		{ "-global driver=vfio-pci,property=addr", "it is driver=DRIVER", NULL },
		{ "-global driver=vfio-pci,prop=addr", "it has no 'prop'", NULL },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

static void objects(void **state)
{
	static const struct bad cases[] = {
		{ "-object iommfd,id=x", "unknown object type 'iommfd'", "'iommufd'" },
		{ "-object rng-random,id=x", "unknown object type", "there are: iommufd" },
		{ "-object {\"qom-type\":\"iommufd\"}", "not given as JSON",
			"-object TYPE,property=value" },
		{ "-object iommufd", "iommufd needs 'id'", NULL },
		{ "-object iommufd,id=a,fd=", "property 'fd' cannot be ''", NULL },
		{ "-object iommufd,id=a,ioas=1", "iommufd has no property 'ioas'",
			"'-object iommufd,help'" },
		{ "-object iommufd,id=1a", "starts with a letter", NULL },
	};

	(void)state;
	CHECK(cases, "-kernel k ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_options),
		cmocka_unit_test(arguments),
		cmocka_unit_test(combinations),
		cmocka_unit_test(machine_options),
		cmocka_unit_test(memory),
		cmocka_unit_test(smp),
		cmocka_unit_test(sockets),
		cmocka_unit_test(devices),
		cmocka_unit_test(objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
