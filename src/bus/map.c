/* SPDX-License-Identifier: Apache-2.0 */
/* map.c - one guest access: find who answers, in the published snapshot, and let it answer. */
#include <portcullis/bus.h>

#include "snapshot.h"

#define BYTES_MAX 8

const struct bus_region *bus_lookup(
	const struct bus_snapshot *snapshot, enum bus_space space, uint64_t addr)
{
	const struct bus_region *regions = snapshot->regions[space];
	size_t low = 0, high = snapshot->count[space];

	/* The first region that starts behind addr; the one before it is the only candidate. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (regions[middle].base <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || addr - regions[low - 1].base >= regions[low - 1].size)
		return NULL;
	return &regions[low - 1];
}

/* The low size bytes of a value, size 1..8. */
static uint64_t low_bytes(uint64_t value, unsigned size)
{
	return size >= BYTES_MAX ? value : value & ((1ull << (8 * size)) - 1);
}

static bool is_whole(const struct bus_region *region, uint64_t addr, unsigned size)
{
	return region->size - (addr - region->base) >= size;
}

/* Does any byte of [addr, addr + size) belong to a region? */
static bool claims_any(
	const struct bus_snapshot *snapshot, enum bus_space space, uint64_t addr, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		if (bus_lookup(snapshot, space, addr + i))
			return true;
	return false;
}

static enum io_status call(const struct bus_region *region, uint64_t addr, struct io_access *access)
{
	uint64_t address = access->offset;
	enum io_status status;

	access->offset = addr - region->base;
	status = region->fn(region->opaque, access);
	access->offset = address;
	if (status == IO_DEFER)
		io_post(access->request);
	return status;
}

/*
 * The access as it is, if one region takes all of it, or if nobody takes any of it.
 * Returns false when it has to be split.
 */
static bool dispatch_whole(struct bus *bus, struct bus_reader *reader, enum bus_space space,
	uint64_t addr, struct io_access *access)
{
	bool regular =
		access->size == 1 || access->size == 2 || access->size == 4 || access->size == 8;
	const struct bus_snapshot *snapshot = bus_enter(bus, reader);
	const struct bus_region *region = bus_lookup(snapshot, space, addr);
	enum io_status status = IO_DONE;
	bool done = true;

	if (region && regular && is_whole(region, addr, access->size))
		status = call(region, addr, access);
	else if (access->size > 1 && claims_any(snapshot, space, addr, access->size))
		done = false;
	else if (!access->write)
		access->data = UINT64_MAX;
	bus_leave(reader);
	if (status == IO_DEFER) {
		io_wait(access->request);
		if (!access->write)
			access->data = access->request->data;
	}
	return done;
}

void bus_dispatch(struct bus *bus, struct bus_reader *reader, enum bus_space space, uint64_t addr,
	struct io_access *access)
{
	uint64_t data = access->data, result = 0;

	if (access->size == 0 || access->size > BYTES_MAX) {
		access->data = UINT64_MAX;
		return;
	}
	if (!dispatch_whole(bus, reader, space, addr, access)) {
		for (unsigned i = 0; i < access->size; i++) {
			struct io_access byte = { .offset = addr + i,
				.size = 1,
				.write = access->write,
				.request = access->request,
				.data = data >> (8 * i) & 0xff };

			(void)dispatch_whole(bus, reader, space, addr + i, &byte);
			result |= (byte.data & 0xff) << (8 * i);
		}
		access->data = access->write ? data : result;
	}
	if (!access->write)
		access->data = low_bytes(access->data, access->size);
}
