/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - the config object: release at any stage, absolute paths, device defaults. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/process.h>
#include <portcullis/root_port.h>
#include <portcullis/vfio.h>

#include "cmdline_fixture.h"

static void release_of_nothing(void **state)
{
	struct config config;

	(void)state;
	config_init(&config);
	config_release(&config);
	config_release(&config);
}

/* The machine moves options out of a config; what is left is released all the same. */
static void release_without_options(void **state)
{
	struct cmdline c;
	void *options;

	(void)state;
	cmdline_parse(&c, "-kernel k -device vfio-pci,id=a,host=1:0.0 -device pcie-root-port,id=b");
	assert_int_equal(c.ret, 0);
	options = c.config.devices[0].options;
	c.config.devices[0].options = NULL;
	cmdline_release(&c);
	props_free(&vfio_pci_type, options, NULL);
}

/* Numbers on the command line are ours to close once somebody has looked that they are. */
static void fds_are_closed_when_they_are_ours(void **state)
{
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char line[128];

	(void)state;
	snprintf(line, sizeof(line),
		"-kernel k -object iommufd,id=i,fd=%d -device vfio-pci,id=a,host=1:0.0,iommufd=i",
		fd);
	for (int ours = 0; ours < 2; ours++) {
		struct cmdline c;

		cmdline_parse(&c, line);
		assert_int_equal(c.ret, 0);
		if (ours)
			assert_int_equal(inherited_take(&c.config, &c.err), 0);
		cmdline_release(&c);
		assert_int_equal(fcntl(fd, F_GETFD) >= 0, !ours);
	}
}

static void paths_of_what_is_removed_become_absolute(void **state)
{
	struct cmdline c;

	(void)state;
	cmdline_parse(&c,
		"-kernel k -initrd /boot/i -append rel -mem-path m -serial unix:s "
		"-qmp unix:q,server -qmp tcp:127.0.0.1:1,server -pidfile p -D l -daemonize");
	assert_int_equal(c.ret, 0);
	assert_int_equal(config_make_absolute(&c.config, "/home/me"), 0);
	assert_string_equal(c.config.kernel, "k");
	assert_string_equal(c.config.serial.path, "/home/me/s");
	assert_string_equal(c.config.qmp[0].path, "/home/me/q");
	assert_null(c.config.qmp[1].path);
	assert_string_equal(c.config.pidfile, "/home/me/p");
	cmdline_release(&c);

	cmdline_parse(&c, "-kernel k -serial unix:/s -pidfile p");
	assert_int_equal(config_make_absolute(&c.config, "/"), 0);
	assert_string_equal(c.config.serial.path, "/s");
	assert_string_equal(c.config.pidfile, "/p");
	cmdline_release(&c);
}

static void device_types_have_sane_tables(void **state)
{
	(void)state;
	assert_ptr_equal(device_type_find("vfio-pci"), &vfio_pci_type);
	assert_ptr_equal(device_type_find("pcie-root-port"), &root_port_type);
	assert_null(device_type_find("vfio"));
	assert_null(device_type_find(""));
	for (unsigned i = 0; device_types[i]; i++) {
		const struct prop *props = device_types[i]->props;
		unsigned n = 0;
		void *options = malloc(device_types[i]->size);

		assert_int_equal(props_init(device_types[i], options), 0); /* defaults are values */
		props_free(device_types[i], options, NULL);
		assert_non_null(prop_find(device_types[i], "id"));
		for (const struct prop *p = props; p->name; p++, n++) {
			assert_non_null(p->help);
			assert_ptr_equal(prop_find(device_types[i], p->name), p); /* unique */
			assert_true(p->offset < device_types[i]->size);
			assert_int_equal(p->kind == PROP_CHOICE, p->choices != NULL);
		}
		assert_true(n < 64); /* as many as "given twice" can tell apart */
	}
}

/* What QMP's device_add starts with: defaults, then -global. */
static void new_options_have_globals(void **state)
{
	const struct root_port_options *port;
	struct cmdline c;
	void *options;

	(void)state;
	cmdline_parse(&c, "-kernel k -global pcie-root-port.slot=7 -global pcie-root-port.slot=8 "
			  "-global vfio-pci.multifunction=on");
	assert_int_equal(c.ret, 0);
	assert_int_equal(device_options_new(&c.config, &root_port_type, &options, &c.err), 0);
	port = options;
	assert_int_equal(port->slot, 8);
	assert_false(port->device.multifunction);
	assert_string_equal(port->device.bus, "pcie.0");
	props_free(&root_port_type, options, NULL);
	cmdline_release(&c);
}

static void bad_global_leaves_nothing(void **state)
{
	static char driver[] = "pcie-root-port", property[] = "slot", value[] = "x";
	struct config_global global = { driver, property, value };
	struct config config = { .globals = &global, .n_globals = 1 };
	void *options = &config;
	struct err err;

	(void)state;
	assert_int_equal(device_options_new(&config, &root_port_type, &options, &err), -EINVAL);
	assert_ptr_equal(options, &config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(release_of_nothing),
		cmocka_unit_test(release_without_options),
		cmocka_unit_test(fds_are_closed_when_they_are_ours),
		cmocka_unit_test(paths_of_what_is_removed_become_absolute),
		cmocka_unit_test(device_types_have_sane_tables),
		cmocka_unit_test(new_options_have_globals),
		cmocka_unit_test(bad_global_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
