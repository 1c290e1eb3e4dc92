/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e820.c - the memory map the guest is told: RAM as laid out, and the ranges nothing may be put on.
 */
#include "internal.h"

static void add(struct e820 *map, uint64_t start, uint64_t end, enum e820_type type)
{
	struct e820_entry *last = map->count ? &map->entry[map->count - 1] : NULL;

	if (start >= end)
		return;
	if (last && last->type == type && last->start + last->size == start)
		last->size += end - start; /* two nodes' memory */
	else
		map->entry[map->count++] = (struct e820_entry){ start, end - start, type };
}

/*
 * [639 KiB, 1 MiB): the ACPI tables, and the old video and ROM space. ECAM must be reserved or
 * Linux does not trust MCFG. From our registers to 4 GiB: IOAPIC, LAPIC, KVM's TSS pages.
 */
static const struct {
	uint64_t start, end;
} reserved[] = {
	{ BOOT_LOW_RAM_END, BOOT_MIB },
	{ GPA_ECAM, GPA_ECAM + GPA_ECAM_SIZE },
	{ GPA_PLATFORM, GPA_HIGH_RAM },
};

/*
 * Both lists ascend, so this is a merge: a RAM segment is cut where a reserved range lies in it.
 * The cuts are at most one more entry per reserved range: E820 has room for that.
 */
void e820_build(struct e820 *map, const struct ram_layout *layout)
{
	const unsigned n = sizeof(reserved) / sizeof(reserved[0]);
	unsigned r = 0;

	map->count = 0;
	for (unsigned s = 0; s < layout->count && s < RAM_SEGMENTS_MAX; s++) {
		uint64_t at = layout->segment[s].gpa;
		uint64_t end = at + layout->segment[s].size;

		for (; r < n && reserved[r].start < end; r++) {
			add(map, at, reserved[r].start, E820_RAM);
			add(map, reserved[r].start, reserved[r].end, E820_RESERVED);
			if (at < reserved[r].end)
				at = reserved[r].end;
		}
		add(map, at, end, E820_RAM);
	}
	for (; r < n; r++)
		add(map, reserved[r].start, reserved[r].end, E820_RESERVED);
}
