/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_sysfs.c - the checks before anything is opened, on a tree in a temporary directory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/err.h>

#include "vfio_fixture.h"

static struct fake_vfio_host fake; /* too large for the stack */
static struct err err;

static int setup(void **state)
{
	(void)state;
	fake_vfio_host_init(&fake);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vfio_host_release(&fake);
	return 0;
}

static int find_by(
	const struct vfio_pci_options *options, const dev_t *node, struct vfio_sysfs_device *out)
{
	struct vfio_target target;
	int ret = vfio_target_set(&target, options, node, &err);

	return ret ? ret : vfio_sysfs_find(&fake.host, &target, out, &err);
}

static int find(const char *bdf, struct vfio_sysfs_device *out)
{
	const struct vfio_pci_options options = vfio_fixture_options(bdf);

	return find_by(&options, NULL, out);
}

static void test_found(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "vfio-pci");
	assert_int_equal(find("0000:1a:00.3", &device), 0);
	assert_string_equal(device.name, "0000:1a:00.3");
	assert_string_equal(device.driver, "vfio-pci");
	assert_int_equal(device.group, 12);
	assert_true(device.pci);
	assert_says(device.path, "/bus/pci/devices/0000:1a:00.3");
}

static void test_missing(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	assert_int_equal(find("0000:1a:00.3", &device), -ENODEV);
	assert_says(err.text, "no PCI device '0000:1a:00.3'");
	assert_says(err.hint, "lspci -D");
}

static void test_other_driver(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "hinic");
	assert_int_equal(find("0000:1a:00.3", &device), -EBUSY);
	assert_says(err.text, "'hinic'");
	assert_says(err.hint, "modprobe vfio-pci");
	assert_says(err.hint, "echo vfio-pci > ");
	assert_says(err.hint, "0000:1a:00.3/driver_override");
	assert_says(err.hint, "echo 0000:1a:00.3 > ");
	assert_says(err.hint, "0000:1a:00.3/driver/unbind; ");
	assert_says(err.hint, "echo 0000:1a:00.3 > /sys/bus/pci/drivers_probe");
}

static void test_no_driver(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, NULL);
	assert_int_equal(find("0000:1a:00.3", &device), -EBUSY);
	assert_says(err.text, "bound to no driver");
	assert_says(err.hint, "driver_override; echo 0000:1a:00.3 > /sys/bus/pci/drivers_probe");
	assert_null(strstr(err.hint, "unbind"));
}

/* What it would be cut down to is not its driver. */
static void test_long_link(void **state)
{
	struct vfio_sysfs_device device;
	char link[512], target[600];

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "vfio-pci");
	snprintf(link, sizeof(link), "%s/bus/pci/devices/0000:1a:00.3/driver", fake.host.sysfs);
	for (size_t len = 505; len < sizeof(target); len++) {
		memset(target, 'x', len);
		memcpy(target + len - 6, "/hinic", 6);
		target[len] = '\0';
		assert_int_equal(unlink(link), 0);
		assert_int_equal(symlink(target, link), 0);
		if (len < 512) {
			assert_int_equal(find("0000:1a:00.3", &device), -EBUSY);
			assert_says(err.text, "'hinic'");
		} else {
			assert_int_equal(find("0000:1a:00.3", &device), -ENAMETOOLONG);
		}
	}
}

static void test_variant_drivers(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "mlx5_vfio_pci");
	assert_int_equal(find("0000:1a:00.3", &device), 0);
	fake_vfio_set_driver(&fake, "0000:1a:00.3", "nvgrace");
	assert_int_equal(find("0000:1a:00.3", &device), -EBUSY);
	fake_vfio_cdev(&fake, "0000:1a:00.3", 4);
	assert_int_equal(find("0000:1a:00.3", &device), 0);
}

static void test_iommu_off(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", -1, "hinic");
	assert_int_equal(find("0000:1a:00.3", &device), -ENODEV);
	assert_says(err.text, "IOMMU is off");
	assert_says(err.hint, "intel_iommu=on");
	assert_says(err.hint, "amd_iommu=on");
	/* The IOMMU is on, but not for this device. */
	fake_vfio_device(&fake, "0000:1b:00.0", 3, "vfio-pci");
	assert_int_equal(find("0000:1a:00.3", &device), -ENODEV);
	assert_says(err.text, "in no IOMMU group");
	assert_null(strstr(err.text, "is off"));
}

