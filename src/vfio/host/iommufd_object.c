/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iommufd_object.c - "-object iommufd": a name for one /dev/iommu, from the user's options or
 * opened with the first device.
 *
 * Main adds and deletes objects, workers use them: the list and the user counts are guarded by
 * context->tables, which is never held for long. The fd belongs to whoever holds context->lock,
 * and to main while there are no users.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <portcullis/err.h>

#include "context.h"

#define AT(field) offsetof(struct vfio_iommufd_options, field)

static const struct prop props[] = {
	{ .name = "id",
		.kind = PROP_STRING,
		.offset = AT(id),
		.required = true,
		.help = "name of the object, for the iommufd property of vfio-pci" },
	{ .name = "fd",
		.kind = PROP_FD,
		.offset = AT(fd),
		.help = "number of an fd that is open on /dev/iommu; opened here if not given" },
	{ .name = NULL },
};

const struct prop_type vfio_iommufd_type = {
	.name = "iommufd",
	.help = "/dev/iommu, for vfio-pci devices with iommufd=ID",
	.option = "-object",
	.size = sizeof(struct vfio_iommufd_options),
	.props = props,
};

static struct vfio_iommufd *find(struct vfio_context *context, const char *id)
{
	struct vfio_iommufd *at = context->iommufds;

	while (at && strcmp(at->id, id))
		at = at->next;
	return at;
}

static void destroy(struct vfio_context *context, struct vfio_iommufd *iommufd)
{
	if (!iommufd)
		return;
	if (iommufd->fd >= 0)
		context->host.ops->close(&context->host, iommufd->fd);
	free(iommufd->id);
	free(iommufd);
}

int vfio_context_add_iommufd(
	struct vfio_context *context, struct vfio_iommufd_options *options, struct err *err)
{
	struct vfio_iommufd *iommufd = calloc(1, sizeof(*iommufd));
	int ret = 0;

	if (!iommufd) {
		ret = err_set_errno(err, ENOMEM, "iommufd '%s'", options->id);
		props_free(&vfio_iommufd_type, options, context->env.closer);
		return ret;
	}
	pthread_mutex_lock(&context->tables);
	if (find(context, options->id)) {
		ret = err_set(err, EEXIST, "there is an iommufd object with id '%s' already",
			options->id);
	} else {
		iommufd->id = options->id;
		options->id = NULL;
		iommufd->given = options->fd >= 0;
		iommufd->fd = prop_take_fd(&options->fd);
		iommufd->next = context->iommufds;
		context->iommufds = iommufd;
	}
	pthread_mutex_unlock(&context->tables);
	if (ret)
		free(iommufd);
	props_free(&vfio_iommufd_type, options, context->env.closer);
	return ret;
}

int vfio_context_del_iommufd(struct vfio_context *context, const char *id, int *fd, struct err *err)
{
	struct vfio_iommufd **at, *found = NULL;
	char shown[PROP_ID_SIZE];
	unsigned users = 0;

	pthread_mutex_lock(&context->tables);
	for (at = &context->iommufds; *at && strcmp((*at)->id, id); at = &(*at)->next)
		;
	if (*at) {
		found = *at;
		users = found->users;
		if (!users)
			*at = found->next;
	}
	pthread_mutex_unlock(&context->tables);
	if (!found)
		return err_set(err, ENOENT, "object '%s' not found", prop_id_show(id, shown));
	if (users)
		return err_set(err, EBUSY,
			"object '%s' is in use, can not be deleted (by %u device%s)", id, users,
			users == 1 ? "" : "s");
	*fd = found->fd;
	found->fd = -1;
	destroy(context, found);
	return 0;
}

int vfio_context_take_iommufd(struct vfio_context *context)
{
	int fd = -1;

	pthread_mutex_lock(&context->tables);
	for (struct vfio_iommufd *at = context->iommufds; at && fd < 0; at = at->next)
		if (!at->users)
			fd = prop_take_fd(&at->fd);
	pthread_mutex_unlock(&context->tables);
	return fd;
}

static int open_iommu(
	const struct vfio_lookup *lookup, struct vfio_iommufd *iommufd, struct err *err)
{
	int fd;

	if (iommufd->fd >= 0)
		return 0;
	fd = lookup->ops->open(lookup, VFIO_NODE_IOMMU, NULL, err);
	if (fd < 0)
		return fd;
	iommufd->fd = fd;
	return 0;
}

int vfio_iommufd_get(struct vfio_attachment *attachment, const char *id, struct err *err)
{
	struct vfio_context *context = attachment->context;
	struct vfio_iommufd *iommufd;
	int ret;

	pthread_mutex_lock(&context->tables);
	iommufd = find(context, id);
	if (iommufd)
		iommufd->users++;
	pthread_mutex_unlock(&context->tables);
	if (!iommufd) {
		err_set(err, ENOENT, "there is no iommufd object with id '%s'", id);
		err_hint(err, "create it before the device: -object iommufd,id=%s", id);
		return -ENOENT;
	}
	ret = open_iommu(attachment->lookup, iommufd, err);
	if (ret < 0) {
		vfio_iommufd_put(context, iommufd);
		return ret;
	}
	attachment->iommufd = iommufd;
	return 0;
}

void vfio_iommufd_put(struct vfio_context *context, struct vfio_iommufd *iommufd)
{
	int fd = -1;

	if (!iommufd)
		return;
	pthread_mutex_lock(&context->tables);
	if (--iommufd->users == 0 && !iommufd->given) {
		fd = iommufd->fd;
		iommufd->fd = -1;
	}
	pthread_mutex_unlock(&context->tables);
	if (fd >= 0)
		context->host.ops->close(&context->host, fd);
}

void vfio_iommufd_free_all(struct vfio_context *context)
{
	while (context->iommufds) {
		struct vfio_iommufd *iommufd = context->iommufds;

		context->iommufds = iommufd->next;
		destroy(context, iommufd);
	}
}
