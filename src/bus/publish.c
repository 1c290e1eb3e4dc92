/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c - main's side of the maps: edit a working copy, make it what vCPUs see.
 *
 * Publishing must not fail: it is how a removed device leaves the guest. So two spare snapshots of
 * full size are allocated when the working copy grows; one takes the place of the current one,
 * which becomes a spare or, when it is too small, is freed and replaced by the second.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/bus.h>

#include "snapshot.h"

#define ROOM_MIN 64
#define ROOM_MAX (SIZE_MAX / 4 / sizeof(struct bus_region) / 2)

static struct bus_snapshot *snapshot_new(size_t room)
{
	struct bus_snapshot *s = calloc(1, sizeof(*s) + 2 * room * sizeof(struct bus_region));

	if (!s)
		return NULL;
	s->room = room;
	s->regions[BUS_PIO] = s->storage;
	s->regions[BUS_MMIO] = s->storage + room;
	return s;
}

static int grow(struct bus *bus, size_t room)
{
	struct bus_snapshot *spare[2] = { snapshot_new(room), snapshot_new(room) };
	struct bus_region *regions[2] = { calloc(room, sizeof(*regions[0])),
		calloc(room, sizeof(*regions[0])) };

	if (!spare[0] || !spare[1] || !regions[0] || !regions[1]) {
		for (unsigned i = 0; i < 2; i++) {
			free(spare[i]);
			free(regions[i]);
		}
		return -ENOMEM;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (bus->count[i])
			memcpy(regions[i], bus->regions[i], bus->count[i] * sizeof(*regions[i]));
		free(bus->regions[i]);
		free(bus->spare[i]);
		bus->regions[i] = regions[i];
		bus->spare[i] = spare[i];
	}
	bus->room = room;
	return 0;
}

int bus_reserve(struct bus *bus, size_t extra)
{
	size_t most = bus->count[0] > bus->count[1] ? bus->count[0] : bus->count[1];
	size_t room = bus->room;

	if (extra > ROOM_MAX - most)
		return -ENOMEM;
	if (most + extra <= room)
		return 0;
	while (room < most + extra)
		room *= 2;
	return grow(bus, room);
}

int bus_init(struct bus *bus)
{
	struct bus_snapshot *empty = snapshot_new(0);
	int ret;

	memset(bus, 0, sizeof(*bus));
	if (!empty)
		return -ENOMEM;
	atomic_init(&bus->current, empty);
	ret = grow(bus, ROOM_MIN);
	if (ret)
		bus_release(bus);
	return ret;
}

void bus_release(struct bus *bus)
{
	if (!bus)
		return;
	free(atomic_load(&bus->current));
	for (unsigned i = 0; i < 2; i++) {
		free(bus->regions[i]);
		free(bus->spare[i]);
	}
	memset(bus, 0, sizeof(*bus));
}

/* Index of the first region that starts at or behind base. */
static size_t position(const struct bus *bus, enum bus_space space, uint64_t base)
{
	size_t low = 0, high = bus->count[space];

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bus->regions[space][middle].base < base)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bus_add(struct bus *bus, enum bus_space space, const struct bus_region *region)
{
	uint64_t last = region->base + (region->size - 1);
	struct bus_region *regions;
	size_t at;
	int ret;

	if (region->size == 0 || last < region->base)
		return -EINVAL;
	at = position(bus, space, region->base);
	regions = bus->regions[space];
	if (at < bus->count[space] && regions[at].base <= last)
		return -EBUSY;
	if (at > 0 && region->base - regions[at - 1].base < regions[at - 1].size)
		return -EBUSY;
	ret = bus_reserve(bus, 1);
	if (ret)
		return ret;
	regions = bus->regions[space];
	memmove(&regions[at + 1], &regions[at], (bus->count[space] - at) * sizeof(*regions));
	regions[at] = *region;
	bus->count[space]++;
	bus->dirty = true;
	return 0;
}

int bus_del(struct bus *bus, enum bus_space space, uint64_t base)
{
	struct bus_region *regions = bus->regions[space];
	size_t at = position(bus, space, base);

	if (at == bus->count[space] || regions[at].base != base)
		return -ENOENT;
	bus->count[space]--;
	memmove(&regions[at], &regions[at + 1], (bus->count[space] - at) * sizeof(*regions));
	bus->dirty = true;
	return 0;
}

int bus_publish(struct bus *bus)
{
	struct bus_snapshot *next = bus->spare[0], *old;

	if (!bus->dirty)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		next->count[i] = bus->count[i];
		memcpy(next->regions[i], bus->regions[i],
			bus->count[i] * sizeof(*next->regions[i]));
	}
	old = atomic_exchange(&bus->current, next);
	bus_synchronize(bus);
	bus->dirty = false;
	if (old->room >= bus->room) {
		bus->spare[0] = old;
	} else {
		free(old);
		bus->spare[0] = bus->spare[1];
		bus->spare[1] = NULL;
	}
	return 0;
}
