/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h - all that the host is asked by name on behalf of a passed-through device: what it says
 * of the device, and nodes and files opened. Whoever may answer that needs the file system; nobody
 * else in the process does. (private to src/vfio, src/broker and tests)
 *
 * Two answer: lookup.c itself, on the calling thread, and another process (src/broker/client.c).
 * Role:   worker.
 * Errors: negative errno, with the facts and the remedy in err.
 */
#ifndef PORTCULLIS_VFIO_LOOKUP_H
#define PORTCULLIS_VFIO_LOOKUP_H

#include "memlock.h"
#include "sysfs.h"

struct vfio_lookup;

/* What the host says of a device, in one answer. Plain data: it crosses between processes. */
struct vfio_facts {
	struct vfio_sysfs_device device;
	struct pci_ids ids;	/* set: a PCI device's */
	char reset_methods[64]; /* best first, "flr bus"; "": the kernel does not tell */
	struct vfio_reserved reserved[SYSFS_RESERVED_MAX];
	uint32_t n_reserved;
	uint32_t resizable; /* bits of BARs that have a file resourceN_resize */
	/* SR-IOV: of a virtual function, whose it is (name "": none is); may it have some itself? */
	struct vfio_sysfs_device physical;
	bool physical_is_vfio, may_have_virtual;
};

enum vfio_node {
	VFIO_NODE_CONTAINER, /* /dev/vfio/vfio */
	VFIO_NODE_GROUP,     /* /dev/vfio/N, of the device's group */
	VFIO_NODE_DEVICE,    /* /dev/vfio/devices/vfioN, the device's own */
	VFIO_NODE_IOMMU,     /* /dev/iommu */
};

struct vfio_lookup_ops {
	/* vfio_sysfs_find(), and what else is said of what it found. */
	int (*find)(const struct vfio_lookup *lookup, const struct vfio_target *target,
		struct vfio_facts *out, struct err *err);
	/* vfio_sysfs_check_interrupts(). */
	int (*check_interrupts)(const struct vfio_lookup *lookup, struct err *err);
	/* vfio_sysfs_append_group(). */
	void (*append_group)(const struct vfio_lookup *lookup, int group, struct err *err);
	/*
	 * Opened for reading and writing, close-on-exec; the caller owns the fd. device: as find()
	 * gave it; NULL for nodes that are no device's.
	 */
	int (*open)(const struct vfio_lookup *lookup, enum vfio_node node,
		const struct vfio_sysfs_device *device, struct err *err);
	/* An ordinary file, to be read: its fd, the caller's, and its size in bytes. */
	int (*open_romfile)(const struct vfio_lookup *lookup, const char *path, uint64_t *size,
		struct err *err);
	/* vfio_memlock_read(), of the process that has the devices. */
	void (*memlock)(
		const struct vfio_lookup *lookup, const char *counter, struct vfio_memlock *out);
};

struct vfio_lookup {
	const struct vfio_lookup_ops *ops;
	const struct vfio_host *host; /* of whoever answers here */
	void *opaque;		      /* of whoever asks another */
};

/* Answers here. Borrows host. */
struct vfio_lookup vfio_lookup_direct(const struct vfio_host *host);

#endif
