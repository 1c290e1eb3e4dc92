/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi.h - what firmware would leave below 1 MiB: the ACPI tables (ACPI 6.4) for a hardware-reduced
 *          machine, and the SMBIOS structures (3.0) that name it.
 *
 * Layer: L3, includes base and memory; the addresses of registers from q35.h and devices.h. Reads a
 *        plain description, never live objects.
 * The DSDT is ASL (src/acpi/dsdt.asl) compiled by iasl at build time: all behaviour is there. What
 * differs between machines (windows, interrupt routes, ports) is data in an SSDT that ssdt.c
 * writes.
 */
#ifndef PORTCULLIS_ACPI_H
#define PORTCULLIS_ACPI_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct ram;

#define ACPI_CPUS_MAX 4096
#define ACPI_S5_TYPE 5	   /* SLP_TYP that powers off: 0x34 to the sleep control register */
#define ACPI_RESET_VALUE 6 /* to the reset register (0xcf9) */

/* A host bridge beside PCI0, with root ports of a NUMA node. Ends are exclusive. */
struct acpi_root {
	uint8_t bus, last_bus;
	unsigned node;
	uint64_t io_start, io_end, mem32_start, mem32_end, mem64_start, mem64_end;
	const uint8_t *ports; /* their devfns, which no other root's port has */
	unsigned n_ports;
};

/* A piece of RAM, for the SRAT. */
struct acpi_memory {
	uint64_t gpa, size;
	unsigned node;
};

struct acpi_desc {
	unsigned cpus;			 /* 1..ACPI_CPUS_MAX */
	const uint32_t *apic_ids;	 /* one per CPU, borrowed; NULL: 0, 1, 2 ... */
	uint64_t ecam;			 /* 1 MiB for each bus */
	uint64_t mem32_start, mem32_end; /* exclusive ends */
	uint64_t mem64_start, mem64_end;
	uint64_t io_start, io_end;
	bool native_hotplug;  /* _OSC grants native PCIe hot plug, no ACPI slots */
	const uint8_t *ports; /* devfns of the root ports on bus 0 */
	unsigned n_ports;
	const struct acpi_root *roots; /* the others, whose bus numbers follow */
	unsigned n_roots;
	uint32_t intx_gsi[4]; /* GSI of (slot + pin) % 4 */

	unsigned n_nodes;	  /* NUMA; 0: there is neither SRAT nor SLIT */
	const uint8_t *cpu_nodes; /* one per CPU */
	const struct acpi_memory *memory;
	unsigned n_memory;
	const uint8_t *distances; /* [from * n_nodes + to]; NULL: no SLIT */
};

/* Tables live in [ACPI_GPA, ACPI_GPA_END): RAM that e820 calls ACPI / reserved. */
#define ACPI_GPA 0xe0000ull
#define ACPI_GPA_END 0xff000ull
/* Where kernels scan for SMBIOS; the code at the reset vector lies behind. */
#define SMBIOS_GPA 0xff000ull
#define SMBIOS_GPA_END 0xffff0ull
#define SMBIOS_UUID_SIZE 16

/* Writes all tables; *rsdp is the RSDP's GPA. -ENOSPC. Called at every machine reset. */
int acpi_place(
	const struct acpi_desc *desc, const struct ram *ram, uint64_t *rsdp, struct err *err);
/* uuid: as RFC 4122 writes it, first byte first; all zero: none. -ENOSPC. At every reset, too. */
int smbios_place(const uint8_t uuid[SMBIOS_UUID_SIZE], const struct ram *ram, struct err *err);

#endif
