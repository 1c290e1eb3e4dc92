/* SPDX-License-Identifier: Apache-2.0 */
/*
 * irq_sink.h - what a device may ask of the interrupt controllers: GSIs with messages, irqfds.
 *
 * Layer: L3, part of pci. The machine implements it (src/machine/irq_sink.c), with KVM; devices
 *        that interrupt by eventfd are handed it, and know no KVM.
 * Who:   any role but vcpu: each call may be an ioctl on the VM. An emulated function that has one
 *        message to send uses pci_sink's raise_msi instead.
 * Owner: GSIs are the device's from gsi_alloc to gsi_free, and have no irqfd any more when they are
 *        freed. Fds stay the device's: they are open until irqfd_del.
 * Errors: negative errno.
 * No ioeventfds (doorbells that KVM answers): they come with their first user.
 */
#ifndef PORTCULLIS_IRQ_SINK_H
#define PORTCULLIS_IRQ_SINK_H

#include <stdint.h>

#include <portcullis/msi_route.h>

struct pci_function;

struct irq_sink {
	/* It has no message yet: gsi_set_routes comes before irqfd_add. -ENOSPC. */
	int (*gsi_alloc)(void *opaque, uint32_t *gsi);
	void (*gsi_free)(void *opaque, uint32_t gsi);
	/*
	 * The messages that these GSIs send from now on, all or none; also while they have irqfds.
	 * Each call waits for all vCPUs: what changes together is one call.
	 */
	int (*gsi_set_routes)(void *opaque, const struct msi_route *route, unsigned n);
	/*
	 * fd raises the GSI without anybody in user space. resample_fd -1: edge (messages);
	 * otherwise the line stays up until the guest's EOI, which is signalled on resample_fd.
	 */
	int (*irqfd_add)(void *opaque, uint32_t gsi, int fd, int resample_fd);
	int (*irqfd_del)(void *opaque, uint32_t gsi, int fd);
	/* Main. The GSI that INTA..INTD (pin 1..4) of this function reaches, where it is plugged. */
	uint32_t (*intx_gsi)(void *opaque, const struct pci_function *fn, unsigned pin);
	void *opaque;
};

#endif
