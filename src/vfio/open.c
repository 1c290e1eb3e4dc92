/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - the device object and its attachment: open, constraints, RAM, close. */
#include <errno.h>

#include <portcullis/err.h>

#include "context.h"
#include "device.h"

int vfio_pci_new(struct vfio_pci **out, struct vfio_context *context,
	struct vfio_pci_options *options, struct loop *worker, struct err *err)
{
	int ret = vfio_device_new(out, &context->env, options, worker);

	if (ret)
		return err_set(err, -ret, "no memory for device '%s'", options->id);
	(*out)->context = context;
	return 0;
}

void vfio_pci_free(struct vfio_pci *dev)
{
	if (dev)
		vfio_device_put(dev);
}

int vfio_pci_open(struct vfio_pci *dev, struct err *err)
{
	int ret = vfio_attach(dev->context, dev->options, &dev->attachment, err);

	if (ret) {
		err_prefix(err, "vfio-pci '%s'", dev->options->id);
		return ret;
	}
	ret = vfio_device_probe(dev, vfio_attachment_io(dev->attachment), err);
	if (!ret) {
		dev->reset_methods = vfio_attachment_reset_methods(dev->attachment);
		return 0;
	}
	vfio_detach(dev->attachment);
	dev->attachment = NULL;
	err_prefix(err, "vfio-pci '%s'", dev->options->id);
	return ret;
}

void vfio_pci_constraints(const struct vfio_pci *dev, struct vfio_constraints *out)
{
	out->n_usable = out->n_reserved = 0;
	if (dev->attachment)
		vfio_attachment_constraints(dev->attachment, out);
}

int vfio_pci_map_ram(struct vfio_pci *dev, struct err *err)
{
	int ret;

	if (!dev->attachment)
		return err_set(err, ENODEV, "vfio-pci '%s' is not open", dev->options->id);
	ret = vfio_attachment_map_ram(dev->attachment, err);
	if (ret)
		err_prefix(err, "vfio-pci '%s'", dev->options->id);
	return ret;
}

void vfio_pci_cancel(struct vfio_pci *dev)
{
	vfio_attachment_cancel(dev->attachment);
}

void vfio_pci_close(struct vfio_pci *dev)
{
	vfio_device_close(dev);
	dev->reset_methods = "";
	vfio_detach(dev->attachment);
	dev->attachment = NULL;
}
