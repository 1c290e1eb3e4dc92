/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - the device object and its attachment: open, constraints, RAM, close. */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "device.h"

int vfio_pci_new(struct vfio_pci **out, struct vfio_context *context,
	struct vfio_pci_options *options, struct loop *worker, const struct vfio_lookup *lookup,
	struct err *err)
{
	int ret = vfio_device_new(out, vfio_context_env(context), options, worker);

	if (ret)
		return err_set(err, -ret, "no memory for a device");
	(*out)->context = context;
	(*out)->lookup = lookup;
	return 0;
}

void vfio_pci_free(struct vfio_pci *dev)
{
	if (dev)
		vfio_device_put(dev);
}

/* A mediated device has no ids in sysfs: its own word must do, and what opens it is no hardware. */
static int check_own_ids(struct vfio_pci *dev, struct err *err)
{
	uint32_t ids, sub;
	int ret = vfio_device_read(dev, PCI_VENDOR_ID, 4, &ids);

	if (!ret)
		ret = vfio_device_read(dev, PCI_SUBSYSTEM_VENDOR_ID, 4, &sub);
	if (ret)
		return err_set_errno(err, -ret, "cannot read config space");
	return vfio_ids_check(&dev->options->expect,
		&(struct pci_ids){ .set = true,
			.has_sub = true,
			.vendor = (uint16_t)ids,
			.device = (uint16_t)(ids >> 16),
			.subvendor = (uint16_t)sub,
			.subdevice = (uint16_t)(sub >> 16) },
		vfio_attachment_name(dev->attachment), err);
}

int vfio_pci_open(struct vfio_pci *dev, struct err *err)
{
	int fd = prop_take_fd(&dev->options->fd), ret = vfio_rom_open(dev, err);

	dev->handed_over = fd >= 0;
	if (!ret)
		ret = vfio_attach(
			dev->context, dev->options, fd, dev->lookup, &dev->attachment, err);
	else
		vfio_context_close_fd(dev->context, fd);
	if (ret) {
		err_prefix(err, "vfio-pci '%s'", dev->options->device.id);
		return ret;
	}
	dev->group = vfio_attachment_group(dev->attachment);
	dev->container = vfio_attachment_container(dev->attachment);
	dev->backend = vfio_attachment_backend(dev->attachment);
	strcpy(dev->name, vfio_attachment_name(dev->attachment));
	atomic_store(&dev->identified, true);
	ret = vfio_device_probe(dev, vfio_attachment_io(dev->attachment), err);
	if (!ret && !vfio_attachment_is_pci(dev->attachment))
		ret = check_own_ids(dev, err);
	if (!ret) {
		dev->resizable = vfio_attachment_resizable(dev->attachment);
		dev->reset_methods = vfio_attachment_reset_methods(dev->attachment);
		/*
		 * A mediated device's driver may or may not. Where it fails for a physical one, the
		 * kernel does not offer the function's reset (Linux' vfio_pci_core_enable()).
		 */
		dev->kernel_resets =
			vfio_attachment_is_pci(dev->attachment) && vfio_reset_possible(dev);
		dev->needs_reset = !dev->kernel_resets;
		return 0;
	}
	dev->io = NULL;
	vfio_detach(dev->attachment);
	dev->attachment = NULL;
	err_prefix(err, "vfio-pci '%s'", dev->options->device.id);
	return ret;
}

void vfio_pci_dma_limits(const struct vfio_pci *dev, struct dma_limits *out)
{
	out->n_usable = out->n_reserved = 0;
	if (dev->attachment)
		vfio_attachment_dma_limits(dev->attachment, out);
}

int vfio_pci_check_ram(struct vfio_pci *dev, struct err *err)
{
	int ret = vfio_attachment_check_ram(dev->attachment, err);

	return ret ? err_prefix(err, "vfio-pci '%s'", dev->options->device.id) : 0;
}

int vfio_pci_map_ram(struct vfio_pci *dev, struct err *err)
{
	int ret;

	if (!dev->attachment)
		return err_set(err, ENODEV, "vfio-pci '%s' is not open", dev->options->device.id);
	ret = vfio_attachment_map_ram(dev->attachment, err);
	if (ret)
		err_prefix(err, "vfio-pci '%s'", dev->options->device.id);
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
