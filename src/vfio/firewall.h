/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firewall.h - the config space firewall: what a guest sees of its device and what it may change.
 * (private to src/vfio and tests)
 *
 * A byte that nothing opened reads as zero and drops writes. Three masks per byte, one bit per bit:
 * live (read from the device), pass (written to the device), and pci_function's wmask (writable in
 * our copy). The header and the capability table (caps_table.c) fill them once, when the device is
 * realized; afterwards they are constant and read without a lock.
 *
 * Registers outside the header and every capability, hidden ones included, are the device's own and
 * pass, as the kernel's vfio-pci passes them: drivers find chips, ports and firmware by them.
 */
#ifndef PORTCULLIS_VFIO_FIREWALL_H
#define PORTCULLIS_VFIO_FIREWALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/pci.h>

#include "caps.h"

struct vfio_firewall {
	uint8_t live[PCI_CONFIG_SIZE], pass[PCI_CONFIG_SIZE];
	uint8_t effect[PCI_CONFIG_SIZE]; /* enum cap_effect */
	uint8_t trigger[PCI_CONFIG_SIZE];
	/* Offsets of what the guest sees, 0: it does not. */
	uint16_t pm, msi, msix, exp, af;
	uint64_t claimed;    /* of the first 256 bytes: a bit per dword that a capability has */
	bool tags10;	     /* the host has 10-bit tags on */
	unsigned hidden;     /* capabilities taken away */
	unsigned broken;     /* list pointers that led nowhere */
	atomic_ulong denied; /* guest writes that changed nothing because they may not */
};

/* What the firewall has to know beyond the device's own config space. */
struct vfio_firewall_facts {
	unsigned config_size; /* bytes the device has: 256 or 4096 */
	bool root_bus;	      /* plugged on pcie.0, not behind a root port */
	bool can_reset;	      /* a function reset the guest asks for can be done */
	bool intx;	      /* the kernel offers INTx */
	bool strict;	    /* what no capability claims is closed, vendors' registers read-only */
	unsigned msi, msix; /* vectors the kernel offers, 0: hide the capability */
};

/*
 * Fills fn's config, wmask, w1cmask and reset_config (BARs are the caller's) and fw, from a copy of
 * the device's config space (PCI_CONFIG_SIZE bytes, zero beyond config_size). Pure.
 * -EINVAL: not an ordinary function (header type 1 or 2).
 */
int vfio_firewall_build(struct vfio_firewall *fw, struct pci_function *fn, const uint8_t *raw,
	const struct vfio_firewall_facts *facts);

/* Is some of [offset, offset + size) a capability's? Of a hidden one its first dword counts. */
bool vfio_firewall_claimed(const struct vfio_firewall *fw, unsigned offset, unsigned size);

/* Bits of [offset, offset + size) in mask, little-endian. */
uint32_t vfio_firewall_bits(const uint8_t *mask, unsigned offset, unsigned size);

#endif
