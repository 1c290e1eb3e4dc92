/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iommufd.c - the IOMMUFD backend: an IOAS and the device's own node instead of group and container.
 */
#include <errno.h>

#include <portcullis/err.h>

#include "context.h"

int vfio_iommufd_attach(struct vfio_context *context, const struct vfio_pci_options *options,
	struct vfio_attachment *attachment, struct err *err)
{
	(void)context;
	(void)attachment;
	return err_set(err, ENOTSUP, "iommufd '%s': this build has no IOMMUFD backend",
		options->iommufd);
}

void vfio_iommufd_detach(struct vfio_attachment *attachment)
{
	(void)attachment;
}

void vfio_iommufd_free_all(struct vfio_context *context)
{
	(void)context;
}
