/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_fixture.h - the ACPI tables in fake RAM, and ACPICA's own interpreter to try the AML with.
 */
#ifndef ACPI_FIXTURE_H
#define ACPI_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/acpi.h>
#include <portcullis/memory.h>
#include <portcullis/q35.h>

struct acpi_fixture {
	struct ram ram;
	struct acpi_desc desc;
	uint8_t ports[256];
	uint64_t rsdp;
};

/*
 * cmocka fixtures; the initial state is the struct. Two CPUs, two ports (01.0, 02.3), windows as in
 * a usual machine; change desc, then place.
 */
int acpi_fixture_setup(void **state);
int acpi_fixture_teardown(void **state);
int acpi_fixture_place(struct acpi_fixture *fixture);

/* The table with this signature as the XSDT (or, for DSDT, the FADT) points to it; NULL: none. */
const uint8_t *acpi_fixture_table(const struct acpi_fixture *fixture, const char *signature);
uint32_t acpi_table_length(const uint8_t *table);
bool acpi_sum_is_zero(const uint8_t *data, uint32_t size);

/*
 * Loads DSDT and SSDT into acpiexec with registers as init says ("NAME VALUE" lines, NULL: all 0),
 * runs its commands (separated by ;) and returns what it printed. Static buffer. Registers are
 * plain memory there; a loop in AML is ended after a second.
 */
const char *acpi_fixture_run(
	const struct acpi_fixture *fixture, const char *init, const char *commands);

/* What iasl makes of a table that is data, its complaints included. Static buffer. */
const char *acpi_fixture_disassemble(const uint8_t *table);

#endif
