/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_host.h - what is above PCI functions: config cycles, bridges and their windows, and the work
 * a firmware would do.
 *
 * Layer: L3 (pci), includes base, bus, pci.
 * Who:   config cycles come from vCPUs; the rest is main's, while no vCPU runs.
 */
#ifndef PORTCULLIS_PCI_HOST_H
#define PORTCULLIS_PCI_HOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/pci.h>
#include <portcullis/role.h>

struct err;

/* --- host_bridge.c: bus regions for 0xcf8/0xcfc and ECAM. root is pcie.0 --- */
struct pci_host {
	struct pci_bus *root;
	_Atomic uint32_t address; /* CF8 latch */
	io_fn cf9;		  /* byte accesses at port 0xcf9: the reset register lies in CF8 */
	void *cf9_opaque;
};
enum io_status pci_host_cf8(void *opaque, struct io_access *access);
enum io_status pci_host_cfc(void *opaque, struct io_access *access);
enum io_status pci_host_ecam(void *opaque, struct io_access *access);
/* Function that answers bus/devfn as the bridges are programmed, or NULL. */
struct pci_function *pci_host_find(struct pci_host *host, uint8_t bus, uint8_t devfn);

/* For 00:00.0; vendor and device tell guests which board they are on. */
void pci_host_bridge_init(struct pci_function *fn, uint16_t vendor, uint16_t device);

/* --- firmware.c --- */
struct pci_windows { /* ends exclusive; an empty 64-bit window is none */
	uint64_t io_start, io_end;
	uint64_t mem32_start, mem32_end;
	uint64_t mem64_start, mem64_end;
};
/*
 * Guests take a device's NUMA node from its root bus. So pcie.0 is shown as several of them where
 * ports are of a node: each has its functions (pci_function.root, counted from 0 without a gap),
 * a part of every window, and bus numbers in a row.
 */
#define PCI_ROOTS_MAX 65 /* bus 0, and one for each node */
struct pci_root {
	uint8_t bus, last_bus; /* its own number, and that of its last port's bus */
	unsigned n_ports;
	struct pci_windows windows;
};
/* Fills out[] as pci_assign() does it; returns how many there are, 1 at least. */
unsigned pci_roots(struct pci_bus *root, const struct pci_windows *windows,
	struct pci_root out[static PCI_ROOTS_MAX]);
/*
 * What firmware would do, at every reset: puts every function's config back to power-on, numbers
 * the buses, gives every BAR an address, sets bridge windows with the ports' reserves, enables
 * decode. Largest first; 64-bit prefetchable BARs in mem64, others in mem32 (on pcie.0 large 64-bit
 * ones go to mem64 too). Behind a port, 64-bit BARs that are not prefetchable must be in mem32. A
 * port's window is the larger of what is plugged and its reserve. A BAR that does not fit stays
 * unassigned with its decode off and is named in err (-ENOSPC), the rest is assigned. -ENOMEM. Only
 * config space changes: pci_update_mappings() of every function and commit() are the caller's.
 */
int pci_assign(struct pci_bus *root, const struct pci_windows *windows, struct err *err) ON_MAIN;

/* --- bridge.c: the type 1 header --- */
/* Header type 1 and its write masks; no interrupt pin. */
void pci_bridge_init(struct pci_function *fn);
enum pci_window { PCI_WINDOW_IO, PCI_WINDOW_MEM32, PCI_WINDOW_PREF64, PCI_WINDOWS };
/*
 * base and size in bytes, multiples of 4 KiB (I/O) or 1 MiB. Size 0 closes the window; an I/O
 * window closed this way also reads as not implemented, so that no guest tries to find room for it.
 */
void pci_bridge_set_window(
	struct pci_function *fn, enum pci_window window, uint64_t base, uint64_t size);

#endif
