/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_acpi_aml.c - DSDT and SSDT as ACPICA's interpreter (acpiexec) understands them, and the
 * AML writer's encodings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <portcullis/acpi_slots.h>
#include <portcullis/devices.h>
#include <portcullis/q35.h>
#include <portcullis/serial.h>

#include "../../src/acpi/aml.h"
#include "acpi_fixture.h"

static struct acpi_fixture fixture;

/* Every run must be free of complaints. */
static const char *run(const char *init, const char *commands)
{
	const char *out;

	assert_int_equal(acpi_fixture_place(&fixture), 0);
	out = acpi_fixture_run(&fixture, init, commands);
	assert_non_null(strstr(out, "2 ACPI AML tables successfully acquired and loaded"));
	if (strstr(out, "Error") || strstr(out, "Warning") || strstr(out, "failed"))
		fail_msg("%s", out);
	return out;
}

static void check(const char *out, const char *text, bool wanted)
{
	assert_non_null(out);
	if ((strstr(out, text) != NULL) == wanted)
		return;
	(void)fputs(out, stderr); /* cmocka would cut it */
	fail_msg("'%s' is %s", text, wanted ? "missing" : "there");
}

static void expect(const char *out, const char *text)
{
	check(out, text, true);
}

static void expect_not(const char *out, const char *text)
{
	check(out, text, false);
}

static void test_windows(void **state)
{
	const char *out;

	(void)state;
	out = run(NULL, "evaluate \\_SB.PCI0._CRS");
	expect(out, "Length 72 =");
	/* I/O 0x1000..0xffff; 0xd0000000..0xfeafffff; 0x8_0000_0000..0x7f_ffff_ffff */
	expect(out, "0000: 88 0D 00 02 0C 00 00 00 00 00 02 00 00 00 03 00"); /* buses 0..2 */
	expect(out, "0010: 47 01 F8 0C F8 0C 01 08 88 0D 00 01 0C 03 00 00");
	expect(out, "0020: 00 10 FF FF 00 00 00 F0 87 17 00 00 0C 01 00 00");
	expect(out, "0030: 00 00 00 00 00 D0 FF FF AF FE 00 00 00 00 00 00");
	expect(out, "0040: B0 2E 8A 2B 00 00 0C 01 00 00 00 00 00 00 00 00");
	expect(out, "0050: 00 00 00 00 08 00 00 00 FF FF FF FF 7F 00 00 00");
	expect(out, "0060: 00 00 00 00 00 00 00 00 00 00 00 00 78 00 00 00");
	fixture.desc.mem64_end = fixture.desc.mem64_start;
	out = run(NULL, "evaluate \\_SB.PCI0._CRS");
	expect(out, "Length 44 =");
	expect(out, "0040: B0 2E 79");
}

static void test_interrupt_routes(void **state)
{
	char address[64], want[64];
	const char *out;

	(void)state;
	fixture.desc.intx_gsi[2] = 22;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	out = acpi_fixture_run(&fixture, NULL, "resources \\_SB.PCI0");
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned pin = 0; pin < 4; pin++) {
			(void)snprintf(
				address, sizeof(address), "Address : %016X\n", slot << 16 | 0xffff);
			(void)snprintf(want, sizeof(want), "Source Index : %08X\n",
				fixture.desc.intx_gsi[(slot + pin) % 4]);
			out = strstr(out, address);
			assert_non_null(out);
			out = strstr(out, "Source Index");
			assert_non_null(out);
			assert_memory_equal(out, want, strlen(want));
		}
	}
}

#define PCI_OSC "evaluate \\_SB.PCI0._OSC (5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66) "

static void test_osc(void **state)
{
	(void)state;
	/* ACPI hot plug: PME, AER, capability, LTR; the rest is refused, and that is said. */
	expect(run(NULL, PCI_OSC "1 3 (01 00 00 00 1F 00 00 00 FF 00 00 00)"),
		"0000: 11 00 00 00 1F 00 00 00 3C 00 00 00");
	expect(run(NULL, PCI_OSC "1 3 (00 00 00 00 1F 00 00 00 1C 00 00 00)"),
		"0000: 00 00 00 00 1F 00 00 00 1C 00 00 00");
	expect(run(NULL, PCI_OSC "2 3 (00 00 00 00 1F 00 00 00 1C 00 00 00)"), "0000: 08 00 00 00");
	/* Two dwords are a legal call: there is no control field to touch. */
	fixture.desc.native_hotplug = true;
	expect(run(NULL, PCI_OSC "1 3 (00 00 00 00 1F 00 00 00 3D 00 00 00)"),
		"0000: 00 00 00 00 1F 00 00 00 3D 00 00 00");
	expect(run(NULL,
		       "evaluate \\_SB.PCI0._OSC (00 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66) "
		       "1 3 (00 00 00 00 1F 00 00 00 1D 00 00 00)"),
		"0000: 04 00 00 00 1F 00 00 00 1D 00 00 00");
}

