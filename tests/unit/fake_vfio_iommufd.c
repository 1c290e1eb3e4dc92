/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_iommufd.c - the fake kernel's /dev/iommu and device nodes.
 */
#include "fake_vfio_host.h"

#include <errno.h>
#include <string.h>

#include "../../src/vfio/host/iommufd_uapi.h"

/* ids are index + 1: the kernel never gives 0 away. */
static struct fake_space *ioas_find(
	struct fake_vfio_host *fake, const struct fake_fd *fd, uint32_t id)
{
	struct fake_space *space;

	if (id < 1 || id > FAKE_SPACES_MAX)
		return NULL;
	space = &fake->spaces[id - 1];
	return space->used && space->iommufd == fd->fd ? space : NULL;
}

static long ioas_alloc(
	struct fake_vfio_host *fake, const struct fake_fd *fd, struct iommu_ioas_alloc *cmd)
{
	int index;

	if (cmd->size != sizeof(*cmd) || cmd->flags)
		return -EINVAL;
	index = fake_space_new(fake);
	if (index < 0)
		return index;
	fake->spaces[index].iommufd = fd->fd;
	cmd->out_ioas_id = (uint32_t)index + 1;
	return 0;
}

static long iova_ranges(struct fake_vfio_host *fake, struct iommu_ioas_iova_ranges *cmd)
{
	struct iommu_iova_range *out = (void *)(uintptr_t)cmd->allowed_iovas;
	unsigned n = fake->n_ranges ? fake->n_ranges : 1;
	unsigned room = cmd->num_iovas;

	for (unsigned i = 0; i < n && i < room; i++)
		out[i] = fake->n_ranges ? (struct iommu_iova_range){ fake->ranges[i].start,
			fake->ranges[i].end }
					: (struct iommu_iova_range){ 0, UINT64_MAX };
	cmd->num_iovas = n;
	cmd->out_iova_alignment = 4096;
	return n > room ? -EMSGSIZE : 0;
}

static long ioas_map(
	struct fake_vfio_host *fake, struct fake_space *space, const struct iommu_ioas_map *cmd)
{
	if (cmd->size != sizeof(*cmd) || cmd->__reserved ||
		!(cmd->flags & IOMMU_IOAS_MAP_FIXED_IOVA))
		return -EINVAL;
	return fake_space_map(fake, space,
		&(struct fake_map){ cmd->iova, cmd->length, cmd->user_va,
			cmd->flags & IOMMU_IOAS_MAP_WRITEABLE });
}

static long ioas_unmap(
	struct fake_vfio_host *fake, struct fake_space *space, struct iommu_ioas_unmap *cmd)
{
	long ret = fake_space_unmap(fake, space, cmd->iova, cmd->length);

	if (fake->unmap_error)
		return -fake->unmap_error;
	return ret < 0 ? ret : 0;
}

static long iommu_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	/* The IOAS is the second word of each command, but MAP has its flags there. */
	const uint32_t *word = arg;
	struct fake_space *space = ioas_find(fake, fd, cmd == IOMMU_IOAS_MAP ? word[2] : word[1]);

	if (cmd == IOMMU_IOAS_ALLOC)
		return ioas_alloc(fake, fd, arg);
	if (!space)
		return -ENOENT;
	switch (cmd) {
	case IOMMU_IOAS_IOVA_RANGES:
		return iova_ranges(fake, arg);
	case IOMMU_IOAS_MAP:
		return ioas_map(fake, space, arg);
	case IOMMU_IOAS_UNMAP:
		return ioas_unmap(fake, space, arg);
	case IOMMU_DESTROY:
		fake_space_free(fake, space);
		return 0;
	}
	return -ENOTTY;
}

static int bind_token(
	struct fake_vfio_host *fake, struct fake_fd *fd, const struct vfio_bind_iommufd_token *cmd)
{
	bool token = cmd->flags & VFIO_DEVICE_BIND_FLAG_TOKEN;

	if (cmd->argsz < offsetof(struct vfio_bind_iommufd_token, token_uuid_ptr))
		return -EINVAL;
	if (fake->bind == FAKE_BIND_NO_TOKEN)
		return cmd->flags ? -EINVAL : 0;
	if (fake->bind == FAKE_BIND_TOKEN_BROKEN && cmd->argsz == sizeof(*cmd) &&
		cmd->token_uuid_ptr)
		return -E2BIG;
	return fake_vfio_token(fake, &fake->devices[fd->index],
		token ? (const uint8_t *)(uintptr_t)cmd->token_uuid_ptr : NULL);
}

static long bind(
	struct fake_vfio_host *fake, struct fake_fd *fd, const struct vfio_bind_iommufd_token *cmd)
{
	struct fake_fd *iommufd = fake_fd_find(fake, cmd->iommufd);
	int ret = bind_token(fake, fd, cmd);

	if (ret)
		return ret;
	if (!iommufd)
		return -EBADF;
	if (iommufd->kind != FAKE_FD_IOMMUFD)
		return -EBADFD;
	if (!fake_vfio_viable(fake, fake->devices[fd->index].group))
		return -EPERM;
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_CDEV && fake->fds[i].bound &&
			fake->fds[i].index == fd->index)
			return -EINVAL;
	fd->bound = true;
	fd->iommufd = cmd->iommufd;
	return 0;
}

static long attach(struct fake_vfio_host *fake, struct fake_fd *fd,
	const struct vfio_device_attach_iommufd_pt *cmd)
{
	struct fake_fd *iommufd = fake_fd_find(fake, fd->iommufd);
	struct fake_space *space = iommufd ? ioas_find(fake, iommufd, cmd->pt_id) : NULL;

	if (!fd->bound || !space || fd->space >= 0)
		return -EINVAL;
	if (fake->set_iommu_error)
		return -fake->set_iommu_error;
	space->users++;
	fd->space = (int)(space - fake->spaces);
	return 0;
}

static long detach(struct fake_vfio_host *fake, struct fake_fd *fd)
{
	if (fd->space < 0) {
		fake_violation(fake, "DETACH of a device without IOAS");
		return -EINVAL;
	}
	fake->spaces[fd->space].users--;
	fd->space = -1;
	return 0;
}

long fake_iommufd_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	if (fd->kind == FAKE_FD_IOMMUFD)
		return iommu_ioctl(fake, fd, cmd, arg);
	switch (cmd) {
	case VFIO_DEVICE_BIND_IOMMUFD:
		return bind(fake, fd, arg);
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		return attach(fake, fd, arg);
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		return detach(fake, fd);
	}
	return fake_bus_ioctl(fake, fd, cmd, arg);
}
