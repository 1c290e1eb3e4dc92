/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infocap.h - VFIO's capability chains behind info structures (vfio_info_cap_header).
 * (private to src/vfio/host and tests)
 *
 * The kernel's answer is trusted no further than its length: offsets stay inside, chains end.
 */
#ifndef PORTCULLIS_VFIO_INFOCAP_H
#define PORTCULLIS_VFIO_INFOCAP_H

#include <stddef.h>
#include <stdint.h>

#include <linux/vfio.h>

/* The capability id of at least min bytes in info[0..size), chain starting at first, or NULL. */
static inline const void *vfio_info_cap(
	const void *info, size_t size, uint32_t first, uint16_t id, size_t min)
{
	const unsigned char *base = info;

	/* An honest chain has no more links than headers fit. */
	for (size_t links = size / sizeof(struct vfio_info_cap_header); first && links; links--) {
		const struct vfio_info_cap_header *header;

		if (first % 4 || first > size || size - first < sizeof(*header))
			return NULL;
		header = (const void *)(base + first);
		if (header->id == id)
			return size - first >= min ? header : NULL;
		first = header->next;
	}
	return NULL;
}

#endif
