/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssdt.h - what the DSDT must be told about this machine.
 */
#ifndef PORTCULLIS_ACPI_SSDT_H
#define PORTCULLIS_ACPI_SSDT_H

#include <portcullis/acpi.h>

#include "aml.h"

/*
 * A bus for each port, after the root bus: no card brings a bridge; then the next root bus. In MCFG
 * and _CRS, which must agree.
 */
uint8_t acpi_last_bus(const struct acpi_desc *desc);

/* The body (without header) of the SSDT: everything dsdt.asl declares External. */
void ssdt_write(struct aml *aml, const struct acpi_desc *desc);

#endif
