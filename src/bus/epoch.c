/* SPDX-License-Identifier: Apache-2.0 */
/* epoch.c - grace periods: when has every vCPU left the map it was in? */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/bus.h>

#include "snapshot.h"

#define SPINS 100
#define TICK_NS 50000

const struct bus_snapshot *bus_enter(struct bus *bus, struct bus_reader *reader)
{
	/* Only its own vCPU writes a counter, so load and store need not be one step. */
	atomic_store(
		&reader->count, atomic_load_explicit(&reader->count, memory_order_relaxed) + 1);
	return atomic_load(&bus->current);
}

void bus_leave(struct bus_reader *reader)
{
	atomic_store(
		&reader->count, atomic_load_explicit(&reader->count, memory_order_relaxed) + 1);
}

void bus_add_reader(struct bus *bus, struct bus_reader *reader)
{
	atomic_init(&reader->count, 0);
	reader->next = bus->readers;
	bus->readers = reader;
}

/*
 * A reader is inside for the length of one access: nanoseconds for registers of ours, microseconds
 * for a trapped page of a device. It wakes nobody, so the futex is only a sleep that ends at once
 * when the counter has moved already.
 */
static void wait_for(struct bus_reader *reader)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	uint64_t seen = atomic_load(&reader->count);

	if (!(seen & 1))
		return;
	for (unsigned i = 0; i < SPINS; i++)
		if (atomic_load(&reader->count) != seen)
			return;
	while (atomic_load(&reader->count) == seen)
		/* The low half of a little-endian counter. */
		syscall(SYS_futex, &reader->count, FUTEX_WAIT_PRIVATE, (uint32_t)seen, &tick, NULL,
			0);
}

void bus_synchronize(struct bus *bus)
{
	for (struct bus_reader *reader = bus->readers; reader; reader = reader->next)
		wait_for(reader);
}
