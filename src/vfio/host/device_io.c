/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_io.c - the real system calls on a VFIO device fd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <portcullis/sys.h>

#include "device_io.h"

#include "infocap.h"

/* A capability chain larger than this is no chain: 2048 sparse areas would fit. */
#define INFO_MAX 65536

/* What every info structure begins with. */
struct info_head {
	uint32_t argsz, flags, index;
};

static int info_once(struct vfio_device_io *io, unsigned long cmd, uint32_t index, size_t size,
	struct info_head **out)
{
	struct info_head *info = calloc(1, size);
	long ret;

	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)size;
	info->index = index;
	ret = sys_ioctl(io->fd, cmd, info);
	if (ret < 0) {
		free(info);
		return (int)ret;
	}
	*out = info;
	return 0;
}

/* size: without the chain. index is where the device's own info has what it answers. */
static int whole_info(struct vfio_device_io *io, unsigned long cmd, uint32_t index, size_t size,
	struct info_head **out)
{
	/*
	 * The first answer says how large the whole one is; twice is enough for a kernel in its
	 * senses.
	 */
	for (unsigned attempt = 0; attempt < 3; attempt++) {
		struct info_head *info = NULL;
		int ret = info_once(io, cmd, index, size, &info);

		if (ret < 0)
			return ret;
		if (info->argsz <= size) {
			*out = info;
			return 0;
		}
		size = info->argsz;
		free(info);
		if (size > INFO_MAX)
			return -E2BIG;
	}
	return -EAGAIN;
}

static int real_info(struct vfio_device_io *io, struct vfio_device_info **out)
{
	struct info_head *info = NULL;
	int ret = whole_info(io, VFIO_DEVICE_GET_INFO, 0, sizeof(**out), &info);

	*out = (void *)info;
	return ret;
}

static int real_region_info(
	struct vfio_device_io *io, uint32_t index, struct vfio_region_info **out)
{
	struct info_head *info = NULL;
	int ret = whole_info(io, VFIO_DEVICE_GET_REGION_INFO, index, sizeof(**out), &info);

	*out = (void *)info;
	return ret;
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

/* Newer than Debian 12's <linux/vfio.h>: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP. */
#define INFO_CAP_PCI_ATOMIC_COMP 5
struct info_cap_pci_atomic_comp {
	struct vfio_info_cap_header header;
	uint32_t flags; /* VFIO_PCI_ATOMIC_COMP32, 64, 128: bits 0 to 2 */
	uint32_t reserved;
};

uint32_t vfio_device_atomics(const struct vfio_device_info *info)
{
	const struct info_cap_pci_atomic_comp *cap = NULL;

	if (info->flags & VFIO_DEVICE_FLAGS_CAPS && info->argsz >= sizeof(*info))
		cap = vfio_info_cap(info, info->argsz, info->cap_offset, INFO_CAP_PCI_ATOMIC_COMP,
			sizeof(*cap));
	/* The register has the three beside each other in the same order. */
	return cap ? (cap->flags & 7) * PCI_EXP_DEVCAP2_ATOMIC_COMP32 : 0;
}
