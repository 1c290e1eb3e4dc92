/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_boot_e820.c - the memory map told to the guest, and finding room in RAM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "../../src/boot/internal.h"
#include "boot_fixture.h"

static void build(struct e820 *map, const struct fixture_range *ranges, unsigned count)
{
	struct ram_layout layout = { .count = count };

	for (unsigned i = 0; i < count; i++) {
		layout.segment[i].gpa = ranges[i].gpa;
		layout.segment[i].size = ranges[i].size;
	}
	e820_build(map, &layout);
}

static void expect(const struct e820 *map, const struct e820_entry *want, unsigned count)
{
	assert_int_equal(map->count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(map->entry[i].start, want[i].start);
		assert_int_equal(map->entry[i].size, want[i].size);
		assert_int_equal(map->entry[i].type, want[i].type);
	}
}

static void test_small(void **state)
{
	static const struct fixture_range ram[] = { { 0, 128 * MIB } };
	static const struct e820_entry want[] = {
		{ 0, 0x9fc00, E820_RAM },
		{ 0x9fc00, 0x60400, E820_RESERVED },
		{ MIB, 127 * MIB, E820_RAM },
		{ GPA_ECAM, GPA_ECAM_SIZE, E820_RESERVED },
		{ GPA_PLATFORM, GPA_HIGH_RAM - GPA_PLATFORM, E820_RESERVED },
	};
	struct e820 map;

	(void)state;
	build(&map, ram, 1);
	expect(&map, want, 5);
}

/* What is of two nodes is one piece of RAM to whoever does not ask for nodes. */
static void test_nodes(void **state)
{
	static const struct fixture_range ram[] = { { 0, 64 * MIB }, { 64 * MIB, 64 * MIB } };
	struct e820 map;

	(void)state;
	build(&map, ram, 2);
	assert_int_equal(map.count, 5);
	assert_int_equal(map.entry[2].start, MIB);
	assert_int_equal(map.entry[2].size, 127 * MIB);
}

static void test_holes_and_high(void **state)
{
	static const struct fixture_range ram[] = {
		{ 0, 256 * MIB },
		{ 512 * MIB, 2560 * MIB },
		{ 4 * GIB, 8 * GIB },
	};
	static const struct e820_entry want[] = {
		{ 0, 0x9fc00, E820_RAM },
		{ 0x9fc00, 0x60400, E820_RESERVED },
		{ MIB, 255 * MIB, E820_RAM },
		{ 512 * MIB, 2560 * MIB, E820_RAM },
		{ GPA_ECAM, GPA_ECAM_SIZE, E820_RESERVED },
		{ GPA_PLATFORM, GPA_HIGH_RAM - GPA_PLATFORM, E820_RESERVED },
		{ 4 * GIB, 8 * GIB, E820_RAM },
	};
	struct e820 map;

	(void)state;
	build(&map, ram, 3);
	expect(&map, want, 7);
}

/*
 * Whatever the layout: ascending, no overlap, all RAM but [639 KiB, 1 MiB) is there, room is
 * enough.
 */
static void test_invariants(void **state)
{
	(void)state;
	srandom(1);
	for (unsigned round = 0; round < 2000; round++) {
		struct fixture_range ram[RAM_SEGMENTS_MAX];
		unsigned count = 1 + (unsigned)random() % RAM_SEGMENTS_MAX;
		uint64_t at = 0, total = 0, found = 0;
		struct e820 map;

		for (unsigned i = 0; i < count; i++) {
			ram[i].gpa = at;
			ram[i].size = (uint64_t)(1 + random() % 40) * 2 * MIB;
			total += ram[i].size;
			at += ram[i].size + (uint64_t)(1 + random() % 9) * 2 * MIB;
			/* RAM never lies in [3 GiB, 4 GiB). */
			if (at + 80 * MIB > GPA_LOW_RAM_END && at < 4 * GIB)
				at = 4 * GIB;
		}
		build(&map, ram, count);
		assert_in_range(map.count, 1, sizeof(map.entry) / sizeof(map.entry[0]));
		for (unsigned i = 0; i < map.count; i++) {
			const struct e820_entry *entry = &map.entry[i];

			assert_true(entry->size > 0);
			if (i)
				assert_true(entry->start >= entry[-1].start + entry[-1].size);
			if (entry->type == E820_RAM)
				found += entry->size;
		}
		assert_int_equal(found, total - (MIB - 0x9fc00));
	}
}

