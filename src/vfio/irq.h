/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq.h - interrupts of a passed-through device: INTx, MSI, MSI-X. (private to src/vfio and tests)
 *
 * Role:  worker, except where it says vcpu. vCPUs write config space and the MSI-X table (under the
 *        function's leaf lock); the worker compares what the guest wants with what is armed and
 *        does what is missing. Doing so twice changes nothing, so no event can be lost or doubled.
 * Path:  VFIO signals a vector's eventfd. Unmasked ("connected"): KVM takes it (irqfd) and nobody
 *        wakes. Masked: the worker's loop waits for it, once, and sets the pending bit.
 * Spec:  PCI 3.0 ch. 6.8; VFIO_DEVICE_SET_IRQS in linux/vfio.h.
 */
#ifndef PORTCULLIS_VFIO_IRQ_H
#define PORTCULLIS_VFIO_IRQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/irq_sink.h>
#include <portcullis/loop.h>
#include <portcullis/msix_table.h>
#include <portcullis/role.h>
#include <portcullis/vfio.h>

struct vfio_device_io;
struct vfio_irq_set;

#define MSI_VECTORS_MAX 32
/* GSIs a device keeps for itself; vectors above take one from the machine when first armed. */
#define IRQ_GSI_RESERVE 64

enum vfio_irq_mode { VFIO_IRQ_OFF, VFIO_IRQ_INTX, VFIO_IRQ_MSI, VFIO_IRQ_MSIX };

struct vfio_vector {
	struct vfio_pci *dev;
	unsigned index;
	int fd; /* eventfd, owned */
	uint32_t gsi;
	bool has_gsi, own_gsi; /* own: reserved at realize, kept until release */
	bool armed;	       /* the kernel signals fd */
	bool connected;	       /* KVM listens to fd */
	bool watched;	       /* the worker's loop listens to fd */
	bool pending;	       /* came while masked */
	bool message_set;
	struct msi_message message; /* what gsi's route says, or failed to */
	bool wanted;		    /* the guest wants it sent: as of this sync */
	int route_error;	    /* of the last vfio_vector_route(), 0: message_set */
	struct loop_fd watch;
};

/* Where the guest finds table and PBA, and what the device has for them. */
struct vfio_msix {
	unsigned n; /* vectors, 0: no MSI-X; known before the table is made */
	unsigned table_bar, pba_bar;
	uint64_t table_at, pba_at;   /* offsets in their BARs */
	uint64_t table_end, pba_end; /* exclusive */
	bool pba_ours;		     /* the card has none where it could be read */
	struct msix_table table;     /* as the guest sees it; under the function's lock */
	bool resizable;		     /* worker: the kernel takes single vectors at any time */
	unsigned allocated; /* worker: vectors the kernel has, 0: MSI-X is off in the device */
	/* worker: loop_now_ms(); the host had no more, and is not asked before */
	uint64_t full_until;
	bool function_masked; /* worker: when all vectors were last looked at */
};

/* What query-vfio shows (vfio_query.h). The worker writes, main reads. */
struct vfio_irq_counts {
	atomic_uint armed, connected, pending;
	atomic_ulong set_irqs, masked, held, failures;
};

struct vfio_irqs {
	_Atomic enum vfio_irq_mode mode; /* the worker's; main reads it */
	struct vfio_irq_counts counts;
	unsigned count[5]; /* per VFIO index, as the kernel says */
	uint32_t flags[5];
	unsigned n_vectors;
	struct vfio_vector *vector;  /* shared by MSI and MSI-X */
	struct vfio_irq_set *set;    /* room for n_vectors eventfds */
	struct msi_route *route;     /* room for n_vectors: to be committed, ... */
	struct vfio_vector **routed; /* ... and whose they are */
	unsigned n_routes;
	struct vfio_msix msix;
	unsigned msi_armed;
	/* INTx */
	_Atomic int64_t intx_gsi; /* -1: not known yet */
	int intx_trigger, intx_resample;
	uint32_t intx_connected;
	struct loop_fd intx_watch; /* fn NULL: the kernel listens to intx_resample itself */
	/* the device asks for attention */
	int err_fd, req_fd;
	struct loop_fd err_watch, req_watch;
};

/* irq.c */
/* What the kernel offers. Needs dev->io. */
int vfio_irq_query(struct vfio_pci *dev);
/* Everything a guest may come to need: eventfds, GSIs, memory. n_vectors and msix.n are known. */
int vfio_irq_reserve(struct vfio_pci *dev, struct err *err) ON_WORKER;
/* Makes the device's interrupts what config space and MSI-X table say. */
void vfio_irq_sync(struct vfio_pci *dev) ON_WORKER;
/* All off, nothing pending, GSIs back; the reserve stays. */
void vfio_irq_off(struct vfio_pci *dev) ON_WORKER;
/* Off, and the reserve is given back. Tolerates half-made state. */
void vfio_irq_release(struct vfio_pci *dev) ON_WORKER;

/* set_irqs.c */
/* One VFIO_DEVICE_SET_IRQS; fds NULL: DATA_NONE. Returns what the kernel returned. */
int vfio_irq_set(struct vfio_pci *dev, unsigned index, uint32_t action, unsigned start,
	unsigned count, const int32_t *fds) ON_WORKER;
int vfio_irq_disable(struct vfio_pci *dev, unsigned index) ON_WORKER;
/* Room for n_vectors fds, for the next vfio_irq_set() of several vectors. */
int32_t *vfio_irq_set_fds(struct vfio_pci *dev) ON_WORKER;

/* vector.c */
/* This is the vector's message with the next vfio_vectors_commit(). Once before each. */
void vfio_vector_route(struct vfio_vector *v, const struct msi_message *message) ON_WORKER;
/*
 * One change of KVM's routes for all of those: KVM waits for every vCPU in each. What KVM refuses
 * is found, so that it is no other vector's loss.
 */
void vfio_vectors_commit(struct vfio_pci *dev) ON_WORKER;
/*
 * KVM delivers the vector with that message from now on; what was pending is delivered. It is
 * masked when its route has failed: the error of that.
 */
int vfio_vector_connect(struct vfio_vector *v) ON_WORKER;
/* The vector is masked: what comes is kept. No ioctl on the device. */
void vfio_vector_mask(struct vfio_vector *v) ON_WORKER;
/* The kernel signals the vector's fd from now on, or no longer. */
void vfio_vector_arm(struct vfio_vector *v, bool armed) ON_WORKER;
/* No listener at all, nothing pending. */
void vfio_vector_drop(struct vfio_vector *v) ON_WORKER;
int vfio_vector_reserve(struct vfio_vector *v, struct vfio_pci *dev, unsigned index) ON_WORKER;
void vfio_vector_release(struct vfio_vector *v) ON_WORKER;

/* msix.c */
/*
 * Finds table and PBA from the capability at cap. -EINVAL: the table is in no BAR. A PBA that is in
 * none is ours (pba_ours), behind all of the table's BAR. Pure.
 */
int vfio_msix_locate(struct vfio_msix *msix, const uint8_t *raw, unsigned cap, unsigned vectors,
	const uint64_t bar_size[static 6]);
void vfio_msix_sync(struct vfio_pci *dev, unsigned first, unsigned last) ON_WORKER;
void vfio_msix_off(struct vfio_pci *dev) ON_WORKER;
/* vcpu: is [offset, offset + size) of this BAR (partly) table or PBA? */
bool vfio_msix_covers(const struct vfio_msix *msix, unsigned bar, uint64_t offset, unsigned size);
/* vcpu: an access that vfio_msix_covers() said yes to. */
enum io_status vfio_msix_access(struct vfio_pci *dev, unsigned bar, struct io_access *access);

/* msi.c */
void vfio_msi_sync(struct vfio_pci *dev) ON_WORKER;
/*
 * The guest wrote Message Control as it was: of a card that lost MSI's enable bit to a reset of its
 * own (tg3 writes it after each). The message is the kernel's and stays.
 */
void vfio_msi_restore(struct vfio_pci *dev) ON_WORKER;
void vfio_msi_off(struct vfio_pci *dev) ON_WORKER;

/* intx.c */
void vfio_intx_on(struct vfio_pci *dev) ON_WORKER;
void vfio_intx_off(struct vfio_pci *dev) ON_WORKER;
/* INTx disable in the device's command register (the kernel masks and unmasks with it). */
void vfio_intx_gate(struct vfio_pci *dev, bool open) ON_WORKER;

#endif
