/* SPDX-License-Identifier: Apache-2.0 */
/* ssdt_root.h - host bridges beside PCI0, in AML: one for each NUMA node that has root ports. */
#ifndef PORTCULLIS_ACPI_SSDT_ROOT_H
#define PORTCULLIS_ACPI_SSDT_ROOT_H

#include <portcullis/acpi.h>

#include "aml.h"

struct ssdt_root_name {
	char text[5];
};
/* Names carry the bus number. */
struct ssdt_root_name ssdt_root_name(const struct acpi_root *root);
/* "\_SB.root.second.third" */
void ssdt_root_path(struct aml *aml, const char *root, const char *second, const char *third);
/* The device, in the scope \_SB, with all but its ports; returns what aml_close() takes. */
size_t ssdt_open_root(struct aml *aml, const struct acpi_root *root);

#endif
