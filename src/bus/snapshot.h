/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - the map as vCPUs see it, and the reader's counter. (private to src/bus and tests)
 *
 * A snapshot never changes while it is bus->current. All accesses to counters and to current are
 * seq_cst and there are no fences: a reader whose odd counter the publisher did not see is bound to
 * load the new pointer.
 */
#ifndef PORTCULLIS_BUS_SNAPSHOT_H
#define PORTCULLIS_BUS_SNAPSHOT_H

#include <portcullis/bus.h>

struct bus_snapshot {
	size_t count[2];
	size_t room; /* per space */
	struct bus_region *regions[2];
	struct bus_region storage[];
};

/* The region that claims addr, or NULL. */
const struct bus_region *bus_lookup(
	const struct bus_snapshot *snapshot, enum bus_space space, uint64_t addr);

/* Enters the map; the snapshot is valid until bus_leave(). */
const struct bus_snapshot *bus_enter(struct bus *bus, struct bus_reader *reader);
void bus_leave(struct bus_reader *reader);

#endif
