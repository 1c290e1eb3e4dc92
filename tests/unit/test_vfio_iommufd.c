/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_iommufd.c - the IOMMUFD backend on a fake kernel: objects, device nodes, passed fds.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "../../src/vfio/context.h"
#include "fake_vfio_host.h"

#define DEV_A "0000:1a:00.0"
#define DEV_B "0000:1a:00.1" /* same group as A */
#define DEV_C "0000:1b:00.0"

static struct fake_vfio_host fake; /* too large for the stack */
static struct vfio_context *context;
static struct err err;
static struct ram ram;

static int setup(void **state)
{
	struct vfio_env env;

	(void)state;
	role_enter_worker();
	assert_int_equal(sys_fd_limit(), 0);
	fake_vfio_host_init(&fake);
	fake_vfio_device(&fake, DEV_A, 12, "vfio-pci");
	fake_vfio_device(&fake, DEV_B, 12, "vfio-pci");
	fake_vfio_device(&fake, DEV_C, 13, "vfio-pci");
	fake_vfio_cdev(&fake, DEV_A, 0);
	fake_vfio_cdev(&fake, DEV_B, 1);
	fake_vfio_cdev(&fake, DEV_C, 2);
	env = fake_vfio_env(&fake);
	assert_int_equal(vfio_context_new(&context, &env), 0);
	memset(&err, 0, sizeof(err));
	memset(&ram, 0, sizeof(ram));
	ram.page_size = 1ull << 30; /* what it is pinned in pieces of */
	ram.layout.count = 1;
	ram.layout.segment[0] = (struct ram_segment){
		.gpa = 0, .size = 3ull << 30, .hva = (uint8_t *)0x100000000000
	};
	ram.layout.size = 3ull << 30;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfio_context_free(context);
	assert_string_equal(fake.violation, "");
	assert_true(fake_vfio_idle(&fake));
	fake_vfio_host_release(&fake);
	return 0;
}

#define assert_says(text, part)                                                                    \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("'%s' does not contain '%s'", text, part);                        \
	} while (0)

static char fd_text[16], id_text[] = "iommufd0";

static int add_object(const char *id, int fd)
{
	char name[16];
	struct vfio_iommufd_options options = { .id = name, .fd = fd < 0 ? NULL : fd_text };

	role_enter_main();
	(void)snprintf(name, sizeof(name), "%s", id);
	(void)snprintf(fd_text, sizeof(fd_text), "%d", fd);
	return vfio_context_add_iommufd(context, &options, &err);
}

static int del_object(const char *id)
{
	role_enter_main();
	return vfio_context_del_iommufd(context, id, &err);
}

static int attach_fd(const char *bdf, int fd, struct vfio_attachment **out)
{
	struct vfio_pci_options options = { .addr = -1, .iommufd = id_text };

	role_enter_worker();
	(void)snprintf(fd_text, sizeof(fd_text), "%d", fd);
	if (fd >= 0)
		options.fd = fd_text;
	if (bdf) {
		assert_int_equal(parse_bdf(bdf, &options.host), 0);
		options.host.set = true;
	}
	return vfio_attach(context, &options, out, &err);
}

static int attach(const char *bdf, struct vfio_attachment **out)
{
	return attach_fd(bdf, -1, out);
}

static int open_node(const char *node)
{
	char path[200];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", fake.dev, node);
	fd = fake.host.ops->open(&fake.host, path);
	assert_true(fd >= 0);
	return fd;
}

static void test_attach(void **state)
{
	struct vfio_attachment *a, *c;
	unsigned fds = fake_process_fds();

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(fake_process_fds(), fds);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_string_equal(vfio_attachment_backend(a), "iommufd");
	assert_int_equal(vfio_attachment_group(a), 12);
	assert_int_equal((unsigned)vfio_attachment_io(a)->fd & FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE);
	assert_int_equal(fake_process_fds(), fds + 2);
	assert_int_equal(attach(DEV_C, &c), 0);
	assert_int_equal(fake_process_fds(), fds + 3);
	assert_int_equal(fake.kvm_adds, 2);
	assert_ptr_equal(a->container, c->container);
	vfio_detach(a);
	assert_int_equal(fake_vfio_open_fds(&fake, FAKE_FD_IOMMUFD), 1);
	vfio_detach(c);
	/* Nobody needs /dev/iommu any more. */
	assert_int_equal(fake_process_fds(), fds);
}

static void show_bar(struct vfio_attachment *attachment, uint64_t addr)
{
	const struct vfio_area area = { .size = 0x10000, .hva = (void *)0x7000000000 };

	(void)vfio_attachment_show_bar(attachment, 0, addr, &area, 1);
	(void)vfio_attachment_step(attachment);
}

