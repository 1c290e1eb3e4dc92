/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - a sorted array of DMA mappings.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

void ledger_init(struct ledger *ledger)
{
	*ledger = (struct ledger){ 0 };
}

void ledger_release(struct ledger *ledger)
{
	free(ledger->entries);
	ledger_init(ledger);
}

int ledger_reserve(struct ledger *ledger, unsigned n)
{
	struct ledger_entry *entries;
	unsigned wanted;

	if (n > LEDGER_MAX - ledger->reserved)
		return -ENOSPC;
	wanted = ledger->reserved + n;
	if (wanted > ledger->capacity) {
		entries = realloc(ledger->entries, wanted * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		ledger->entries = entries;
		ledger->capacity = wanted;
	}
	ledger->reserved = wanted;
	return 0;
}

void ledger_unreserve(struct ledger *ledger, unsigned n)
{
	/* The memory is kept: the next device will want it again. */
	ledger->reserved -= n < ledger->reserved ? n : ledger->reserved;
}

/* Index of the first entry that ends at or after iova. */
static unsigned lower_bound(const struct ledger *ledger, uint64_t iova)
{
	unsigned low = 0, high = ledger->count;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		const struct ledger_entry *entry = &ledger->entries[mid];

		if (entry->iova + (entry->size - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool valid(uint64_t iova, uint64_t size)
{
	return size > 0 && iova + (size - 1) >= iova;
}

const struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t iova, uint64_t size)
{
	unsigned i;

	if (!valid(iova, size))
		return NULL;
	i = lower_bound(ledger, iova);
	if (i == ledger->count || ledger->entries[i].iova > iova + (size - 1))
		return NULL;
	return &ledger->entries[i];
}

int ledger_add(struct ledger *ledger, const struct ledger_entry *entry)
{
	unsigned i;

	if (!valid(entry->iova, entry->size))
		return -EINVAL;
	if (ledger_find(ledger, entry->iova, entry->size))
		return -EEXIST;
	if (ledger->count >= ledger->reserved)
		return -ENOSPC;
	i = lower_bound(ledger, entry->iova);
	memmove(&ledger->entries[i + 1], &ledger->entries[i],
		(ledger->count - i) * sizeof(*ledger->entries));
	ledger->entries[i] = *entry;
	ledger->count++;
	return 0;
}

int ledger_remove(struct ledger *ledger, uint64_t iova, uint64_t size)
{
	const struct ledger_entry *entry = ledger_find(ledger, iova, size);
	unsigned i;

	if (!entry || entry->iova != iova || entry->size != size)
		return -ENOENT;
	i = (unsigned)(entry - ledger->entries);
	memmove(&ledger->entries[i], &ledger->entries[i + 1],
		(ledger->count - i - 1) * sizeof(*ledger->entries));
	ledger->count--;
	return 0;
}
