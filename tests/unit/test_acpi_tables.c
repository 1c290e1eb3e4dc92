/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_acpi_tables.c - checksums, lengths, pointers and fields of the fixed tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <portcullis/devices.h>
#include <portcullis/q35.h>

#include "acpi_fixture.h"

static struct acpi_fixture fixture;

static uint64_t field(const uint8_t *table, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, table + offset, size);
	return value;
}

static void test_every_table_adds_up(void **state)
{
	static const char *const names[] = { "XSDT", "DSDT", "FACP", "APIC", "MCFG", "SSDT" };
	const uint8_t *base, *rsdp;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	base = ram_hva(&fixture.ram, ACPI_GPA, ACPI_GPA_END - ACPI_GPA);
	rsdp = ram_hva(&fixture.ram, fixture.rsdp, 36);
	assert_int_equal(fixture.rsdp % 16, 0); /* where a scan for it looks */
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_true(acpi_sum_is_zero(rsdp, 20));
	assert_true(acpi_sum_is_zero(rsdp, 36));
	assert_int_equal(rsdp[15], 2);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const uint8_t *table = acpi_fixture_table(&fixture, names[i]);

		assert_non_null(table);
		assert_memory_equal(table, names[i], 4);
		assert_true(table >= base + 36);
		assert_true(table + acpi_table_length(table) <= base + (ACPI_GPA_END - ACPI_GPA));
		assert_true(acpi_sum_is_zero(table, acpi_table_length(table)));
		for (unsigned k = 0; k < i; k++) {
			const uint8_t *other = acpi_fixture_table(&fixture, names[k]);

			assert_true(table >= other + acpi_table_length(other) ||
				    other >= table + acpi_table_length(table));
		}
	}
}

/* ACPI 6.4 table 5.9; offsets from there. */
static void test_fadt(void **state)
{
	const uint8_t *fadt;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	fadt = acpi_fixture_table(&fixture, "FACP");
	assert_int_equal(acpi_table_length(fadt), 276);
	assert_int_equal(fadt[8], 6);
	assert_int_equal(field(fadt, 40, 4), field(fadt, 140, 8)); /* DSDT, X_DSDT */
	assert_int_equal(field(fadt, 109, 2), 1 << 2);		   /* no VGA, no 8042 */
	/* WBINVD, C1, both buttons are not fixed, reset register, hardware-reduced */
	assert_int_equal(
		field(fadt, 112, 4), 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20);
	assert_int_equal(field(fadt, 116, 4), 0x01000801); /* I/O space, 8 bits, byte access */
	assert_int_equal(field(fadt, 120, 8), POWER_RESET_REG);
	assert_int_equal(fadt[128], 6);
	assert_int_equal(field(fadt, 244, 4), 0x01000801);
	assert_int_equal(field(fadt, 248, 8), POWER_SLEEP_CONTROL);
	assert_int_equal(field(fadt, 256, 4), 0x01000801);
	assert_int_equal(field(fadt, 260, 8), POWER_SLEEP_CONTROL + 1);
	for (unsigned i = 148; i < 244; i++)
		assert_int_equal(fadt[i], 0); /* none of the fixed hardware */
}

static void test_madt(void **state)
{
	static const uint32_t ids[] = { 0, 4, 5 };
	const uint8_t *madt;

	(void)state;
	fixture.desc.cpus = 3;
	fixture.desc.apic_ids = ids;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	madt = acpi_fixture_table(&fixture, "APIC");
	assert_int_equal(acpi_table_length(madt), 44 + 12 + 6 + 3 * 8);
	assert_int_equal(field(madt, 36, 4), GPA_LAPIC);
	assert_int_equal(field(madt, 44, 2), 12 << 8 | 1); /* IOAPIC */
	assert_int_equal(field(madt, 48, 4), GPA_IOAPIC);
	assert_int_equal(field(madt, 52, 4), 0);
	assert_int_equal(field(madt, 56, 6), 0x010000ff0604); /* NMI: LINT1 of all */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(field(madt, 62 + 8 * i, 8),
			1ull << 32 | (uint64_t)ids[i] << 24 | i << 16 | 0x0800);
	fixture.desc.apic_ids = NULL;
	fixture.desc.cpus = 255; /* 255 is all processors, 254 is one */
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	madt = acpi_fixture_table(&fixture, "APIC");
	assert_int_equal(acpi_table_length(madt), 62 + 255 * 8);
	assert_int_equal(field(madt, 62 + 254 * 8, 4), 0xfefe0800);
}

