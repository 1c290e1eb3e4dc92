/* SPDX-License-Identifier: Apache-2.0 */
/* assign.h - the pieces that get addresses, and the plan made of them. (private to src/pci) */
#ifndef PORTCULLIS_PCI_ASSIGN_H
#define PORTCULLIS_PCI_ASSIGN_H

#include <stddef.h>

#include <portcullis/pci_host.h>

#include "layout.h"

struct err;

/* What differs between the three kinds of windows. Bytes. */
struct assign_space {
	const char *name;
	uint64_t unit;	  /* granularity of a bridge window */
	uint64_t least;	  /* a BAR takes at least this much */
	uint64_t reserve; /* per port, when nobody said how much; halved until all fits */
};
extern const struct assign_space assign_spaces[PCI_WINDOWS];

#define PIECE_WINDOW PCI_BARS
#define PORT_FUNCTIONS 8 /* behind a port there is slot 0 only */

/* A BAR of a function on pcie.0, or the window of a root port. */
struct piece {
	struct pci_function *fn;
	unsigned bar; /* PIECE_WINDOW: the port's window */
};

struct plan {
	const struct pci_windows *windows;
	bool have_mem64;
	size_t count;
	struct piece *pieces;
	struct layout_item *items; /* of the space at hand, one per piece */
};

/* Where a BAR belongs. */
enum pci_window assign_window(const struct pci_function *fn, unsigned bar, bool have_mem64);
/* Lays out all spaces and programs BARs and windows. 0 or -ENOSPC. */
int assign_plan(struct plan *plan, struct err *err);
/* Says in err what has no place in this space. ret: what was reported before. Returns -ENOSPC. */
int assign_report(
	const struct plan *plan, enum pci_window window, size_t missing, int ret, struct err *err);

#endif