static void test_ram(void **state)
{
	struct vfio_attachment *a, *c;
	struct vfio_constraints constraints;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	fake.ranges[0] = (struct range){ 0, 0xfedfffff };
	fake.ranges[1] = (struct range){ 0xfef00000, (1ull << 39) - 1 };
	fake.n_ranges = 2;
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_attachment_constraints(a, &constraints);
	assert_int_equal(constraints.n_usable, 2);
	assert_int_equal(constraints.usable[0].end, 0xfedfffff);
	vfio_context_set_ram(context, &ram);
	assert_int_equal(vfio_attachment_map_ram(a, &err), 0);
	assert_true(fake_vfio_mapped(&fake, 0, 3ull << 30, ram.layout.segment[0].hva));
	/* The second device finds memory pinned already. */
	assert_int_equal(attach(DEV_C, &c), 0);
	assert_int_equal(vfio_attachment_map_ram(c, &err), 0);
	assert_int_equal(fake.maps, 3);
	show_bar(c, 0xd0000000);
	assert_int_equal(fake_vfio_total_maps(&fake), 4);
	vfio_detach(a);
	assert_int_equal(fake_vfio_total_maps(&fake), 4);
	vfio_detach(c);
	assert_int_equal(fake.maps, fake.unmaps);
	assert_int_equal(vfio_context_mapped_bytes(context), 0);
}

static void test_more_ranges_than_room(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	for (unsigned i = 0; i < FAKE_RANGES_MAX; i++)
		fake.ranges[i] = (struct range){ i << 20, (i << 20) + 0xfff };
	fake.n_ranges = FAKE_RANGES_MAX;
	assert_int_equal(a->container->ops->refresh(a->container, &err), 0);
	assert_int_equal(a->container->n_usable, VFIO_USABLE_MAX);
	assert_int_equal(
		a->container->usable[VFIO_USABLE_MAX - 1].start, (VFIO_USABLE_MAX - 1) << 20);
	fake.n_ranges = 0;
	assert_int_equal(a->container->ops->refresh(a->container, &err), 0);
	assert_int_equal(a->container->n_usable, 1);
	vfio_detach(a);
}

static void test_objects(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(err.text, "'iommufd0'");
	assert_says(err.hint, "-object iommufd,id=iommufd0");
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(add_object("iommufd0", -1), -EEXIST);
	assert_int_equal(add_object("two", -1), 0);
	assert_int_equal(del_object("three"), -ENOENT);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(del_object("two"), 0);
	assert_int_equal(del_object("iommufd0"), -EBUSY);
	assert_says(err.text, "'iommufd0' is in use, can not be deleted (by 1 device)");
	vfio_detach(a);
	assert_int_equal(del_object("iommufd0"), 0);
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
}

static void test_given_iommufd(void **state)
{
	struct vfio_attachment *a;
	unsigned fds = fake_process_fds();
	int fd;

	(void)state;
	assert_int_equal(add_object("iommufd0", 2), -EINVAL);
	fd = open_node("iommu");
	assert_int_equal(add_object("iommufd0", fd), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(fake_vfio_open_fds(&fake, FAKE_FD_IOMMUFD), 1);
	vfio_detach(a);
	/* It is the object's, and cannot be opened again. */
	assert_int_equal(fake_vfio_open_fds(&fake, FAKE_FD_IOMMUFD), 1);
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_detach(a);
	assert_int_equal(del_object("iommufd0"), 0);
	assert_int_equal(fake_process_fds(), fds);
}

static void test_given_device(void **state)
{
	struct vfio_attachment *a;
	unsigned fds = fake_process_fds();
	int fd;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	fd = open_node("vfio/devices/vfio0");
	assert_int_equal(attach_fd(DEV_C, fd, &a), -EINVAL);
	assert_says(err.text, "belongs to '" DEV_A "', not to '" DEV_C "'");
	/* Closed: what was bound once could not be bound again. */
	assert_int_equal(fake_process_fds(), fds);
	fd = open_node("vfio/devices/vfio0");
	assert_int_equal(attach_fd(DEV_A, fd, &a), 0);
	assert_int_equal(fake_process_fds(), fds + 2);
	vfio_detach(a);
	assert_int_equal(fake_process_fds(), fds);
	/* Without an address: the node says which device it is. */
	fd = open_node("vfio/devices/vfio2");
	assert_int_equal(attach_fd(NULL, fd, &a), 0);
	assert_string_equal(a->device.name, DEV_C);
	vfio_detach(a);
	assert_int_equal(attach_fd(NULL, 9999, &a), -EBADF);
	assert_says(err.text, "fd 9999");
	fd = open_node("iommu");
	assert_int_equal(attach_fd(NULL, fd, &a), -ENOENT);
	assert_int_equal(fake_process_fds(), fds);
}

static void test_fd_needs_iommufd(void **state)
{
	char no[] = "five", number[16];
	struct vfio_pci_options options = { .host = { .set = true, .bus = 0x1a }, .fd = number };
	unsigned fds = fake_process_fds();
	struct vfio_attachment *a;

	(void)state;
	role_enter_worker();
	(void)snprintf(number, sizeof(number), "%d", open_node("vfio/devices/vfio0"));
	assert_int_equal(vfio_attach(context, &options, &a, &err), -EINVAL);
	assert_says(err.text, "'fd' needs 'iommufd'");
	assert_int_equal(fake_process_fds(), fds);
	options.iommufd = id_text;
	options.fd = no;
	assert_int_equal(vfio_attach(context, &options, &a, &err), -EINVAL);
	assert_says(err.text, "'five' is not the number");
}

static void test_refusals(void **state)
{
	struct vfio_attachment *a, *b;
	int fd;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	fake.set_iommu_error = EPERM;
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(err.text, "interrupt remapping");
	fake.set_iommu_error = EADDRINUSE;
	assert_int_equal(attach(DEV_A, &a), -EADDRINUSE);
	fake.set_iommu_error = 0;
	fake_vfio_set_driver(&fake, DEV_B, "e1000e");
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(err.text, DEV_B " (e1000e)");
	fake_vfio_set_driver(&fake, DEV_B, "vfio-pci");
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_A, &b), -EEXIST);
	vfio_detach(a);
	fake_vfio_unlink(&fake, "dev/iommu");
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(err.text, "/iommu' does not exist");
	assert_says(err.hint, "modprobe iommufd");
	assert_says(err.hint, "CONFIG_IOMMUFD");
	/* Something else under the number. */
	assert_int_equal(del_object("iommufd0"), 0);
	fd = open_node("vfio/devices/vfio2");
	assert_int_equal(add_object("iommufd0", fd), 0);
	assert_int_equal(attach(DEV_A, &a), -EBADFD);
	assert_says(err.text, "of iommufd 'iommufd0' is not open on /dev/iommu");
}