/* ACPI 6.4, 5.2.12.12 and 5.2.12.13: x2APIC structures where 8 bits do not do. */
static void test_madt_x2apic(void **state)
{
	static const uint32_t ids[] = { 0, 254, 255, 256, 70000 };
	const uint8_t *madt, *last;

	(void)state;
	fixture.desc.cpus = 5;
	fixture.desc.apic_ids = ids;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	madt = acpi_fixture_table(&fixture, "APIC");
	assert_int_equal(acpi_table_length(madt), 62 + 2 * 8 + 3 * 16 + 12);
	assert_true(acpi_sum_is_zero(madt, acpi_table_length(madt)));
	assert_int_equal(field(madt, 62 + 8, 4), 0xfe010800);
	for (unsigned i = 2; i < 5; i++) {
		const unsigned at = 78 + 16 * (i - 2);

		assert_int_equal(field(madt, at, 4), 0x1009);
		assert_int_equal(field(madt, at + 4, 4), ids[i]);
		assert_int_equal(field(madt, at + 8, 4), 1); /* enabled */
		assert_int_equal(field(madt, at + 12, 4), i);
	}
	/* NMI: LINT1 of all of them, too. */
	assert_int_equal(field(madt, 126, 8), 0xffffffff00000c0a);
	assert_int_equal(field(madt, 134, 4), 1);

	fixture.desc.apic_ids = NULL;
	fixture.desc.cpus = ACPI_CPUS_MAX;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	madt = acpi_fixture_table(&fixture, "APIC");
	assert_int_equal(acpi_table_length(madt), 62 + 255 * 8 + 3841 * 16 + 12);
	last = madt + acpi_table_length(madt) - 12 - 16;
	assert_int_equal(field(last, 4, 4), 4095);
	assert_int_equal(field(last, 12, 4), 4095);
}

static void test_mcfg(void **state)
{
	const uint8_t *mcfg;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	mcfg = acpi_fixture_table(&fixture, "MCFG");
	assert_int_equal(acpi_table_length(mcfg), 60);
	assert_int_equal(field(mcfg, 44, 8), GPA_ECAM);
	/* Segment 0; bus 0 and one for each port. */
	assert_int_equal(field(mcfg, 52, 8), (uint64_t)fixture.desc.n_ports << 24);
}

/* As ACPICA reads them: "[offset] name : value" lines, and a word for what is wrong. */
static void check_disassembly(const uint8_t *table, const char *const *wanted)
{
	const char *text = acpi_fixture_disassemble(table), *at = text;

	for (; *wanted; wanted++) {
		at = strstr(at, *wanted);
		if (!at)
			fail_msg("no '%s' (in this order) in %s", *wanted, text);
	}
	if (strstr(text, "rror") || strstr(text, "arning") || strstr(text, "nvalid"))
		fail_msg("%s", text);
}

