/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_vfio.h - looking at the machine's passed-through devices, for query-vfio and its kind.
 *
 * Layer: L4. Main only. Everything pointed to is borrowed and valid until main returns to its loop.
 */
#ifndef PORTCULLIS_MACHINE_VFIO_H
#define PORTCULLIS_MACHINE_VFIO_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/machine.h>
#include <portcullis/pci.h>
#include <portcullis/role.h>
#include <portcullis/vfio_query.h>

struct machine_vfio {
	const char *id, *bus, *stage, *worker;
	uint8_t devfn;
	const char *last_error; /* "" when none */
	unsigned memslots;	/* that its BARs take */
	unsigned bar_memslots[PCI_BARS];
	bool open;   /* what vfio_pci_query() says of host, group, container holds */
	bool on_bus; /* its BARs and their traps can be looked at */
	struct vfio_pci *dev;
};
/* Every passed-through device, those being added or taken away too. */
typedef void (*machine_vfio_fn)(const struct machine_vfio *info, void *opaque);
void machine_query_vfio(struct machine *machine, machine_vfio_fn fn, void *opaque) ON_MAIN;
/* What is mapped for DMA where, neighbouring pieces of guest memory as one. */
void machine_query_mappings(struct machine *machine, vfio_mapping_fn fn, void *opaque) ON_MAIN;

#endif
