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

#include <portcullis/sys.h>

#include "vfio_fixture.h"

#define DEV_A "0000:1a:00.0"
#define DEV_B "0000:1a:00.1" /* same group as A */
#define DEV_C "0000:1b:00.0"

static struct vfio_fixture vfio;

static int setup(void **state)
{
	static const struct fixture_card cards[] = {
		{ DEV_A, 12, true },
		{ DEV_B, 12, true },
		{ DEV_C, 13, true },
	};
	static const uint64_t segments[][2] = { { 0, 3ull << 30 } };

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 3, NULL);
	vfio_fixture_ram(&vfio, 1 << 30, segments, 1);
	return 0;
}

static char id_text[] = "iommufd0";

static int add_object(const char *id, int fd)
{
	return vfio_fixture_add_iommufd(&vfio, id, fd);
}

static int del_object(const char *id)
{
	role_enter_main();
	int fd = -1, ret = vfio_context_del_iommufd(vfio.context, id, &fd, &vfio.err);

	if (!ret && fd >= 0)
		vfio.fake.host.ops->close(&vfio.fake.host, fd);
	return ret;
}

static int attach_fd(const char *bdf, int fd, struct vfio_attachment **out)
{
	struct vfio_pci_options options = { .device.addr = -1 };

	role_enter_worker();
	if (bdf)
		options = vfio_fixture_options(bdf);
	options.iommufd = id_text;
	return vfio_attach(vfio.context, &options, fd, NULL, out, &vfio.err);
}

static int attach(const char *bdf, struct vfio_attachment **out)
{
	return attach_fd(bdf, -1, out);
}

static int open_node(const char *node)
{
	char path[200];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", vfio.fake.dev, node);
	fd = vfio.fake.host.ops->open(&vfio.fake.host, path);
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
	assert_int_equal(vfio.fake.kvm_adds, 2);
	assert_ptr_equal(a->container, c->container);
	vfio_detach(a);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_IOMMUFD), 1);
	vfio_detach(c);
	/* Nobody needs /dev/iommu any more. */
	assert_int_equal(fake_process_fds(), fds);
}

static void test_ram(void **state)
{
	struct vfio_attachment *a, *c;
	struct dma_limits constraints;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	vfio.fake.ranges[0] = (struct range){ 0, 0xfedfffff };
	vfio.fake.ranges[1] = (struct range){ 0xfef00000, (1ull << 39) - 1 };
	vfio.fake.n_ranges = 2;
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_attachment_dma_limits(a, &constraints);
	assert_int_equal(constraints.n_usable, 2);
	assert_int_equal(constraints.usable[0].end, 0xfedfffff);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_true(fake_vfio_mapped(&vfio.fake, 0, 3ull << 30, vfio.ram.layout.segment[0].hva));
	/* The second device finds memory pinned already. */
	assert_int_equal(attach(DEV_C, &c), 0);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(vfio.fake.maps, 3);
	vfio_fixture_p2p_map(c, 0xd0000000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 4);
	vfio_detach(a);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 4);
	vfio_detach(c);
	assert_int_equal(vfio.fake.maps, vfio.fake.unmaps);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

static void test_more_ranges_than_room(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	for (unsigned i = 0; i < FAKE_RANGES_MAX; i++)
		vfio.fake.ranges[i] = (struct range){ i << 20, (i << 20) + 0xfff };
	vfio.fake.n_ranges = FAKE_RANGES_MAX;
	assert_int_equal(a->container->ops->refresh(a->container, &vfio.err), 0);
	assert_int_equal(a->container->n_usable, VFIO_USABLE_MAX);
	assert_int_equal(
		a->container->usable[VFIO_USABLE_MAX - 1].start, (VFIO_USABLE_MAX - 1) << 20);
	vfio.fake.n_ranges = 0;
	assert_int_equal(a->container->ops->refresh(a->container, &vfio.err), 0);
	assert_int_equal(a->container->n_usable, 1);
	vfio_detach(a);
}

static void test_objects(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(vfio.err.text, "'iommufd0'");
	assert_says(vfio.err.hint, "-object iommufd,id=iommufd0");
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(add_object("iommufd0", -1), -EEXIST);
	assert_int_equal(add_object("two", -1), 0);
	assert_int_equal(del_object("three"), -ENOENT);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(del_object("two"), 0);
	assert_int_equal(del_object("iommufd0"), -EBUSY);
	assert_says(vfio.err.text, "'iommufd0' is in use, can not be deleted (by 1 device)");
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
	fd = open_node("iommu");
	assert_int_equal(add_object("iommufd0", fd), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_IOMMUFD), 1);
	vfio_detach(a);
	/* It is the object's, and cannot be opened again. */
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_IOMMUFD), 1);
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
	assert_says(vfio.err.text, "belongs to '" DEV_A "', not to '" DEV_C "'");
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
	assert_string_equal(a->facts.device.name, DEV_C);
	vfio_detach(a);
	assert_int_equal(attach_fd(NULL, 9999, &a), -EBADF);
	assert_says(vfio.err.text, "fd 9999");
	fd = open_node("iommu");
	assert_int_equal(attach_fd(NULL, fd, &a), -ENOENT);
	assert_int_equal(fake_process_fds(), fds);
}

