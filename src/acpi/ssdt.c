/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssdt.c - this machine's facts in AML: windows, interrupt routing, and the ports with ACPI hot
 * plug.
 *
 * In ASL, for a port at devfn 0x08 (names carry the devfn):
 *
 *	Scope (\_SB.PCI0) {
 *		Name (IOMN, 0x1000) ...                     // see dsdt.asl
 *		Name (_PRT, Package () { Package () { 0x0000ffff, 0, 0, 16 }, ... })
 *		Device (S08) {
 *			Name (_ADR, 0x00010000)
 *			OperationRegion (REGS, SystemMemory, 0xfeb01840, 8)     // acpi_slots.h
 *			Field (REGS, ByteAcc, ...) { INSR, 8, EJRQ, 8, PRES, 8, TAKE, 8 }
 *			Field (REGS, DWordAcc, ...) { , 32, SUNR, 16 }
 *			Method (SCAN, 0, Serialized) {
 *				Local0 = INSR   INSR = Local0   If (Local0) { Notify (S00, 1) }
 *				Local0 = EJRQ   EJRQ = Local0   If (Local0) { Notify (S00, 3) }
 *			}
 *			Device (S00) {
 *				Name (_ADR, 0)
 *				Method (_SUN) { Return (SUNR) }
 *				Method (_STA) { If (PRES & 1) { Return (15) } Return (0) }
 *				Method (_EJ0, 1) { TAKE = 0xff }
 *			}
 *		}
 *		Method (PSVC, 1, Serialized) {
 *			If (Arg0 == 8) { S08.SCAN () Return (1) } ...
 *			Return (0)
 *		}
 *	}
 *
 * Host bridges of NUMA nodes, beside PCI0, are ssdt_root.c's.
 * Only function 0 of a slot has an object: operating systems scan and eject all functions with it.
 */
#include "ssdt.h"

#include "ssdt_root.h"

#include <stdio.h>

#include <portcullis/q35.h>

#define SLOTS_PORT0 (ACPI_SLOTS_BASE + 0x800)
#define SLOT_REGISTERS 8
#define ALL_FUNCTIONS 0xff
#define NOTIFY_DEVICE_CHECK 1
#define NOTIFY_EJECT_REQUEST 3

struct port_name {
	char text[5];
};

static struct port_name port_name(uint8_t devfn)
{
	struct port_name name;

	(void)snprintf(name.text, sizeof(name.text), "S%02X", devfn);
	return name;
}

/*
 * Not 255: Linux looks for a function in every slot of every bus that may be there, with two exits
 * each, a good part of its boot.
 */
uint8_t acpi_last_bus(const struct acpi_desc *desc)
{
	if (desc->n_roots)
		return desc->roots[desc->n_roots - 1].last_bus;
	return desc->n_ports < 0xff ? (uint8_t)desc->n_ports : 0xff;
}

static void write_windows(struct aml *aml, const struct acpi_desc *desc)
{
	const bool high = desc->mem64_end > desc->mem64_start;

	aml_name_int(aml, "BUSX", desc->n_roots ? desc->roots[0].bus - 1u : acpi_last_bus(desc));
	aml_name_int(aml, "IOMN", desc->io_start);
	aml_name_int(aml, "IOMX", desc->io_end - 1);
	aml_name_int(aml, "M3MN", desc->mem32_start);
	aml_name_int(aml, "M3MX", desc->mem32_end - 1);
	aml_name_int(aml, "M6MN", high ? desc->mem64_start : 0);
	aml_name_int(aml, "M6MX", high ? desc->mem64_end - 1 : 0);
	aml_name_int(aml, "NATV", desc->native_hotplug);
}

static void write_route(struct aml *aml, uint32_t slot, uint32_t pin, uint32_t gsi)
{
	size_t entry = aml_open(aml, AML_PACKAGE);

	aml_byte(aml, 4);
	aml_int(aml, slot << 16 | 0xffff);
	aml_int(aml, pin);
	aml_int(aml, 0); /* no link device: the GSI follows, level, active low */
	aml_int(aml, gsi);
	aml_close(aml, entry);
}

/* Devices behind ports need no table: their pins swizzle through the port's slot. */
static void write_routes(struct aml *aml, const struct acpi_desc *desc)
{
	size_t table;

	aml_op(aml, AML_NAME);
	aml_seg(aml, "_PRT");
	table = aml_open(aml, AML_PACKAGE);
	aml_byte(aml, 32 * 4);
	for (uint32_t slot = 0; slot < 32; slot++) {
		for (uint32_t pin = 0; pin < 4; pin++)
			write_route(aml, slot, pin, desc->intx_gsi[(slot + pin) % 4]);
	}
	aml_close(aml, table);
}

static void write_registers(struct aml *aml, uint8_t devfn)
{
	size_t field;

	aml_region(aml, "REGS", SLOTS_PORT0 + devfn * SLOT_REGISTERS, SLOT_REGISTERS);
	field = aml_open_field(aml, "REGS", AML_ACCESS_BYTE | AML_WRITE_ZEROS);
	aml_bits(aml, "INSR", 8);
	aml_bits(aml, "EJRQ", 8);
	aml_bits(aml, "PRES", 8);
	aml_bits(aml, "TAKE", 8);
	aml_close(aml, field);
	field = aml_open_field(aml, "REGS", AML_ACCESS_DWORD | AML_WRITE_ZEROS);
	aml_bits(aml, NULL, 32);
	aml_bits(aml, "SUNR", 16);
	aml_close(aml, field);
}

