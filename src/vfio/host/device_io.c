/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_io.c - the real system calls on a VFIO device fd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <portcullis/sys.h>

#include "device_io.h"

/* A capability chain larger than this is no chain: 2048 sparse areas would fit. */
#define REGION_INFO_MAX 65536

static int real_info(struct vfio_device_io *io, struct vfio_device_info *info)
{
	long ret;

	*info = (struct vfio_device_info){ .argsz = sizeof(*info) };
	ret = sys_ioctl(io->fd, VFIO_DEVICE_GET_INFO, info);
	return ret < 0 ? (int)ret : 0;
}

static int region_info_once(
	struct vfio_device_io *io, uint32_t index, size_t size, struct vfio_region_info **out)
{
	struct vfio_region_info *info = calloc(1, size);
	long ret;

	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)size;
	info->index = index;
	ret = sys_ioctl(io->fd, VFIO_DEVICE_GET_REGION_INFO, info);
	if (ret < 0) {
		free(info);
		return (int)ret;
	}
	*out = info;
	return 0;
}

static int real_region_info(
	struct vfio_device_io *io, uint32_t index, struct vfio_region_info **out)
{
	size_t size = sizeof(struct vfio_region_info);

	/*
	 * The first answer says how large the whole one is; twice is enough for a kernel in its
	 * senses.
	 */
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		struct vfio_region_info *info = NULL;
		int ret = region_info_once(io, index, size, &info);

		if (ret < 0)
			return ret;
		if (info->argsz <= size) {
			*out = info;
			return 0;
		}
		size = info->argsz;
		free(info);
		if (size > REGION_INFO_MAX)
			return -E2BIG;
	}
	return -EAGAIN;
}

static int real_irq_info(struct vfio_device_io *io, uint32_t index, struct vfio_irq_info *info)
{
	long ret;

	*info = (struct vfio_irq_info){ .argsz = sizeof(*info), .index = index };
	ret = sys_ioctl(io->fd, VFIO_DEVICE_GET_IRQ_INFO, info);
	return ret < 0 ? (int)ret : 0;
}

static int real_set_irqs(struct vfio_device_io *io, const struct vfio_irq_set *set)
{
	/* Not 0: how many vectors there are, of more that were asked for. None of them is on. */
	return (int)sys_ioctl(io->fd, VFIO_DEVICE_SET_IRQS, (void *)(uintptr_t)set);
}

static int real_reset(struct vfio_device_io *io)
{
	long ret = sys_ioctl_int(io->fd, VFIO_DEVICE_RESET, 0);

	return ret < 0 ? (int)ret : 0;
}

static ssize_t real_pread(struct vfio_device_io *io, void *buf, size_t len, uint64_t offset)
{
	ssize_t ret;

	do {
		ret = pread(io->fd, buf, len, (off_t)offset);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static ssize_t real_pwrite(struct vfio_device_io *io, const void *buf, size_t len, uint64_t offset)
{
	ssize_t ret;

	do {
		ret = pwrite(io->fd, buf, len, (off_t)offset);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static int real_map(struct vfio_device_io *io, void *addr, size_t len, int prot, uint64_t offset)
{
	void *mapped;

	return sys_mmap(addr, len, prot, MAP_SHARED | MAP_FIXED, io->fd, (off_t)offset, &mapped);
}

const struct vfio_device_io_ops vfio_device_io_real = {
	.info = real_info,
	.region_info = real_region_info,
	.irq_info = real_irq_info,
	.set_irqs = real_set_irqs,
	.reset = real_reset,
	.pread = real_pread,
	.pwrite = real_pwrite,
	.map = real_map,
};
