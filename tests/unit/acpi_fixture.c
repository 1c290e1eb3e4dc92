/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acpi_fixture.c - see acpi_fixture.h.
 */
#include "acpi_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <portcullis/err.h>

#include "boot_fixture.h"

int acpi_fixture_setup(void **state)
{
	static const struct fixture_range ram[] = { { 0, 2 * MIB } };
	struct acpi_fixture *fixture = *state;

	memset(fixture, 0, sizeof(*fixture));
	fixture_ram(&fixture->ram, ram, 1);
	fixture->ports[0] = 1 << 3;
	fixture->ports[1] = 2 << 3 | 3;
	fixture->desc = (struct acpi_desc){
		.cpus = 2,
		.ecam = GPA_ECAM,
		.mem32_start = GPA_PCI32,
		.mem32_end = GPA_PCI32_END,
		.mem64_start = 0x800000000,
		.mem64_end = 0x8000000000,
		.io_start = 0x1000,
		.io_end = 0x10000,
		.ports = fixture->ports,
		.n_ports = 2,
		.intx_gsi = { 16, 17, 18, 19 },
	};
	return 0;
}

int acpi_fixture_teardown(void **state)
{
	struct acpi_fixture *fixture = *state;

	fixture_ram_release(&fixture->ram);
	return 0;
}

int acpi_fixture_place(struct acpi_fixture *fixture)
{
	struct err err;

	return acpi_place(&fixture->desc, &fixture->ram, &fixture->rsdp, &err);
}

uint32_t acpi_table_length(const uint8_t *table)
{
	uint32_t length;

	memcpy(&length, table + 4, sizeof(length));
	return length;
}

bool acpi_sum_is_zero(const uint8_t *data, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + data[i]);
	return sum == 0;
}

static const uint8_t *at(const struct acpi_fixture *fixture, const uint8_t *pointer)
{
	uint64_t gpa;

	memcpy(&gpa, pointer, sizeof(gpa));
	return ram_hva(&fixture->ram, gpa, 36);
}

const uint8_t *acpi_fixture_table(const struct acpi_fixture *fixture, const char *signature)
{
	const uint8_t *rsdp = ram_hva(&fixture->ram, fixture->rsdp, 36);
	const uint8_t *xsdt = at(fixture, rsdp + 24);

	if (strcmp(signature, "XSDT") == 0)
		return xsdt;
	if (strcmp(signature, "DSDT") == 0)
		return at(fixture, acpi_fixture_table(fixture, "FACP") + 140);
	for (uint32_t i = 36; i < acpi_table_length(xsdt); i += 8) {
		const uint8_t *table = at(fixture, xsdt + i);

		if (table && memcmp(table, signature, 4) == 0)
			return table;
	}
	return NULL;
}

static void write_file(const char *name, const void *data, size_t size)
{
	FILE *file = fopen(name, "we");

	if (!file || fwrite(data, 1, size, file) != size || fclose(file))
		abort();
}

static void read_all(FILE *from, char *buf, size_t size)
{
	size_t used = fread(buf, 1, size - 1, from);

	buf[used] = '\0';
	while (!feof(from) && fgetc(from) != EOF)
		;
}

const char *acpi_fixture_run(
	const struct acpi_fixture *fixture, const char *init, const char *commands)
{
	static char output[1 << 20];
	char directory[] = "/tmp/portcullis-acpi-XXXXXX", name[4][64], command[2048];
	const uint8_t *dsdt = acpi_fixture_table(fixture, "DSDT");
	const uint8_t *ssdt = acpi_fixture_table(fixture, "SSDT");
	FILE *run;

	if (!mkdtemp(directory))
		abort();
	(void)snprintf(name[0], sizeof(name[0]), "%s/dsdt.aml", directory);
	(void)snprintf(name[1], sizeof(name[1]), "%s/ssdt.aml", directory);
	(void)snprintf(name[2], sizeof(name[2]), "%s/init", directory);
	write_file(name[0], dsdt, acpi_table_length(dsdt));
	write_file(name[1], ssdt, acpi_table_length(ssdt));
	write_file(name[2], init ? init : "", init ? strlen(init) : 0);
	(void)snprintf(command, sizeof(command), "acpiexec -to 1 %s%s -b '%s' %s %s 2>&1",
		init ? "-fi " : "", init ? name[2] : "", commands, name[0], name[1]);
	run = popen(command, "re");
	if (!run)
		abort();
	read_all(run, output, sizeof(output));
	(void)pclose(run);
	for (unsigned i = 0; i < 3; i++)
		(void)unlink(name[i]);
	(void)rmdir(directory);
	return output;
}

const char *acpi_fixture_disassemble(const uint8_t *table)
{
	static char output[1 << 20];
	char directory[] = "/tmp/portcullis-acpi-XXXXXX", name[64], text[64], command[256];
	FILE *run;

	if (!mkdtemp(directory))
		abort();
	(void)snprintf(name, sizeof(name), "%s/table.aml", directory);
	(void)snprintf(text, sizeof(text), "%s/table.dsl", directory);
	write_file(name, table, acpi_table_length(table));
	(void)snprintf(command, sizeof(command), "iasl -d %s 2>&1; cat %s", name, text);
	run = popen(command, "re");
	if (!run)
		abort();
	read_all(run, output, sizeof(output));
	(void)pclose(run);
	(void)unlink(name);
	(void)unlink(text);
	(void)rmdir(directory);
	return output;
}
