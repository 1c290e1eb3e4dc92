/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c - x-expect: is the device at that address the one that was meant? Addresses move when
 * cards are added to a host, and the wrong drive in a guest's hands is lost data.
 */
#include <errno.h>
#include <stdio.h>

#include <portcullis/err.h>

#include "attach.h"
#include "sysfs.h"
#include "vfio_host.h"

static int read_id(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	const char *file, uint16_t *out, struct err *err)
{
	char path[SYSFS_PATH_MAX], text[16];
	uint64_t value;
	int ret = -ENAMETOOLONG;

	if (snprintf(path, sizeof(path), "%s/%s", device->path, file) < (int)sizeof(path))
		ret = host->ops->read_file(host, path, text, sizeof(text));
	if (!ret)
		ret = parse_u64(text, &value);
	if (!ret && value > UINT16_MAX)
		ret = -ERANGE;
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot read '%s/%s'", device->path, file);
	*out = (uint16_t)value;
	return 0;
}

int vfio_sysfs_ids(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	struct pci_ids *out, struct err *err)
{
	int ret;

	*out = (struct pci_ids){ .set = true, .has_sub = true };
	ret = read_id(host, device, "vendor", &out->vendor, err);
	if (!ret)
		ret = read_id(host, device, "device", &out->device, err);
	if (!ret)
		ret = read_id(host, device, "subsystem_vendor", &out->subvendor, err);
	if (!ret)
		ret = read_id(host, device, "subsystem_device", &out->subdevice, err);
	return ret;
}

int vfio_ids_check(const struct pci_ids *expect, const struct pci_ids *found, const char *name,
	struct err *err)
{
	char want[PCI_IDS_STRLEN], have[PCI_IDS_STRLEN];

	if (!expect->set)
		return 0;
	if (expect->vendor == found->vendor && expect->device == found->device &&
		(!expect->has_sub || (expect->subvendor == found->subvendor &&
					     expect->subdevice == found->subdevice)))
		return 0;
	err_set(err, ENODEV, "'%s' is %s, not %s as x-expect demands", name,
		pci_ids_format(found, have), pci_ids_format(expect, want));
	err_hint(err,
		"find the device that was meant with: lspci -Dnn -d %04x:%04x; addresses change when cards are added or moved",
		expect->vendor, expect->device);
	return -ENODEV;
}
