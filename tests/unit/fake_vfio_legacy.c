/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_legacy.c - the fake kernel's groups and type1v2 containers.
 */
#include "fake_vfio_host.h"

#include <errno.h>
#include <string.h>

#include <linux/vfio.h>

/* A device keeps its group from being viable if a host driver has it; bridges' driver does not. */
bool fake_vfio_viable(const struct fake_vfio_host *fake, int group)
{
	for (unsigned i = 0; i < fake->n_devices; i++) {
		const struct fake_device *device = &fake->devices[i];

		if (device->group == group && device->driver[0] &&
			!strstr(device->driver, "vfio") && strcmp(device->driver, "pcieport") &&
			strcmp(device->driver, "pci-stub"))
			return false;
	}
	return true;
}

static int group_iommu(const struct fake_vfio_host *fake, int group)
{
	for (unsigned i = 0; i < fake->n_devices; i++)
		if (fake->devices[i].group == group)
			return fake->devices[i].iommu;
	return -1;
}

static long get_info(const struct fake_vfio_host *fake, struct vfio_iommu_type1_info *info)
{
	struct {
		struct vfio_iommu_type1_info info;
		struct vfio_iommu_type1_info_dma_avail avail;
		struct {
			/* struct vfio_iommu_type1_info_cap_iova_range with its array */
			struct vfio_info_cap_header header;
			uint32_t nr_iovas, reserved;
			struct vfio_iova_range range[FAKE_RANGES_MAX];
		} ranges;
	} all = { 0 };
	uint32_t room = info->argsz, whole = sizeof(all);

	all.info.argsz = whole;
	all.info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	all.info.iova_pgsizes = 0x40201000;
	all.info.cap_offset = (uint32_t)((char *)&all.avail - (char *)&all);
	all.avail.header.id = fake->dma_avail == UINT32_MAX ? 99 : VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
	all.avail.header.version = 1;
	all.avail.avail = fake->dma_avail;
	if (fake->n_ranges) {
		all.avail.header.next = (uint32_t)((char *)&all.ranges - (char *)&all);
		all.ranges.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
		all.ranges.nr_iovas = fake->n_ranges;
	}
	for (unsigned i = 0; i < fake->n_ranges; i++)
		all.ranges.range[i] =
			(struct vfio_iova_range){ fake->ranges[i].start, fake->ranges[i].end };
	if (room < whole) {
		/* As the kernel: the fixed part, and how much there would be. */
		all.info.cap_offset = 0;
		memcpy(info, &all.info, sizeof(all.info));
		return 0;
	}
	memcpy(info, &all, whole);
	return 0;
}

static long container_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	struct fake_space *space = &fake->spaces[fd->index];
	struct vfio_iommu_type1_dma_map *map = arg;
	struct vfio_iommu_type1_dma_unmap *unmap = arg;
	long ret;

	switch (cmd) {
	case VFIO_GET_API_VERSION:
		return fake->api_version;
	case VFIO_CHECK_EXTENSION:
		return !fake->no_type1 && (uintptr_t)arg == VFIO_TYPE1v2_IOMMU;
	case VFIO_SET_IOMMU:
		if (!space->users || space->model || (uintptr_t)arg != VFIO_TYPE1v2_IOMMU)
			return -EINVAL;
		if (fake->set_iommu_error)
			return -fake->set_iommu_error;
		space->model = true;
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return space->model ? get_info(fake, arg) : -EINVAL;
	case VFIO_IOMMU_MAP_DMA:
		if (!space->model || map->argsz != sizeof(*map) ||
			!(map->flags & VFIO_DMA_MAP_FLAG_READ))
			return -EINVAL;
		return fake_space_map(fake, space,
			&(struct fake_map){ map->iova, map->size, map->vaddr,
				map->flags & VFIO_DMA_MAP_FLAG_WRITE });
	case VFIO_IOMMU_UNMAP_DMA:
		if (!space->model || unmap->argsz != sizeof(*unmap))
			return -EINVAL;
		if (fake->unmap_error)
			return -fake->unmap_error;
		ret = fake_space_unmap(fake, space, unmap->iova, unmap->size);
		unmap->size = ret < 0 ? 0 : unmap->size;
		return 0;
	}
	return -ENOTTY;
}

