/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type1.c - the legacy backend's containers: /dev/vfio/vfio with the type1v2 IOMMU model.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <portcullis/err.h>

#include "context.h"
#include "infocap.h"

#define INFO_MAX 65536

static int type1_map(
	struct vfio_container *container, uint64_t iova, void *hva, uint64_t size, bool writable)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)hva,
		.iova = iova,
		.size = size,
	};
	long ret = vfio_host_ioctl(container->context, container->fd, VFIO_IOMMU_MAP_DMA, &map);

	return ret < 0 ? (int)ret : 0;
}

static int type1_unmap(struct vfio_container *container, uint64_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	long ret = vfio_host_ioctl(container->context, container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	if (ret < 0)
		return (int)ret;
	return unmap.size == size ? 0 : -EIO;
}

/* The whole answer with its capability chain; the caller frees it. */
static int read_info(struct vfio_container *container, struct vfio_iommu_type1_info **out)
{
	size_t size = sizeof(**out);

	for (unsigned attempt = 0; attempt < 3; attempt++) {
		struct vfio_iommu_type1_info *info = calloc(1, size);
		long ret;

		if (!info)
			return -ENOMEM;
		info->argsz = (uint32_t)size;
		ret = vfio_host_ioctl(container->context, container->fd, VFIO_IOMMU_GET_INFO, info);
		if (ret >= 0 && info->argsz <= size) {
			*out = info;
			return 0;
		}
		size = info->argsz;
		free(info);
		if (ret < 0)
			return (int)ret;
		if (size > INFO_MAX)
			return -E2BIG;
	}
	return -EAGAIN;
}

static void take_ranges(struct vfio_container *container, const struct vfio_iommu_type1_info *info,
	const struct vfio_iommu_type1_info_cap_iova_range *cap)
{
	size_t room = info->argsz - (size_t)((const char *)cap->iova_ranges - (const char *)info);
	unsigned n = cap->nr_iovas;

	if (n > room / sizeof(cap->iova_ranges[0]))
		n = (unsigned)(room / sizeof(cap->iova_ranges[0]));
	/* Leaving the highest ranges out is safe: RAM just is not put there. */
	if (n > VFIO_USABLE_MAX)
		n = VFIO_USABLE_MAX;
	for (unsigned i = 0; i < n; i++)
		container->usable[i] =
			(struct range){ cap->iova_ranges[i].start, cap->iova_ranges[i].end };
	container->n_usable = n;
}

static int type1_refresh(struct vfio_container *container, struct err *err)
{
	const struct vfio_iommu_type1_info_cap_iova_range *ranges;
	const struct vfio_iommu_type1_info_dma_avail *avail;
	struct vfio_iommu_type1_info *info = NULL;
	int ret = read_info(container, &info);

	if (ret < 0)
		return err_set_errno(err, -ret, "VFIO_IOMMU_GET_INFO failed");
	pthread_mutex_lock(&container->context->tables);
	container->page_sizes = info->flags & VFIO_IOMMU_INFO_PGSIZES ? info->iova_pgsizes : 0;
	if (info->flags & VFIO_IOMMU_INFO_CAPS) {
		ranges = vfio_info_cap(info, info->argsz, info->cap_offset,
			VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(*ranges));
		if (ranges)
			take_ranges(container, info, ranges);
		avail = vfio_info_cap(info, info->argsz, info->cap_offset,
			VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail));
		if (avail)
			container->maps_left = avail->avail;
	}
	pthread_mutex_unlock(&container->context->tables);
	free(info);
	return 0;
}

static void type1_close(struct vfio_container *container)
{
	if (container->fd >= 0)
		container->context->host.ops->close(&container->context->host, container->fd);
	container->fd = -1;
}

const struct vfio_container_ops vfio_type1_ops = {
	.name = "type1v2",
	.locked = "VmLck:",
	.map = type1_map,
	.unmap = type1_unmap,
	.refresh = type1_refresh,
	.close = type1_close,
};

static int set_container(struct vfio_group *group, int container_fd)
{
	long ret = vfio_host_ioctl(
		group->context, group->fd, VFIO_GROUP_SET_CONTAINER, &(int){ container_fd });

	return ret < 0 ? (int)ret : 0;
}

