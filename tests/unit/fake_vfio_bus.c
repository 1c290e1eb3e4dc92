/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vfio_bus.c - the fake kernel's bus reset: functions that share a bus are reset together. */
#include "fake_vfio_host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

static bool same_bus(const struct fake_device *a, const struct fake_device *b)
{
	return !strncmp(a->name, b->name, strlen("0000:01:"));
}

static bool group_given(
	struct fake_vfio_host *fake, const struct vfio_pci_hot_reset *reset, int group)
{
	for (unsigned i = 0; i < reset->count; i++) {
		const struct fake_fd *fd = fake_fd_find(fake, reset->group_fds[i]);

		if (fd && fd->kind == FAKE_FD_GROUP && fd->index == group)
			return true;
	}
	return false;
}

/* Is the device bound to the iommufd that fd is bound to, or to none? */
static bool cdev_owned(struct fake_vfio_host *fake, const struct fake_fd *fd, unsigned device)
{
	for (unsigned i = 0; i < FAKE_FDS_MAX; i++)
		if (fake->fds[i].kind == FAKE_FD_CDEV && fake->fds[i].index == (int)device)
			return fake->fds[i].iommufd == fd->iommufd;
	return false;
}

static long info(
	struct fake_vfio_host *fake, const struct fake_fd *fd, struct vfio_pci_hot_reset_info *out)
{
	const struct fake_device *self = &fake->devices[fd->index];
	unsigned room = (out->argsz - (unsigned)sizeof(*out)) / sizeof(out->devices[0]);
	bool owned = true;

	out->count = 0;
	for (unsigned i = 0; i < fake->n_devices; i++) {
		struct vfio_pci_dependent_device *d = &out->devices[out->count];
		unsigned segment, bus, slot, function;

		if (!same_bus(self, &fake->devices[i]))
			continue;
		if (out->count++ == room)
			return -ENOSPC;
		if (sscanf(fake->devices[i].name, "%x:%x:%x.%x", &segment, &bus, &slot,
			    &function) != 4)
			return -ENODEV;
		d->group_id = (uint32_t)fake->devices[i].group;
		d->segment = (uint16_t)segment;
		d->bus = (uint8_t)bus;
		d->devfn = (uint8_t)(slot << 3 | function);
		owned &= cdev_owned(fake, fd, i);
	}
	if (fd->kind == FAKE_FD_CDEV)
		out->flags = 1u << 0 | (owned ? 1u << 1 : 0);
	return 0;
}

static long reset(
	struct fake_vfio_host *fake, const struct fake_fd *fd, const struct vfio_pci_hot_reset *cmd)
{
	if (cmd->argsz < sizeof(*cmd) + cmd->count * sizeof(int32_t) || cmd->flags)
		return -EINVAL;
	if (!cmd->count != (fd->kind == FAKE_FD_CDEV))
		return -EINVAL;
	for (unsigned i = 0; cmd->count && i < fake->n_devices; i++)
		if (same_bus(&fake->devices[fd->index], &fake->devices[i]) &&
			!group_given(fake, cmd, fake->devices[i].group))
			return -EINVAL;
	fake->bus_resets++;
	if (fake->on_bus_reset)
		fake->on_bus_reset(fake);
	return 0;
}

long fake_bus_ioctl(struct fake_vfio_host *fake, struct fake_fd *fd, unsigned long cmd, void *arg)
{
	if (fake->no_bus_reset)
		return cmd == VFIO_DEVICE_GET_PCI_HOT_RESET_INFO ? -ENODEV : -ENOTTY;
	if (cmd == VFIO_DEVICE_GET_PCI_HOT_RESET_INFO)
		return info(fake, fd, arg);
	return cmd == VFIO_DEVICE_PCI_HOT_RESET ? reset(fake, fd, arg) : -ENOTTY;
}
