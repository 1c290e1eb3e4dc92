/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group.c - an IOMMU group: opened once, shared by the devices in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <portcullis/err.h>

#include "context.h"

static int not_viable(const struct vfio_attachment *attachment, struct err *err)
{
	int group = attachment->facts.device.group;

	err_set(err, EPERM,
		"IOMMU group %d of '%s' is not viable: the host still uses a device in it: ", group,
		attachment->facts.device.name);
	attachment->lookup->ops->append_group(attachment->lookup, group, err);
	err_hint(err,
		"bind each of these devices (bridges with pcieport excepted) to vfio-pci, or unbind it from its driver: echo ADDRESS > /sys/bus/pci/devices/ADDRESS/driver/unbind");
	return -EPERM;
}

static int open_group(
	struct vfio_group *group, const struct vfio_attachment *attachment, struct err *err)
{
	int fd = attachment->lookup->ops->open(
		attachment->lookup, VFIO_NODE_GROUP, &attachment->facts.device, err);

	if (fd < 0)
		return fd;
	group->fd = fd;
	return 0;
}

static int check_status(struct vfio_context *context, struct vfio_group *group,
	const struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	long ret = vfio_host_ioctl(context, group->fd, VFIO_GROUP_GET_STATUS, &status);

	if (ret < 0)
		return err_set_errno(
			err, (int)-ret, "cannot read the state of IOMMU group %d", group->number);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return not_viable(attachment, err);
	return 0;
}

static int group_new(
	struct vfio_context *context, struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_group *group = calloc(1, sizeof(*group));
	int ret;

	if (!group)
		return err_set_errno(
			err, ENOMEM, "cannot open IOMMU group %d", attachment->facts.device.group);
	*group = (struct vfio_group){ .context = context,
		.number = attachment->facts.device.group,
		.fd = -1,
		.users = 1,
		.next = context->groups };
	context->groups = group;
	attachment->group = group;
	ret = open_group(group, attachment, err);
	if (ret == 0)
		ret = check_status(context, group, attachment, err);
	if (ret == 0)
		ret = vfio_type1_join(group, attachment, err);
	if (ret < 0)
		return ret;
	/* KVM has to know the group before a device of it is opened. */
	ret = vfio_context_kvm_add(context, group->fd);
	if (ret < 0)
		return err_set_errno(
			err, -ret, "KVM does not accept IOMMU group %d", group->number);
	group->in_kvm = true;
	return 0;
}

int vfio_group_get(
	struct vfio_context *context, struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_group *group = context->groups;
	int ret = 0;

	while (group && group->number != attachment->facts.device.group)
		group = group->next;
	if (group) {
		group->users++;
		attachment->group = group;
	} else {
		ret = group_new(context, attachment, err);
	}
	attachment->container = attachment->group ? attachment->group->container : NULL;
	return ret;
}

void vfio_group_put(struct vfio_group *group)
{
	struct vfio_container *container;
	struct vfio_context *context;
	struct vfio_group **at;

	if (!group || --group->users > 0)
		return;
	context = group->context;
	container = group->container;
	for (at = &context->groups; *at && *at != group; at = &(*at)->next)
		;
	if (*at)
		*at = group->next;
	vfio_type1_leave(group);
	if (group->in_kvm)
		vfio_context_kvm_del(context, group->fd);
	if (group->fd >= 0)
		context->host.ops->close(&context->host, group->fd);
	free(group);
	vfio_container_put(container);
}
