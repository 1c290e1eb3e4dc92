/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vfio_host.c - the fake kernel's fds, address spaces and rules of order.
 */
#include "fake_vfio_host.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <portcullis/sys.h>

#include "../../src/vfio/host/iommufd_uapi.h"

void fake_violation(struct fake_vfio_host *fake, const char *fmt, ...)
{
	va_list args;

	if (fake->violation[0])
		return;
	va_start(args, fmt);
	(void)vsnprintf(fake->violation, sizeof(fake->violation), fmt, args);
	va_end(args);
}

static bool gives_back(unsigned long cmd)
{
	return cmd == VFIO_GROUP_UNSET_CONTAINER || cmd == VFIO_IOMMU_UNMAP_DMA ||
	       cmd == VFIO_DEVICE_DETACH_IOMMUFD_PT || cmd == IOMMU_DESTROY ||
	       cmd == IOMMU_IOAS_UNMAP;
}

static bool fault(struct fake_vfio_host *fake)
{
	return ++fake->calls == fake->fail_at;
}

struct fake_fd *fake_fd_find(struct fake_vfio_host *fake, int fd)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind != FAKE_FD_FREE && fake->fds[i].fd == fd)
			return &fake->fds[i];
	return NULL;
}

int fake_fd_new(struct fake_vfio_host *fake, enum fake_fd_kind kind, int index)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++) {
		struct fake_fd *fd = &fake->fds[i];

		if (fd->kind != FAKE_FD_FREE)
			continue;
		*fd = (struct fake_fd){ .kind = kind,
			.index = index,
			.space = -1,
			.iommufd = -1,
			.fd = memfd_create("fake-vfio", MFD_CLOEXEC) };
		if (fd->fd < 0)
			fd->kind = FAKE_FD_FREE;
		return fd->fd < 0 ? -errno : fd->fd;
	}
	return -EMFILE;
}

struct fake_device *fake_device_find(struct fake_vfio_host *fake, const char *name)
{
	for (unsigned i = 0; i < fake->n_devices; i++)
		if (!strcmp(fake->devices[i].name, name))
			return &fake->devices[i];
	return NULL;
}

static bool virtual_in_use(const struct fake_vfio_host *fake, const struct fake_device *device)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++) {
		const struct fake_fd *fd = &fake->fds[i];
		bool open = fd->kind == FAKE_FD_DEVICE || (fd->kind == FAKE_FD_CDEV && fd->bound);

		if (open && fake->devices[fd->index].physical == device)
			return true;
	}
	return false;
}

/* Linux' vfio_pci_validate_vf_token() */
int fake_vfio_token(struct fake_vfio_host *fake, struct fake_device *device, const uint8_t *token)
{
	const struct fake_device *physical = device->physical;
	bool guarded = physical && strstr(physical->driver, "vfio");

	if (physical && !guarded)
		return token ? -EINVAL : 0;
	if (guarded)
		return token && !memcmp(token, physical->token, UUID_SIZE) ? 0 : -EACCES;
	if (!device->has_virtual)
		return token ? -EINVAL : 0;
	if (virtual_in_use(fake, device))
		return token && !memcmp(token, device->token, UUID_SIZE) ? 0 : -EACCES;
	if (token)
		memcpy(device->token, token, UUID_SIZE);
	return 0;
}

int fake_space_new(struct fake_vfio_host *fake)
{
	for (int i = 0; i < FAKE_SPACES_MAX; i++) {
		if (fake->spaces[i].used)
			continue;
		fake->spaces[i].used = true;
		fake->spaces[i].model = false;
		fake->spaces[i].iommu = fake->spaces[i].iommufd = -1;
		fake->spaces[i].users = fake->spaces[i].n_maps = 0;
		return i;
	}
	return -ENOSPC;
}

void fake_space_free(struct fake_vfio_host *fake, struct fake_space *space)
{
	if (space->users)
		fake_violation(fake, "address space closed with %u users", space->users);
	if (space->n_maps)
		fake_violation(fake, "address space closed with %u mappings", space->n_maps);
	space->used = false;
}

