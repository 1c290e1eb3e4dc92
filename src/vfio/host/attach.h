/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attach.h - getting hold of a host device and giving it back: sysfs checks, group, container or
 * IOAS, device fd, DMA mappings. (private to src/vfio and tests)
 *
 * Role:  worker; the context's lock is inside. Containers are shared between groups where the
 * kernel allows it and are torn down with their last user, in the order device, group, container.
 */
#ifndef PORTCULLIS_VFIO_ATTACH_H
#define PORTCULLIS_VFIO_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/vfio.h>

#include "device_io.h"

struct vfio_attachment; /* one device's hold on a container */
struct vfio_lookup;

/* What the devices of a context ask of the machine. */
const struct vfio_env *vfio_context_env(const struct vfio_context *context);
/* Takes an fd that was handed over for a device which is not attached after all; -1: none. */
void vfio_context_close_fd(struct vfio_context *context, int fd) ON_WORKER;

/*
 * Takes fd, that of options (-1: none). lookup: who goes by name for this device, borrowed until
 * vfio_detach(); NULL: the calling thread. On failure nothing stays open. The device's io (fd) is
 * valid until vfio_detach().
 */
int vfio_attach(struct vfio_context *context, const struct vfio_pci_options *options, int fd,
	const struct vfio_lookup *lookup, struct vfio_attachment **out, struct err *err) ON_WORKER;
struct vfio_device_io *vfio_attachment_io(struct vfio_attachment *attachment);
/* How the kernel calls it: address, or the last part of its sysfs directory. */
#define VFIO_NAME_MAX 64
const char *vfio_attachment_name(const struct vfio_attachment *attachment);
/* False: a mediated device. */
bool vfio_attachment_is_pci(const struct vfio_attachment *attachment);
/* identity.c: -ENODEV, naming both, unless found is what was expected; nothing expected: 0. */
int vfio_ids_check(const struct pci_ids *expect, const struct pci_ids *found, const char *name,
	struct err *err);
/* Found on the way: the group's number, -1: none. */
int vfio_attachment_group(const struct vfio_attachment *attachment);
void vfio_attachment_dma_limits(const struct vfio_attachment *attachment, struct dma_limits *out);

/* "type1v2" or "iommufd", and the number of the address space. */
const char *vfio_attachment_backend(const struct vfio_attachment *attachment);
unsigned vfio_attachment_container(const struct vfio_attachment *attachment);

/* Limits, and what the device can reach: errors of map_ram() that need no RAM to be touched. */
int vfio_attachment_check_ram(struct vfio_attachment *attachment, struct err *err) ON_WORKER;
/* Maps all guest RAM in the attachment's container unless that was done. */
int vfio_attachment_map_ram(struct vfio_attachment *attachment, struct err *err) ON_WORKER;
/*
 * Any thread: mapping RAM ends with -ECANCELED at the next piece of it, what was mapped is undone.
 */
void vfio_attachment_cancel(struct vfio_attachment *attachment);

#define VFIO_P2P_BARS 6
/*
 * Peer to peer: the mapped pieces of a BAR (0..5), which the guest has at addr, are to be mapped
 * for DMA in every address space that another device is in; no areas: the BAR is unmapped. What was
 * there before is unmapped at once, mapping is vfio_attachment_p2p_map()'s. The memory behind the
 * areas must stay until the BAR is unmapped; vfio_detach() unmaps what is left. -EAGAIN: somebody
 * is at it, try later.
 */
int vfio_attachment_p2p_set(struct vfio_attachment *attachment, unsigned bar, uint64_t addr,
	const struct pci_area *areas, unsigned n) ON_WORKER;
/*
 * Maps a GiB or so of what is set for any device. 1: there is more to do. Failure is a warning,
 * once per BAR. Allocates nothing. -EAGAIN as above.
 */
int vfio_attachment_p2p_map(struct vfio_attachment *attachment) ON_WORKER;
/*
 * Around a reset of the device: nobody maps its BARs, which the kernel would hold until it is back,
 * and with it this process's whole address space. Waits for a step under way.
 */
void vfio_attachment_reset_begins(struct vfio_attachment *attachment) ON_WORKER;
void vfio_attachment_reset_ends(struct vfio_attachment *attachment) ON_WORKER;
/* All of them; waits. */
void vfio_attachment_p2p_unmap(struct vfio_attachment *attachment) ON_WORKER;

/*
 * hot_reset.c: resets the device's bus (or slot) with everything on it. -ENOTTY: cannot be done for
 * this device; -EPERM: another device on it is not this machine's; -EBUSY: it is the guest's, and
 * the guest runs. The text says which.
 */
int vfio_attachment_bus_reset(struct vfio_attachment *attachment, struct err *err) ON_WORKER;
/* In the guest's hands: not to be reset for a neighbour's sake. */
void vfio_attachment_set_busy(struct vfio_attachment *attachment, bool busy) ON_WORKER;
/* The ways the kernel resets it, best first, "flr bus"; "": unknown (before Linux 5.15). */
const char *vfio_attachment_reset_methods(const struct vfio_attachment *attachment);

/* Bits of the BARs whose size the host can change (sysfs' resourceN_resize). */
unsigned vfio_attachment_resizable(const struct vfio_attachment *attachment);

/* Closes the device fd, leaves group and container; the last user unmaps. NULL is fine. */
void vfio_detach(struct vfio_attachment *attachment) ON_WORKER;

#endif
