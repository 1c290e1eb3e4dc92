/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - what is mapped where in one container or IOAS: the one owner table for IOVA.
 * (private to src/vfio/host and tests)
 *
 * Pure data, no lock inside, no system call. Entries are sorted by IOVA and never overlap.
 * Entries are reserved ahead: adding within what was reserved allocates nothing, so that a BAR that
 * the guest moves can always be entered.
 */
#ifndef PORTCULLIS_VFIO_LEDGER_H
#define PORTCULLIS_VFIO_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

enum ledger_kind {
	LEDGER_RAM, /* guest memory */
	LEDGER_BAR, /* another device's BAR, for peer-to-peer DMA */
};

struct ledger_entry {
	uint64_t iova, size; /* bytes, size > 0, no wrap */
	enum ledger_kind kind;
	const void *owner; /* who asked for it; NULL: the machine (RAM) */
};

struct ledger {
	struct ledger_entry *entries; /* ascending iova */
	unsigned count, capacity, reserved;
};

/* More entries than any kernel's default limit are refused. */
#define LEDGER_MAX 1048576u

void ledger_init(struct ledger *ledger);
void ledger_release(struct ledger *ledger);
/* Reserves n more entries, until given back. -ENOMEM, -ENOSPC. */
int ledger_reserve(struct ledger *ledger, unsigned n);
void ledger_unreserve(struct ledger *ledger, unsigned n);

/*
 * -EINVAL: empty or wrapping range; -EEXIST: overlaps an entry; -ENOSPC: nothing reserved is left.
 */
int ledger_add(struct ledger *ledger, const struct ledger_entry *entry);
/* The entry that is exactly [iova, iova + size). -ENOENT. */
int ledger_remove(struct ledger *ledger, uint64_t iova, uint64_t size);
/* First entry that shares an address with [iova, iova + size), or NULL. */
const struct ledger_entry *ledger_find(const struct ledger *ledger, uint64_t iova, uint64_t size);

#endif
