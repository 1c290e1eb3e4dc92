/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regions.h - a device's regions: which parts of a BAR the guest has mapped, which are trapped.
 * (private to src/vfio and tests)
 *
 * Role:  planning is pure; query, map, unmap: worker. Once mapped a region does not change until
 *        the device is closed: vCPUs (trapped accesses) and main (areas) read it without a lock.
 * Units: bytes; offsets count from the start of the BAR. Mapped pieces are page multiples; of a BAR
 *        smaller than a page its page, when the kernel offers it: then nothing else of the host's is
 *        in there (Linux' vfio_pci_probe_mmaps()).
 */
#ifndef PORTCULLIS_VFIO_REGIONS_H
#define PORTCULLIS_VFIO_REGIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/pci.h>
#include <portcullis/vfio.h>

#include "host/device_io.h"

/* Mapped pieces; of more than fit with the gaps around them the rest is trapped. */
#define REGION_PIECES_MAX 8
#define REGION_PAGE PCI_PAGE
#define REGION_ALIGN_MAX (1ull << 30)

struct region_span {
	uint64_t offset, size;
};

/* Accesses that were trapped in one area: a counter per page, or per larger unit. */
#define REGION_COUNTERS_MAX 1024u
struct region_traps {
	unsigned shift; /* log2 of the unit */
	unsigned n;	/* 0: not counted yet */
	atomic_ulong *count;
};

struct vfio_region {
	struct vfio_pci *dev; /* for trapped accesses: vfio_bar_opaque() is the region */
	unsigned index;	      /* BAR, or PCI_ROM */
	uint64_t size;	      /* 0: not there */
	uint64_t offset;      /* on the device fd */
	bool readable, writable, mappable;
	unsigned n_spans; /* what the kernel lets us map */
	struct region_span span[REGION_PIECES_MAX];
	void *base; /* reserved address space, NULL: none */
	uint64_t reserved;
	unsigned n_areas; /* the whole BAR, ascending */
	struct pci_area area[PCI_AREAS_MAX];
	struct region_traps traps[PCI_AREAS_MAX];
	atomic_ulong *counters; /* owned; what traps[] point into */
	atomic_ulong failed;	/* of those, refused by the device or the kernel */
};

/*
 * What may be mapped according to the kernel: all of it, or the sparse areas; page-aligned, sorted,
 * inside the region's whole pages. info as the kernel gave it: the chain is bounded by argsz, loops end.
 */
void region_parse(struct vfio_region *region, const struct vfio_region_info *info);
/* Takes [offset, offset + size), rounded out to pages, out of what is mapped (the MSI-X table). */
void region_hole(struct vfio_region *region, uint64_t offset, uint64_t size);
/* Fills area[] from span[]: mapped and trapped pieces. base NULL: all trapped. */
void region_plan(struct vfio_region *region);

/* Asks the kernel about one region. A region that is not there has size 0. */
int region_query(struct vfio_region *region, struct vfio_device_io *io, unsigned index);
/*
 * Maps the spans at an address aligned for huge pages. Failure is not an error: what cannot be
 * mapped is trapped, and one line is logged with the device's name.
 */
void region_map(struct vfio_region *region, struct vfio_device_io *io, const char *name);
void region_unmap(struct vfio_region *region);
/* Makes the counters for the areas as they are now. -ENOMEM. */
int region_count(struct vfio_region *region);
/* Frees the counters; main may read them until then. */
void region_release(struct vfio_region *region);

#endif
