/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root_port.h - pcie-root-port: a bridge with one hot-pluggable slot behind it.
 *
 * Layer: L3 (pci), includes base, bus, pci.
 * Who:   config writes come from vCPUs; everything that moves the slot's state runs on main
 *        (writes to Slot Control are deferred there).
 */
#ifndef PORTCULLIS_ROOT_PORT_H
#define PORTCULLIS_ROOT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/pci.h>
#include <portcullis/prop.h>

/* -device pcie-root-port,... */
extern const struct prop_type root_port_type;
struct root_port_options {
	char *id;
	char *bus;    /* only "pcie.0" */
	int32_t addr; /* devfn, -1: first free */
	bool multifunction;
	uint64_t port, chassis, slot; /* PCIe port, chassis and slot numbers shown to the guest */
	uint64_t mem_reserve, pref64_reserve, io_reserve; /* bytes; UINT64_MAX: default */
	bool native_hotplug, fast_unplug;
};

struct root_port {
	struct pci_function function; /* 1b36:000c */
	struct pci_bus bus;           /* the slot: devfn 0..7 */
	struct root_port_options options; /* owned */
};

/* Takes options. sink is what the child bus uses. */
int root_port_init(struct root_port *port, struct root_port_options *options, struct pci_sink *sink);
void root_port_release(struct root_port *port);

#endif