long fake_space_map(
	struct fake_vfio_host *fake, struct fake_space *space, const struct fake_map *map)
{
	uint64_t pinned = map->size;
	bool usable = fake->n_ranges == 0;

	if (fake->on_map)
		fake->on_map(fake);
	if (!space->users)
		return -EINVAL;
	if (!map->size || (map->iova | map->size | map->hva) % 4096)
		return -EINVAL;
	for (unsigned i = 0; i < fake->n_ranges; i++)
		usable |= map->iova >= fake->ranges[i].start &&
			  map->iova + (map->size - 1) <= fake->ranges[i].end;
	if (!usable)
		return -EINVAL;
	for (unsigned i = 0; i < space->n_maps; i++) {
		const struct fake_map *at = &space->maps[i];

		pinned += at->size;
		if (at->iova <= map->iova + (map->size - 1) &&
			map->iova <= at->iova + (at->size - 1)) {
			fake_violation(fake, "mapping over another at 0x%llx",
				(unsigned long long)map->iova);
			return -EEXIST;
		}
	}
	if (pinned > fake->pin_limit)
		return -ENOMEM;
	if (space->n_maps == FAKE_MAPS_MAX || space->n_maps >= fake->dma_avail)
		return -ENOSPC;
	space->maps[space->n_maps++] = *map;
	fake->maps++;
	return 0;
}

long fake_space_unmap(
	struct fake_vfio_host *fake, struct fake_space *space, uint64_t iova, uint64_t size)
{
	for (unsigned i = 0; i < space->n_maps; i++) {
		if (space->maps[i].iova != iova || space->maps[i].size != size)
			continue;
		space->maps[i] = space->maps[--space->n_maps];
		fake->unmaps++;
		return (long)size;
	}
	fake_violation(fake, "unmapping 0x%llx+0x%llx, which was not mapped",
		(unsigned long long)iova, (unsigned long long)size);
	return -ENOENT;
}

static int cdev_device(const struct fake_vfio_host *fake, const char *node)
{
	for (unsigned i = 0; i < fake->n_devices; i++) {
		char path[256];

		(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/vfio-dev/%s", fake->sysfs,
			fake->devices[i].name, node);
		if (access(path, F_OK) == 0)
			return (int)i;
	}
	return -1;
}

static int open_cdev(struct fake_vfio_host *fake, const char *node)
{
	int device = cdev_device(fake, node), fd;
	unsigned number;

	if (device < 0 || sscanf(node, "vfio%u", &number) != 1)
		return -ENODEV;
	fd = fake_fd_new(fake, FAKE_FD_CDEV, device);
	if (fd >= 0)
		fake_fd_find(fake, fd)->node = number;
	return fd;
}

static int open_group(struct fake_vfio_host *fake, int number)
{
	if (fake->open_error)
		return -fake->open_error;
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_GROUP && fake->fds[i].index == number)
			return -EBUSY;
	return fake_fd_new(fake, FAKE_FD_GROUP, number);
}

static int fake_open(const struct vfio_host *host, const char *path)
{
	struct fake_vfio_host *fake = host->opaque;
	const char *node = path + strlen(fake->dev);
	int number, used;

	if (fault(fake))
		return -fake->fail_errno;
	if (strncmp(path, fake->dev, strlen(fake->dev)) || access(path, F_OK) < 0)
		return -ENOENT;
	if (!strcmp(node, "/vfio/vfio")) {
		int space = fake_space_new(fake);

		return space < 0 ? space : fake_fd_new(fake, FAKE_FD_CONTAINER, space);
	}
	if (!strcmp(node, "/iommu"))
		return fake_fd_new(fake, FAKE_FD_IOMMUFD, 0);
	if (!strncmp(node, "/vfio/devices/", 14)) {
		return open_cdev(fake, node + 14);
	}
	if (sscanf(node, "/vfio/%d%n", &number, &used) == 1 && !node[used])
		return open_group(fake, number);
	return -ENOENT;
}

