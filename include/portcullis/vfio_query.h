/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_query.h - looking at passed-through devices from outside, for query-vfio.
 *
 * Layer: L3, with vfio.h.
 * Who:   main, between a device's plug and its unplug (what is read is constant then, or atomic);
 *        mappings: any thread but vcpu, at any time. Nothing here waits for a device.
 */
#ifndef PORTCULLIS_VFIO_QUERY_H
#define PORTCULLIS_VFIO_QUERY_H

#include <stdint.h>

#include <portcullis/vfio.h>

/* Found when the device was opened. */
struct vfio_pci_facts {
	char name[64];	     /* address, or the last part of its sysfs directory */
	int group;	     /* IOMMU group, -1: none */
	unsigned container;  /* number of the DMA address space */
	const char *backend; /* "type1v2", "iommufd" */
};
void vfio_pci_get_facts(const struct vfio_pci *dev, struct vfio_pci_facts *out);

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
