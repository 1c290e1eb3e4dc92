/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_io.h - the system calls on a VFIO device fd, behind ops so that tests can put a fake card
 * in the real one's place. Identical for legacy groups and IOMMUFD. (private to src/vfio and tests)
 *
 * Role:   pread/pwrite: vCPUs and worker. Everything else: worker.
 * Errors: negative errno.
 */
#ifndef PORTCULLIS_VFIO_DEVICE_IO_H
#define PORTCULLIS_VFIO_DEVICE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/vfio.h>

struct vfio_device_io;

struct vfio_device_io_ops {
	/* *out: whole structure with its capability chain, malloc'd, the caller frees it. */
	int (*info)(struct vfio_device_io *io, struct vfio_device_info **out);
	int (*region_info)(
		struct vfio_device_io *io, uint32_t index, struct vfio_region_info **out);
	int (*irq_info)(struct vfio_device_io *io, uint32_t index, struct vfio_irq_info *info);
	/* Positive: the host has only so many of the vectors, and none is on. */
	int (*set_irqs)(struct vfio_device_io *io, const struct vfio_irq_set *set);
	int (*reset)(struct vfio_device_io *io); /* VFIO_DEVICE_RESET */
	/* offset: region offset + position. Returns bytes or -errno. */
	ssize_t (*pread)(struct vfio_device_io *io, void *buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(struct vfio_device_io *io, const void *buf, size_t len, uint64_t offset);
	/* Maps over [addr, addr + len), which the caller reserved. */
	int (*map)(struct vfio_device_io *io, void *addr, size_t len, int prot, uint64_t offset);
};

struct vfio_device_io {
	const struct vfio_device_io_ops *ops;
	int fd;	      /* in FD_ZONE_DEVICE; owned by the attachment. Fake: -1 */
	void *opaque; /* fake's state */
};

extern const struct vfio_device_io_ops vfio_device_io_real;

/*
 * AtomicOps that the host completes above the device, as bits of Device Capabilities 2; info with
 * its capability chain. 0: none, or a kernel before Linux 6.6, which does not say.
 */
uint32_t vfio_device_atomics(const struct vfio_device_info *info);

#endif
