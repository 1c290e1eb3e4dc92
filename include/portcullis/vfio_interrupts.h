/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_interrupts.h - how a passed-through device interrupts, for query-vfio.
 *
 * Layer: L3, part of vfio.h's module.
 * Who:   any thread but vcpu; never waits for the device. Each number is right by itself; they are
 *        not read at one instant.
 */
#ifndef PORTCULLIS_VFIO_INTERRUPTS_H
#define PORTCULLIS_VFIO_INTERRUPTS_H

#include <stdint.h>

struct vfio_pci;

struct vfio_interrupts {
	const char *mode;   /* "off", "intx", "msi", "msix": what the guest turned on */
	unsigned vectors;   /* the guest could use in this mode */
	unsigned armed;	    /* the host has a vector for; a masked one stays armed */
	unsigned connected; /* KVM delivers without our help; the others are masked */
	unsigned pending;   /* came while masked */
	uint64_t set_irqs;  /* calls of VFIO_DEVICE_SET_IRQS since the device was opened */
	uint64_t masked;    /* times a connected vector was masked */
	uint64_t held;	    /* interrupts that came while masked */
	uint64_t failures;  /* what the kernel refused */
};

void vfio_pci_interrupts(const struct vfio_pci *dev, struct vfio_interrupts *out);

#endif
