/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.c - taking a device from the host and giving it back, step by step.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>

#include <portcullis/err.h>

#include "context.h"

/* Somebody holds the device's lock for a moment: a driver that is just being bound, a reset. */
#define BUSY_TRIES 20
#define BUSY_WAIT_MS 50

static int check_twice(const struct vfio_attachment *attachment, struct err *err)
{
	for (const struct vfio_attachment *at = attachment->next; at; at = at->next)
		if (!strcmp(at->facts.device.name, attachment->facts.device.name))
			return err_set(err, EEXIST,
				"host device '%s' is already part of this machine",
				attachment->facts.device.name);
	return 0;
}

static int device_error(const struct vfio_attachment *attachment, int code, struct err *err)
{
	const char *name = attachment->facts.device.name;
	int ret = vfio_token_error(attachment, code, err);

	if (ret)
		return ret;
	err_set_errno(err, code, "cannot open '%s' in IOMMU group %d", name,
		attachment->facts.device.group);
	if (code == ENODEV)
		err_hint(err, "its driver was changed meanwhile: bind it to vfio-pci again");
	else if (code == EBUSY || code == EAGAIN)
		err_hint(err, "another process uses it or resets it: fuser -v /dev/vfio/%d",
			attachment->facts.device.group);
	else
		err_hint(err, "dmesg may tell why vfio-pci could not enable it");
	return -code;
}