#define CHECK "System Notify on [S00_]"

static void test_slots(void **state)
{
	const char *out;

	(void)state;
	out = run("\\_SB.PCI0.S08.INSR 1\n\\_SB.PCI0.S08.PRES 3\n\\_SB.PCI0.S13.EJRQ 1\n"
		  "\\_SB.PCI0.S13.PRES 2\n\\_SB.PCI0.S13.SUNR 0x1234\n",
		"evaluate \\_SB.PCI0.PSVC 8;evaluate \\_SB.PCI0.S08.S00._STA");
	expect(out, "Value 0x01 (Device Check)");
	expect_not(out, "Value 0x03");
	expect(out, "[Integer] = 000000000000000F");
	out = run("\\_SB.PCI0.S08.INSR 1\n\\_SB.PCI0.S13.EJRQ 1\n\\_SB.PCI0.S13.PRES 2\n"
		  "\\_SB.PCI0.S13.SUNR 0x1234\n",
		"evaluate \\_SB.PCI0.PSVC 0x13;evaluate \\_SB.PCI0.S13.S00._STA;"
		"evaluate \\_SB.PCI0.S13.S00._SUN");
	expect(out, "Value 0x03 (Eject Request)");
	expect_not(out, "Value 0x01");
	expect(out, "[Integer] = 0000000000000000"); /* without function 0 the slot is empty */
	expect(out, "[Integer] = 0000000000001234");
	/* A port nobody knows ends the scan. */
	expect(run(NULL, "evaluate \\_SB.PCI0.PSVC 9"), "[Integer] = 0000000000000000");
	expect(run("\\_SB.PCI0.NEXT 9\n", "evaluate \\_SB.PCI0.PSCN"), "No object was returned");
	expect(run("\\_SB.PCI0.NEXT 0xffffffff\n", "evaluate \\_SB.PCI0.PSCN"),
		"No object was returned");
}

/* A host bridge of a node: who asks it is told what PCI0 is told, and its ports are served. */
static void test_host_bridge_of_a_node(void **state)
{
	static const uint8_t ports[] = { 0x20, 0x31 };
	static const struct acpi_root roots[] = { { .bus = 3,
		.last_bus = 5,
		.node = 1,
		.io_start = 0x8000,
		.io_end = 0x9000,
		.mem32_start = 0xe0000000,
		.mem32_end = 0xe8000000,
		.mem64_start = 0x4000000000,
		.mem64_end = 0x8000000000,
		.ports = ports,
		.n_ports = 2 } };
	const char *out;

	(void)state;
	fixture.desc.roots = roots;
	fixture.desc.n_roots = 1;
	fixture.desc.io_end = 0x8000;
	out = run(NULL, "evaluate \\_SB.PC03._CRS;evaluate \\_SB.PC03._PXM;"
			"evaluate \\_SB.PC03._BBN;evaluate \\_SB.PCI0._CRS");
	expect(out, "0000: 88 0D 00 02 0C 00 00 00 03 00 05 00 00 00 03 00");
	expect(out, "0010: 88 0D 00 01 0C 03 00 00 00 80 FF 8F 00 00 00 10");
	expect(out, "0020: 87 17 00 00 0C 01 00 00 00 00 00 00 00 E0 FF FF");
	expect(out, "0030: FF E7 00 00 00 00 00 00 00 08 8A 2B 00 00 0C 01");
	expect(out, "0040: 00 00 00 00 00 00 00 00 00 00 00 00 40 00 00 00");
	expect(out, "0050: FF FF FF FF 7F 00 00 00 00 00 00 00 00 00 00 00");
	expect(out, "0060: 00 00 00 00 40 00 00 00 79 00");
	expect(out, "[Integer] = 0000000000000001");
	expect(out, "[Integer] = 0000000000000003");
	/* PCI0 has the buses and the window before it. */
	expect(out, "0000: 88 0D 00 02 0C 00 00 00 00 00 02 00 00 00 03 00");
	expect(out, "0020: 00 10 FF 7F 00 00 00 70");
	expect(run(NULL,
		       "evaluate \\_SB.PC03._OSC (5B 4D DB 33 F7 1F 1C 40 96 57 74 41 C0 3D D7 66) "
		       "1 3 (01 00 00 00 1F 00 00 00 FF 00 00 00)"),
		"0000: 11 00 00 00 1F 00 00 00 3C 00 00 00");
	expect(run(NULL, "evaluate \\_SB.PC03._PRT"), "Contains 128 Elements");
	out = run("\\_SB.PC03.S31.INSR 1\n\\_SB.PC03.S31.PRES 1\n",
		"evaluate \\_SB.PCI0.PSVC 0x31;evaluate \\_SB.PC03.S31.S00._STA");
	expect(out, "Value 0x01 (Device Check)");
	expect(out, "[Integer] = 000000000000000F");
	expect(run("\\_SB.PCI0.S08.INSR 1\n", "evaluate \\_SB.PCI0.PSVC 8"), "Device Check");
	/* All buses are in ECAM. */
	assert_int_equal(acpi_fixture_table(&fixture, "MCFG")[55], 5);
	fixture.desc.native_hotplug = true;
	expect_not(run(NULL, "find _EJ0"), "_EJ0 Method");
	expect(run(NULL, "evaluate \\_SB.PC03._PXM"), "[Integer] = 0000000000000001");
}

