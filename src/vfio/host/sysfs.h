/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs.h - what the host says about a device before anything is opened: is it there, is it behind
 * an IOMMU, who drives it, which addresses its DMA cannot use. (private to src/vfio/host and tests)
 *
 * Reads only. Errors: negative errno, with the facts and the remedy in err.
 */
#ifndef PORTCULLIS_VFIO_SYSFS_H
#define PORTCULLIS_VFIO_SYSFS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <portcullis/vfio.h>

struct err;
struct vfio_host;

#define SYSFS_NAME_MAX 64
#define SYSFS_PATH_MAX 256

struct vfio_sysfs_device {
	char path[SYSFS_PATH_MAX];   /* "/sys/bus/pci/devices/0000:1a:00.3" */
	char name[SYSFS_NAME_MAX];   /* its last part: how the kernel calls the device */
	char driver[SYSFS_NAME_MAX]; /* "" when not bound */
	int group;		     /* number of its IOMMU group; -1: a mediated device without */
	bool pci;		     /* false: a mediated device */
};

/* Which device is meant: by its address or its directory, and by the node that is open on it. */
struct vfio_target {
	struct host_bdf host;
	char sysfsdev[SYSFS_PATH_MAX]; /* "": not named so */
	bool has_node, iommufd;	       /* iommufd: it is to be reached that way */
	dev_t node;
};
/* -EINVAL: sysfsdev is too long. node: NULL without one. */
int vfio_target_set(struct vfio_target *target, const struct vfio_pci_options *options,
	const dev_t *node, struct err *err);

/*
 * Finds the device (by name, or by the node that is open on it; either may be missing, two must
 * agree: -EINVAL) and checks what must hold: it exists (-ENODEV), has an IOMMU group (-ENODEV,
 * -ENOTSUP for noiommu), is bound to a vfio driver (-EBUSY; the text gives the commands to bind
 * it).
 */
int vfio_sysfs_find(const struct vfio_host *host, const struct vfio_target *target,
	struct vfio_sysfs_device *out, struct err *err);

/* -EPERM when the host was told to accept devices that can forge interrupts. */
int vfio_sysfs_check_interrupts(const struct vfio_host *host, struct err *err);

/* Appends every device of the group with its driver: "0000:1a:00.3 (vfio-pci), ..." */
void vfio_sysfs_append_group(const struct vfio_host *host, int group, struct err *err);

/* identity.c: what a PCI device says it is; -errno with text. */
int vfio_sysfs_ids(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	struct pci_ids *out, struct err *err);

#define SYSFS_RESERVED_MAX 64
struct vfio_reserved {
	struct range range;
	char type[20]; /* "direct", "reserved", "msi" */
};
/* Where the group's DMA must not go; "direct-relaxable" ranges do not count. -E2BIG. */
int vfio_sysfs_reserved(const struct vfio_host *host, int group,
	struct vfio_reserved out[static SYSFS_RESERVED_MAX], unsigned *count, struct err *err);
/* The same from the file's text. -EINVAL, -E2BIG. */
int vfio_reserved_parse(
	const char *text, struct vfio_reserved out[static SYSFS_RESERVED_MAX], unsigned *count);

/* The device's node for IOMMUFD, "/dev/vfio/devices/vfio0". -ENOENT: the kernel has none. */
int vfio_sysfs_cdev(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	char out[static SYSFS_PATH_MAX], struct err *err);

/* SR-IOV: is it a virtual function? Then *physical is whose, its group left out. */
bool vfio_sysfs_physical(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	struct vfio_sysfs_device *physical);
/* Can it have virtual functions? */
bool vfio_sysfs_has_virtual(const struct vfio_host *host, const struct vfio_sysfs_device *device);
/* Is it bound to vfio-pci, or a vendor's variant of it? */
bool vfio_sysfs_is_vfio(const struct vfio_host *host, const struct vfio_sysfs_device *device);

/* Bits of BARs that have a file resourceN_resize. */
unsigned vfio_sysfs_resizable(const struct vfio_host *host, const struct vfio_sysfs_device *device);

/* The kernel's ways to reset it, best first, "flr bus"; "": the kernel does not tell. */
void vfio_sysfs_reset_methods(const struct vfio_host *host, const struct vfio_sysfs_device *device,
	char *out, size_t size);

#endif
