/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hot_reset.c - resetting a whole bus: what is left for functions that cannot be reset alone.
 *
 * The kernel does it only for whoever owns every function on the bus. We do it only if, besides,
 * none of the others is in the hands of a running guest: its driver would find the card reset under
 * it. While a guest boots, reboots or ends, all of them are reset anyway.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/vfio.h>

#include <portcullis/err.h>
#include <portcullis/vfio.h>

#include "context.h"

/* Functions on one bus, and as many on buses below it as a card has in practice. */
#define AFFECTED_MAX 256
/* Linux 6.6; with DEV_ID set the kernel tells of ids within an iommufd in place of groups. */
#define HOT_RESET_DEV_ID (1u << 0)
#define HOT_RESET_OWNED (1u << 1)

/* The kernel's structures with room for their arrays. */
union affected {
	struct vfio_pci_hot_reset_info info;
	uint8_t bytes[sizeof(struct vfio_pci_hot_reset_info) +
		      AFFECTED_MAX * sizeof(struct vfio_pci_dependent_device)];
};

union command {
	struct vfio_pci_hot_reset reset;
	uint8_t bytes[sizeof(struct vfio_pci_hot_reset) + AFFECTED_MAX * sizeof(int32_t)];
};

static void device_name(const struct vfio_pci_dependent_device *device, char name[static 24])
{
	snprintf(name, 24, "%04x:%02x:%02x.%x", device->segment, device->bus, device->devfn >> 3u,
		device->devfn & 7u);
}

static int query(const struct vfio_attachment *attachment, union affected *out)
{
	long ret;

	memset(out, 0, sizeof(*out));
	out->info.argsz = sizeof(*out);
	ret = vfio_host_ioctl(attachment->context, attachment->io.fd,
		VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &out->info);
	if (ret < 0)
		return ret == -ENODEV ? -ENOTTY : (int)ret; /* ENODEV: nothing above can do it */
	return out->info.count > AFFECTED_MAX ? -E2BIG : 0;
}

static const struct vfio_group *find_group(const struct vfio_context *context, uint32_t number)
{
	const struct vfio_group *group = context->groups;

	while (group && group->number != (int)number)
		group = group->next;
	return group;
}

/* -EBUSY: the guest uses one of them. */
static int check_idle(
	const struct vfio_attachment *attachment, const union affected *all, struct err *err)
{
	const struct vfio_context *context = attachment->context;
	char name[24];

	if (atomic_load(&context->multi_reset))
		return 0;
	for (unsigned i = 0; i < all->info.count; i++) {
		device_name(&all->info.devices[i], name);
		for (const struct vfio_attachment *at = context->attachments; at; at = at->next)
			if (at != attachment && atomic_load(&at->busy) &&
				!strcmp(at->facts.device.name, name))
				return err_set(err, EBUSY,
					"resetting its bus would reset '%s' as well, which the guest uses",
					name);
	}
	return 0;
}

static int not_ours(const struct vfio_pci_dependent_device *device, struct err *err)
{
	char name[24];

	device_name(device, name);
	err_set(err, EPERM,
		"resetting its bus would reset '%s' as well, which is not part of this machine",
		name);
	return -EPERM;
}

/* Groups of all that is affected, each once. */
static int collect_groups(const struct vfio_attachment *attachment, const union affected *all,
	union command *out, struct err *err)
{
	for (unsigned i = 0; i < all->info.count; i++) {
		const struct vfio_group *group =
			find_group(attachment->context, all->info.devices[i].group_id);
		unsigned k = 0;

		if (!group)
			return not_ours(&all->info.devices[i], err);
		while (k < out->reset.count && out->reset.group_fds[k] != group->fd)
			k++;
		out->reset.group_fds[k] = group->fd;
		if (k == out->reset.count)
			out->reset.count++;
	}
	return 0;
}

static int bus_reset(const struct vfio_attachment *attachment, struct err *err)
{
	union command command = { .bytes = { 0 } };
	union affected all;
	long ret = query(attachment, &all);

	if (ret < 0)
		return err_set_errno(err, (int)-ret, "its bus cannot be reset");
	command.reset.argsz = sizeof(command);
	ret = check_idle(attachment, &all, err);
	if (ret < 0)
		return (int)ret;
	if (attachment->group)
		ret = collect_groups(attachment, &all, &command, err);
	else if (!(all.info.flags & HOT_RESET_DEV_ID) || !(all.info.flags & HOT_RESET_OWNED))
		ret = err_set(err, EPERM,
			"resetting its bus would reset devices that are not part of this machine");
	if (ret < 0)
		return (int)ret;
	ret = vfio_host_ioctl(
		attachment->context, attachment->io.fd, VFIO_DEVICE_PCI_HOT_RESET, &command.reset);
	return ret < 0 ? err_set_errno(err, (int)-ret, "its bus cannot be reset") : 0;
}

int vfio_attachment_bus_reset(struct vfio_attachment *attachment, struct err *err)
{
	int ret;

	/* Held throughout, so that no group or device is closed meanwhile. */
	pthread_mutex_lock(&attachment->context->lock);
	ret = bus_reset(attachment, err);
	pthread_mutex_unlock(&attachment->context->lock);
	return ret;
}

void vfio_attachment_set_busy(struct vfio_attachment *attachment, bool busy)
{
	atomic_store(&attachment->busy, busy);
}

void vfio_context_set_multi_reset(struct vfio_context *context, bool allowed)
{
	atomic_store(&context->multi_reset, allowed);
}
