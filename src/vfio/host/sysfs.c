/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs.c - reading /sys about a device that is to be passed through.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <portcullis/err.h>

#include "vfio_host.h"
#include "sysfs.h"

/* printf into a path; -ENAMETOOLONG. */
__attribute__((format(printf, 2, 3))) static int path_set(
	char out[static SYSFS_PATH_MAX], const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(out, SYSFS_PATH_MAX, fmt, args);
	va_end(args);
	return len < 0 || len >= SYSFS_PATH_MAX ? -ENAMETOOLONG : 0;
}

static int name_set(char out[static SYSFS_NAME_MAX], const char *name)
{
	size_t len = strlen(name);

	if (len >= SYSFS_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(out, name, len + 1);
	return 0;
}

static bool exists(const struct vfio_host *host, const char *path)
{
	struct stat st;

	return host->ops->stat(host, path, &st) == 0;
}

/* Last part of what PATH/LINK points to; "" when there is no such link. */
static int link_name(const struct vfio_host *host, const char *path, const char *link,
	char out[static SYSFS_NAME_MAX])
{
	char at[SYSFS_PATH_MAX], target[512];
	const char *slash;
	int ret = path_set(at, "%s/%s", path, link);

	out[0] = '\0';
	if (!ret)
		ret = host->ops->read_link(host, at, target, sizeof(target));
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	slash = strrchr(target, '/');
	return name_set(out, slash ? slash + 1 : target);
}

static void count_entry(const char *name, void *opaque)
{
	unsigned *count = opaque;

	(void)name;
	(*count)++;
}

/* The device whose node has this number: /sys/dev/char/MAJOR:MINOR -> .../NAME/vfio-dev/vfioN. */
static int node_device(const struct vfio_host *host, dev_t node, char out[static SYSFS_NAME_MAX])
{
	char at[SYSFS_PATH_MAX], target[512];
	char *end;
	int ret = path_set(at, "%s/dev/char/%u:%u", host->sysfs, major(node), minor(node));

	if (!ret)
		ret = host->ops->read_link(host, at, target, sizeof(target));
	if (ret < 0)
		return ret;
	end = strstr(target, "/vfio-dev/");
	if (!end)
		return -ENODEV;
	*end = '\0';
	end = strrchr(target, '/');
	return name_set(out, end ? end + 1 : target);
}

static int locate_node(
	const struct vfio_host *host, dev_t node, struct vfio_sysfs_device *out, struct err *err)
{
	char name[SYSFS_NAME_MAX];
	struct host_bdf parsed;
	int ret = node_device(host, node, name);

	if (ret < 0)
		return err_set_errno(err, -ret,
			"the fd given (device node %u:%u) belongs to no VFIO device", major(node),
			minor(node));
	if (out->name[0])
		return strcmp(out->name, name)
			       ? err_set(err, EINVAL, "the fd given belongs to '%s', not to '%s'",
					 name, out->name)
			       : 0;
	(void)name_set(out->name, name);
	out->pci = parse_bdf(name, &parsed) == 0;
	if (path_set(out->path, "%s/bus/%s/devices/%s", host->sysfs, out->pci ? "pci" : "mdev",
		    name) < 0)
		return err_set(err, ENAMETOOLONG, "sysfs path of '%s' is too long", name);
	return 0;
}

static int locate_directory(const char *directory, struct vfio_sysfs_device *out, struct err *err)
{
	struct host_bdf parsed;
	const char *slash;

	(void)path_set(out->path, "%s", directory);
	for (size_t len = strlen(out->path); len > 1 && out->path[len - 1] == '/'; len--)
		out->path[len - 1] = '\0';
	slash = strrchr(out->path, '/');
	if (!slash || !slash[1] || name_set(out->name, slash + 1) < 0)
		return err_set(
			err, EINVAL, "sysfsdev '%s' is not the directory of a device", directory);
	out->pci = parse_bdf(out->name, &parsed) == 0;
	return 0;
}

static int locate(const struct vfio_host *host, const struct vfio_target *target,
	struct vfio_sysfs_device *out, struct err *err)
{
	char bdf[HOST_BDF_STRLEN];
	int ret = 0;

	if (!target->sysfsdev[0] && !target->host.set && !target->has_node)
		return err_set(err, EINVAL, "no device is named");
	if (target->sysfsdev[0]) {
		ret = locate_directory(target->sysfsdev, out, err);
	} else if (target->host.set) {
		host_bdf_format(&target->host, bdf);
		out->pci = true;
		(void)name_set(out->name, bdf);
		if (path_set(out->path, "%s/bus/pci/devices/%s", host->sysfs, bdf) < 0)
			ret = err_set(err, ENAMETOOLONG, "sysfs path of '%s' is too long", bdf);
	}
	return ret == 0 && target->has_node ? locate_node(host, target->node, out, err) : ret;
}

static int missing_device(const struct vfio_sysfs_device *device, struct err *err)
{
	if (!device->pci) {
		err_set(err, ENODEV, "no device '%s' on this host", device->path);
		err_hint(err, "mediated devices are listed by: ls /sys/bus/mdev/devices");
		return -ENODEV;
	}
	err_set(err, ENODEV, "no PCI device '%s' on this host ('%s' does not exist)", device->name,
		device->path);
	err_hint(err, "list the host's devices with: lspci -D");
	return -ENODEV;
}

static int no_group(
	const struct vfio_host *host, const struct vfio_sysfs_device *device, struct err *err)
{
	char groups[SYSFS_PATH_MAX];
	unsigned count = 0;

	if (path_set(groups, "%s/kernel/iommu_groups", host->sysfs) == 0)
		(void)host->ops->list(host, groups, count_entry, &count);
	if (count) {
		err_set(err, ENODEV, "'%s' is in no IOMMU group: no IOMMU of this host covers it",
			device->name);
		err_hint(err, "only a device below one of the IOMMUs can be passed through");
		return -ENODEV;
	}
	err_set(err, ENODEV, "the IOMMU is off: '%s' and every other device are in no IOMMU group",
		device->name);
	err_hint(err,
		"switch on VT-d or AMD-Vi (IOMMU) in the firmware setup and boot the host with intel_iommu=on or amd_iommu=on on the kernel command line; then 'dmesg | grep -i iommu' shows a group for each device");
	return -ENODEV;
}

/* No IOMMU stands behind a mediated device: its group only names it, and IOMMUFD needs no name. */
static int no_mdev_group(const struct vfio_sysfs_device *device, bool cdev, struct err *err)
{
	if (cdev)
		return 0;
	err_set(err, ENODEV, "mediated device '%s' is in no group: this kernel has none for it",
		device->name);
	err_hint(err, "reach it through IOMMUFD: -object iommufd,id=iommufd0 and iommufd=iommufd0");
	return -ENODEV;
}

static int find_group(
	const struct vfio_host *host, struct vfio_sysfs_device *device, bool cdev, struct err *err)
{
	char number[SYSFS_NAME_MAX], path[SYSFS_PATH_MAX], name[SYSFS_NAME_MAX];
	char *end;
	long group;
	int ret = link_name(host, device->path, "iommu_group", number);

	if (ret < 0)
		return err_set_errno(err, -ret, "cannot read '%s/iommu_group'", device->path);
	if (!number[0])
		return device->pci ? no_group(host, device, err) : no_mdev_group(device, cdev, err);
	errno = 0;
	group = strtol(number, &end, 10);
	if (*end || end == number || errno || group < 0 || group > INT32_MAX)
		return err_set(err, EINVAL, "'%s/iommu_group' names no group number but '%s'",
			device->path, number);
	device->group = (int)group;
	/* A mediated device's group bears the name of noiommu too, and has no need of an IOMMU. */
	if (!device->pci)
		return 0;
	if (path_set(path, "%s/kernel/iommu_groups/%d/name", host->sysfs, device->group) < 0)
		return err_set(
			err, ENAMETOOLONG, "sysfs path of group %d is too long", device->group);
	ret = host->ops->read_file(host, path, name, sizeof(name));
	if (ret < 0 && ret != -ENOENT)
		return err_set_errno(err, -ret, "cannot read '%s'", path);
	if (ret < 0 || strcmp(name, "vfio-noiommu"))
		return 0;
	err_set(err, ENOTSUP,
		"'%s' has no IOMMU (group %d is 'vfio-noiommu'): it could read and write all of the host's memory",
		device->name, device->group);
	err_hint(err,
		"noiommu mode is not supported; switch the host's IOMMU on (intel_iommu=on or amd_iommu=on)");
	return -ENOTSUP;
}

static int bad_driver(const struct vfio_sysfs_device *device, struct err *err)
{
	if (device->driver[0])
		err_set(err, EBUSY, "'%s' is bound to the driver '%s', not to vfio-pci",
			device->name, device->driver);
	else
		err_set(err, EBUSY, "'%s' is bound to no driver; it must be bound to vfio-pci",
			device->name);
	if (!device->pci)
		return -EBUSY;
	err_hint(err,
		"bind it with: modprobe vfio-pci; echo vfio-pci > %s/driver_override; %s%s%s%s%secho %s > /sys/bus/pci/drivers_probe",
		device->path, device->driver[0] ? "echo " : "",
		device->driver[0] ? device->name : "", device->driver[0] ? " > " : "",
		device->driver[0] ? device->path : "", device->driver[0] ? "/driver/unbind; " : "",
		device->name);
	return -EBUSY;
}

/*
 * vfio-pci, or one of the vendors' variants of it: they are told by their name, or by the vfio-dev
 * directory that VFIO gives each of its devices since Linux 6.1.
 */
bool vfio_sysfs_is_vfio(const struct vfio_host *host, const struct vfio_sysfs_device *device)
{
	char path[SYSFS_PATH_MAX];

	if (strstr(device->driver, "vfio"))
		return true;
	return path_set(path, "%s/vfio-dev", device->path) == 0 && exists(host, path);
}

int vfio_target_set(struct vfio_target *target, const struct vfio_pci_options *options,
	const dev_t *node, struct err *err)
{
	*target = (struct vfio_target){ .host = options->host, .iommufd = options->iommufd };
	if (options->sysfsdev && options->host.set)
		return err_set(err, EINVAL, "'host' and 'sysfsdev' exclude each other");
	if (!options->sysfsdev && !options->host.set && !node)
		return err_set(err, EINVAL, "vfio-pci needs 'host' or 'sysfsdev'");
	if (options->sysfsdev && !*options->sysfsdev)
		return err_set(err, EINVAL, "sysfsdev '' is not the directory of a device");
	if (options->sysfsdev && path_set(target->sysfsdev, "%s", options->sysfsdev) < 0)
		return err_set(err, ENAMETOOLONG, "sysfsdev '%s' is too long", options->sysfsdev);
	if (node) {
		target->has_node = true;
		target->node = *node;
	}
	return 0;
}

int vfio_sysfs_find(const struct vfio_host *host, const struct vfio_target *target,
	struct vfio_sysfs_device *out, struct err *err)
{
	int ret;

	*out = (struct vfio_sysfs_device){ .group = -1 };
	ret = locate(host, target, out, err);
	if (ret < 0)
		return ret;
	if (!exists(host, out->path))
		return missing_device(out, err);
	ret = find_group(host, out, target->iommufd, err);
	if (ret < 0)
		return ret;
	ret = link_name(host, out->path, "driver", out->driver);
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot read '%s/driver'", out->path);
	return vfio_sysfs_is_vfio(host, out) ? 0 : bad_driver(out, err);
}

static int check_interrupts(const struct vfio_host *host, const char *module, struct err *err)
{
	char path[SYSFS_PATH_MAX], value[8];
	int ret;

	if (path_set(path, "%s/module/%s/parameters/allow_unsafe_interrupts", host->sysfs, module) <
		0)
		return err_set(err, ENAMETOOLONG, "sysfs path is too long");
	ret = host->ops->read_file(host, path, value, sizeof(value));
	if (ret == -ENOENT)
		return 0;
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot read '%s'", path);
	if (value[0] != 'Y' && value[0] != '1')
		return 0;
	err_set(err, EPERM,
		"this host allows unsafe interrupts (%s is %s): without interrupt remapping a guest's device can forge interrupts of the host",
		path, value);
	err_hint(err,
		"forbid them with: echo N > %s; or accept the risk for this device with x-allow-unsafe-interrupts=on",
		path);
	return -EPERM;
}

int vfio_sysfs_check_interrupts(const struct vfio_host *host, struct err *err)
{
	int ret = check_interrupts(host, "vfio_iommu_type1", err);

	return ret < 0 ? ret : check_interrupts(host, "iommufd", err);
}

struct group_list {
	const struct vfio_host *host;
	const char *directory;
	struct err *err;
	bool any;
};

static void append_member(const char *name, void *opaque)
{
	char path[SYSFS_PATH_MAX], driver[SYSFS_NAME_MAX];
	struct group_list *list = opaque;

	if (path_set(path, "%s/%s", list->directory, name) < 0 ||
		link_name(list->host, path, "driver", driver) < 0)
		driver[0] = '\0';
	err_append(list->err, "%s%s (%s)", list->any ? ", " : "", name,
		driver[0] ? driver : "no driver");
	list->any = true;
}

void vfio_sysfs_append_group(const struct vfio_host *host, int group, struct err *err)
{
	char directory[SYSFS_PATH_MAX];
	struct group_list list = { .host = host, .directory = directory, .err = err };

	if (path_set(directory, "%s/kernel/iommu_groups/%d/devices", host->sysfs, group) < 0 ||
		host->ops->list(host, directory, append_member, &list) < 0 || !list.any)
		err_append(err, "unknown devices ('%s' cannot be read)", directory);
}

/* "0x00000000fee00000 0x00000000feefffff msi" */
static int parse_reserved_line(const char *line, size_t len, struct vfio_reserved *out)
{
	char text[96], junk;

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "%" SCNx64 " %" SCNx64 " %19s %c", &out->range.start, &out->range.end,
		    out->type, &junk) != 3)
		return -EINVAL;
	return out->range.start <= out->range.end ? 0 : -EINVAL;
}

