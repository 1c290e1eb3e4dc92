/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_bus.c - edits and accesses of an address map against a byte-per-address model.
 *
 * Input: operations of four bytes: what, base, size, data. Addresses are those of a 256-byte space
 * that starts 128 bytes below the end of the 64-bit one, so that wrapping is met all the time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/bus.h>

#define SPACE 256
#define FIRST (UINT64_MAX - 127)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

struct cell {
	uint8_t value;
	uint16_t region; /* 0: none */
};

struct model {
	struct bus bus;
	struct bus_reader reader;
	struct cell edited[SPACE], published[SPACE];
	uint16_t next;
};

/* A region is memory: what is written can be read again. */
static enum io_status memory(void *opaque, struct io_access *access)
{
	uint8_t *bytes = opaque;

	must(access->offset + access->size <= SPACE);
	if (access->write)
		memcpy(bytes + access->offset, &access->data, access->size);
	else
		memcpy(&access->data, bytes + access->offset, access->size);
	return IO_DONE;
}

/* Regions live until the end of the run: a removed one is still what the old snapshot names. */
struct arena {
	uint8_t bytes[512][SPACE];
};

static void add(struct model *m, struct arena *arena, uint8_t base, uint8_t size)
{
	struct bus_region region = {
		.base = FIRST + base, .size = size, .fn = memory, .opaque = arena->bytes[m->next]
	};
	/* The last address of all is cell 127; a region cannot go on at 0. */
	bool fits = size > 0 && (base > 127 || base + size <= 128) && base + size <= SPACE;

	for (unsigned i = 0; fits && i < size; i++)
		fits = !m->edited[base + i].region;
	if (base + size > SPACE || m->next >= 511)
		return;
	must((bus_add(&m->bus, BUS_MMIO, &region) == 0) == fits);
	if (!fits)
		return;
	m->next++;
	for (unsigned i = 0; i < size; i++)
		m->edited[base + i].region = m->next;
}

static void del(struct model *m, uint8_t base)
{
	uint16_t region = m->edited[base].region;
	bool starts = region && (base == 0 || m->edited[base - 1].region != region);

	must((bus_del(&m->bus, BUS_MMIO, FIRST + base) == 0) == starts);
	for (unsigned i = base; starts && i < SPACE && m->edited[i].region == region; i++)
		m->edited[i].region = 0;
}

static uint8_t *byte_of(struct model *m, struct arena *arena, unsigned cell)
{
	uint16_t region = m->published[cell & (SPACE - 1)].region;
	unsigned start = cell & (SPACE - 1);

	if (!region)
		return NULL;
	while (start > 0 && m->published[start - 1].region == region)
		start--;
	return &arena->bytes[region - 1][(cell & (SPACE - 1)) - start];
}

static void access_map(
	struct model *m, struct arena *arena, uint8_t base, uint8_t size, uint8_t value, bool write)
{
	struct io_access access = {
		.size = size % 10, .write = write, .data = value * 0x0101010101ull
	};
	uint64_t want = 0;

	if (base + access.size > SPACE)
		return;
	for (unsigned i = 0; i < access.size && i < 8; i++) {
		uint8_t *byte = byte_of(m, arena, base + i);

		want |= (uint64_t)(byte ? *byte : 0xff) << (8 * i);
	}
	bus_dispatch(&m->bus, &m->reader, BUS_MMIO, FIRST + base, &access);
	must(!atomic_load(&m->reader.inside));
	if (access.size == 0 || access.size > 8)
		return;
	if (!write)
		must(access.data == want);
	for (unsigned i = 0; write && i < access.size; i++) {
		uint8_t *byte = byte_of(m, arena, base + i);

		must(!byte || *byte == (uint8_t)(value * 0x0101010101ull >> (8 * i)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model *m = calloc(1, sizeof(*m));
	struct arena *arena = calloc(1, sizeof(*arena));

	must(m && arena && bus_init(&m->bus) == 0);
	must(bus_add_reader(&m->bus, &m->reader) == 0);
	for (; size >= 4; data += 4, size -= 4) {
		switch (data[0] % 5) {
		case 0:
			add(m, arena, data[1], data[2]);
			break;
		case 1:
			del(m, data[1]);
			break;
		case 2:
			bus_publish(&m->bus);
			memcpy(m->published, m->edited, sizeof(m->edited));
			break;
		default:
			access_map(m, arena, data[1], data[2], data[3], data[0] % 5 == 3);
			break;
		}
	}
	bus_release(&m->bus);
	free(m);
	free(arena);
	return 0;
}