static long fake_ioctl(const struct vfio_host *host, int number, unsigned long cmd, void *arg)
{
	struct fake_vfio_host *fake = host->opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);

	if (!gives_back(cmd) && fault(fake))
		return -fake->fail_errno;
	if (!fd) {
		fake_violation(fake, "ioctl 0x%lx on fd %d, which is not open", cmd, number);
		return -EBADF;
	}
	if (fd->kind == FAKE_FD_CDEV || fd->kind == FAKE_FD_IOMMUFD)
		return fake_iommufd_ioctl(fake, fd, cmd, arg);
	return fake_legacy_ioctl(fake, fd, cmd, arg);
}

static void close_group(struct fake_vfio_host *fake, const struct fake_fd *group)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_DEVICE &&
			fake->devices[fake->fds[i].index].group == group->index)
			fake_violation(fake, "group %d closed before its device", group->index);
	if (group->space >= 0)
		fake_violation(fake, "group %d closed while in a container", group->index);
}

static void close_iommufd(struct fake_vfio_host *fake, int number)
{
	for (unsigned i = 0; i < FAKE_SPACES_MAX; i++)
		if (fake->spaces[i].used && fake->spaces[i].iommufd == number) {
			fake_violation(fake, "iommufd closed before its IOAS was destroyed");
			fake->spaces[i].used = false;
		}
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_CDEV && fake->fds[i].iommufd == number)
			fake_violation(fake, "iommufd closed before a device bound to it");
}

static void fake_close(const struct vfio_host *host, int number)
{
	struct fake_vfio_host *fake = host->opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);

	if (!fd) {
		fake_violation(fake, "close of fd %d, which is not open", number);
		return;
	}
	if (fd->in_kvm)
		fake_violation(fake, "fd closed that KVM still knows");
	if (fd->kind == FAKE_FD_GROUP)
		close_group(fake, fd);
	if (fd->kind == FAKE_FD_CONTAINER)
		fake_space_free(fake, &fake->spaces[fd->index]);
	if (fd->kind == FAKE_FD_IOMMUFD)
		close_iommufd(fake, number);
	if (fd->kind == FAKE_FD_CDEV && fd->space >= 0)
		fake_violation(fake, "device closed before it was detached from its IOAS");
	fd->kind = FAKE_FD_FREE;
	sys_close(number);
}

static int no_info(struct vfio_device_io *io, struct vfio_device_info **out)
{
	(void)io;
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->argsz = sizeof(**out);
	return 0;
}

static const struct vfio_device_io_ops no_card = { .info = no_info };

static int fake_device_io(const struct vfio_host *host, int number, struct vfio_device_io *io)
{
	struct fake_vfio_host *fake = host->opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);
	const struct vfio_device_io *card;
	int moved;

	if (!fd || (fd->kind != FAKE_FD_DEVICE && fd->kind != FAKE_FD_CDEV)) {
		fake_violation(fake, "device_io on fd %d, which is no device", number);
		return -EBADF;
	}
	moved = fault(fake) ? -fake->fail_errno : sys_fd_move(number, FD_ZONE_DEVICE);
	if (moved < 0) {
		if (fake->calls == fake->fail_at)
			sys_close(number);
		fd->kind = FAKE_FD_FREE;
		return moved;
	}
	fd->fd = moved;
	card = fake->devices[fd->index].io;
	*io = (struct vfio_device_io){ .ops = card ? card->ops : &no_card,
		.fd = moved,
		.opaque = card ? card->opaque : NULL };
	return 0;
}

static int fake_adopt(const struct vfio_host *host, int number, dev_t *node)
{
	struct fake_vfio_host *fake = host->opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);
	int copy;

	if (fault(fake))
		return -fake->fail_errno;
	if (!fd)
		return -EBADF;
	*node = fd->kind == FAKE_FD_CDEV ? makedev(235, fd->node) : makedev(1, 3);
	copy = fake_fd_new(fake, fd->kind, fd->index);
	if (copy >= 0)
		fake_fd_find(fake, copy)->node = fd->node;
	return copy;
}