/* A node without a device that has it: the group's kernel is too old. */
static void test_no_cdev(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	fake_vfio_device(&fake, "0000:1c:00.0", 14, "vfio-pci");
	assert_int_equal(attach("0000:1c:00.0", &a), -ENOENT);
	assert_says(err.hint, "Linux 6.6");
}

/* Legacy and IOMMUFD devices side by side: two address spaces, both with RAM. */
static void test_mixed(void **state)
{
	struct vfio_pci_options legacy = { .host = { .set = true, .bus = 0x1b } };
	struct vfio_attachment *a, *c;

	(void)state;
	role_enter_worker();
	vfio_context_set_ram(context, &ram);
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio_attach(context, &legacy, &c, &err), 0);
	assert_ptr_not_equal(a->container, c->container);
	assert_int_equal(vfio_attachment_map_ram(a, &err), 0);
	assert_int_equal(vfio_attachment_map_ram(c, &err), 0);
	assert_int_equal(vfio_context_mapped_bytes(context), 2 * ram.layout.size);
	vfio_detach(a);
	vfio_detach(c);
}

static int run_cycle(void)
{
	struct vfio_attachment *a = NULL, *c = NULL;
	int ret;

	role_enter_worker();
	ret = attach(DEV_A, &a);
	if (ret == 0)
		ret = vfio_attachment_map_ram(a, &err);
	if (ret == 0)
		ret = attach(DEV_C, &c);
	if (ret == 0)
		ret = vfio_attachment_map_ram(c, &err);
	vfio_detach(a);
	vfio_detach(c);
	return ret;
}

static void test_faults(void **state)
{
	unsigned fds = fake_process_fds();
	int ret = -1;
	unsigned long n;

	(void)state;
	vfio_context_set_ram(context, &ram);
	assert_int_equal(add_object("iommufd0", -1), 0);
	for (n = 1; ret < 0; n++) {
		fake.calls = 0;
		fake.fail_at = n;
		ret = run_cycle();
		assert_int_equal(fake_process_fds(), fds);
		assert_true(fake_vfio_idle(&fake));
		assert_string_equal(fake.violation, "");
		assert_int_equal(vfio_context_mapped_bytes(context), 0);
		assert_int_equal(context->iommufds->users, 0);
		assert_true(n < 1000);
	}
	assert_true(n > 12);
}

/* The same with an fd of the user's: it is closed by every failure. */
static void test_faults_given_device(void **state)
{
	unsigned fds = fake_process_fds();
	struct vfio_attachment *a = NULL;
	int ret = -1;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	for (unsigned long n = 1; ret < 0; n++) {
		int fd;

		fake.fail_at = 0;
		fd = open_node("vfio/devices/vfio0");
		fake.calls = 0;
		fake.fail_at = n;
		ret = attach_fd(DEV_A, fd, &a);
		assert_int_equal(fake_process_fds(), ret < 0 ? fds : fds + 2);
		assert_string_equal(fake.violation, "");
	}
	vfio_detach(a);
	assert_int_equal(fake_process_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_attach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_ranges_than_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fd_needs_iommufd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_cdev, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mixed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults_given_device, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfio_iommufd", tests, NULL, NULL);
}
