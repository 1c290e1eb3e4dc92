/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_tree.c - the fake kernel's sysfs, /dev and /proc in a temporary directory.
 */
#include "fake_vfio_host.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(bool ok, const char *what, const char *path)
{
	if (ok)
		return;
	fprintf(stderr, "fake host: cannot %s '%s': %s\n", what, path, strerror(errno));
	abort();
}

/* Makes the directories above path. */
static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		must(mkdir(path, 0755) == 0 || errno == EEXIST, "create", path);
		*slash = '/';
	}
}

__attribute__((format(printf, 3, 4))) static void under(
	const struct fake_vfio_host *fake, char out[static PATH_MAX], const char *fmt, ...)
{
	va_list args;
	int len = snprintf(out, PATH_MAX, "%s/", fake->root);

	va_start(args, fmt);
	(void)vsnprintf(out + len, (size_t)(PATH_MAX - len), fmt, args);
	va_end(args);
	make_parents(out);
}

static void make_link(const struct fake_vfio_host *fake, const char *path, const char *target)
{
	char full[PATH_MAX];

	under(fake, full, "%s", path);
	must(unlink(full) == 0 || errno == ENOENT, "remove", full);
	must(symlink(target, full) == 0, "link", full);
}

void fake_vfio_file(struct fake_vfio_host *fake, const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *file;

	under(fake, full, "%s", path);
	file = fopen(full, "w");
	must(file, "create", full);
	must(fputs(text, file) >= 0 && fclose(file) == 0, "write", full);
}

void fake_vfio_unlink(struct fake_vfio_host *fake, const char *path)
{
	char full[PATH_MAX];

	under(fake, full, "%s", path);
	must(unlink(full) == 0, "remove", full);
}

void fake_vfio_host_setup(struct fake_vfio_host *fake);

void fake_vfio_host_setup(struct fake_vfio_host *fake)
{
	char full[PATH_MAX];

	(void)snprintf(fake->root, sizeof(fake->root), "/tmp/fake-vfio-XXXXXX");
	must(mkdtemp(fake->root), "create", fake->root);
	(void)snprintf(fake->sysfs, sizeof(fake->sysfs), "%s/sys", fake->root);
	(void)snprintf(fake->dev, sizeof(fake->dev), "%s/dev", fake->root);
	(void)snprintf(fake->proc, sizeof(fake->proc), "%s/proc", fake->root);
	under(fake, full, "sys/kernel/iommu_groups/.");
	under(fake, full, "sys/bus/pci/devices/.");
	fake_vfio_file(fake, "dev/vfio/vfio", "");
	fake_vfio_file(fake, "proc/limits",
		"Limit                     Soft Limit           Hard Limit           Units\n"
		"Max locked memory         8388608              8388608              bytes\n");
	fake_vfio_file(fake, "proc/status",
		"Name:\tfake\nUid:\t1000\t1001\t1000\t1000\n"
		"VmLck:\t       0 kB\nCapEff:\t000001ffffffffff\n");
}

void fake_vfio_set_driver(struct fake_vfio_host *fake, const char *name, const char *driver)
{
	char path[200], target[100];

	for (unsigned i = 0; i < fake->n_devices; i++)
		if (!strcmp(fake->devices[i].name, name))
			(void)snprintf(fake->devices[i].driver, sizeof(fake->devices[i].driver),
				"%s", driver ? driver : "");
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/driver", name);
	(void)snprintf(target, sizeof(target), "../../../bus/pci/drivers/%s", driver ? driver : "");
	if (driver) {
		make_link(fake, path, target);
	} else {
		char full[PATH_MAX];

		under(fake, full, "%s", path);
		(void)unlink(full);
	}
}

struct fake_device *fake_vfio_device(
	struct fake_vfio_host *fake, const char *name, int group, const char *driver)
{
	struct fake_device *device = &fake->devices[fake->n_devices++];
	char path[200], target[200];

	*device = (struct fake_device){ .group = group, .pci = true };
	(void)snprintf(device->name, sizeof(device->name), "%s", name);
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vendor", name);
	fake_vfio_file(fake, path, "0x8086\n");
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/device", name);
	fake_vfio_file(fake, path, "0x10d3\n");
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/subsystem_vendor", name);
	fake_vfio_file(fake, path, "0x1af4\n");
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/subsystem_device", name);
	fake_vfio_file(fake, path, "0x0001\n");
	fake_vfio_set_driver(fake, name, driver);
	if (group < 0)
		return device;
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/iommu_group", name);
	(void)snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%d", group);
	make_link(fake, path, target);
	(void)snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices/%s", group, name);
	(void)snprintf(target, sizeof(target), "../../../../bus/pci/devices/%s", name);
	make_link(fake, path, target);
	(void)snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/reserved_regions", group);
	fake_vfio_file(fake, path, "0x00000000fee00000 0x00000000feefffff msi\n");
	(void)snprintf(path, sizeof(path), "dev/vfio/%d", group);
	fake_vfio_file(fake, path, "");
	return device;
}

void fake_vfio_sriov(struct fake_vfio_host *fake, const char *physical, const char *virtual)
{
	struct fake_device *of = fake_device_find(fake, physical);
	char path[200], target[200];

	/* What Linux makes up when vfio-pci is bound. */
	memset(of->token, 0x5e, sizeof(of->token));
	of->has_virtual = true;
	fake_device_find(fake, virtual)->physical = of;
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/sriov_totalvfs", physical);
	fake_vfio_file(fake, path, "4\n");
	(void)snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/physfn", virtual);
	(void)snprintf(target, sizeof(target), "../%s", physical);
	make_link(fake, path, target);
}

void fake_vfio_set_io(
	struct fake_vfio_host *fake, const char *name, const struct vfio_device_io *io)
{
	for (unsigned i = 0; i < fake->n_devices; i++)
		if (!strcmp(fake->devices[i].name, name))
			fake->devices[i].io = io;
}

void fake_vfio_cdev(struct fake_vfio_host *fake, const char *name, unsigned number)
{
	char path[200], target[200];

	(void)snprintf(
		path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev/vfio%u/dev", name, number);
	fake_vfio_file(fake, path, "");
	(void)snprintf(path, sizeof(path), "sys/dev/char/235:%u", number);
	(void)snprintf(target, sizeof(target), "../../devices/pci0000:00/%s/vfio-dev/vfio%u", name,
		number);
	make_link(fake, path, target);
	(void)snprintf(path, sizeof(path), "dev/vfio/devices/vfio%u", number);
	fake_vfio_file(fake, path, "");
	fake_vfio_file(fake, "dev/iommu", "");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_vfio_host_release(struct fake_vfio_host *fake)
{
	if (fake->root[0])
		(void)nftw(fake->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind != FAKE_FD_FREE)
			close(fake->fds[i].fd);
	fake->root[0] = '\0';
}
