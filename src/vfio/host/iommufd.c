/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iommufd.c - the IOMMUFD backend: the device's own node and an IOAS instead of group and
 * container. All devices of one iommufd object share one IOAS: RAM is pinned once.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <portcullis/err.h>

#include "context.h"
#include "iommufd_uapi.h"

static int ioas_map(
	struct vfio_container *container, uint64_t iova, void *hva, uint64_t size, bool writable)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 (writable ? IOMMU_IOAS_MAP_WRITEABLE : 0),
		.ioas_id = container->ioas,
		.user_va = (uintptr_t)hva,
		.length = size,
		.iova = iova,
	};
	long ret = vfio_host_ioctl(container->context, container->fd, IOMMU_IOAS_MAP, &map);

	return ret < 0 ? (int)ret : 0;
}

static int ioas_unmap(struct vfio_container *container, uint64_t iova, uint64_t size)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = container->ioas,
		.iova = iova,
		.length = size,
	};
	long ret = vfio_host_ioctl(container->context, container->fd, IOMMU_IOAS_UNMAP, &unmap);

	if (ret < 0)
		return (int)ret;
	return unmap.length == size ? 0 : -EIO;
}

static int ioas_refresh(struct vfio_container *container, struct err *err)
{
	struct iommu_iova_range ranges[VFIO_USABLE_MAX];
	struct iommu_ioas_iova_ranges query = {
		.size = sizeof(query),
		.ioas_id = container->ioas,
		.num_iovas = VFIO_USABLE_MAX,
		.allowed_iovas = (uintptr_t)ranges,
	};
	long ret =
		vfio_host_ioctl(container->context, container->fd, IOMMU_IOAS_IOVA_RANGES, &query);

	/* More ranges than we keep: the kernel filled in as many as there was room for. */
	if (ret == -EMSGSIZE && query.num_iovas > VFIO_USABLE_MAX)
		query.num_iovas = VFIO_USABLE_MAX;
	else if (ret < 0)
		return err_set_errno(err, (int)-ret, "IOMMU_IOAS_IOVA_RANGES failed");
	if (query.num_iovas > VFIO_USABLE_MAX)
		query.num_iovas = VFIO_USABLE_MAX;
	pthread_mutex_lock(&container->context->tables);
	for (unsigned i = 0; i < query.num_iovas; i++)
		container->usable[i] = (struct range){ ranges[i].start, ranges[i].last };
	container->n_usable = query.num_iovas;
	pthread_mutex_unlock(&container->context->tables);
	return 0;
}

static void ioas_close(struct vfio_container *container)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = container->ioas };

	if (container->ioas)
		(void)vfio_host_ioctl(container->context, container->fd, IOMMU_DESTROY, &destroy);
	container->ioas = 0;
	container->fd = -1;
}

static const struct vfio_container_ops ioas_ops = {
	.name = "iommufd",
	.locked = "VmPin:",
	.map = ioas_map,
	.unmap = ioas_unmap,
	.refresh = ioas_refresh,
	.close = ioas_close,
};

/* The object's IOAS, with one user more. */
static int ioas_get(struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_context *context = attachment->context;
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_container *container = context->containers;
	long ret;

	while (container && container->iommufd != attachment->iommufd)
		container = container->next;
	if (container) {
		container->users++;
		attachment->container = container;
		return 0;
	}
	ret = vfio_container_new(&container, context, &ioas_ops);
	if (ret < 0)
		return err_set_errno(err, (int)-ret, "cannot create an IOAS");
	container->users = 1;
	container->iommufd = attachment->iommufd;
	container->fd = attachment->iommufd->fd;
	ret = vfio_host_ioctl(context, container->fd, IOMMU_IOAS_ALLOC, &alloc);
	if (ret < 0) {
		vfio_container_put(container);
		return err_set_errno(err, (int)-ret, "iommufd '%s' cannot create an IOAS%s",
			attachment->iommufd->id, ret == -ENOTTY ? " (not /dev/iommu?)" : "");
	}
	container->ioas = alloc.out_ioas_id;
	attachment->container = container;
	return 0;
}

