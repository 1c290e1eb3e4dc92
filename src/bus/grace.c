/* SPDX-License-Identifier: Apache-2.0 */
/* grace.c - grace periods: when has every vCPU left the map it was in? */
#include <time.h>

#include <portcullis/bus.h>

#include "snapshot.h"

#define TICK_NS 50000

const struct bus_snapshot *bus_enter(struct bus *bus, struct bus_reader *reader)
{
	uint64_t name = atomic_load(&bus->current), now;

	for (;; name = now) {
		atomic_store(&reader->inside, name);
		now = atomic_load(&bus->current);
		if (now == name)
			return bus->slots[bus_slot_of(name)].snapshot;
	}
}

void bus_leave(struct bus_reader *reader)
{
	/*
	 * seq_cst: whoever closes the gate and finds the vCPU in here knows that it will see that.
	 */
	atomic_store(&reader->inside, 0);
}

bool bus_grace_over(const struct bus *bus, uint64_t grace)
{
	for (const struct bus_reader *r = bus->readers; r; r = r->next) {
		uint64_t inside = atomic_load(&r->inside);

		if (inside && inside >> BUS_SLOT_BITS < grace >> BUS_SLOT_BITS)
			return false;
	}
	return true;
}

void bus_wait(const struct bus *bus, uint64_t grace)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };

	while (!bus_grace_over(bus, grace))
		nanosleep(&tick, NULL);
}
