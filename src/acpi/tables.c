/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - the fixed ACPI tables (ACPI 6.4, chapter 5) and where they lie.
 *
 * ACPI_GPA: the RSDP (found there also by those who scan for it), then, each aligned to 16 bytes,
 * DSDT, FADT, MADT, MCFG, SRAT and SLIT where there are NUMA nodes, SSDT and the XSDT that points to
 * them.
 */
#include <portcullis/acpi.h>

#include <errno.h>
#include <string.h>

#include <portcullis/devices.h>
#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/q35.h>

#include "dsdt.h"
#include "ssdt.h"
#include "tables.h"

#define TABLES_MAX 8
#define PACKED __attribute__((packed))

/* What is written so far. */
struct area {
	uint8_t *base; /* HVA of ACPI_GPA */
	size_t used;
	uint64_t table[TABLES_MAX]; /* GPAs for the XSDT */
	unsigned count;
	bool full;
};

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *byte = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + byte[i]);
	return (uint8_t)-sum;
}

static void fill_header(
	struct acpi_header *header, const char *signature, uint8_t revision, uint32_t length)
{
	*header = (struct acpi_header){
		.length = length,
		.revision = revision,
		.oem_id = "PRTCLS",
		.oem_table_id = "PORTCULL",
		.oem_revision = 1,
		.creator_id = "PRTC",
		.creator_revision = 1,
	};
	memcpy(header->signature, signature, sizeof(header->signature));
}

/* Room for a table of size bytes; NULL when the area is full. */
static void *reserve(struct area *area, size_t size, uint64_t *gpa)
{
	size_t at = (area->used + 15) & ~(size_t)15;

	if (area->full || at > ACPI_GPA_END - ACPI_GPA || size > ACPI_GPA_END - ACPI_GPA - at) {
		area->full = true;
		return NULL;
	}
	area->used = at + size;
	*gpa = ACPI_GPA + at;
	return area->base + at;
}

/* Copies a table whose header is complete but for the checksum. Returns its GPA, 0 when full. */
static uint64_t put(struct area *area, const void *table, size_t size)
{
	struct acpi_header *header;
	uint64_t gpa;
	uint8_t *to = reserve(area, size, &gpa);

	if (!to)
		return 0;
	memcpy(to, table, size);
	header = (struct acpi_header *)to;
	header->checksum = 0;
	header->checksum = checksum(to, size);
	return gpa;
}

static void list(struct area *area, uint64_t gpa)
{
	if (gpa && area->count < TABLES_MAX)
		area->table[area->count++] = gpa;
}

static void put_fadt(struct area *area, uint64_t dsdt)
{
	struct acpi_fadt fadt = {
		.dsdt = (uint32_t)dsdt,
		.boot_arch = FADT_VGA_NOT_PRESENT, /* no i8042 either: bit 1 is clear */
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
			 FADT_RESET_REG | FADT_HW_REDUCED,
		.reset_reg = { GAS_IO, 8, 0, GAS_BYTE, POWER_RESET_REG },
		.reset_value = ACPI_RESET_VALUE,
		.minor_version = 4,
		.x_dsdt = dsdt,
		.sleep_control = { GAS_IO, 8, 0, GAS_BYTE, POWER_SLEEP_CONTROL },
		.sleep_status = { GAS_IO, 8, 0, GAS_BYTE, POWER_SLEEP_CONTROL + 1 },
		.hypervisor_id = "PRTCULIS",
	};

	fill_header(&fadt.header, "FACP", 6, sizeof(fadt));
	list(area, put(area, &fadt, sizeof(fadt)));
}

static uint32_t apic_id(const struct acpi_desc *desc, unsigned cpu)
{
	return desc->apic_ids ? desc->apic_ids[cpu] : cpu;
}

/* Behind the table that is being written; its length is the header's from finish() on. */
static void append(struct area *area, const void *part, size_t size)
{
	if (area->full || size > ACPI_GPA_END - ACPI_GPA - area->used) {
		area->full = true;
		return;
	}
	memcpy(area->base + area->used, part, size);
	area->used += size;
}

