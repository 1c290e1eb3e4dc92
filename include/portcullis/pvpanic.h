/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pvpanic.h - pvpanic-pci: one register by which a guest's kernel says that it has crashed.
 *
 * Layer: L3, includes base, bus, pci.
 * Who:   the register is the vCPUs'; what a guest writes is told on main, while its vCPU waits.
 * Spec:  QEMU docs/specs/pvpanic.rst: BAR 0 is memory with the register in its first byte. Reading
 *        says which events the device knows; writing bits says that they happened.
 */
#ifndef PORTCULLIS_PVPANIC_H
#define PORTCULLIS_PVPANIC_H

#include <stdint.h>

#include <portcullis/device_options.h>
#include <portcullis/pci.h>
#include <portcullis/prop.h>

struct closer;
struct err;
struct loop;

enum pvpanic_event {
	PVPANIC_PANICKED = 1 << 0,
	PVPANIC_CRASH_LOADED = 1 << 1, /* a crash kernel takes over */
	PVPANIC_SHUTDOWN = 1 << 2,     /* an orderly power-off */
	PVPANIC_EVENTS = 7
};

/* -device pvpanic-pci,... */
extern const struct prop_type pvpanic_type;
struct pvpanic_options {
	struct device_options device;
	uint64_t events; /* enum pvpanic_event bits that reading shows */
};

/* Who hears of it; one for all cards, and there as long as any vCPU runs. */
struct pvpanic_sink {
	struct loop *main;
	void (*on_event)(void *opaque, unsigned events); /* main; enum pvpanic_event bits */
	void *opaque;
};

struct pvpanic {
	struct pci_function function;	 /* 1b36:0011 */
	struct pvpanic_options *options; /* owned */
	struct pvpanic_sink *sink;
};

/* Takes options. -ENOMEM. */
int pvpanic_new(struct pvpanic **out, struct pvpanic_options *options, struct pvpanic_sink *sink,
	struct closer *closer);
/* Off its bus, and no vCPU is in it any more. */
void pvpanic_free(struct pvpanic *pvpanic, struct closer *closer);

#endif
