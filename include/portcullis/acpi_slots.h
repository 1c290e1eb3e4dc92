/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_slots.h - the registers through which the DSDT learns of hot plug and asks for ejection.
 *
 * Layer: L3 (pci), includes base and bus.
 * Who:   acpi_slots_access() is run by vCPUs (AML in the guest); everything else is main's.
 *        One leaf lock inside. A write that ejects is deferred to main.
 *
 * A "port" is a pcie-root-port on pcie.0, numbered by its devfn there (slot << 3 | function),
 * 0..255: the ASL needs no table to find the registers of the device object with a given _ADR. A
 * bitmap of functions has bit f for function f (0..7) behind the port.
 *
 * A page, little-endian (offset, name, width, access):
 *
 *   0x000         NEXT  32  R     lowest port with a bit set in INS or EJR; 0xffffffff: none
 *   0x004..0x7ff  -               reads 0, writes ignored
 *   0x800 + 8 * port:
 *     +0          INS    8  R/W1C functions that were inserted: Notify (function, 1)
 *     +1          EJR    8  R/W1C functions the host wants back: Notify (function, 3)
 *     +2          PRS    8  R     functions present now: _STA
 *     +3          EJ0    8  W     write a bitmap from _EJ0: these functions are off, take them.
 *                                 8-bit access only; reads 0. Returns after the host took note
 *     +4          SUN   32  R     bits 15:0 slot number (_SUN), bit 16: this port exists and has
 *                                 ACPI hot plug; all bits 0: no such port
 *
 * Scan method (GED_PCI_HOTPLUG): while NEXT is a port: read INS, write the value back, Notify 1 for
 * each bit; the same with EJR and Notify 3. Bits are cleared by writing them back before Notify, so
 * that what happens meanwhile is seen by the next round. Nothing else clears them but a machine
 * reset. Function 0's bit is set together with the others' (all functions go as one slot).
 */
#ifndef PORTCULLIS_ACPI_SLOTS_H
#define PORTCULLIS_ACPI_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/role.h>

#define ACPI_SLOTS_SIZE 0x1000
#define ACPI_SLOTS_PORTS 256

struct acpi_slot {
	bool exists;
	uint8_t inserted, eject, present; /* bitmaps of functions */
	uint16_t number;
};

struct acpi_slots_ops {
	/* main: the guest's _EJ0 for these functions of this port. */
	void (*eject)(void *opaque, uint8_t port, uint8_t functions);
};

struct acpi_slots {
	pthread_mutex_t lock;
	struct loop *main;
	const struct acpi_slots_ops *ops;
	void *opaque;
	struct acpi_slot slot[ACPI_SLOTS_PORTS];
};

void acpi_slots_init(struct acpi_slots *slots, struct loop *main, const struct acpi_slots_ops *ops,
	void *opaque);
void acpi_slots_release(struct acpi_slots *slots);
/* Machine reset: nothing inserted, nothing asked for; what is present stays. */
void acpi_slots_reset(struct acpi_slots *slots) ON_MAIN;

/* number: what _SUN says. */
void acpi_slots_add_port(struct acpi_slots *slots, uint8_t port, uint16_t number) ON_MAIN;
/* Which functions are present now. notify: those that are new are also reported as inserted. */
void acpi_slots_set_present(
	struct acpi_slots *slots, uint8_t port, uint8_t functions, bool notify) ON_MAIN;
/* Asks the guest to let go of these functions (those that are present). */
void acpi_slots_request_eject(struct acpi_slots *slots, uint8_t port, uint8_t functions) ON_MAIN;
/*
 * All functions are gone without the guest's word. It is asked to eject them all the same, which is
 * how it lets go of what it still believes to be there.
 */
void acpi_slots_pull(struct acpi_slots *slots, uint8_t port) ON_MAIN;
/* Takes a request back that the guest has not seen yet. */
void acpi_slots_cancel_eject(struct acpi_slots *slots, uint8_t port) ON_MAIN;
/* Is there anything the guest has not seen? Raise GED_PCI_HOTPLUG (again) while so. */
bool acpi_slots_pending(struct acpi_slots *slots) ON_MAIN;

/* io_fn: opaque is the struct acpi_slots. */
enum io_status acpi_slots_access(void *slots, struct io_access *access);

#endif
