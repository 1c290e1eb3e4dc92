/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - the map as vCPUs see it, and how they hold on to it. (private to src/bus and tests)
 *
 * A snapshot never changes while it is current or a reader is in it. A reader first says which one
 * it enters and then looks whether that is current still (a hazard pointer); main first makes
 * another one current and then looks who is where. All these accesses are seq_cst: a reader that
 * main did not see in the old snapshot is bound to find that it is no longer current.
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

/* A place for a snapshot. */
struct bus_slot {
	struct bus_snapshot *snapshot;
	struct bus_snapshot *larger; /* takes its place once nobody is in it */
	bool in_use;		     /* scratch of the search for a free one */
};

/* A name: serial number above, index of the slot below. */
#define BUS_SLOT_BITS 16
static inline unsigned bus_slot_of(uint64_t name)
{
	return (unsigned)(name & ((1u << BUS_SLOT_BITS) - 1));
}

/* The region that claims addr, or NULL. */
const struct bus_region *bus_lookup(
	const struct bus_snapshot *snapshot, enum bus_space space, uint64_t addr);

/* Enters the map; the snapshot is valid until bus_leave(). */
const struct bus_snapshot *bus_enter(struct bus *bus, struct bus_reader *reader);
void bus_leave(struct bus_reader *reader);

#endif
