/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_attach.c - attach and detach on a fake kernel: what is shared, what is refused and how
 * it is told, and that nothing stays behind whichever call fails.
 */
#define PORTCULLIS_FAULTS /* a copy of sys.c of its own, that can be made to fail */
#include "../../src/base/sys.c"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "vfio_fixture.h"

#define DEV_A "0000:1a:00.0"
#define DEV_B "0000:1a:00.1" /* same group as A */
#define DEV_C "0000:1b:00.0"

static struct vfio_fixture vfio;

static int setup(void **state)
{
	static const struct fixture_card cards[] = {
		{ DEV_A, 12, false },
		{ DEV_B, 12, false },
		{ DEV_C, 13, false },
	};
	static const uint64_t segments[][2] = { { 0, 3ull << 30 }, { 4ull << 30, 5ull << 28 } };

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 3, NULL);
	vfio_fixture_ram(&vfio, 0, segments, 2);
	return 0;
}

static int attach(const char *bdf, struct vfio_attachment **out)
{
	return vfio_fixture_attach(&vfio, bdf, out, &vfio.err);
}

static void test_attach_detach(void **state)
{
	struct vfio_attachment *a = NULL;
	unsigned fds = fake_process_fds();

	(void)state;
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio_attachment_group(a), 12);
	assert_says(a->facts.device.path, "/bus/pci/devices/" DEV_A);
	assert_string_equal(vfio_attachment_backend(a), "type1v2");
	assert_int_equal((unsigned)vfio_attachment_io(a)->fd & FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE);
	assert_int_equal(fake_process_fds(), fds + 3);
	assert_int_equal(vfio.fake.kvm_adds, 1);
	vfio_detach(a);
	assert_int_equal(fake_process_fds(), fds);
	assert_true(fake_vfio_idle(&vfio.fake));
	vfio_detach(NULL);
}

static void test_same_device_twice(void **state)
{
	struct vfio_attachment *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_A, &b), -EEXIST);
	assert_says(vfio.err.text, "'" DEV_A "' is already part of this machine");
	vfio_detach(a);
	/* Once given back it may come again. */
	assert_int_equal(attach(DEV_A, &b), 0);
	vfio_detach(b);
}

static void test_group_and_container_shared(void **state)
{
	struct vfio_attachment *a, *b, *c;

	(void)state;
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_B, &b), 0);
	assert_int_equal(attach(DEV_C, &c), 0);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_GROUP), 2);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_CONTAINER), 1);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_DEVICE), 3);
	assert_int_equal(vfio.fake.kvm_adds, 2);
	vfio_detach(a);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_GROUP), 2);
	vfio_detach(b);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_GROUP), 1);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_CONTAINER), 1);
	vfio_detach(c);
}

static void test_incompatible_groups(void **state)
{
	struct vfio_attachment *a, *c;

	(void)state;
	vfio.fake.devices[2].iommu = 1;
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_C, &c), 0);
	assert_int_equal(fake_vfio_open_fds(&vfio.fake, FAKE_FD_CONTAINER), 2);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), vfio.ram.layout.size);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 2 * vfio.ram.layout.size);
	vfio_detach(a);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), vfio.ram.layout.size);
	vfio_detach(c);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

static void test_not_viable(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	fake_vfio_set_driver(&vfio.fake, DEV_B, "e1000e");
	fake_vfio_device(&vfio.fake, "0000:00:01.0", 12, "pcieport");
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(vfio.err.text, "group 12");
	assert_says(vfio.err.text, "not viable");
	assert_says(vfio.err.text, DEV_A " (vfio-pci)");
	assert_says(vfio.err.text, DEV_B " (e1000e)");
	assert_says(vfio.err.text, "0000:00:01.0 (pcieport)");
	/* A bridge with its own driver, and a device without one, are no obstacle. */
	fake_vfio_set_driver(&vfio.fake, DEV_B, NULL);
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_detach(a);
}

static void test_viable_is_one_bit(void **state)
{
	struct vfio_attachment *a, *b;

	(void)state;
	/* The second device of a group finds VIABLE and CONTAINER_SET. */
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(attach(DEV_B, &b), 0);
	vfio_detach(b);
	vfio_detach(a);
}

