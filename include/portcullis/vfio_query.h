/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_query.h - looking at passed-through devices from outside, for query-vfio.
 *
 * Layer: L3, with vfio.h.
 * Who:   any thread but vcpu: a device's numbers are right each by itself, they are not read at one
 *        instant; what was mapped for DMA. Main, between a device's plug and its unplug: its traps.
 *        Nothing here waits for a device or its worker.
 */
#ifndef PORTCULLIS_VFIO_QUERY_H
#define PORTCULLIS_VFIO_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/vfio.h>

/* How bad the last error was, as the device's own registers told when it came. */
enum vfio_severity {
	VFIO_ERROR_NONE,
	VFIO_ERROR_UNKNOWN,  /* uncorrectable; the host had cleared the registers already */
	VFIO_ERROR_NONFATAL, /* a transaction failed, the link did not */
	VFIO_ERROR_FATAL,    /* the host resets the link */
	VFIO_ERROR_LOST,     /* it does not answer after a reset: kept from the guest */
};
/* "unknown", "nonfatal", "fatal", "lost"; NULL for none. */
const char *vfio_severity_name(enum vfio_severity severity);

/* How a device interrupts. */
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

struct vfio_pci_info {
	/* Found when it was opened; until then "", -1, 0, NULL. */
	char name[64];	     /* address, or the last part of its sysfs directory */
	int group;	     /* IOMMU group, -1: none */
	unsigned container;  /* number of the DMA address space */
	const char *backend; /* "type1v2", "iommufd" */
	/* As it is now. */
	const char *reset;	  /* how it was last reset: "flr", "pm", "bus", ..., "none" */
	enum vfio_severity error; /* of the last one */
	bool quarantined;	  /* reads as absent until a reset brings it back */
	unsigned long denied;	  /* config writes of the guest that the firewall dropped */
	struct vfio_interrupts interrupts;
};
void vfio_pci_query(const struct vfio_pci *dev, struct vfio_pci_info *out);

/*
 * Guest accesses that were trapped, by BAR page; a trapped piece of more than 1024 pages is counted
 * in larger units. Calls fn, in ascending order, for each that was trapped at all.
 */
struct vfio_traps {
	uint64_t offset, size; /* into the BAR */
	unsigned long count;
};
typedef void (*vfio_traps_fn)(const struct vfio_traps *traps, void *opaque);
void vfio_pci_traps(const struct vfio_pci *dev, unsigned bar, vfio_traps_fn fn, void *opaque);
/* Of those, how many the device or the kernel refused; the guest read ones. */
unsigned long vfio_pci_traps_failed(const struct vfio_pci *dev, unsigned bar);

/* What is mapped for DMA where. */
struct vfio_mapping {
	unsigned container;
	const char *backend;
	uint64_t iova, size;
	bool ram;	    /* guest memory; else a BAR */
	const char *device; /* whose BAR: its name on the host */
};
/* Called with a lock held: fn must not wait. */
typedef void (*vfio_mapping_fn)(const struct vfio_mapping *mapping, void *opaque);
void vfio_context_mappings(struct vfio_context *context, vfio_mapping_fn fn, void *opaque);

#endif
