/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.h - what differs between boards, as data: where memory, PCI and devices are, which
 * interrupts they have, and what a machine does in its own way at the start and at a reset.
 *
 * Layer: L4, src/machine alone includes it. A board is one file there (q35.c); the others work on
 *        whichever they were given. Another architecture's (virt.c, say) is another of these.
 * Who:   constant; its functions are called on main alone.
 */
#ifndef PORTCULLIS_BOARD_H
#define PORTCULLIS_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/memory.h>
#include <portcullis/pci_host.h>

struct err;
struct machine;

/* Everything that is not a BAR: where it lies and who answers. */
struct board_place {
	enum bus_space space;
	uint64_t base, size;
	io_fn fn;
	size_t opaque; /* offset into struct machine */
	const char *name;
};

struct board {
	struct range ram_hole; /* no RAM here */
	/* I/O and 32-bit memory; the 64-bit window depends on memory and host (topology.c). */
	struct pci_windows windows;
	uint16_t host_bridge_vendor, host_bridge_device;
	uint32_t intx_gsi[4]; /* INTx lines: GSI of (slot + pin) % 4 */

	const struct board_place *places;
	unsigned n_places;
	const unsigned *pulses; /* GSIs that an emulated device pulses (machine.irq_fd) */
	unsigned n_pulses;

	/* The devices at those places; interrupts are wired. Before anything may be plugged. */
	int (*init)(struct machine *m, struct err *err);
	void (*release)(struct machine *m);
	/* They are as at power-on. */
	void (*reset)(struct machine *m);
	/*
	 * Writes what firmware leaves in memory, finds the kernel's place and says how it is
	 * entered (machine.gate). At the start and at every reset.
	 */
	int (*load)(struct machine *m, struct err *err);
};

extern const struct board q35_board;

#endif