static void test_numa(void **state)
{
	static const char *const srat_text[] = { "Proximity Domain Low(8) : 00", "Apic ID : 07",
		"Proximity Domain Low(8) : 01", "Apic ID : 09", "Proximity Domain : 00000000",
		"Base Address : 0000000000000000", "Address Length : 0000000080000000",
		"Enabled : 1", "Proximity Domain : 00000001", "Base Address : 0000000080000000",
		"Address Length : 0000000040000000", "Proximity Domain : 00000001",
		"Base Address : 0000000100000000", "Address Length : 0000000040000000",
		"Hot Pluggable : 0", NULL };
	static const char *const slit_text[] = { "Localities : 0000000000000002",
		"Locality   0 : 0A 15", "Locality   1 : 1F 0A", NULL };
	static const struct acpi_memory memory[] = { { 0, 0x80000000, 0 },
		{ 0x80000000, 0x40000000, 1 }, { 0x100000000, 0x40000000, 1 } };
	static const uint8_t nodes[] = { 0, 1 }, distances[] = { 10, 21, 31, 10 };
	static const uint32_t ids[] = { 7, 9 };
	const uint8_t *srat, *slit;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	assert_null(acpi_fixture_table(&fixture, "SRAT"));
	assert_null(acpi_fixture_table(&fixture, "SLIT"));
	fixture.desc.n_nodes = 2;
	fixture.desc.apic_ids = ids;
	fixture.desc.cpu_nodes = nodes;
	fixture.desc.memory = memory;
	fixture.desc.n_memory = 3;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	assert_null(acpi_fixture_table(&fixture, "SLIT"));
	fixture.desc.distances = distances;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	srat = acpi_fixture_table(&fixture, "SRAT");
	slit = acpi_fixture_table(&fixture, "SLIT");
	assert_non_null(srat);
	assert_non_null(slit);
	assert_int_equal(acpi_table_length(srat), 48 + 2 * 16 + 3 * 40);
	assert_int_equal(acpi_table_length(slit), 44 + 4);
	assert_true(acpi_sum_is_zero(srat, acpi_table_length(srat)));
	assert_true(acpi_sum_is_zero(slit, acpi_table_length(slit)));
	check_disassembly(srat, srat_text);
	check_disassembly(slit, slit_text);
}

/* 255 is everybody's in the short form: from there on the long one. */
static void test_numa_large_ids(void **state)
{
	static const char *const wanted[] = { "Subtable Type : 00", "Apic ID : FE",
		"Subtable Type : 02", "Proximity Domain : 00000002", "Apic ID : 000000FF", NULL };
	static const uint8_t nodes[] = { 1, 2 };
	static const uint32_t ids[] = { 254, 255 };
	const uint8_t *srat;

	(void)state;
	fixture.desc.n_nodes = 3;
	fixture.desc.apic_ids = ids;
	fixture.desc.cpu_nodes = nodes;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	srat = acpi_fixture_table(&fixture, "SRAT");
	assert_non_null(srat);
	assert_int_equal(acpi_table_length(srat), 48 + 16 + 24);
	check_disassembly(srat, wanted);
}

static void test_limits(void **state)
{
	static const uint8_t many[600];
	uint8_t *end;

	(void)state;
	fixture.desc.cpus = 0;
	assert_int_equal(acpi_fixture_place(&fixture), -EINVAL);
	fixture.desc.cpus = ACPI_CPUS_MAX + 1;
	assert_int_equal(acpi_fixture_place(&fixture), -EINVAL);
	/* Every devfn a port. */
	fixture.desc.cpus = 1024;
	fixture.desc.n_ports = 256;
	for (unsigned i = 0; i < 256; i++)
		fixture.ports[i] = (uint8_t)i;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	assert_true(acpi_table_length(acpi_fixture_table(&fixture, "SSDT")) > 256 * 200);
	/* More than there can be: too much for the area, and not one byte behind it. */
	fixture.desc.n_ports = sizeof(many);
	fixture.desc.ports = many;
	end = ram_hva(&fixture.ram, ACPI_GPA_END, 1);
	*end = 0xa5;
	assert_int_equal(acpi_fixture_place(&fixture), -ENOSPC);
	assert_int_equal(*end, 0xa5);
	/* No RAM there. */
	fixture.ram.layout.segment[0].size = ACPI_GPA_END - 1;
	assert_int_equal(acpi_fixture_place(&fixture), -ENOSPC);
}

/* A guest may have written over the tables before a reset. */
static void test_second_placement_equals_first(void **state)
{
	static uint8_t first[ACPI_GPA_END - ACPI_GPA];
	uint8_t *base;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	base = ram_hva(&fixture.ram, ACPI_GPA, sizeof(first));
	memcpy(first, base, sizeof(first));
	memset(base, 0xa5, sizeof(first));
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	assert_memory_equal(base, first, sizeof(first));
}

#define CASE(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(                                                  \
		name, acpi_fixture_setup, acpi_fixture_teardown, &fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_every_table_adds_up),
		CASE(test_fadt),
		CASE(test_madt),
		CASE(test_madt_x2apic),
		CASE(test_mcfg),
		CASE(test_numa),
		CASE(test_numa_large_ids),
		CASE(test_limits),
		CASE(test_second_placement_equals_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