static void test_noiommu(void **state)
{
	struct vfio_sysfs_device device;

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 0, "vfio-pci");
	fake_vfio_file(&fake, "sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
	assert_int_equal(find("0000:1a:00.3", &device), -ENOTSUP);
	assert_says(err.text, "no IOMMU");
	fake_vfio_file(&fake, "sys/kernel/iommu_groups/0/name", "mdev group\n");
	assert_int_equal(find("0000:1a:00.3", &device), 0);
}

static void test_sysfsdev(void **state)
{
	struct vfio_sysfs_device device;
	char path[200];
	struct vfio_pci_options options = { .sysfsdev = path };

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/83b8f4f2-0001", fake.sysfs);
	assert_int_equal(find_by(&options, NULL, &device), -ENODEV);
	assert_says(err.hint, "/sys/bus/mdev/devices");
	fake_vfio_device(&fake, "83b8f4f2-0001", 12, "vfio_mdev");
	strcat(path, "//");
	assert_int_equal(find_by(&options, NULL, &device), 0);
	assert_string_equal(device.name, "83b8f4f2-0001");
	assert_false(device.pci);
	/* As Linux 6.12 calls every group that it makes for a mediated device. */
	fake_vfio_file(&fake, "sys/kernel/iommu_groups/12/name", "vfio-noiommu\n");
	assert_int_equal(find_by(&options, NULL, &device), 0);
	options.host.set = true;
	assert_int_equal(find_by(&options, NULL, &device), -EINVAL);
	options.host.set = false;
	(void)snprintf(path, sizeof(path), "/");
	assert_int_equal(find_by(&options, NULL, &device), -EINVAL);
	(void)snprintf(path, sizeof(path), "%s", "");
	assert_int_equal(find_by(&options, NULL, &device), -EINVAL);
	options.sysfsdev = NULL;
	assert_int_equal(find_by(&options, NULL, &device), -EINVAL);
	assert_says(err.text, "'host' or 'sysfsdev'");
}

