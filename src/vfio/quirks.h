/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quirks.h - cards that are not what they say: one table of ids, what is done, why and who found it.
 * (private to src/vfio and tests)
 *
 * Pure.  docs/quirks.md has the same for users, and what of QEMU's list is not here.
 */
#ifndef PORTCULLIS_VFIO_QUIRKS_H
#define PORTCULLIS_VFIO_QUIRKS_H

#include <stdbool.h>
#include <stdint.h>

enum vfio_quirk_kind {
	VFIO_QUIRK_PBA,		  /* the pending bits are at offset at, whatever the card says */
	VFIO_QUIRK_NO_ROM,	  /* its expansion ROM is shown when asked for only */
	VFIO_QUIRK_INTX_MASK,	  /* INTx disable does not work: it needs its line alone */
	VFIO_QUIRK_CONFIG_MIRROR, /* BAR bar, from at on: its config space */
	VFIO_QUIRK_CONFIG_WINDOW, /* at: an index, above match config space; then data */
	VFIO_QUIRK_MSIX_WINDOW,	  /* at: data; then an index with type and direction */
	VFIO_QUIRK_HOST_ADDRESS,  /* at, size bytes of config space: where in the host's memory */
};

struct vfio_quirk {
	uint16_t vendor;
	uint16_t device, device_mask; /* bits of the device id that matter */
	uint8_t base_class;	      /* 0: any */
	uint8_t kind;		      /* enum vfio_quirk_kind */
	uint8_t bar;
	uint32_t at, size, match;
	bool integrated; /* only what is no endpoint behind a link */
	const char *why, *source;
};

/* The row of the kind for a card with this config space; NULL: none. */
const struct vfio_quirk *vfio_quirk_find(enum vfio_quirk_kind kind, const uint8_t *config);

/* The next such row behind quirk, NULL: the first. */
const struct vfio_quirk *vfio_quirk_next(
	enum vfio_quirk_kind kind, const uint8_t *config, const struct vfio_quirk *quirk);

#endif