static void write_store(struct aml *aml, const char *name)
{
	aml_op(aml, AML_STORE);
	aml_op(aml, AML_LOCAL0);
	aml_seg(aml, name);
}

/* Cleared before it is passed on: what happens meanwhile sets the bit anew. */
static void write_notify(struct aml *aml, const char *reg, uint8_t what)
{
	size_t block;

	aml_op(aml, AML_STORE);
	aml_seg(aml, reg);
	aml_op(aml, AML_LOCAL0);
	write_store(aml, reg);
	block = aml_open(aml, AML_IF);
	aml_op(aml, AML_LOCAL0);
	aml_op(aml, AML_NOTIFY);
	aml_seg(aml, "S00");
	aml_int(aml, what);
	aml_close(aml, block);
}

static void write_return_int(struct aml *aml, uint64_t value)
{
	aml_op(aml, AML_RETURN);
	aml_int(aml, value);
}

static void write_sta(struct aml *aml)
{
	size_t block, method = aml_open_method(aml, "_STA", 0);

	block = aml_open(aml, AML_IF);
	aml_op(aml, AML_AND);
	aml_seg(aml, "PRES");
	aml_int(aml, 1);
	aml_byte(aml, AML_NO_TARGET);
	write_return_int(aml, 0xf);
	aml_close(aml, block);
	write_return_int(aml, 0);
	aml_close(aml, method);
}

static void write_function(struct aml *aml)
{
	size_t method, device = aml_open_device(aml, "S00");

	aml_name_int(aml, "_ADR", 0);
	method = aml_open_method(aml, "_SUN", 0);
	aml_op(aml, AML_RETURN);
	aml_seg(aml, "SUNR");
	aml_close(aml, method);
	write_sta(aml);
	method = aml_open_method(aml, "_EJ0", 1);
	aml_op(aml, AML_STORE);
	aml_int(aml, ALL_FUNCTIONS);
	aml_seg(aml, "TAKE");
	aml_close(aml, method);
	aml_close(aml, device);
}

static void write_port(struct aml *aml, uint8_t devfn)
{
	size_t method, device = aml_open_device(aml, port_name(devfn).text);

	aml_name_int(aml, "_ADR", (uint32_t)(devfn >> 3) << 16 | (devfn & 7u));
	write_registers(aml, devfn);
	write_function(aml);
	method = aml_open_method(aml, "SCAN", AML_METHOD_SERIALIZED);
	write_notify(aml, "INSR", NOTIFY_DEVICE_CHECK);
	write_notify(aml, "EJRQ", NOTIFY_EJECT_REQUEST);
	aml_close(aml, method);
	aml_close(aml, device);
}

/* root NULL: PCI0 */
static void write_scans(struct aml *aml, const char *root, const uint8_t *ports, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		size_t block = aml_open(aml, AML_IF);

		aml_op(aml, AML_EQUAL);
		aml_op(aml, AML_ARG0);
		aml_int(aml, ports[i]);
		if (root)
			ssdt_root_path(aml, root, port_name(ports[i]).text, "SCAN");
		else
			aml_path(aml, port_name(ports[i]).text, "SCAN");
		write_return_int(aml, 1);
		aml_close(aml, block);
	}
}

static void write_service(struct aml *aml, const struct acpi_desc *desc)
{
	size_t method = aml_open_method(aml, "PSVC", 1 | AML_METHOD_SERIALIZED);

	if (!desc->native_hotplug)
		write_scans(aml, NULL, desc->ports, desc->n_ports);
	for (unsigned i = 0; i < desc->n_roots && !desc->native_hotplug; i++)
		write_scans(aml, ssdt_root_name(&desc->roots[i]).text, desc->roots[i].ports,
			desc->roots[i].n_ports);
	write_return_int(aml, 0);
	aml_close(aml, method);
}

static void write_ports(
	struct aml *aml, const struct acpi_desc *desc, const uint8_t *ports, unsigned count)
{
	for (unsigned i = 0; i < count && !desc->native_hotplug; i++)
		write_port(aml, ports[i]);
}

/* Before PCI0's methods, which call theirs. */
static void write_roots(struct aml *aml, const struct acpi_desc *desc)
{
	static const char sb[] = "\\_SB_";
	size_t scope;

	if (!desc->n_roots)
		return;
	scope = aml_open(aml, AML_SCOPE);
	aml_raw(aml, sb, sizeof(sb) - 1);
	for (unsigned i = 0; i < desc->n_roots; i++) {
		size_t device = ssdt_open_root(aml, &desc->roots[i]);

		write_ports(aml, desc, desc->roots[i].ports, desc->roots[i].n_ports);
		aml_close(aml, device);
	}
	aml_close(aml, scope);
}

void ssdt_write(struct aml *aml, const struct acpi_desc *desc)
{
	static const char pci0[] = "\\\x2e_SB_PCI0";
	size_t scope;

	write_roots(aml, desc);
	scope = aml_open(aml, AML_SCOPE);

	aml_raw(aml, pci0, sizeof(pci0) - 1);
	write_windows(aml, desc);
	write_routes(aml, desc);
	write_ports(aml, desc, desc->ports, desc->n_ports);
	write_service(aml, desc);
	aml_close(aml, scope);
}