static void unset_container(struct vfio_group *group)
{
	(void)vfio_host_ioctl(group->context, group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
}

static int no_model(struct err *err)
{
	err_set(err, ENODEV, "no available IOMMU models: the host's VFIO offers no type1v2 IOMMU");
	err_hint(err, "load its driver with: modprobe vfio_iommu_type1");
	return -ENODEV;
}

int vfio_iommu_error(const struct vfio_attachment *attachment, int code, struct err *err)
{
	const char *name = attachment->facts.device.name;

	if (code != EPERM)
		return err_set_errno(err, code, "the IOMMU does not accept group %d of '%s'",
			attachment->facts.device.group, name);
	for (unsigned i = 0; i < attachment->facts.n_reserved; i++) {
		const struct vfio_reserved *reserved = &attachment->facts.reserved[i];

		if (strcmp(reserved->type, "direct"))
			continue;
		err_set(err, EPERM,
			"'%s' cannot be passed through: the host's firmware uses it for itself (memory 0x%llx-0x%llx is mapped for group %d, RMRR)",
			name, (unsigned long long)reserved->range.start,
			(unsigned long long)reserved->range.end, attachment->facts.device.group);
		err_hint(err,
			"look for a firmware setting that releases the device, or a newer firmware");
		return -EPERM;
	}
	err_set(err, EPERM,
		"the IOMMU refuses group %d of '%s': this host has no interrupt remapping, so the device could forge interrupts of the host",
		attachment->facts.device.group, name);
	err_hint(err,
		"switch interrupt remapping on (firmware setting; no intremap=off on the kernel command line)");
	return -EPERM;
}

static int refused(const struct vfio_attachment *attachment, int code, struct err *err)
{
	return code == ENODEV || code == EINVAL ? no_model(err)
						: vfio_iommu_error(attachment, code, err);
}

static int check_container(struct vfio_context *context, int fd, struct err *err)
{
	long ret = vfio_host_ioctl(context, fd, VFIO_GET_API_VERSION, NULL);

	if (ret < 0)
		return err_set_errno(err, (int)-ret, "VFIO_GET_API_VERSION failed");
	if (ret != VFIO_API_VERSION)
		return err_set(err, ENOTSUP, "the host's VFIO has API version %ld, not %d", ret,
			VFIO_API_VERSION);
	ret = vfio_host_ioctl(
		context, fd, VFIO_CHECK_EXTENSION, vfio_ioctl_value(VFIO_TYPE1v2_IOMMU));
	if (ret < 0)
		return err_set_errno(err, (int)-ret, "VFIO_CHECK_EXTENSION failed");
	return ret ? 0 : no_model(err);
}

static int open_container(const struct vfio_attachment *attachment, int *out, struct err *err)
{
	const struct vfio_lookup *lookup = attachment->lookup;
	struct vfio_context *context = attachment->context;
	int fd = lookup->ops->open(lookup, VFIO_NODE_CONTAINER, NULL, err), ret;

	if (fd < 0)
		return fd;
	ret = check_container(context, fd, err);
	if (ret < 0) {
		context->host.ops->close(&context->host, fd);
		return ret;
	}
	*out = fd;
	return 0;
}

/* Existing containers first: memory that is pinned already need not be pinned again. */
static int join_existing(struct vfio_context *context, struct vfio_group *group,
	const struct vfio_attachment *attachment, struct err *err)
{
	for (struct vfio_container *at = context->containers; at; at = at->next) {
		int ret;

		if (at->ops != &vfio_type1_ops)
			continue;
		ret = set_container(group, at->fd);
		if (ret == -EINVAL || ret == -EBUSY)
			continue; /* another kind of IOMMU, or its limits do not fit what is mapped
				   */
		if (ret < 0)
			return vfio_iommu_error(attachment, -ret, err);
		ret = at->ops->refresh(at, err);
		if (ret < 0) {
			unset_container(group);
			return ret;
		}
		at->users++;
		group->container = at;
		return 0;
	}
	return -ENOENT;
}

static int set_model(struct vfio_group *group, struct vfio_container *container,
	const struct vfio_attachment *attachment, struct err *err)
{
	int ret = set_container(group, container->fd);
	long set;

	if (ret < 0)
		return err_set_errno(err, -ret,
			"cannot put IOMMU group %d of '%s' into a container", group->number,
			attachment->facts.device.name);
	set = vfio_host_ioctl(container->context, container->fd, VFIO_SET_IOMMU,
		vfio_ioctl_value(VFIO_TYPE1v2_IOMMU));
	ret = set < 0 ? refused(attachment, (int)-set, err)
		      : container->ops->refresh(container, err);
	if (ret < 0)
		unset_container(group);
	return ret;
}

int vfio_type1_join(
	struct vfio_group *group, const struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_context *context = attachment->context;
	struct vfio_container *container;
	int ret = join_existing(context, group, attachment, err);

	if (ret != -ENOENT)
		return ret;
	ret = vfio_container_new(&container, context, &vfio_type1_ops);
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot create a container");
	container->users = 1;
	ret = open_container(attachment, &container->fd, err);
	if (ret == 0)
		ret = set_model(group, container, attachment, err);
	if (ret < 0) {
		vfio_container_put(container);
		return ret;
	}
	group->container = container;
	return 0;
}

void vfio_type1_leave(struct vfio_group *group)
{
	struct vfio_container *container = group->container;

	if (!container)
		return;
	/*
	 * The last group takes the IOMMU with it, and what is mapped could not be unmapped any
	 * more.
	 */
	if (container->users == 1)
		vfio_container_unmap_all(container);
	unset_container(group);
	group->container = NULL;
}