static const struct fixture_range holes[] = {
	{ 0, 64 * MIB },
	{ 128 * MIB, 64 * MIB },
	{ 4 * GIB, 64 * MIB },
};

static void test_highest(void **state)
{
	const struct span none = { 0, 0 };
	struct ram ram;
	uint64_t at;

	(void)state;
	fixture_ram(&ram, holes, 3);
	assert_int_equal(space_highest(&ram, MIB, 4096, UINT64_MAX, none, &at), 0);
	assert_int_equal(at, 4 * GIB + 63 * MIB);
	assert_int_equal(space_highest(&ram, MIB, 4096, 4 * GIB, none, &at), 0);
	assert_int_equal(at, 191 * MIB);
	/* A limit inside a segment, and an odd size: aligned down. */
	assert_int_equal(space_highest(&ram, MIB + 1, 4096, 140 * MIB, none, &at), 0);
	assert_int_equal(at, 139 * MIB - 4096);
	/* The kernel lies at the end of what is allowed: below it. */
	assert_int_equal(
		space_highest(&ram, MIB, 4096, 140 * MIB, (struct span){ 138 * MIB, 4 * MIB }, &at),
		0);
	assert_int_equal(at, 137 * MIB);
	/* The kernel fills the segment: in the one below. */
	assert_int_equal(space_highest(&ram, MIB, 4096, 192 * MIB,
				 (struct span){ 128 * MIB, 64 * MIB }, &at),
		0);
	assert_int_equal(at, 63 * MIB);
	/* Never below 1 MiB, and all of it in one segment. */
	assert_int_equal(space_highest(&ram, 63 * MIB, 4096, 64 * MIB, none, &at), 0);
	assert_int_equal(at, MIB);
	assert_int_equal(space_highest(&ram, 63 * MIB + 1, 4096, 64 * MIB, none, &at), -ENOSPC);
	/* Aligned down it would reach into the kernel. */
	assert_int_equal(space_highest(&ram, MIB, 2 * MIB, 64 * MIB,
				 (struct span){ MIB, 62 * MIB - 4096 }, &at),
		-ENOSPC);
	assert_int_equal(space_highest(&ram, 65 * MIB, 4096, UINT64_MAX, none, &at), -ENOSPC);
	assert_int_equal(space_highest(&ram, UINT64_MAX, 4096, UINT64_MAX, none, &at), -ENOSPC);
	fixture_ram_release(&ram);
}

static void test_lowest(void **state)
{
	struct ram ram;
	uint64_t at;

	(void)state;
	fixture_ram(&ram, holes, 3);
	assert_int_equal(space_lowest(&ram, MIB, 2 * MIB, 4 * GIB, &at), 0);
	assert_int_equal(at, 2 * MIB);
	assert_int_equal(space_lowest(&ram, 63 * MIB, MIB, 4 * GIB, &at), 0);
	assert_int_equal(at, MIB);
	assert_int_equal(space_lowest(&ram, 64 * MIB, 2 * MIB, 4 * GIB, &at), 0);
	assert_int_equal(at, 128 * MIB);
	/* Room only above the limit, or only without the alignment. */
	assert_int_equal(space_lowest(&ram, 64 * MIB, 256 * MIB, 4 * GIB, &at), -ENOSPC);
	assert_int_equal(space_lowest(&ram, 64 * MIB, 1ull << 63, UINT64_MAX, &at), -ENOSPC);
	assert_int_equal(space_lowest(&ram, UINT64_MAX, 4096, UINT64_MAX, &at), -ENOSPC);
	fixture_ram_release(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_holes_and_high),
		cmocka_unit_test(test_invariants),
		cmocka_unit_test(test_highest),
		cmocka_unit_test(test_lowest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