/* A kernel without CONFIG_VFIO_GROUP has no group for a mediated device, which is no danger. */
static void test_sysfsdev_without_group(void **state)
{
	struct vfio_sysfs_device device;
	char path[200], id[] = "iommufd0";
	struct vfio_pci_options options = { .sysfsdev = path };

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/83b8f4f2-0001", fake.sysfs);
	fake_vfio_device(&fake, "83b8f4f2-0001", -1, "vfio_mdev");
	assert_int_equal(find_by(&options, NULL, &device), -ENODEV);
	assert_says(err.hint, "-object iommufd");
	options.iommufd = id;
	assert_int_equal(find_by(&options, NULL, &device), 0);
	assert_int_equal(device.group, -1);
	/* A real device without group is without IOMMU, whichever way it is reached. */
	fake_vfio_device(&fake, "0000:1a:00.3", -1, "vfio-pci");
	(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:1a:00.3", fake.sysfs);
	assert_int_equal(find_by(&options, NULL, &device), -ENODEV);
}

static void test_unsafe_interrupts(void **state)
{
	static const char file[] = "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";

	(void)state;
	assert_int_equal(vfio_sysfs_check_interrupts(&fake.host, &err), 0);
	fake_vfio_file(&fake, file, "N\n");
	assert_int_equal(vfio_sysfs_check_interrupts(&fake.host, &err), 0);
	fake_vfio_file(&fake, file, "Y\n");
	assert_int_equal(vfio_sysfs_check_interrupts(&fake.host, &err), -EPERM);
	assert_says(err.text, "vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	assert_says(err.hint, "echo N > ");
	fake_vfio_file(&fake, file, "N\n");
	fake_vfio_file(&fake, "sys/module/iommufd/parameters/allow_unsafe_interrupts", "Y\n");
	assert_int_equal(vfio_sysfs_check_interrupts(&fake.host, &err), -EPERM);
	assert_says(err.text, "iommufd/parameters/allow_unsafe_interrupts");
}

static void test_reserved(void **state)
{
	struct vfio_reserved reserved[SYSFS_RESERVED_MAX];
	unsigned n;

	(void)state;
	assert_int_equal(
		vfio_reserved_parse("0x0000000000000000 0x0000000000ffffff direct-relaxable\n"
				    "0x00000000000a0000 0x00000000000bffff direct\n"
				    "0x00000000fee00000 0x00000000feefffff msi\n"
				    "0x000000fd00000000 0x000000ffffffffff reserved\n",
			reserved, &n),
		0);
	assert_int_equal(n, 3);
	assert_int_equal(reserved[0].range.start, 0xa0000);
	assert_int_equal(reserved[0].range.end, 0xbffff);
	assert_string_equal(reserved[0].type, "direct");
	assert_string_equal(reserved[1].type, "msi");
	assert_int_equal(reserved[2].range.end, 0xffffffffffull);
	assert_int_equal(vfio_reserved_parse("", reserved, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(vfio_reserved_parse("0x1000 0x1fff", reserved, &n), -EINVAL);
	assert_int_equal(vfio_reserved_parse("0x2000 0x1fff msi", reserved, &n), -EINVAL);
	assert_int_equal(vfio_reserved_parse("0x1000 0x1fff msi msi", reserved, &n), -EINVAL);
	assert_int_equal(vfio_reserved_parse("garbage\n", reserved, &n), -EINVAL);
}

static void test_reserved_file(void **state)
{
	struct vfio_reserved reserved[SYSFS_RESERVED_MAX];
	char text[8192] = "";
	unsigned n;

	(void)state;
	assert_int_equal(vfio_sysfs_reserved(&fake.host, 7, reserved, &n, &err), 0);
	assert_int_equal(n, 0);
	for (unsigned i = 0; i < SYSFS_RESERVED_MAX; i++)
		sprintf(text + strlen(text), "0x%x 0x%x msi\n", i * 0x2000, i * 0x2000 + 0xfff);
	fake_vfio_file(&fake, "sys/kernel/iommu_groups/7/reserved_regions", text);
	assert_int_equal(vfio_sysfs_reserved(&fake.host, 7, reserved, &n, &err), 0);
	assert_int_equal(n, SYSFS_RESERVED_MAX);
	strcat(text, "0xf0000000 0xffffffff msi\n");
	fake_vfio_file(&fake, "sys/kernel/iommu_groups/7/reserved_regions", text);
	assert_int_equal(vfio_sysfs_reserved(&fake.host, 7, reserved, &n, &err), -E2BIG);
	assert_says(err.text, "reserved_regions");
}

static void test_cdev(void **state)
{
	struct vfio_sysfs_device device;
	char path[SYSFS_PATH_MAX];

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "vfio-pci");
	assert_int_equal(find("0000:1a:00.3", &device), 0);
	assert_int_equal(vfio_sysfs_cdev(&fake.host, &device, path, &err), -ENOENT);
	assert_says(err.hint, "iommufd");
	fake_vfio_cdev(&fake, "0000:1a:00.3", 17);
	assert_int_equal(vfio_sysfs_cdev(&fake.host, &device, path, &err), 0);
	assert_says(path, "/dev/vfio/devices/vfio17");
}

static void test_by_node(void **state)
{
	struct vfio_pci_options options = { .device.addr = -1 };
	struct vfio_sysfs_device device;
	dev_t node = makedev(235, 17);

	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.3", 12, "vfio-pci");
	fake_vfio_device(&fake, "0000:1a:00.4", 12, "vfio-pci");
	assert_int_equal(find_by(&options, &node, &device), -ENOENT);
	fake_vfio_cdev(&fake, "0000:1a:00.3", 17);
	assert_int_equal(find_by(&options, &node, &device), 0);
	assert_string_equal(device.name, "0000:1a:00.3");
	assert_int_equal(device.group, 12);
	options.host = (struct host_bdf){ .set = true, .bus = 0x1a, .function = 3 };
	assert_int_equal(find_by(&options, &node, &device), 0);
	options.host.function = 4;
	assert_int_equal(find_by(&options, &node, &device), -EINVAL);
	assert_says(err.text, "belongs to '0000:1a:00.3', not to '0000:1a:00.4'");
}

static void memlock_files(const char *soft, const char *caps, unsigned locked_kib)
{
	char text[300];

	(void)snprintf(text, sizeof(text),
		"Limit                     Soft Limit           Hard Limit           Units\n"
		"Max processes             1                    1                    processes\n"
		"Max locked memory         %-20s 8388608              bytes\n",
		soft);
	fake_vfio_file(&fake, "proc/limits", text);
	(void)snprintf(text, sizeof(text), "Name:\tVmLck: 9\nVmLck:\t%8u kB\nCapEff:\t%s\n",
		locked_kib, caps);
	fake_vfio_file(&fake, "proc/status", text);
}

static int memlock_check(const char *counter, uint64_t bytes)
{
	const struct vfio_lookup lookup = vfio_lookup_direct(&fake.host);

	return vfio_memlock_check(&lookup, counter, bytes, &err);
}

static void test_memlock(void **state)
{
	(void)state;
	memlock_files("8388608", "0000000000000000", 0);
	assert_int_equal(memlock_check("VmLck:", 8388608), 0);
	assert_int_equal(memlock_check("VmLck:", 8388609), -ENOMEM);
	assert_says(err.text, "8388609 bytes");
	assert_says(err.text, "8388608 bytes are allowed");
	assert_says(err.hint, "ulimit -l 8193");
	assert_says(err.hint, "LimitMEMLOCK=8388609");
	/* What is locked already counts, and VmLck inside another field does not. */
	memlock_files("8388608", "0000000000000000", 1024);
	assert_int_equal(memlock_check("VmLck:", 7 << 20), 0);
	assert_int_equal(memlock_check("VmLck:", (7 << 20) + 1), -ENOMEM);
	assert_int_equal(memlock_check("VmLck:", UINT64_MAX), -ENOMEM);
	/* CAP_IPC_LOCK, bit 14. */
	memlock_files("8388608", "0000000000004000", 0);
	assert_int_equal(memlock_check("VmLck:", 1ull << 40), 0);
	memlock_files("8388608", "000001ffffffbfff", 0);
	assert_int_equal(memlock_check("VmLck:", 1ull << 40), -ENOMEM);
	memlock_files("unlimited", "0000000000000000", 0);
	assert_int_equal(memlock_check("VmLck:", 1ull << 40), 0);
	fake_vfio_unlink(&fake, "proc/limits");
	assert_int_equal(memlock_check("VmLck:", 1ull << 40), 0);
}

static void test_group_list(void **state)
{
	(void)state;
	fake_vfio_device(&fake, "0000:1a:00.0", 12, "vfio-pci");
	fake_vfio_device(&fake, "0000:1a:00.1", 12, NULL);
	fake_vfio_device(&fake, "0000:00:01.0", 12, "pcieport");
	err_set(&err, EPERM, "group: ");
	vfio_sysfs_append_group(&fake.host, 12, &err);
	assert_says(err.text, "0000:1a:00.0 (vfio-pci)");
	assert_says(err.text, "0000:1a:00.1 (no driver)");
	assert_says(err.text, "0000:00:01.0 (pcieport)");
	assert_says(err.text, ", ");
	err_set(&err, EPERM, "group: ");
	vfio_sysfs_append_group(&fake.host, 13, &err);
	assert_says(err.text, "unknown devices");
}

/* The machine the tests run on: no crash, no leak, a clear answer. */
static void test_real_host(void **state)
{
	const struct vfio_target target = {
		.host = { .set = true, .domain = 0xffff, .bus = 0xff, .slot = 0x1f, .function = 7 }
	};
	struct vfio_sysfs_device device;

	(void)state;
	assert_int_equal(vfio_sysfs_find(&vfio_host_real, &target, &device, &err), -ENODEV);
	assert_string_equal(device.path, "/sys/bus/pci/devices/ffff:ff:1f.7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_variant_drivers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_iommu_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noiommu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sysfsdev, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sysfsdev_without_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsafe_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cdev, setup, teardown),
		cmocka_unit_test_setup_teardown(test_by_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memlock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_group_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real_host, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfio_sysfs", tests, NULL, NULL);
}