static long set_container(struct fake_vfio_host *fake, struct fake_fd *group, int container_fd)
{
	struct fake_fd *container = fake_fd_find(fake, container_fd);
	struct fake_space *space;

	if (!container || container->kind != FAKE_FD_CONTAINER || group->space >= 0)
		return -EINVAL;
	if (!fake_vfio_viable(fake, group->index))
		return -EPERM;
	space = &fake->spaces[container->index];
	if (space->users && space->iommu != group_iommu(fake, group->index))
		return -EINVAL;
	space->iommu = group_iommu(fake, group->index);
	space->users++;
	group->space = container->index;
	return 0;
}

static bool device_open(const struct fake_vfio_host *fake, int group)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_DEVICE &&
			fake->devices[fake->fds[i].index].group == group)
			return true;
	return false;
}

static long unset_container(struct fake_vfio_host *fake, struct fake_fd *group)
{
	struct fake_space *space;

	if (group->space < 0) {
		fake_violation(fake, "UNSET_CONTAINER of a group without container");
		return -EINVAL;
	}
	if (device_open(fake, group->index)) {
		fake_violation(fake, "UNSET_CONTAINER with a device open");
		return -EBUSY;
	}
	space = &fake->spaces[group->space];
	group->space = -1;
	if (--space->users == 0) {
		if (space->n_maps)
			fake_violation(fake, "last group left with %u mappings", space->n_maps);
		space->n_maps = 0;
		space->model = false;
	}
	return 0;
}

/* " vf_token=UUID", or nothing. */
static int check_options(
	struct fake_vfio_host *fake, struct fake_device *device, const char *options)
{
	static const char word[] = " vf_token=";
	struct uuid token;

	if (!*options)
		return fake_vfio_token(fake, device, NULL);
	if (strncmp(options, word, strlen(word)) || parse_uuid(options + strlen(word), &token))
		return -EINVAL;
	return fake_vfio_token(fake, device, token.byte);
}

static long get_device(struct fake_vfio_host *fake, struct fake_fd *group, const char *name)
{
	if (group->space < 0 || !fake->spaces[group->space].model)
		return -EINVAL;
	if (fake->busy) {
		fake->busy--;
		return -EAGAIN;
	}
	for (unsigned i = 0; i < fake->n_devices; i++) {
		struct fake_device *device = &fake->devices[i];
		size_t length = strlen(device->name);
		int ret;

		if (strncmp(device->name, name, length) || device->group != group->index ||
			(name[length] && name[length] != ' '))
			continue;
		ret = check_options(fake, device, name + length);
		return ret ? ret : fake_fd_new(fake, FAKE_FD_DEVICE, (int)i);
	}
	return -ENODEV;
}

static long group_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	struct vfio_group_status *status = arg;

	switch (cmd) {
	case VFIO_GROUP_GET_STATUS:
		/* The kernel may say more than we know of. */
		status->flags = 1u << 7;
		if (fake_vfio_viable(fake, fd->index))
			status->flags |= VFIO_GROUP_FLAGS_VIABLE;
		if (fd->space >= 0)
			status->flags |= VFIO_GROUP_FLAGS_CONTAINER_SET;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		return set_container(fake, fd, *(const int *)arg);
	case VFIO_GROUP_UNSET_CONTAINER:
		return unset_container(fake, fd);
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(fake, fd, arg);
	}
	return -ENOTTY;
}

long fake_legacy_ioctl(
	struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	if (fd->kind == FAKE_FD_CONTAINER)
		return container_ioctl(fake, fd, cmd, arg);
	if (fd->kind == FAKE_FD_GROUP)
		return group_ioctl(fake, fd, cmd, arg);
	return fake_bus_ioctl(fake, fd, cmd, arg);
}