static void test_group_node(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.open_error = EBUSY;
	assert_int_equal(attach(DEV_A, &a), -EBUSY);
	assert_says(vfio.err.text, "another process or VMM");
	assert_says(vfio.err.text, "/vfio/12");
	vfio.fake.open_error = EACCES;
	assert_int_equal(attach(DEV_A, &a), -EACCES);
	assert_says(vfio.err.text, "/vfio/12'");
	assert_says(vfio.err.text, "owner 0:0, mode 0644");
	assert_says(vfio.err.text, "uid 1001");
	assert_says(vfio.err.hint, "chown 1001 ");
	vfio.fake.open_error = 0;
	fake_vfio_unlink(&vfio.fake, "dev/vfio/12");
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(vfio.err.text, "/vfio/12' does not exist");
	assert_says(vfio.err.hint, "modprobe vfio-pci");
}

static void test_container_refusals(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.no_type1 = true;
	assert_int_equal(attach(DEV_A, &a), -ENODEV);
	assert_says(vfio.err.text, "no available IOMMU models");
	assert_says(vfio.err.hint, "modprobe vfio_iommu_type1");
	vfio.fake.no_type1 = false;
	vfio.fake.set_iommu_error = EPERM;
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(vfio.err.text, "interrupt remapping");
	fake_vfio_file(&vfio.fake, "sys/kernel/iommu_groups/12/reserved_regions",
		"0x00000000cb000000 0x00000000cb7fffff direct\n");
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	assert_says(vfio.err.text, "RMRR");
	assert_says(vfio.err.text, "0xcb000000-0xcb7fffff");
	vfio.fake.set_iommu_error = ENOMEM;
	assert_int_equal(attach(DEV_A, &a), -ENOMEM);
	vfio.fake.set_iommu_error = 0;
	vfio.fake.api_version = 1;
	assert_int_equal(attach(DEV_A, &a), -ENOTSUP);
	assert_says(vfio.err.text, "API version 1");
	vfio.fake.api_version = 0;
	fake_vfio_unlink(&vfio.fake, "dev/vfio/vfio");
	assert_int_equal(attach(DEV_A, &a), -ENOENT);
	assert_says(vfio.err.hint, "modprobe vfio");
}

static void test_unsafe_interrupts(void **state)
{
	struct vfio_pci_options options = { .host = { .set = true, .bus = 0x1a },
		.allow_unsafe_interrupts = true };
	char path[200];
	struct vfio_pci_options mediated = { .sysfsdev = path };
	struct vfio_attachment *a;

	(void)state;
	fake_vfio_file(&vfio.fake, "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
		"Y\n");
	assert_int_equal(attach(DEV_A, &a), -EPERM);
	role_enter_worker();
	assert_int_equal(vfio_attach(vfio.context, &options, -1, NULL, &a, &vfio.err), 0);
	vfio_detach(a);
	/* A mediated device sends none. */
	fake_vfio_device(&vfio.fake, "83b8f4f2-0001", 14, "vfio_mdev");
	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/83b8f4f2-0001", vfio.fake.sysfs);
	assert_int_equal(vfio_attach(vfio.context, &mediated, -1, NULL, &a, &vfio.err), 0);
	vfio_detach(a);
}

static void test_busy_device(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.busy = 3;
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio.fake.slept_ms, 150);
	vfio_detach(a);
	vfio.fake.busy = 1000;
	assert_int_equal(attach(DEV_A, &a), -EAGAIN);
	assert_says(vfio.err.text, "cannot open '" DEV_A "'");
	assert_true(vfio.fake.slept_ms <= 2000);
}

static void test_without_error_object(void **state)
{
	struct vfio_pci_options options = { .host = { .set = true, .bus = 0x1a } };
	struct vfio_attachment *a;

	(void)state;
	role_enter_worker();
	fake_vfio_set_driver(&vfio.fake, DEV_B, "e1000e");
	assert_int_equal(vfio_attach(vfio.context, &options, -1, NULL, &a, NULL), -EPERM);
	vfio.fake.open_error = EBUSY;
	assert_int_equal(vfio_attach(vfio.context, &options, -1, NULL, &a, NULL), -EBUSY);
}