int vfio_reserved_parse(
	const char *text, struct vfio_reserved out[static SYSFS_RESERVED_MAX], unsigned *count)
{
	*count = 0;
	while (*text) {
		size_t len = strcspn(text, "\n");
		struct vfio_reserved entry;

		if (len) {
			if (parse_reserved_line(text, len, &entry) < 0)
				return -EINVAL;
			/* The host gives these up when it hands the device over. */
			if (strcmp(entry.type, "direct-relaxable")) {
				if (*count == SYSFS_RESERVED_MAX)
					return -E2BIG;
				out[(*count)++] = entry;
			}
		}
		text += len;
		text += *text == '\n';
	}
	return 0;
}

int vfio_sysfs_reserved(const struct vfio_host *host, int group,
	struct vfio_reserved out[static SYSFS_RESERVED_MAX], unsigned *count, struct err *err)
{
	char path[SYSFS_PATH_MAX], text[8192]; /* sysfs gives a page at most */
	int ret;

	*count = 0;
	if (path_set(path, "%s/kernel/iommu_groups/%d/reserved_regions", host->sysfs, group) < 0)
		return err_set(err, ENAMETOOLONG, "sysfs path of group %d is too long", group);
	ret = host->ops->read_file(host, path, text, sizeof(text));
	/* Mediated devices' groups have no such file. */
	if (ret == -ENOENT)
		return 0;
	if (ret == 0)
		ret = vfio_reserved_parse(text, out, count);
	return ret < 0 ? err_set_errno(err, -ret, "cannot read '%s'", path) : 0;
}