static void test_fd_needs_iommufd(void **state)
{
	struct vfio_pci_options options = { .host = { .set = true, .bus = 0x1a } };
	unsigned fds = fake_process_fds();
	struct vfio_attachment *a;

	(void)state;
	role_enter_worker();
	assert_int_equal(vfio_attach(vfio.context, &options, open_node("vfio/devices/vfio0"), NULL,
				 &a, &vfio.err),
		-EINVAL);
	assert_says(vfio.err.text, "'fd' needs 'iommufd'");
	assert_int_equal(fake_process_fds(), fds);
}

static void test_refusals(void **state)
{
	struct vfio_attachment *a, *b;
	int fd;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	vfio.fake.set_iommu_error = EPERM;
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(vfio.err.text, "interrupt remapping");
	vfio.fake.set_iommu_error = EADDRINUSE;
	assert_int_equal(attach(DEV_A, &a), -EADDRINUSE);
	vfio.fake.set_iommu_error = 0;
	fake_vfio_set_driver(&vfio.fake, DEV_B, "e1000e");
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(vfio.err.text, DEV_B " (e1000e)");
	fake_vfio_set_driver(&vfio.fake, DEV_B, "vfio-pci");
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_A, &b), -EEXIST);
	vfio_detach(a);
	fake_vfio_unlink(&vfio.fake, "dev/iommu");
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(vfio.err.text, "/iommu' does not exist");
	assert_says(vfio.err.hint, "modprobe iommufd");
	assert_says(vfio.err.hint, "CONFIG_IOMMUFD");
	/* Something else under the number. */
	assert_int_equal(del_object("iommufd0"), 0);
	fd = open_node("vfio/devices/vfio2");
	assert_int_equal(add_object("iommufd0", fd), 0);
	assert_int_equal(attach(DEV_A, &a), -EBADFD);
	assert_says(vfio.err.text, "of iommufd 'iommufd0' is not open on /dev/iommu");
}

/* A node without a device that has it: the group's kernel is too old. */
static void test_no_cdev(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	fake_vfio_device(&vfio.fake, "0000:1c:00.0", 14, "vfio-pci");
	assert_int_equal(attach("0000:1c:00.0", &a), -ENOENT);
	assert_says(vfio.err.hint, "Linux 6.6");
}

/* Legacy and IOMMUFD devices side by side: two address spaces, both with RAM. */
static void test_mixed(void **state)
{
	struct vfio_pci_options legacy = { .host = { .set = true, .bus = 0x1b } };
	struct vfio_attachment *a, *c;

	(void)state;
	role_enter_worker();
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio_attach(vfio.context, &legacy, -1, NULL, &c, &vfio.err), 0);
	assert_ptr_not_equal(a->container, c->container);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 2 * vfio.ram.layout.size);
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
		ret = vfio_attachment_map_ram(a, &vfio.err);
	if (ret == 0)
		ret = attach(DEV_C, &c);
	if (ret == 0)
		ret = vfio_attachment_map_ram(c, &vfio.err);
	vfio_detach(a);
	vfio_detach(c);
	assert_int_equal(vfio.context->iommufds->users, 0);
	return ret;
}

static void test_faults(void **state)
{
	(void)state;
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_true(vfio_fixture_faults(&vfio, run_cycle) > 12);
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

		vfio.fake.fail_at = 0;
		fd = open_node("vfio/devices/vfio0");
		vfio.fake.calls = 0;
		vfio.fake.fail_at = n;
		ret = attach_fd(DEV_A, fd, &a);
		assert_int_equal(fake_process_fds(), ret < 0 ? fds : fds + 2);
		assert_string_equal(vfio.fake.violation, "");
	}
	vfio_detach(a);
	assert_int_equal(fake_process_fds(), fds);
}

/* Opening gets no further than the ROM: the fd was the device's already. */
static void test_no_rom(void **state)
{
	unsigned fds = fake_process_fds();
	struct vfio_pci_options *options;
	struct vfio_pci *dev;
	void *object;

	(void)state;
	assert_int_equal(add_object("iommufd0", -1), 0);
	assert_int_equal(props_new(&vfio_pci_type, &object), 0);
	options = object;
	options->device.id = strdup("a");
	options->iommufd = strdup(id_text);
	options->romfile = strdup("/nowhere/rom");
	options->fd = open_node("vfio/devices/vfio0");
	assert_int_equal(vfio_pci_new(&dev, vfio.context, options, NULL, NULL, &vfio.err), 0);
	role_enter_worker();
	assert_int_not_equal(vfio_pci_open(dev, &vfio.err), 0);
	assert_says(vfio.err.text, "/nowhere/rom");
	assert_int_equal(fake_process_fds(), fds);
	vfio_pci_free(dev);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, vfio_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_attach),
		CASE(test_ram),
		CASE(test_more_ranges_than_room),
		CASE(test_objects),
		CASE(test_given_iommufd),
		CASE(test_given_device),
		CASE(test_fd_needs_iommufd),
		CASE(test_no_rom),
		CASE(test_refusals),
		CASE(test_no_cdev),
		CASE(test_mixed),
		CASE(test_faults),
		CASE(test_faults_given_device),
	};

	return cmocka_run_group_tests_name("vfio_iommufd", tests, NULL, NULL);
}
