/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.c - first fit by descending alignment.
 *
 * Sizes are powers of two or bridge windows of a few of them, so going from large to small leaves
 * holes only in front of items that are more aligned than the window's start; small ones fill them.
 */
#include "layout.h"

/* The lowest aligned free address, or false. *rank: how many placed items lie below it. */
static bool find(const struct layout_item *items, size_t placed, const struct layout_item *item,
	uint64_t start, uint64_t end, uint64_t *addr, size_t *rank)
{
	uint64_t at = start, mask = item->align - 1, last;

	for (size_t i = 0;; i++) {
		const struct layout_item *next = i < placed ? &items[items[i].order] : NULL;

		if (__builtin_add_overflow(at, mask, &at))
			return false;
		at &= ~mask;
		if (__builtin_add_overflow(at, item->size, &last))
			return false;
		if (last <= (next ? next->addr : end)) {
			*addr = at;
			*rank = i;
			return true;
		}
		if (!next)
			return false;
		if (at < next->addr + next->size)
			at = next->addr + next->size;
	}
}

/* items[0..placed).order lists the placed items by address: a free lodger in the array. */
static bool place(
	struct layout_item *items, size_t index, size_t *placed, uint64_t start, uint64_t end)
{
	size_t rank;

	if (!find(items, *placed, &items[index], start, end, &items[index].addr, &rank))
		return false;
	for (size_t i = *placed; i > rank; i--)
		items[i].order = items[i - 1].order;
	items[rank].order = index;
	(*placed)++;
	items[index].placed = true;
	return true;
}

size_t layout_place(struct layout_item *items, size_t count, uint64_t start, uint64_t end)
{
	size_t placed = 0, missing = 0;

	for (size_t i = 0; i < count; i++) {
		items[i].placed = items[i].size == 0;
		items[i].addr = 0;
	}
	for (unsigned optional = 0; optional < 2; optional++) {
		for (uint64_t align = 1ull << 63; align; align >>= 1) {
			for (size_t i = 0; i < count; i++) {
				struct layout_item *item = &items[i];

				if (item->placed || item->align != align ||
					item->optional != optional)
					continue;
				if (!place(items, i, &placed, start, end) && !optional)
					missing++;
			}
		}
	}
	return missing;
}
