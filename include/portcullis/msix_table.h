/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msix_table.h - a function's MSI-X table and PBA (pending bit array) as the guest sees them.
 *
 * Layer: L3, part of pci. Bytes, masks and pending bits, nothing else: it knows neither KVM nor
 *        VFIO, and not where in which BAR the two are. It says whether a write matters; routes,
 *        irqfds and messages are its owner's business. For passed-through and emulated functions.
 * Who:   vCPUs (accesses) and the device's owner (messages, pending bits), each with the function's
 *        leaf lock held (pci.h): there is no lock inside. Only init and release allocate and free.
 * Control: the capability's Message Control, which stays in config space: enable and function mask.
 * Access: at counts from the start of the table or of the PBA, size is 1..8. The spec (PCI 3.0
 *        6.8.2, PCIe 5.0 6.1.4) defines aligned ones of 4 and 8 bytes; others get the bytes that
 *        are there. What is not wholly inside reads as ones, and writes to it are dropped.
 */
#ifndef PORTCULLIS_MSIX_TABLE_H
#define PORTCULLIS_MSIX_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define MSIX_VECTORS_MAX 2048
#define MSIX_ENTRY 16 /* bytes */

/* The memory write that is an interrupt; MSI's as well. */
struct msi_message {
	uint64_t addr;
	uint32_t data;
};

/* All zero: no MSI-X. */
struct msix_table {
	unsigned n;	   /* vectors */
	uint8_t *entries;  /* n * MSIX_ENTRY bytes, owned */
	uint64_t *pending; /* the PBA: a bit per vector, owned */
};

static inline unsigned msix_table_size(unsigned n)
{
	return n * MSIX_ENTRY;
}

/* The PBA is read in qwords, its last one whole. */
static inline unsigned msix_pba_size(unsigned n)
{
	return (n + 63) / 64 * 8;
}

/* n 0..MSIX_VECTORS_MAX; as after a reset. -ENOMEM: all zero. */
int msix_table_init(struct msix_table *table, unsigned n);
/* Back to all zero; tolerates that already. */
void msix_table_release(struct msix_table *table);
/* Every vector masked, without message, not pending. */
void msix_table_reset(struct msix_table *table);

uint64_t msix_table_read(const struct msix_table *table, uint64_t at, unsigned size);
/*
 * True: the function sends something else from now on for one of the entries touched: its mask bit
 * changed, or its message while it is not masked. Never while control has MSI-X off or the function
 * masked: whoever changes that has to look at all vectors.
 */
bool msix_table_write(
	struct msix_table *table, unsigned control, uint64_t at, unsigned size, uint64_t data);
/* The PBA is read-only for the guest. */
uint64_t msix_pba_read(const struct msix_table *table, uint64_t at, unsigned size);

/* vector < n: does the function send its message when it fires? Else it becomes pending. */
bool msix_table_live(const struct msix_table *table, unsigned control, unsigned vector);
struct msi_message msix_table_message(const struct msix_table *table, unsigned vector);
/* Returns whether it was pending before. */
bool msix_table_set_pending(struct msix_table *table, unsigned vector, bool pending);

#endif
