/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - what containers, groups and attachments ask of their surroundings: the kernel, and KVM.
 */
#include "context.h"

const struct vfio_env *vfio_context_env(const struct vfio_context *context)
{
	return &context->env;
}

void vfio_context_close_fd(struct vfio_context *context, int fd)
{
	if (fd >= 0)
		context->host.ops->close(&context->host, fd);
}

long vfio_host_ioctl(struct vfio_context *context, int fd, unsigned long cmd, void *arg)
{
	return context->host.ops->ioctl(&context->host, fd, cmd, arg);
}

int vfio_context_kvm_add(struct vfio_context *context, int fd)
{
	const struct vfio_env_ops *ops = context->env.ops;

	return ops && ops->kvm_add ? ops->kvm_add(context->env.opaque, fd) : 0;
}

void vfio_context_kvm_del(struct vfio_context *context, int fd)
{
	const struct vfio_env_ops *ops = context->env.ops;

	if (ops && ops->kvm_del)
		ops->kvm_del(context->env.opaque, fd);
}