static int open_device(struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_context *context = attachment->context;
	const struct vfio_host *host = &context->host;
	char name[VFIO_TOKEN_NAME_MAX];
	long fd;
	int ret;

	vfio_token_name(attachment, name);
	for (unsigned i = 0;; i++) {
		fd = vfio_host_ioctl(
			context, attachment->group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
		if (fd != -EAGAIN || i == BUSY_TRIES)
			break;
		host->ops->sleep_ms(host, BUSY_WAIT_MS);
	}
	if (fd < 0)
		return device_error(attachment, (int)-fd, err);
	ret = host->ops->device_io(host, (int)fd, &attachment->io);
	if (ret < 0)
		return err_set_errno(
			err, -ret, "no file descriptor for '%s'", attachment->facts.device.name);
	attachment->has_io = true;
	return 0;
}

static int attach_group(struct vfio_attachment *attachment, struct err *err)
{
	int ret = vfio_group_get(attachment->context, attachment, err);

	return ret < 0 ? ret : open_device(attachment, err);
}

/* What the host says of the device that is meant. */
static int look_up(struct vfio_attachment *attachment, const struct vfio_pci_options *options,
	const dev_t *node, struct err *err)
{
	const struct vfio_lookup *lookup = attachment->lookup;
	struct vfio_target *target = malloc(sizeof(*target));
	int ret = target ? vfio_target_set(target, options, node, err)
			 : err_set_errno(err, ENOMEM, "cannot look for the device");

	if (ret == 0)
		ret = lookup->ops->find(lookup, target, &attachment->facts, err);
	free(target);
	return ret;
}

/* Before anything is opened: opening alone resets a device. */
static int check(struct vfio_attachment *attachment, const struct vfio_pci_options *options,
	const dev_t *node, struct err *err)
{
	const struct vfio_lookup *lookup = attachment->lookup;
	const struct vfio_facts *facts = &attachment->facts;
	int ret = look_up(attachment, options, node, err);

	if (ret == 0)
		ret = vfio_token_check(attachment, err);
	/* A mediated device has no ids in sysfs. */
	if (ret == 0 && facts->device.pci)
		ret = vfio_ids_check(&options->expect, &facts->ids, facts->device.name, err);
	if (ret == 0)
		ret = check_twice(attachment, err);
	/* A mediated device's interrupts are its driver's calls, not messages on a bus. */
	if (ret == 0 && facts->device.pci && !options->allow_unsafe_interrupts)
		ret = lookup->ops->check_interrupts(lookup, err);
	return ret;
}

static int attach_steps(struct vfio_attachment *attachment, const struct vfio_pci_options *options,
	int passed, const dev_t *node, struct err *err)
{
	int ret;

	if (passed >= 0 && !options->iommufd)
		return err_set(err, EINVAL, "'fd' needs 'iommufd'");
	attachment->token = options->vf_token;
	ret = check(attachment, options, node, err);
	if (ret < 0)
		return ret;
	ret = options->iommufd ? vfio_iommufd_attach(attachment, options->iommufd, passed, err)
			       : attach_group(attachment, err);
	if (ret < 0)
		return ret;
	ret = vfio_peers_reserve(attachment->context);
	if (ret < 0)
		return err_set_errno(err, -ret, "no room to keep account of DMA mappings");
	/*
	 * RAM is laid out already when the device is hot-plugged: better to know now than half-way.
	 */
	return vfio_ram_check(attachment, err);
}

/* A duplicate of fd among the numbers of devices, and what it is open on; *copy: -1 without fd. */
static int duplicate(struct vfio_context *context, int fd, int *copy, dev_t *node, struct err *err)
{
	*copy = -1;
	if (fd < 0)
		return 0;
	*copy = context->host.ops->adopt(&context->host, fd, node);
	if (*copy < 0)
		return err_set_errno(err, -*copy, "fd %d cannot be used as a VFIO device", fd);
	return 0;
}

/* Any state between nothing and attached. */
static void release(struct vfio_attachment *attachment)
{
	struct vfio_context *context = attachment->context;
	struct vfio_attachment **at = &context->attachments;

	while (*at && *at != attachment)
		at = &(*at)->next;
	if (*at)
		*at = attachment->next;
	vfio_peers_forget(attachment);
	vfio_iommufd_leave(attachment);
	if (attachment->has_io)
		context->host.ops->close(&context->host, attachment->io.fd);
	vfio_iommufd_put(context, attachment->iommufd);
	vfio_group_put(attachment->group);
	free(attachment);
	(void)vfio_peers_reserve(context); /* less: cannot fail */
}

/* Takes passed, the duplicate of what the fd option names. */
static int attach_locked(struct vfio_context *context, const struct vfio_pci_options *options,
	int passed, const dev_t *node, const struct vfio_lookup *lookup,
	struct vfio_attachment **out, struct err *err)
{
	struct vfio_attachment *attachment = calloc(1, sizeof(*attachment));
	int ret;

	if (!attachment) {
		ret = err_set_errno(err, ENOMEM, "cannot attach a device");
	} else {
		attachment->context = context;
		attachment->lookup = lookup ? lookup : &context->direct;
		attachment->io.fd = -1;
		attachment->next = context->attachments;
		context->attachments = attachment;
		ret = attach_steps(attachment, options, passed, node, err);
	}
	if (passed >= 0 && (!attachment || !attachment->passed_used))
		context->host.ops->close(&context->host, passed);
	if (ret == 0)
		*out = attachment;
	else if (attachment)
		release(attachment);
	return ret;
}

int vfio_attach(struct vfio_context *context, const struct vfio_pci_options *options, int fd,
	const struct vfio_lookup *lookup, struct vfio_attachment **out, struct err *err)
{
	dev_t node = 0;
	int passed, ret;

	/* Outside the lock, as is closing it: what a client handed over may keep us waiting. */
	ret = duplicate(context, fd, &passed, &node, err);
	if (ret == 0) {
		pthread_mutex_lock(&context->lock);
		ret = attach_locked(
			context, options, passed, passed >= 0 ? &node : NULL, lookup, out, err);
		pthread_mutex_unlock(&context->lock);
	}
	/*
	 * The user's own number is not needed any more. After a failure neither: what was bound to
	 * an iommufd stays so while it is open, and cannot be bound again. A number that is not
	 * open must stay untouched: another thread may be opening it.
	 */
	if (fd >= 0 && passed != -EBADF)
		context->host.ops->close(&context->host, fd);
	return ret;
}

void vfio_detach(struct vfio_attachment *attachment)
{
	struct vfio_context *context;

	if (!attachment)
		return;
	context = attachment->context;
	pthread_mutex_lock(&context->lock);
	release(attachment);
	pthread_mutex_unlock(&context->lock);
}

struct vfio_device_io *vfio_attachment_io(struct vfio_attachment *attachment)
{
	return &attachment->io;
}

const char *vfio_attachment_name(const struct vfio_attachment *attachment)
{
	_Static_assert(SYSFS_NAME_MAX <= VFIO_NAME_MAX, "what attach.h promises");
	return attachment->facts.device.name;
}

bool vfio_attachment_is_pci(const struct vfio_attachment *attachment)
{
	return attachment->facts.device.pci;
}

unsigned vfio_attachment_resizable(const struct vfio_attachment *attachment)
{
	return attachment->facts.resizable;
}

const char *vfio_attachment_reset_methods(const struct vfio_attachment *attachment)
{
	return attachment->facts.reset_methods;
}

int vfio_attachment_group(const struct vfio_attachment *attachment)
{
	return attachment->facts.device.group;
}

const char *vfio_attachment_backend(const struct vfio_attachment *attachment)
{
	return attachment->container->ops->name;
}

unsigned vfio_attachment_container(const struct vfio_attachment *attachment)
{
	return attachment->container->number;
}

void vfio_attachment_dma_limits(const struct vfio_attachment *attachment, struct dma_limits *out)
{
	const struct vfio_container *container = attachment->container;

	_Static_assert(VFIO_USABLE_MAX <= sizeof(out->usable) / sizeof(out->usable[0]), "usable");
	_Static_assert(
		SYSFS_RESERVED_MAX <= sizeof(out->reserved) / sizeof(out->reserved[0]), "reserved");
	pthread_mutex_lock(&attachment->context->tables);
	memcpy(out->usable, container->usable, container->n_usable * sizeof(out->usable[0]));
	out->n_usable = container->n_usable;
	pthread_mutex_unlock(&attachment->context->tables);
	for (unsigned i = 0; i < attachment->facts.n_reserved; i++)
		out->reserved[i] = attachment->facts.reserved[i].range;
	out->n_reserved = attachment->facts.n_reserved;
}

void vfio_attachment_cancel(struct vfio_attachment *attachment)
{
	atomic_store(&attachment->cancelled, true);
}

int vfio_attachment_check_ram(struct vfio_attachment *attachment, struct err *err)
{
	int ret;

	pthread_mutex_lock(&attachment->context->lock);
	ret = vfio_ram_may_map(attachment, err);
	pthread_mutex_unlock(&attachment->context->lock);
	return ret;
}

int vfio_attachment_map_ram(struct vfio_attachment *attachment, struct err *err)
{
	int ret;

	pthread_mutex_lock(&attachment->context->lock);
	ret = vfio_ram_map(attachment, err);
	pthread_mutex_unlock(&attachment->context->lock);
	return ret;
}