static void finish(
	struct area *area, struct acpi_header *header, const char *signature, uint8_t revision)
{
	const size_t size = (size_t)(area->base + area->used - (uint8_t *)header);

	fill_header(header, signature, revision, (uint32_t)size);
	header->checksum = checksum(header, size);
}

/* 255 means all processors, so it and what is above need the longer form. */
static bool fits_lapic(uint32_t id)
{
	return id < 255;
}

static void append_lapic(struct area *area, uint32_t uid, uint32_t id)
{
	const struct madt_lapic lapic = { .type = MADT_LAPIC,
		.length = sizeof(lapic),
		.uid = (uint8_t)uid,
		.apic_id = (uint8_t)id,
		.flags = MADT_ENABLED };
	const struct madt_x2apic x2apic = { .type = MADT_X2APIC,
		.length = sizeof(x2apic),
		.uid = uid,
		.apic_id = id,
		.flags = MADT_ENABLED };

	if (fits_lapic(id))
		append(area, &lapic, sizeof(lapic));
	else
		append(area, &x2apic, sizeof(x2apic));
}

/*
 * KVM wires GSI n to IOAPIC pin n and ISA interrupt n to GSI n, so there are no overrides. The 8259
 * pair exists (PCAT_COMPAT) for those who do not use ACPI.
 */
static void put_madt(struct area *area, const struct acpi_desc *desc)
{
	const struct madt_x2apic_nmi x2apic_nmi = {
		.type = MADT_X2APIC_NMI, .length = sizeof(x2apic_nmi), .uid = UINT32_MAX, .lint = 1
	};
	uint64_t gpa;
	struct acpi_madt *madt = reserve(area, sizeof(*madt), &gpa);

	if (!madt)
		return;
	*madt = (struct acpi_madt){ .lapic_address = GPA_LAPIC,
		.flags = 1,
		.ioapic = { MADT_IOAPIC, sizeof(madt->ioapic), 0, 0, GPA_IOAPIC, 0 },
		.nmi = { MADT_LAPIC_NMI, sizeof(madt->nmi), 0xff, 0, 1 } };
	for (unsigned i = 0; i < desc->cpus; i++)
		append_lapic(area, i, apic_id(desc, i));
	if (!fits_lapic(apic_id(desc, desc->cpus - 1)))
		append(area, &x2apic_nmi, sizeof(x2apic_nmi));
	finish(area, &madt->header, "APIC", 5);
	list(area, gpa);
}

static void put_mcfg(struct area *area, const struct acpi_desc *desc)
{
	struct acpi_mcfg mcfg = { .base = desc->ecam, .end_bus = acpi_last_bus(desc) };

	fill_header(&mcfg.header, "MCFG", 1, sizeof(mcfg));
	list(area, put(area, &mcfg, sizeof(mcfg)));
}

static void append_cpu(struct area *area, uint32_t id, uint32_t node)
{
	struct srat_lapic lapic = { .type = SRAT_LAPIC,
		.length = sizeof(lapic),
		.node_low = (uint8_t)node,
		.apic_id = (uint8_t)id,
		.flags = SRAT_ENABLED,
		.node_high = {
			(uint8_t)(node >> 8), (uint8_t)(node >> 16), (uint8_t)(node >> 24) } };
	struct srat_x2apic x2apic = { .type = SRAT_X2APIC,
		.length = sizeof(x2apic),
		.node = node,
		.apic_id = id,
		.flags = SRAT_ENABLED };

	if (fits_lapic(id))
		append(area, &lapic, sizeof(lapic));
	else
		append(area, &x2apic, sizeof(x2apic));
}