/*
 * The bits are written back before the Notify, or a second event in between is lost. acpiexec's
 * registers are plain memory, so this is told by the bytes: Store (reg, Local0), Store (Local0,
 * reg).
 */
static void test_news_is_cleared_first(void **state)
{
	static const char *const want[] = { "\x70INSR\x60\x70\x60INSR\xa0", "\x70"
									    "EJRQ\x60\x70\x60"
									    "EJRQ\xa0" };
	const uint8_t *ssdt;

	(void)state;
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	ssdt = acpi_fixture_table(&fixture, "SSDT");
	for (unsigned i = 0; i < 2; i++)
		assert_non_null(memmem(ssdt, acpi_table_length(ssdt), want[i], strlen(want[i])));
}

static void test_eject_and_status(void **state)
{
	const char *out;

	(void)state;
	out = run(NULL, "evaluate \\_SB.PCI0.S08.S00._EJ0 1;evaluate \\_SB.PCI0.S08.TAKE");
	expect(out, "[Integer] = 00000000000000FF");
	out = run(NULL, "evaluate \\_SB.PCI0.S08._ADR;evaluate \\_SB.PCI0.S13._ADR");
	expect(out, "[Integer] = 0000000000010000");
	expect(out, "[Integer] = 0000000000020003");
}

static void test_no_slots_with_native_hot_plug(void **state)
{
	(void)state;
	fixture.desc.native_hotplug = true;
	expect_not(run(NULL, "find _EJ0"), "_EJ0 Method");
	expect(run(NULL, "evaluate \\_SB.PCI0.PSVC 8"), "[Integer] = 0000000000000000");
	fixture.desc.native_hotplug = false;
	expect(run(NULL, "find _EJ0"), "S08.S00._EJ0 Method");
}

static void test_events(void **state)
{
	const char *out;

	(void)state;
	out = run("\\_SB.GED0.EVNT 1\n", "evaluate \\_SB.GED0._EVT 9");
	expect(out, "Device Notify on [PWRB]");
	expect_not(out, CHECK);
	out = run("\\_SB.GED0.EVNT 2\n\\_SB.PCI0.NEXT 0xffffffff\n", "evaluate \\_SB.GED0._EVT 9");
	expect_not(out, "PWRB");
	/* NEXT stays what it is here, so the scan goes on until acpiexec ends it: no matter. */
	assert_int_equal(acpi_fixture_place(&fixture), 0);
	out = acpi_fixture_run(&fixture,
		"\\_SB.GED0.EVNT 2\n\\_SB.PCI0.NEXT 8\n\\_SB.PCI0.S08.INSR 1\n",
		"evaluate \\_SB.GED0._EVT 9");
	expect(out, CHECK);
	assert_int_equal(GED_POWER_BUTTON, 1);
	assert_int_equal(GED_PCI_HOTPLUG, 2);
}

/* Does the AML have OperationRegion (name, SystemMemory, gpa, 4)? The ASL repeats our constants. */
static void expect_region(const char *name, uint32_t gpa)
{
	const uint8_t *dsdt = acpi_fixture_table(&fixture, "DSDT");
	uint8_t want[13] = { 0x5b, 0x80, 0, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0x0a };

	memcpy(want + 2, name, 4);
	memcpy(want + 8, &gpa, 4);
	assert_non_null(memmem(dsdt, acpi_table_length(dsdt), want, sizeof(want)));
}

