/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - the ACPI tables (ACPI 6.4) for a hardware-reduced machine.
 *
 * Layer: L3, includes base and memory. Reads a plain description, never live objects.
 * The DSDT is ASL (src/acpi/dsdt.asl) compiled by iasl at build time; what differs between machines
 * reaches it through the small ACPI variable block below, whose address the ASL knows.
 */
#ifndef PORTCULLIS_ACPI_H
#define PORTCULLIS_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct ram;

struct acpi_desc {
	unsigned cpus;
	uint64_t ecam;                    /* 256 buses */
	uint64_t mem32_start, mem32_end;  /* exclusive ends */
	uint64_t mem64_start, mem64_end;
	uint16_t io_start;                /* PCI I/O window up to 0xffff */
	bool native_hotplug;              /* _OSC grants native PCIe hot plug, no ACPI slots */
	const uint8_t *ports;             /* devfns of the root ports on pcie.0 */
	unsigned n_ports;
	uint32_t intx_gsi[4];             /* GSI of (slot + pin) % 4 */
};

/* Tables live in [ACPI_GPA, ACPI_GPA_END): RAM that e820 calls ACPI / reserved. */
#define ACPI_GPA 0xe0000ull
#define ACPI_GPA_END 0x100000ull

/* Writes all tables; *rsdp is the RSDP's GPA. -ENOSPC. Called at every machine reset. */
int acpi_place(const struct acpi_desc *desc, const struct ram *ram, uint64_t *rsdp, struct err *err);

#endif
