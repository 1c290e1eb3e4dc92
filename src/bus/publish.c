/* SPDX-License-Identifier: Apache-2.0 */
/*
 * publish.c - main's side of the maps: edit a working copy, make it what vCPUs see.
 *
 * Publishing must not fail: it is how a removed device leaves the guest. Nor may it wait for a
 * vCPU, which the kernel may hold in an access. So there are as many snapshots as readers, and two
 * more: one is always free. All are as large as the working copy, or have a larger one at hand.
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

static void slot_release(struct bus_slot *slot)
{
	free(slot->snapshot);
	free(slot->larger);
	*slot = (struct bus_slot){ 0 };
}

/* A larger snapshot for every slot; those in use take it when they are free. */
static int grow_slots(struct bus *bus, size_t room)
{
	for (unsigned i = 0; i < bus->n_slots; i++) {
		struct bus_snapshot *larger = snapshot_new(room);

		if (!larger)
			return -ENOMEM;
		free(bus->slots[i].larger);
		bus->slots[i].larger = larger;
	}
	return 0;
}

static int grow(struct bus *bus, size_t room)
{
	struct bus_region *regions[2] = { calloc(room, sizeof(*regions[0])),
		calloc(room, sizeof(*regions[0])) };

	if (!regions[0] || !regions[1] || grow_slots(bus, room)) {
		free(regions[0]);
		free(regions[1]);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (bus->count[i])
			memcpy(regions[i], bus->regions[i], bus->count[i] * sizeof(*regions[i]));
		free(bus->regions[i]);
		bus->regions[i] = regions[i];
	}
	bus->room = room;
	return 0;
}

/* For one more reader. */
static int add_slots(struct bus *bus, unsigned n)
{
	struct bus_slot *slots = realloc(bus->slots, (bus->n_slots + n) * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	bus->slots = slots;
	for (; n; n--) {
		struct bus_snapshot *snapshot = snapshot_new(bus->room);

		if (!snapshot)
			return -ENOMEM;
		bus->slots[bus->n_slots++] = (struct bus_slot){ .snapshot = snapshot };
	}
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
	int ret;

	memset(bus, 0, sizeof(*bus));
	ret = grow(bus, ROOM_MIN);
	if (!ret)
		ret = add_slots(bus, 2);
	if (ret)
		bus_release(bus);
	else
		atomic_init(&bus->current, 1ull << BUS_SLOT_BITS);
	return ret;
}

int bus_add_reader(struct bus *bus, struct bus_reader *reader)
{
	int ret = add_slots(bus, 1);

	if (ret)
		return ret;
	atomic_init(&reader->inside, 0);
	reader->next = bus->readers;
	bus->readers = reader;
	return 0;
}

void bus_release(struct bus *bus)
{
	if (!bus)
		return;
	for (unsigned i = 0; i < bus->n_slots; i++)
		slot_release(&bus->slots[i]);
	free(bus->slots);
	for (unsigned i = 0; i < 2; i++)
		free(bus->regions[i]);
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

size_t bus_count(const struct bus *bus, enum bus_space space, uint64_t base, uint64_t size)
{
	const struct bus_region *regions = bus->regions[space];
	size_t first = position(bus, space, base), at = first;

	while (at < bus->count[space] && regions[at].base - base < size)
		at++;
	if (first > 0 && base - regions[first - 1].base < regions[first - 1].size)
		first--;
	return at - first;
}

/* Nobody is in it and nobody can enter it: there are more slots than readers to be in them. */
static unsigned free_slot(struct bus *bus)
{
	unsigned i;

	for (i = 0; i < bus->n_slots; i++)
		bus->slots[i].in_use = false;
	bus->slots[bus_slot_of(atomic_load(&bus->current))].in_use = true;
	for (const struct bus_reader *r = bus->readers; r; r = r->next) {
		uint64_t inside = atomic_load(&r->inside);

		if (inside)
			bus->slots[bus_slot_of(inside)].in_use = true;
	}
	for (i = 0; bus->slots[i].in_use;)
		i++;
	return i;
}

static uint64_t publish(struct bus *bus)
{
	unsigned index = free_slot(bus);
	struct bus_slot *slot = &bus->slots[index];
	uint64_t serial = (atomic_load(&bus->current) >> BUS_SLOT_BITS) + 1;
	struct bus_snapshot *next;

	if (slot->larger) {
		free(slot->snapshot);
		slot->snapshot = slot->larger;
		slot->larger = NULL;
	}
	next = slot->snapshot;
	for (unsigned i = 0; i < 2; i++) {
		next->count[i] = bus->count[i];
		memcpy(next->regions[i], bus->regions[i],
			bus->count[i] * sizeof(*next->regions[i]));
	}
	bus->dirty = false;
	atomic_store(&bus->current, serial << BUS_SLOT_BITS | index);
	return serial << BUS_SLOT_BITS;
}

void bus_publish(struct bus *bus)
{
	if (bus->dirty)
		(void)publish(bus);
}

uint64_t bus_grace(struct bus *bus)
{
	return publish(bus);
}
