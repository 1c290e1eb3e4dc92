/* SPDX-License-Identifier: Apache-2.0 */
/*
 * root_port.h - pcie-root-port: a bridge with one hot-pluggable slot behind it.
 *
 * Layer: L3 (pci), includes base, bus, pci.
 * Who:   config writes come from vCPUs; everything that moves the slot's state runs on main
 *        (writes to Slot Control are deferred there).
 * Slot:  with native hot plug the port has PCIe 5.0 6.7's controls and tells the guest by MSI.
 *        Without, it shows presence and link only, and acpi_slots.h does the talking.
 */
#ifndef PORTCULLIS_ROOT_PORT_H
#define PORTCULLIS_ROOT_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/device_options.h>
#include <portcullis/loop.h>
#include <portcullis/pci.h>
#include <portcullis/prop.h>
#include <portcullis/role.h>

/* -device pcie-root-port,... */
extern const struct prop_type root_port_type;
struct root_port_options {
	struct device_options device; /* bus: only "pcie.0" */
	uint64_t port, chassis, slot; /* PCIe port, chassis and slot numbers shown to the guest */
	uint64_t mem_reserve, pref64_reserve, io_reserve; /* bytes; UINT64_MAX: default */
	uint64_t numa_node; /* the guest's, that it is near to; UINT64_MAX: none in particular */
	bool native_hotplug, fast_unplug;
	int32_t x_speed, x_width; /* the link's most; indices of the choices */
};

struct io_request;
struct root_port;

struct root_port_ops {
	/* main. The guest switched the card off (it has let go of it) or on. May be NULL. */
	void (*on_power)(void *opaque, struct root_port *port, bool off);
	/*
	 * main. The guest resets what is behind the port (Secondary Bus Reset set). True: the
	 * guest's write ends with an io_complete() of request that comes later. May be NULL.
	 */
	bool (*on_bus_reset)(void *opaque, struct root_port *port, struct io_request *request);
};

struct root_port {
	struct pci_function function;	   /* 1b36:000c */
	struct pci_bus bus;		   /* the slot: devfn 0..7 */
	struct root_port_options *options; /* owned */
	const struct root_port_ops *ops;   /* set by the machine after init, or NULL */
	void *opaque;
	/* The slot's state; registers under function.lock, the rest main's. */
	struct slot *slot; /* owned */
	struct loop_timer settle;
	unsigned exp, msi; /* offsets of the capabilities */
	uint16_t number;   /* physical slot number */
	bool present;	   /* a card is in the slot, whatever the guest is shown of it */
};

/*
 * Takes options. sink is what the child bus uses. -ENOMEM.
 * The physical slot number is options.slot, or else made of options.addr, unique on pcie.0: SLOT
 * for SLOT.0, SLOT + 32 * FN for others. Who picks the address later calls root_port_set_number().
 */
int root_port_init(
	struct root_port *port, struct root_port_options *options, struct pci_sink *sink);
void root_port_release(struct root_port *port);
/* Before the guest runs. 0..8191. */
void root_port_set_number(struct root_port *port, uint16_t number) ON_MAIN;
uint16_t root_port_number_of(uint8_t devfn);

/*
 * A card is put in or pulled out: function 0 was plugged, or all functions are gone. Native: the
 * guest is told of a new card, button included, as soon as it has done with the one before.
 */
void root_port_set_presence(struct root_port *port, bool present) ON_MAIN;
/* Native: asks the guest to let go of the card. */
void root_port_press_attention(struct root_port *port) ON_MAIN;
/* Native: the guest is busy with the slot (power indicator blinking). */
bool root_port_blinking(struct root_port *port) ON_MAIN;
/*
 * What is completed above the port of what the cards in the slot may ask for: bits of Device
 * Capabilities 2 among ROOT_PORT_OFFERS (AtomicOp completion, 10-bit tags). Stays so at a reset.
 */
#define ROOT_PORT_OFFERS 0x00010380u
void root_port_offer(struct root_port *port, uint32_t completes) ON_MAIN;
/* Is the card powered? */
bool root_port_powered(struct root_port *port) ON_MAIN;

#endif