static int open_cdev(struct vfio_attachment *attachment, int passed, struct err *err)
{
	const struct vfio_host *host = &attachment->context->host;
	const struct vfio_lookup *lookup = attachment->lookup;
	int fd = passed, ret;

	if (passed < 0)
		fd = lookup->ops->open(lookup, VFIO_NODE_DEVICE, &attachment->facts.device, err);
	if (fd < 0)
		return fd;
	attachment->passed_used = passed >= 0;
	ret = host->ops->device_io(host, fd, &attachment->io);
	if (ret < 0)
		return err_set_errno(
			err, -ret, "no file descriptor for '%s'", attachment->facts.device.name);
	attachment->has_io = true;
	return 0;
}

static int bind(struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_bind_iommufd_token bind = { .argsz = offsetof(typeof(bind), token_uuid_ptr),
		.iommufd = attachment->iommufd->fd };
	long ret;
	int token;

	if (attachment->token.set) {
		bind.argsz = sizeof(bind);
		bind.flags = VFIO_DEVICE_BIND_FLAG_TOKEN;
		bind.token_uuid_ptr = (uintptr_t)attachment->token.byte;
	}
	ret = vfio_host_ioctl(
		attachment->context, attachment->io.fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	if (ret >= 0)
		return 0;
	token = vfio_token_bind_error(attachment, (int)-ret, err);
	if (token)
		return token;
	if (ret == -EPERM) {
		err_set_errno(err, EPERM,
			"'%s' cannot be given to iommufd '%s': the host still uses a device of IOMMU group %d, or interrupts are unsafe; its devices: ",
			attachment->facts.device.name, attachment->iommufd->id,
			attachment->facts.device.group);
		attachment->lookup->ops->append_group(
			attachment->lookup, attachment->facts.device.group, err);
		err_hint(err,
			"bind each of these devices (bridges with pcieport excepted) to vfio-pci");
		return -EPERM;
	}
	if (ret == -EBADF || ret == -EBADFD) {
		err_set(err, (int)-ret, "fd %d of iommufd '%s' is not open on /dev/iommu",
			attachment->iommufd->fd, attachment->iommufd->id);
		return (int)ret;
	}
	err_set_errno(err, (int)-ret, "'%s' cannot be given to iommufd '%s'",
		attachment->facts.device.name, attachment->iommufd->id);
	/* A node can be opened often, but only one of its users gets the device. */
	if (ret == -EINVAL || ret == -EBUSY)
		err_hint(err,
			"another process may be using the device: fuser -v /dev/vfio/devices/* /dev/vfio/%d",
			attachment->facts.device.group);
	return (int)ret;
}

static int join(struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach),
		.pt_id = attachment->container->ioas };
	long ret = vfio_host_ioctl(
		attachment->context, attachment->io.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (ret < 0)
		return vfio_iommu_error(attachment, (int)-ret, err);
	attachment->joined = true;
	return attachment->container->ops->refresh(attachment->container, err);
}

int vfio_iommufd_attach(
	struct vfio_attachment *attachment, const char *id, int passed, struct err *err)
{
	struct vfio_context *context = attachment->context;
	int ret = vfio_iommufd_get(attachment, id, err);

	if (ret == 0)
		ret = open_cdev(attachment, passed, err);
	if (ret < 0)
		return ret;
	/* KVM has to know the device before it is opened, which is what binding does. */
	ret = vfio_context_kvm_add(context, attachment->io.fd);
	if (ret < 0)
		return err_set_errno(
			err, -ret, "KVM does not accept '%s'", attachment->facts.device.name);
	attachment->in_kvm = true;
	ret = bind(attachment, err);
	if (ret == 0)
		ret = ioas_get(attachment, err);
	return ret < 0 ? ret : join(attachment, err);
}

void vfio_iommufd_leave(struct vfio_attachment *attachment)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	if (!attachment->iommufd)
		return;
	if (attachment->joined)
		(void)vfio_host_ioctl(attachment->context, attachment->io.fd,
			VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
	attachment->joined = false;
	vfio_container_put(attachment->container);
	attachment->container = NULL;
	if (attachment->in_kvm)
		vfio_context_kvm_del(attachment->context, attachment->io.fd);
	attachment->in_kvm = false;
}
