/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssdt_root.c - host bridges beside PCI0. An operating system takes a PCI device's NUMA node from
 * the _PXM of its root bus: Linux asks nobody else (pci_acpi_scan_root(); that of a port, or of a
 * device, it does not look at). So ports of a node have a root bus of their own:
 *
 *	Device (PC03) {
 *		Name (_HID, EisaId ("PNP0A08"))  Name (_CID, EisaId ("PNP0A03"))
 *		Name (_SEG, 0)  Name (_BBN, 3)  Name (_UID, 3)  Name (_PXM, 1)
 *		Name (_CRS, Buffer () { ... })                  // bus numbers and windows
 *		Method (_OSC, 4) { Return (\_SB.PCI0._OSC (Arg0, Arg1, Arg2, Arg3)) }
 *		Method (_PRT) { Return (\_SB.PCI0._PRT) }
 *		...                                             // ports, as in ssdt.c
 *	}
 */
#include "ssdt_root.h"

#include <stdio.h>

#define EISA_PNP0A03 0x030ad041u
#define EISA_PNP0A08 0x080ad041u

/* Address space descriptors (ACPI 6.4, 6.4.3.5) */
enum { SPACE_MEMORY, SPACE_IO, SPACE_BUS };
#define PRODUCER_FIXED 0x0c /* both ends are what they are */
#define IO_ENTIRE 0x03
#define MEMORY_READ_WRITE 0x01
#define END_TAG 0x79

struct ssdt_root_name ssdt_root_name(const struct acpi_root *root)
{
	struct ssdt_root_name name;

	(void)snprintf(name.text, sizeof(name.text), "PC%02X", root->bus);
	return name;
}

void ssdt_root_path(struct aml *aml, const char *root, const char *second, const char *third)
{
	const char *const segs[] = { "_SB_", root, second, third };
	const unsigned n = third ? 4 : 3;

	aml_byte(aml, '\\');
	aml_byte(aml, 0x2f); /* MultiNamePrefix */
	aml_byte(aml, (uint8_t)n);
	for (unsigned i = 0; i < n; i++)
		aml_seg(aml, segs[i]);
}

/* [start, end); nothing for an empty one. size: bytes of each of the five numbers. */
static void put_window(struct aml *aml, uint8_t tag, unsigned size, uint8_t space, uint8_t flags,
	uint64_t start, uint64_t end)
{
	const uint64_t numbers[] = { 0 /* granularity */, start, end - 1, 0 /* translation */,
		end - start };
	const uint8_t length = (uint8_t)(3 + 5 * size);

	if (start >= end)
		return;
	aml_byte(aml, tag);
	aml_byte(aml, length);
	aml_byte(aml, 0);
	aml_byte(aml, space);
	aml_byte(aml, PRODUCER_FIXED);
	aml_byte(aml, flags);
	for (unsigned i = 0; i < 5; i++)
		aml_raw(aml, &numbers[i], size); /* little-endian, as we are */
}

static void write_resources(struct aml *aml, const struct acpi_root *root)
{
	uint8_t bytes[160];
	struct aml crs = { .data = bytes, .size = sizeof(bytes) };
	size_t buffer;

	put_window(&crs, 0x88, 2, SPACE_BUS, 0, root->bus, root->last_bus + 1ull);
	put_window(&crs, 0x88, 2, SPACE_IO, IO_ENTIRE, root->io_start, root->io_end);
	put_window(
		&crs, 0x87, 4, SPACE_MEMORY, MEMORY_READ_WRITE, root->mem32_start, root->mem32_end);
	put_window(
		&crs, 0x8a, 8, SPACE_MEMORY, MEMORY_READ_WRITE, root->mem64_start, root->mem64_end);
	aml_byte(&crs, END_TAG);
	aml_byte(&crs, 0); /* no checksum */
	aml_op(aml, AML_NAME);
	aml_seg(aml, "_CRS");
	buffer = aml_open(aml, AML_BUFFER);
	aml_int(aml, crs.used);
	aml_raw(aml, crs.data, crs.used);
	aml_close(aml, buffer);
}

size_t ssdt_open_root(struct aml *aml, const struct acpi_root *root)
{
	size_t method, device = aml_open_device(aml, ssdt_root_name(root).text);

	aml_name_int(aml, "_HID", EISA_PNP0A08);
	aml_name_int(aml, "_CID", EISA_PNP0A03);
	aml_name_int(aml, "_SEG", 0);
	aml_name_int(aml, "_BBN", root->bus);
	aml_name_int(aml, "_UID", root->bus);
	aml_name_int(aml, "_PXM", root->node);
	write_resources(aml, root);
	method = aml_open_method(aml, "_OSC", 4);
	aml_op(aml, AML_RETURN);
	ssdt_root_path(aml, "PCI0", "_OSC", NULL);
	for (uint8_t i = 0; i < 4; i++)
		aml_byte(aml, (uint8_t)(AML_ARG0 + i));
	aml_close(aml, method);
	method = aml_open_method(aml, "_PRT", 0);
	aml_op(aml, AML_RETURN);
	ssdt_root_path(aml, "PCI0", "_PRT", NULL);
	aml_close(aml, method);
	return device;
}
