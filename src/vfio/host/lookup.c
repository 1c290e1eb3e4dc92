/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - the host's answers, found on the calling thread: sysfs, nodes in /dev, a romfile.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <portcullis/err.h>

#include "lookup.h"
#include "memlock.h"
#include "open_error.h"
#include "vfio_host.h"

#define ROMFILE_MAX (16u << 20) /* bytes: a BAR of more could not tell its size */

static int find(const struct vfio_lookup *lookup, const struct vfio_target *target,
	struct vfio_facts *out, struct err *err)
{
	const struct vfio_host *host = lookup->host;
	int ret;

	memset(out, 0, sizeof(*out)); /* it may go to another process, padding and all */
	ret = vfio_sysfs_find(host, target, &out->device, err);
	if (!ret && out->device.pci)
		ret = vfio_sysfs_ids(host, &out->device, &out->ids, err);
	if (!ret)
		ret = vfio_sysfs_reserved(
			host, out->device.group, out->reserved, &out->n_reserved, err);
	if (ret)
		return ret;
	vfio_sysfs_reset_methods(
		host, &out->device, out->reset_methods, sizeof(out->reset_methods));
	out->resizable = vfio_sysfs_resizable(host, &out->device);
	if (vfio_sysfs_physical(host, &out->device, &out->physical)) {
		out->physical_is_vfio = vfio_sysfs_is_vfio(host, &out->physical);
	} else {
		out->physical.name[0] = '\0';
		out->may_have_virtual = vfio_sysfs_has_virtual(host, &out->device);
	}
	return 0;
}

static int check_interrupts(const struct vfio_lookup *lookup, struct err *err)
{
	return vfio_sysfs_check_interrupts(lookup->host, err);
}

static void append_group(const struct vfio_lookup *lookup, int group, struct err *err)
{
	vfio_sysfs_append_group(lookup->host, group, err);
}

/* The node's path, and the module that makes it. */
static int node_path(const struct vfio_host *host, enum vfio_node node,
	const struct vfio_sysfs_device *device, char out[static SYSFS_PATH_MAX],
	const char **module, struct err *err)
{
	int len = -1;

	*module = "vfio-pci";
	switch (node) {
	case VFIO_NODE_CONTAINER:
		*module = "vfio";
		len = snprintf(out, SYSFS_PATH_MAX, "%s/vfio/vfio", host->dev);
		break;
	case VFIO_NODE_IOMMU:
		*module = "iommufd";
		len = snprintf(out, SYSFS_PATH_MAX, "%s/iommu", host->dev);
		break;
	case VFIO_NODE_GROUP:
		len = snprintf(out, SYSFS_PATH_MAX, "%s/vfio/%d", host->dev, device->group);
		break;
	case VFIO_NODE_DEVICE:
		return vfio_sysfs_cdev(host, device, out, err);
	}
	return len < 0 || len >= SYSFS_PATH_MAX
		       ? err_set(err, ENAMETOOLONG, "paths of VFIO's nodes are too long")
		       : 0;
}

static int no_iommufd(const char *path, int code, struct err *err)
{
	err_set(err, code, "'%s' does not exist: no IOMMUFD in this kernel", path);
	err_hint(err,
		"load it with 'modprobe iommufd', if the kernel was built with CONFIG_IOMMUFD; without iommufd= the device is reached through its group");
	return -code;
}

static int open_node(const struct vfio_lookup *lookup, enum vfio_node node,
	const struct vfio_sysfs_device *device, struct err *err)
{
	const struct vfio_host *host = lookup->host;
	char path[SYSFS_PATH_MAX];
	const char *module;
	int fd, ret = node_path(host, node, device, path, &module, err);

	if (ret)
		return ret;
	fd = host->ops->open(host, path);
	if (fd >= 0)
		return fd;
	if (node == VFIO_NODE_IOMMU && (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO))
		return no_iommufd(path, -fd, err);
	ret = vfio_open_error(host, path, module, -fd, err);
	if (node == VFIO_NODE_GROUP)
		err_prefix(err, "IOMMU group %d", device->group);
	return ret;
}

static int open_romfile(
	const struct vfio_lookup *lookup, const char *path, uint64_t *size, struct err *err)
{
	const struct vfio_host *host = lookup->host;
	struct stat st;
	int fd, ret = host->ops->stat(host, path, &st);

	if (ret < 0)
		return err_set_errno(err, -ret, "cannot open romfile '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "romfile '%s' is not a file", path);
	if (st.st_size < 1 || st.st_size > ROMFILE_MAX)
		return err_set(err, EINVAL,
			"romfile '%s' has %lld bytes: an expansion ROM has up to 16 MiB", path,
			(long long)st.st_size);
	fd = host->ops->open_file(host, path);
	if (fd < 0)
		return err_set_errno(err, -fd, "cannot open romfile '%s'", path);
	*size = (uint64_t)st.st_size;
	return fd;
}

static void memlock(const struct vfio_lookup *lookup, const char *counter, struct vfio_memlock *out)
{
	vfio_memlock_read(lookup->host, counter, out);
}

static const struct vfio_lookup_ops direct = {
	.find = find,
	.check_interrupts = check_interrupts,
	.append_group = append_group,
	.open = open_node,
	.open_romfile = open_romfile,
	.memlock = memlock,
};

struct vfio_lookup vfio_lookup_direct(const struct vfio_host *host)
{
	return (struct vfio_lookup){ .ops = &direct, .host = host };
}