static void fake_sleep(const struct vfio_host *host, unsigned ms)
{
	struct fake_vfio_host *fake = host->opaque;

	fake->slept_ms += ms;
}

/* What is read by name are real files, in a temporary directory. */
static void set_ops(struct vfio_host_ops *ops)
{
	*ops = *vfio_host_real.ops;
	ops->open = fake_open;
	ops->ioctl = fake_ioctl;
	ops->close = fake_close;
	ops->device_io = fake_device_io;
	ops->adopt = fake_adopt;
	ops->sleep_ms = fake_sleep;
}

static int fake_kvm_add(void *opaque, int number)
{
	struct fake_vfio_host *fake = opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);

	if (fault(fake))
		return -fake->fail_errno;
	if (!fd || fd->in_kvm) {
		fake_violation(fake, "kvm_add of fd %d", number);
		return -EBADF;
	}
	if (fd->kind != FAKE_FD_GROUP && (fd->kind != FAKE_FD_CDEV || fd->bound))
		fake_violation(fake, "kvm_add after the device was opened");
	fd->in_kvm = true;
	fake->kvm_adds++;
	return 0;
}

static void fake_kvm_del(void *opaque, int number)
{
	struct fake_vfio_host *fake = opaque;
	struct fake_fd *fd = fake_fd_find(fake, number);

	if (!fd || !fd->in_kvm)
		fake_violation(fake, "kvm_del of fd %d", number);
	else
		fd->in_kvm = false;
}

struct vfio_env fake_vfio_env(struct fake_vfio_host *fake)
{
	static const struct vfio_env_ops ops = { .kvm_add = fake_kvm_add, .kvm_del = fake_kvm_del };

	return (struct vfio_env){ .ops = &ops, .opaque = fake, .host = &fake->host };
}

void fake_vfio_host_setup(struct fake_vfio_host *fake);

void fake_vfio_host_init(struct fake_vfio_host *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->dma_avail = UINT32_MAX;
	fake->pin_limit = UINT64_MAX;
	fake->fail_errno = EIO;
	fake_vfio_host_setup(fake);
	set_ops(&fake->ops);
	fake->host = (struct vfio_host){ .ops = &fake->ops,
		.sysfs = fake->sysfs,
		.dev = fake->dev,
		.proc = fake->proc,
		.opaque = fake };
}

bool fake_vfio_idle(const struct fake_vfio_host *fake)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind != FAKE_FD_FREE)
			return false;
	for (unsigned i = 0; i < FAKE_SPACES_MAX; i++)
		if (fake->spaces[i].used)
			return false;
	return true;
}

unsigned fake_vfio_open_fds(const struct fake_vfio_host *fake, enum fake_fd_kind kind)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		count += fake->fds[i].kind == kind;
	return count;
}

unsigned fake_vfio_total_maps(const struct fake_vfio_host *fake)
{
	unsigned count = 0;

	for (unsigned i = 0; i < FAKE_SPACES_MAX; i++)
		count += fake->spaces[i].used ? fake->spaces[i].n_maps : 0;
	return count;
}

static bool space_reaches(
	const struct fake_space *space, uint64_t iova, uint64_t size, const void *hva)
{
	for (unsigned i = 0; i < space->n_maps; i++) {
		const struct fake_map *map = &space->maps[i];

		if (iova < map->iova || iova - map->iova >= map->size)
			continue;
		if ((uintptr_t)hva != map->hva + (iova - map->iova))
			return false;
		if (size <= map->size - (iova - map->iova))
			return true;
		/* The rest may be in the next piece. */
		size -= map->size - (iova - map->iova);
		iova = map->iova + map->size;
		hva = (const void *)(uintptr_t)(map->hva + map->size);
		i = UINT32_MAX;
	}
	return false;
}

bool fake_vfio_mapped(
	const struct fake_vfio_host *fake, uint64_t iova, uint64_t size, const void *hva)
{
	for (unsigned i = 0; i < FAKE_SPACES_MAX; i++)
		if (fake->spaces[i].used && space_reaches(&fake->spaces[i], iova, size, hva))
			return true;
	return false;
}

unsigned fake_process_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}