struct cdev_search {
	char name[SYSFS_NAME_MAX];
};

static void take_cdev(const char *name, void *opaque)
{
	struct cdev_search *search = opaque;

	if (!strncmp(name, "vfio", 4) && !search->name[0])
		(void)name_set(search->name, name);
}

int vfio_sysfs_cdev(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	char out[static SYSFS_PATH_MAX], struct err *err)
{
	struct cdev_search search = { .name = "" };
	char directory[SYSFS_PATH_MAX];
	int ret = path_set(directory, "%s/vfio-dev", device->path);

	if (ret == 0)
		ret = host->ops->list(host, directory, take_cdev, &search);
	if (ret < 0 && ret != -ENOENT)
		return err_set_errno(err, -ret, "cannot read '%s'", directory);
	if (!search.name[0] || path_set(out, "%s/vfio/devices/%s", host->dev, search.name) < 0) {
		err_set(err, ENOENT, "'%s' has no VFIO device node of its own ('%s' lists none)",
			device->name, directory);
		err_hint(err,
			"iommufd= needs Linux 6.6 or newer with CONFIG_VFIO_DEVICE_CDEV; without it leave iommufd= out");
		return -ENOENT;
	}
	return 0;
}

unsigned vfio_sysfs_resizable(const struct vfio_host *host, const struct vfio_sysfs_device *device)
{
	char path[SYSFS_PATH_MAX];
	unsigned bars = 0;

	for (unsigned i = 0; i < 6; i++)
		if (path_set(path, "%s/resource%u_resize", device->path, i) == 0 &&
			exists(host, path))
			bars |= 1u << i;
	return bars;
}

bool vfio_sysfs_physical(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	struct vfio_sysfs_device *physical)
{
	*physical = (struct vfio_sysfs_device){ .group = -1, .pci = true };
	if (!device->pci || link_name(host, device->path, "physfn", physical->name) < 0 ||
		!physical->name[0] ||
		path_set(physical->path, "%s/bus/pci/devices/%s", host->sysfs, physical->name) < 0)
		return false;
	(void)link_name(host, physical->path, "driver", physical->driver);
	return true;
}

bool vfio_sysfs_has_virtual(const struct vfio_host *host, const struct vfio_sysfs_device *device)
{
	char path[SYSFS_PATH_MAX];

	return path_set(path, "%s/sriov_totalvfs", device->path) == 0 && exists(host, path);
}

void vfio_sysfs_reset_methods(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	char *out, size_t size)
{
	char path[SYSFS_PATH_MAX];

	out[0] = '\0';
	if (path_set(path, "%s/reset_method", device->path) < 0 ||
		host->ops->read_file(host, path, out, size) < 0)
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
}
