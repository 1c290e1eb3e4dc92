/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.h - ACPI tables as they lie in memory (ACPI 6.4, 5.2).
 */
#ifndef PORTCULLIS_ACPI_TABLES_H
#define PORTCULLIS_ACPI_TABLES_H

#include <stdint.h>

/* Fixed-size text without a terminator. */
#if __has_attribute(nonstring)
#define NO_NUL __attribute__((nonstring))
#else
#define NO_NUL
#endif

#define ACPI_RSDP_V1_SIZE 20

struct acpi_rsdp {
	char signature[8] NO_NUL;
	uint8_t checksum; /* of the first ACPI_RSDP_V1_SIZE bytes */
	char oem_id[6] NO_NUL;
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_all, reserved[3];
} __attribute__((packed));

struct acpi_header {
	char signature[4] NO_NUL;
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6] NO_NUL;
	char oem_table_id[8] NO_NUL;
	uint32_t oem_revision;
	char creator_id[4] NO_NUL;
	uint32_t creator_revision;
} __attribute__((packed));

/* Generic address structure. */
enum { GAS_IO = 1 };
enum { GAS_BYTE = 1 };
struct acpi_gas {
	uint8_t space, bit_width, bit_offset, access;
	uint64_t address;
} __attribute__((packed));

enum fadt_flags {
	FADT_WBINVD = 1u << 0,
	FADT_PROC_C1 = 1u << 2,
	FADT_PWR_BUTTON = 1u << 4, /* not a fixed feature: the DSDT has the button */
	FADT_SLP_BUTTON = 1u << 5,
	FADT_RESET_REG = 1u << 10,
	FADT_HW_REDUCED = 1u << 20,
};
enum fadt_boot_arch { FADT_VGA_NOT_PRESENT = 1u << 2 };

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0, gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len, gpe1_len, gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_facs, x_dsdt;
	struct acpi_gas x_pm[8]; /* PM1a/b event, PM1a/b control, PM2 control, timer, GPE0, GPE1 */
	struct acpi_gas sleep_control, sleep_status;
	char hypervisor_id[8] NO_NUL;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 276, "FADT revision 6");

enum madt_type {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_LAPIC_NMI = 4,
	MADT_X2APIC = 9,
	MADT_X2APIC_NMI = 0xa
};
#define MADT_ENABLED 1u
struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} __attribute__((packed));
struct madt_lapic_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));
struct madt_lapic {
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));
/* For APIC ids from 255 up, and for the NMIs of all processors that have them. */
struct madt_x2apic {
	uint8_t type, length;
	uint16_t reserved;
	uint32_t apic_id, flags, uid;
} __attribute__((packed));
_Static_assert(sizeof(struct madt_x2apic) == 16, "5.2.12.12");
struct madt_x2apic_nmi {
	uint8_t type, length;
	uint16_t flags;
	uint32_t uid;
	uint8_t lint, reserved[3];
} __attribute__((packed));
_Static_assert(sizeof(struct madt_x2apic_nmi) == 12, "5.2.12.13");
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address, flags;
	struct madt_ioapic ioapic;
	struct madt_lapic_nmi nmi;
} __attribute__((packed)); /* followed by the CPUs */

/* SRAT (ACPI 6.4, 5.2.16) */
enum srat_type { SRAT_LAPIC = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };
#define SRAT_ENABLED 1u
struct srat_lapic {
	uint8_t type, length, node_low, apic_id;
	uint32_t flags;
	uint8_t eid, node_high[3];
	uint32_t clock_domain;
} __attribute__((packed));
struct srat_memory {
	uint8_t type, length;
	uint32_t node;
	uint16_t reserved0;
	uint64_t base, size;
	uint32_t reserved1, flags;
	uint64_t reserved2;
} __attribute__((packed));
_Static_assert(sizeof(struct srat_memory) == 40, "5.2.16.2");
struct srat_x2apic {
	uint8_t type, length;
	uint16_t reserved0;
	uint32_t node, apic_id, flags, clock_domain, reserved1;
} __attribute__((packed));
_Static_assert(sizeof(struct srat_x2apic) == 24, "5.2.16.3");
struct acpi_srat {
	struct acpi_header header;
	uint32_t revision;
	uint64_t reserved;
} __attribute__((packed)); /* followed by CPUs and memory */

/* SLIT (ACPI 6.4, 5.2.17) */
struct acpi_slit {
	struct acpi_header header;
	uint64_t nodes;
} __attribute__((packed)); /* followed by a byte for each pair */

struct acpi_mcfg {
	struct acpi_header header;
	uint64_t reserved0, base;
	uint16_t segment;
	uint8_t start_bus, end_bus;
	uint32_t reserved1;
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_mcfg) == 60, "one allocation");

#endif
