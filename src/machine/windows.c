/* SPDX-License-Identifier: Apache-2.0 */
/* windows.c - where 64-bit BARs go, once memory is laid out. */
#include "state.h"

#define GIB (1ull << 30)
/* What must be left below the IOMMU's limit for it to be kept: a 64 GiB BAR and its neighbours. */
#define ROOM (128 * GIB)

/*
 * An IOMMU may have fewer address bits than the CPU (39 beside 46 is sold in numbers). A BAR above
 * its limit cannot be reached by other devices' DMA, so BARs go below it while there is room.
 */
void windows_place(struct pci_windows *w, uint64_t ram_top, uint64_t iova_end)
{
	uint64_t low = ram_top > 4 * GIB ? (ram_top + GIB - 1) & ~(GIB - 1) : 4 * GIB;

	iova_end &= ~(GIB - 1);
	if (iova_end < w->mem64_end && iova_end > low && iova_end - low >= ROOM) {
		w->mem64_start = low;
		w->mem64_end = iova_end;
	}
	if (w->mem64_start < ram_top)
		w->mem64_start = low;
}