static void test_constraints(void **state)
{
	struct dma_limits constraints;
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.ranges[0] = (struct range){ 0, 0xfedfffff };
	vfio.fake.ranges[1] = (struct range){ 0xfef00000, (1ull << 39) - 1 };
	vfio.fake.n_ranges = 2;
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_attachment_dma_limits(a, &constraints);
	assert_int_equal(constraints.n_usable, 2);
	assert_int_equal(constraints.usable[1].start, 0xfef00000);
	assert_int_equal(constraints.usable[1].end, (1ull << 39) - 1);
	assert_int_equal(constraints.n_reserved, 1);
	assert_int_equal(constraints.reserved[0].start, 0xfee00000);
	vfio_detach(a);
	vfio.fake.n_ranges = 0;
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_attachment_dma_limits(a, &constraints);
	assert_int_equal(constraints.n_usable, 0);
	vfio_detach(a);
	/* More ranges than are kept. */
	for (unsigned i = 0; i < FAKE_RANGES_MAX; i++)
		vfio.fake.ranges[i] = (struct range){ i << 20, (i << 20) + 0xfff };
	vfio.fake.n_ranges = FAKE_RANGES_MAX;
	assert_int_equal(attach(DEV_A, &a), 0);
	vfio_attachment_dma_limits(a, &constraints);
	assert_int_equal(constraints.n_usable, VFIO_USABLE_MAX);
	vfio_detach(a);
}

/* RAM is laid out already: a device whose limits it breaks is refused before anything is mapped. */
static void test_hot_plugged_constraints(void **state)
{
	struct vfio_attachment *a, *c;

	(void)state;
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	fake_vfio_file(&vfio.fake, "sys/kernel/iommu_groups/13/reserved_regions",
		"0x0000000040000000 0x0000000040000fff reserved\n");
	assert_int_equal(attach(DEV_C, &c), -ERANGE);
	assert_says(vfio.err.text, "0x0-0xbfffffff overlaps 0x40000000-0x40000fff");
	assert_says(vfio.err.text, "group 13 of '" DEV_C "'");
	fake_vfio_file(&vfio.fake, "sys/kernel/iommu_groups/13/reserved_regions", "");
	vfio.fake.ranges[0] = (struct range){ 0, 0xfedfffff };
	vfio.fake.n_ranges = 1;
	assert_int_equal(attach(DEV_C, &c), -ERANGE);
	assert_says(vfio.err.text, "0x100000000-0x14fffffff is out of reach for '" DEV_C "'");
	assert_says(vfio.err.text, "0x0-0xfedfffff");
	vfio.fake.ranges[1] = (struct range){ 0xfef00000, 0xffffffff };
	/* RAM may lie across ranges that touch. */
	vfio.fake.ranges[2] = (struct range){ 0x100000000, 0x120000000 };
	vfio.fake.ranges[3] = (struct range){ 0x120000001, 0x1ffffffff };
	vfio.fake.n_ranges = 4;
	assert_int_equal(attach(DEV_C, &c), 0);
	vfio_detach(c);
	vfio_detach(a);
}

static int run_attach_cycle(void)
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
	/* Failure is a warning. */
	if (ret == 0)
		vfio_fixture_p2p_map(c, 0xd0000000);
	vfio_detach(a);
	vfio_detach(c);
	return ret;
}

static void fault_loop(void)
{
	vfio_context_set_ram(vfio.context, &vfio.ram);
	/*
	 * Failing calls of the way back are not noticed, so look whether the way there was covered.
	 */
	assert_true(vfio_fixture_faults(&vfio, run_attach_cycle) > 15);
}

static void test_faults(void **state)
{
	static const int errors[] = { EIO, ENOMEM, EINVAL, EPERM, EBUSY, ENODEV };

	(void)state;
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		vfio.fake.fail_errno = errors[i];
		fault_loop();
	}
}

static void test_faults_two_containers(void **state)
{
	(void)state;
	vfio.fake.devices[2].iommu = 1;
	fault_loop();
}

/* The same one level below: opening and reading sysfs fails, or no fd number is left. */
static void test_sys_faults(void **state)
{
	unsigned fds = fake_process_fds(), failed = 0;
	int ret = -1;

	(void)state;
	vfio_context_set_ram(vfio.context, &vfio.ram);
	for (unsigned long n = 1; ret < 0; n++) {
		sys_fail_nth(n);
		ret = run_attach_cycle();
		sys_fail_nth(0);
		failed += ret < 0;
		assert_int_equal(fake_process_fds(), fds);
		assert_true(fake_vfio_idle(&vfio.fake));
		assert_true(n < 1000);
	}
	assert_true(failed > 5); /* sys_fail_nth() does something */
}

