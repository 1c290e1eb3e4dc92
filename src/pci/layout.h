/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout.h - putting aligned pieces into a window of addresses. (private to src/pci and tests)
 *
 * Pure: no allocation, no knowledge of PCI.
 */
#ifndef PORTCULLIS_PCI_LAYOUT_H
#define PORTCULLIS_PCI_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct layout_item {
	uint64_t size;	/* bytes; 0: wants nothing, is placed at 0 */
	uint64_t align; /* a power of two */
	bool optional;	/* may be left out; goes behind all others */
	bool placed;
	uint64_t addr;
	size_t order; /* layout's own: items by ascending addr */
};

/*
 * Places items in [start, end), the most aligned first, each at the lowest address that is free.
 * An item that does not fit is left out (placed = false) and the rest goes on. Returns how many
 * that are not optional were left out.
 */
size_t layout_place(struct layout_item *items, size_t count, uint64_t start, uint64_t end);

#endif
