/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio.h - a physical device in the guest's hands.
 *
 * Layer: L3, includes base, memory, bus, pci (and kernel UAPI inside src/vfio only). Knows no KVM:
 *        what it needs of the machine comes as struct vfio_env.
 * Who:   worker: open, map, realize, interrupts, reset, fence, close - anything that may block.
 *        vcpu: config space (struct pci_function's ops) and trapped BAR pages: pread/pwrite on the
 *        device fd (FD_ZONE_DEVICE), never a VFIO ioctl; what needs one is deferred to the worker.
 *        main: asks for areas when BARs are mapped (struct pci_function's ops).
 * Order: new -> open -> (dma_limits) -> map_ram -> realize -> main plugs vfio_pci_function()
 *        -> ... -> main unplugs -> fence -> close -> free. close and free take half-built objects.
 * More:  vfio_query.h has what can be seen from outside.
 * Faults: every step that fails leaves the device as the step before; the caller goes on to close.
 */
#ifndef PORTCULLIS_VFIO_H
#define PORTCULLIS_VFIO_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/memory.h>
#include <portcullis/pci.h>
#include <portcullis/role.h>
#include <portcullis/vfio_options.h>

struct closer;
struct err;
struct irq_sink;
struct vfio_pci;
struct vfio_context;
struct vfio_lookup;

/* What a device asks of the machine, besides interrupts. */
struct vfio_env_ops {
	/* Group or device fd for KVM's VFIO device. */
	int (*kvm_add)(void *opaque, int fd);
	void (*kvm_del)(void *opaque, int fd);
	/* ON_MAIN, ON_WORKER: bus_grace(), bus_wait(). */
	uint64_t (*grace)(void *opaque);
	void (*grace_wait)(void *opaque, uint64_t grace);
	/* ON_WORKER, must not block: the host wants it back / it failed (vfio_pci_query()). */
	void (*wants_back)(void *opaque, struct vfio_pci *dev);
	void (*failed)(void *opaque, struct vfio_pci *dev);
};
struct vfio_host;
struct vfio_env {
	const struct vfio_env_ops *ops;
	void *opaque;
	const struct irq_sink *irq;   /* borrowed */
	const struct vfio_host *host; /* NULL: the real kernel; tests: a fake one */
	struct closer *closer;	      /* of fds in options that nobody took; NULL: none */
};

/* Containers and the DMA ledger, shared by all devices of a machine; a lock inside. */
int vfio_context_new(struct vfio_context **out, const struct vfio_env *env);
void vfio_context_free(struct vfio_context *context);
/* Guest RAM, once laid out (borrowed; must outlive the context's devices). */
void vfio_context_set_ram(struct vfio_context *context, const struct ram *ram);
/*
 * No vCPU runs and all devices are being reset or given back: those that can only be reset together
 * may be. So it is until the first false.
 */
void vfio_context_set_multi_reset(struct vfio_context *context, bool allowed) ON_MAIN;

/* -object iommufd,... Takes options. -EEXIST: the id is taken. */
int vfio_context_add_iommufd(struct vfio_context *context, struct vfio_iommufd_options *options,
	struct err *err) ON_MAIN;
/* The fd of an object that nobody uses, the caller's; -1: there is none (left). */
int vfio_context_take_iommufd(struct vfio_context *context) ON_MAIN;
/* *fd: the caller's, who closes it; -1: none. -ENOENT, -EBUSY (text names it). */
int vfio_context_del_iommufd(
	struct vfio_context *context, const char *id, int *fd, struct err *err) ON_MAIN;

/*
 * Takes options. worker: the loop its deferred work goes to. lookup: who goes by name for it,
 * borrowed (broker.h); NULL: the worker itself.
 */
int vfio_pci_new(struct vfio_pci **out, struct vfio_context *context,
	struct vfio_pci_options *options, struct loop *worker, const struct vfio_lookup *lookup,
	struct err *err);
void vfio_pci_free(struct vfio_pci *dev);

/*
 * sysfs checks, group viability (names who is in the way), container, device fd, regions,
 * interrupts. No guest RAM is touched, the device is not reset yet.
 */
int vfio_pci_open(struct vfio_pci *dev, struct err *err) ON_WORKER;

/* Where its DMA may go: the container's IOVA ranges, the group's reserved regions. */
void vfio_pci_dma_limits(const struct vfio_pci *dev, struct dma_limits *out);

/* What can be known of the success of map_ram() before RAM is touched. After open. */
int vfio_pci_check_ram(struct vfio_pci *dev, struct err *err) ON_WORKER;
/*
 * Maps all RAM in the device's container unless it is already; what ram_replace() replaced since is
 * mapped anew, in pieces during which the device must not use it. Pins memory: may take seconds.
 */
int vfio_pci_map_ram(struct vfio_pci *dev, struct err *err) ON_WORKER;
/* Ends a map_ram under way early (-ECANCELED). Between open's and close's return only. */
void vfio_pci_cancel(struct vfio_pci *dev) ON_MAIN;
/* Reset, unless open() was one; the guest's view: firewall, BARs mapped, eventfds ready. */
int vfio_pci_realize(struct vfio_pci *dev, struct err *err) ON_WORKER;
struct pci_function *vfio_pci_function(struct vfio_pci *dev);
struct loop *vfio_pci_worker(const struct vfio_pci *dev);
const struct vfio_pci_options *vfio_pci_get_options(const struct vfio_pci *dev);
/*
 * What the host is known to complete above the device, of what it may send: bits of
 * PCI_EXP_DEVCAP2, AtomicOps and 10-bit tags (PCIe 5.0 7.5.3.15). Before realize, or where the
 * kernel does not say: less. Constant afterwards.
 */
uint32_t vfio_pci_completes(const struct vfio_pci *dev);
/* Are both functions of one card of the host, and what is above one above the other? */
bool vfio_pci_shares_link(const struct vfio_pci *dev, const struct vfio_pci *other);
/*
 * Function reset, interrupts off, guest view as at power-on. Under a running guest between prepare
 * and done: there vCPUs find no device and its BARs are in no memslot (reset_prepare.c).
 */
int vfio_pci_reset(struct vfio_pci *dev, struct err *err) ON_WORKER;
void vfio_pci_reset_prepare(struct vfio_pci *dev) ON_MAIN;
void vfio_pci_reset_done(struct vfio_pci *dev) ON_MAIN;
/* It can neither write memory nor interrupt any more. Cannot fail, even if it is dead. */
void vfio_pci_fence(struct vfio_pci *dev) ON_WORKER;
/* Unmapped, reset, all fds closed: the host may rebind at once. */
void vfio_pci_close(struct vfio_pci *dev) ON_WORKER;

#endif
