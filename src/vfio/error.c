/* SPDX-License-Identifier: Apache-2.0 */
/* error.c - how bad an error is: read from the device's registers while they still tell. */
#include <linux/pci_regs.h>

#include "device.h"

void vfio_error_locate(struct vfio_pci *dev, const uint8_t *raw)
{
	struct cap_list list;
	const struct cap *cap;

	caps_walk(raw, &list);
	cap = caps_find(&list, CAP_ID_EXP);
	dev->express = cap && cap->room >= PCI_EXP_DEVSTA + 2 ? cap->offset : 0;
	caps_walk_ext(raw, dev->config_size, &list);
	cap = caps_find(&list, EXT_CAP_ID_AER);
	dev->aer = cap && cap->room >= PCI_ERR_UNCOR_SEVER + 4 ? cap->offset : 0;
}

/* PCI Express 5.0, 7.8.4: which bits are set, and whether each of them is fatal. */
static enum vfio_severity from_aer(struct vfio_pci *dev)
{
	uint32_t status, severity;

	if (!dev->aer || vfio_device_read(dev, dev->aer + PCI_ERR_UNCOR_STATUS, 4, &status) ||
		vfio_device_read(dev, dev->aer + PCI_ERR_UNCOR_SEVER, 4, &severity))
		return VFIO_ERROR_UNKNOWN;
	if (!status)
		return VFIO_ERROR_UNKNOWN;
	/* All ones is a device behind a dead link, and fatal as well. */
	return status & severity ? VFIO_ERROR_FATAL : VFIO_ERROR_NONFATAL;
}

static enum vfio_severity from_express(struct vfio_pci *dev)
{
	uint32_t status;

	if (!dev->express || vfio_device_read(dev, dev->express + PCI_EXP_DEVSTA, 2, &status))
		return VFIO_ERROR_UNKNOWN;
	if (status & PCI_EXP_DEVSTA_FED)
		return VFIO_ERROR_FATAL;
	return status & PCI_EXP_DEVSTA_NFED ? VFIO_ERROR_NONFATAL : VFIO_ERROR_UNKNOWN;
}

void vfio_error_happened(struct vfio_pci *dev)
{
	enum vfio_severity severity = from_aer(dev);

	vfio_error_report(dev, severity == VFIO_ERROR_UNKNOWN ? from_express(dev) : severity);
}

void vfio_error_report(struct vfio_pci *dev, enum vfio_severity severity)
{
	atomic_store(&dev->error, (int)severity);
	dev->env.ops->failed(dev->env.opaque, dev);
}