static void test_addresses_agree_with_headers(void **state)
{
	const char *out;
	char want[64];

	(void)state;
	out = run(NULL, "evaluate \\_SB.GED0._CRS");
	(void)snprintf(want, sizeof(want), "0000: 89 06 00 03 01 %02X 00 00 00", GED_GSI);
	expect(out, want); /* consumer, edge, active high, exclusive */
	expect_region("GEDR", (uint32_t)GED_BASE);
	expect_region("SLTR", (uint32_t)ACPI_SLOTS_BASE);
	out = run(NULL, "evaluate \\_SB.COM1._CRS");
	(void)snprintf(want, sizeof(want), "47 01 %02X 03 %02X 03 01 08 22 %02X 00",
		SERIAL_PORT & 0xff, SERIAL_PORT & 0xff, 1 << SERIAL_GSI);
	expect(out, want);
	out = run(NULL, "evaluate \\_SB.RTC0._CRS");
	(void)snprintf(want, sizeof(want), "47 01 %02X 00 %02X 00 01 02 22 00 %02X", RTC_PORT,
		RTC_PORT, 1 << (RTC_GSI - 8));
	expect(out, want);
	out = run(NULL, "evaluate \\_S5");
	(void)snprintf(want, sizeof(want), "[Integer] = %016X", ACPI_S5_TYPE);
	expect(out, want);
	out = run(NULL, "evaluate \\_SB.MRES._CRS");
	expect(out, "86 09 00 01 00 00 00 C0 00 00 00 10"); /* GPA_ECAM, 256 MiB */
	expect(out, "00 00 B0 FE 00 20 00 00");
	expect(out, "47 01 00 06 00 06 01 02"); /* POWER_SLEEP_CONTROL */
	assert_int_equal(GPA_ECAM, 0xc0000000);
	assert_int_equal(POWER_SLEEP_CONTROL, 0x600);
	assert_int_equal(ACPI_SLOTS_BASE + ACPI_SLOTS_SIZE, 0xfeb02000);
}

static void test_every_port_can_be_served(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++)
		fixture.ports[i] = (uint8_t)(255 - i);
	fixture.desc.n_ports = 256;
	expect(run("\\_SB.PCI0.SFF.INSR 1\n", "evaluate \\_SB.PCI0.PSVC 0xff"),
		"Value 0x01 (Device Check)");
}

static void test_integer_encodings(void **state)
{
	static const uint8_t want[] = { 0x00, 0x01, 0x0a, 0x02, 0x0a, 0xff, 0x0b, 0x00, 0x01, 0x0b,
		0xff, 0xff, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0 };
	uint8_t buf[64];
	struct aml aml = { .data = buf, .size = sizeof(buf) };

	(void)state;
	aml_int(&aml, 0);
	aml_int(&aml, 1);
	aml_int(&aml, 2);
	aml_int(&aml, 0xff);
	aml_int(&aml, 0x100);
	aml_int(&aml, 0xffff);
	aml_int(&aml, 0x10000);
	aml_int(&aml, 0x100000000);
	assert_int_equal(aml.used, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

static void test_writer_never_passes_its_end(void **state)
{
	uint8_t buf[16];

	(void)state;
	for (size_t size = 0; size < 12; size++) {
		struct aml aml = { .data = buf, .size = size };
		size_t at;

		memset(buf, 0xa5, sizeof(buf));
		at = aml_open_device(&aml, "ABCD"); /* 2 + 3 + 4 bytes */
		aml_op(&aml, AML_RETURN);
		aml_int(&aml, 0);
		aml_close(&aml, at);
		assert_int_equal(aml.full, size < 11);
		for (size_t i = size; i < sizeof(buf); i++)
			assert_int_equal(buf[i], 0xa5);
	}
	/* Length 9 = 3 + 4 + 2, low nibble first. */
	assert_memory_equal(buf,
		"\x5b\x82\x89\x00\x00"
		"ABCD\xa4",
		10);
}

#define CASE(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(                                                  \
		name, acpi_fixture_setup, acpi_fixture_teardown, &fixture)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_windows),
		CASE(test_interrupt_routes),
		CASE(test_osc),
		CASE(test_slots),
		CASE(test_host_bridge_of_a_node),
		CASE(test_news_is_cleared_first),
		CASE(test_eject_and_status),
		CASE(test_no_slots_with_native_hot_plug),
		CASE(test_events),
		CASE(test_addresses_agree_with_headers),
		CASE(test_every_port_can_be_served),
		cmocka_unit_test(test_integer_encodings),
		cmocka_unit_test(test_writer_never_passes_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