/* All numbers for device fds are taken: an error, and the fd from the kernel is closed. */
static void test_zone_full(void **state)
{
	struct vfio_attachment *a;
	int fds[FD_ZONE_DEVICE_COUNT];
	unsigned open;

	(void)state;
	for (int i = 0; i < FD_ZONE_DEVICE_COUNT; i++) {
		fds[i] = sys_fd_move(sys_open("/dev/null", 0, 0), FD_ZONE_DEVICE);
		assert_true(fds[i] >= 0);
	}
	open = fake_process_fds();
	assert_int_equal(attach(DEV_A, &a), -EMFILE);
	assert_int_equal(fake_process_fds(), open);
	for (int i = 0; i < FD_ZONE_DEVICE_COUNT; i++)
		sys_close(fds[i]);
}

static void test_many_cycles(void **state)
{
	unsigned fds = fake_process_fds(), capacity = 0;
	struct vfio_attachment *a, *c;

	(void)state;
	vfio_context_set_ram(vfio.context, &vfio.ram);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(attach(DEV_A, &a), 0);
		assert_int_equal(attach(DEV_C, &c), 0);
		assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
		if (!capacity)
			capacity = a->container->ledger.capacity;
		assert_int_equal(a->container->ledger.capacity, capacity);
		vfio_detach(i % 2 ? a : c);
		vfio_detach(i % 2 ? c : a);
	}
	assert_int_equal(fake_process_fds(), fds);
	assert_int_equal(attach(DEV_A, &a), 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(attach(DEV_C, &c), 0);
		vfio_detach(c);
	}
	assert_int_equal(a->container->ledger.capacity, 2 * VFIO_DEVICE_MAPS);
	vfio_detach(a);
}

/* x-expect: checked before anything is opened; opening alone resets a device. */
static void test_resizable(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	fake_vfio_file(&vfio.fake, "sys/bus/pci/devices/" DEV_A "/resource1_resize", "1c0\n");
	fake_vfio_file(&vfio.fake, "sys/bus/pci/devices/" DEV_A "/resource4_resize", "1c0\n");
	assert_int_equal(attach(DEV_A, &a), 0);
	assert_int_equal(vfio_attachment_resizable(a), 1 << 1 | 1 << 4);
	vfio_detach(a);
}

static void test_expect(void **state)
{
	static const struct {
		const char *expect, *says;
	} cases[] = {
		{ "8086:10d3", NULL },
		{ "8086:10d3:1af4:0001", NULL },
		{ "8086:10d3:1af4:1", NULL },
		{ "8086:10d4", "'" DEV_A "' is 8086:10d3:1af4:0001, not 8086:10d4" },
		{ "8087:10d3", "not 8087:10d3" },
		{ "8086:10d3:1af4:2", "not 8086:10d3:1af4:0002" },
		{ "8086:10d3:1af5:1", "not 8086:10d3:1af5:0001" },
	};

	(void)state;
	role_enter_worker();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfio_pci_options options = vfio_fixture_options(DEV_A);
		struct vfio_attachment *a = NULL;
		unsigned long calls = vfio.fake.calls;
		int ret;

		assert_int_equal(parse_pci_ids(cases[i].expect, &options.expect), 0);
		ret = vfio_attach(vfio.context, &options, -1, NULL, &a, &vfio.err);
		if (cases[i].says) {
			assert_int_equal(ret, -ENODEV);
			assert_says(vfio.err.text, cases[i].says);
			assert_says(vfio.err.hint, "lspci");
			assert_int_equal(vfio.fake.calls, calls);
		} else {
			assert_int_equal(ret, 0);
			vfio_detach(a);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, vfio_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_attach_detach),
		CASE(test_expect),
		CASE(test_resizable),
		CASE(test_same_device_twice),
		CASE(test_group_and_container_shared),
		CASE(test_incompatible_groups),
		CASE(test_not_viable),
		CASE(test_viable_is_one_bit),
		CASE(test_group_node),
		CASE(test_container_refusals),
		CASE(test_unsafe_interrupts),
		CASE(test_busy_device),
		CASE(test_without_error_object),
		CASE(test_constraints),
		CASE(test_hot_plugged_constraints),
		CASE(test_faults),
		CASE(test_faults_two_containers),
		CASE(test_sys_faults),
		CASE(test_zone_full),
		CASE(test_many_cycles),
	};

	return cmocka_run_group_tests_name("vfio_attach", tests, NULL, NULL);
}