static void put_srat(struct area *area, const struct acpi_desc *desc)
{
	uint64_t gpa;
	struct acpi_srat *srat = reserve(area, sizeof(*srat), &gpa);

	if (!srat)
		return;
	srat->revision = 1; /* the specification's word for a field that means nothing */
	for (unsigned i = 0; i < desc->cpus; i++)
		append_cpu(area, apic_id(desc, i), desc->cpu_nodes[i]);
	for (unsigned i = 0; i < desc->n_memory; i++) {
		struct srat_memory memory = { .type = SRAT_MEMORY,
			.length = sizeof(memory),
			.node = desc->memory[i].node,
			.base = desc->memory[i].gpa,
			.size = desc->memory[i].size,
			.flags = SRAT_ENABLED };

		append(area, &memory, sizeof(memory));
	}
	finish(area, &srat->header, "SRAT", 3);
	list(area, gpa);
}

static void put_slit(struct area *area, const struct acpi_desc *desc)
{
	uint64_t gpa;
	struct acpi_slit *slit = reserve(area, sizeof(*slit), &gpa);

	if (!slit)
		return;
	slit->nodes = desc->n_nodes;
	append(area, desc->distances, (size_t)desc->n_nodes * desc->n_nodes);
	finish(area, &slit->header, "SLIT", 1);
	list(area, gpa);
}

/* Written in place: only then is its length known. */
static void put_ssdt(struct area *area, const struct acpi_desc *desc)
{
	struct acpi_header *header;
	struct aml aml;
	uint64_t gpa;

	header = reserve(area, sizeof(*header), &gpa);
	if (!header)
		return;
	aml = (struct aml){ .data = area->base + area->used,
		.size = ACPI_GPA_END - ACPI_GPA - area->used };
	ssdt_write(&aml, desc);
	area->full |= aml.full;
	area->used += aml.used;
	fill_header(header, "SSDT", 2, (uint32_t)(sizeof(*header) + aml.used));
	header->checksum = checksum(header, header->length);
	list(area, gpa);
}

static void put_xsdt_and_rsdp(struct area *area)
{
	struct {
		struct acpi_header header;
		uint64_t table[TABLES_MAX];
	} PACKED xsdt;
	const size_t size = sizeof(xsdt.header) + area->count * sizeof(xsdt.table[0]);
	struct acpi_rsdp rsdp = {
		.signature = "RSD PTR ",
		.oem_id = "PRTCLS",
		.revision = 2,
		.length = sizeof(rsdp),
	};

	fill_header(&xsdt.header, "XSDT", 1, (uint32_t)size);
	memcpy(xsdt.table, area->table, sizeof(xsdt.table));
	rsdp.xsdt = put(area, &xsdt, size);
	rsdp.checksum = checksum(&rsdp, ACPI_RSDP_V1_SIZE);
	rsdp.checksum_all = checksum(&rsdp, sizeof(rsdp));
	memcpy(area->base, &rsdp, sizeof(rsdp));
}

int acpi_place(const struct acpi_desc *desc, const struct ram *ram, uint64_t *rsdp, struct err *err)
{
	struct area area = { .used = sizeof(struct acpi_rsdp) };
	uint64_t dsdt;

	if (!desc->cpus || desc->cpus > ACPI_CPUS_MAX)
		return err_set(err, EINVAL, "ACPI tables describe 1 to %u CPUs, not %u",
			ACPI_CPUS_MAX, desc->cpus);
	area.base = ram_hva(ram, ACPI_GPA, ACPI_GPA_END - ACPI_GPA);
	if (!area.base)
		return err_set(err, ENOSPC, "there is no RAM for the ACPI tables below 1 MiB");
	memset(area.base, 0, ACPI_GPA_END - ACPI_GPA);
	dsdt = put(&area, dsdt_aml_code, sizeof(dsdt_aml_code));
	put_fadt(&area, dsdt);
	put_madt(&area, desc);
	put_mcfg(&area, desc);
	if (desc->n_nodes)
		put_srat(&area, desc);
	if (desc->n_nodes && desc->distances)
		put_slit(&area, desc);
	put_ssdt(&area, desc);
	put_xsdt_and_rsdp(&area);
	if (area.full)
		return err_set(err, ENOSPC,
			"the ACPI tables do not fit in %llu bytes (%u CPUs, %u ports)",
			ACPI_GPA_END - ACPI_GPA, desc->cpus, desc->n_ports);
	*rsdp = ACPI_GPA;
	return 0;
}
