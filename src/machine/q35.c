/* SPDX-License-Identifier: Apache-2.0 */
/*
 * q35.c - the standard board of x86, as guests know it from QEMU: its address map, its devices, and
 * what firmware would do, of which there is none.
 */
#include <portcullis/board.h>

#include <errno.h>
#include <string.h>

#include <portcullis/acpi.h>
#include <portcullis/q35.h>

#include "state.h"

#define AT(member) offsetof(struct machine, member)
static const struct board_place places[] = {
	{ BUS_PIO, KEYBOARD_PORT, 5, power_keyboard_access, AT(power), "keyboard-reset" },
	{ BUS_PIO, RTC_PORT, 2, rtc_access, AT(rtc), "rtc" },
	{ BUS_PIO, SERIAL_PORT, 8, serial_access, AT(serial), "serial" },
	{ BUS_PIO, POWER_SLEEP_CONTROL, 2, power_sleep_access, AT(power), "sleep" },
	{ BUS_PIO, PCI_CF8_PORT, 4, pci_host_cf8, AT(host), "pci-cf8" },
	{ BUS_PIO, PCI_CFC_PORT, 4, pci_host_cfc, AT(host), "pci-cfc" },
	{ BUS_MMIO, GPA_ECAM, GPA_ECAM_SIZE, pci_host_ecam, AT(host), "pci-ecam" },
	{ BUS_MMIO, GED_BASE, GED_SIZE, ged_access, AT(ged), "ged" },
	{ BUS_MMIO, ACPI_SLOTS_BASE, ACPI_SLOTS_SIZE, acpi_slots_access, AT(acpi_slots),
		"acpi-slots" },
};

static const unsigned pulses[] = { SERIAL_GSI, RTC_GSI, GED_GSI };

static int q35_init(struct machine *m, struct err *err)
{
	int ret = serial_init(&m->serial, m->irq_fd[SERIAL_GSI], &m->loop);

	if (!ret)
		ret = rtc_init(&m->rtc, m->irq_fd[RTC_GSI], &m->loop);
	if (ret)
		return err_set_errno(err, -ret, "cannot create the platform devices");
	power_init(&m->power, &m->loop, guest_power_event, m);
	ged_init(&m->ged, m->irq_fd[GED_GSI]);
	m->host.cf9 = power_reset_access;
	m->host.cf9_opaque = &m->power;
	return 0;
}

static void q35_release(struct machine *m)
{
	serial_release(&m->serial);
	rtc_release(&m->rtc);
}

static void q35_reset(struct machine *m)
{
	power_reset(&m->power);
	serial_reset(&m->serial);
	rtc_reset(&m->rtc);
	ged_reset(&m->ged);
	atomic_store(&m->host.address, 0);
}

/* What acpi_desc points to. */
struct table_parts {
	_Static_assert(MACHINE_CPUS_MAX <= ACPI_CPUS_MAX, "all are in the MADT");
	uint32_t apic_ids[MACHINE_CPUS_MAX];
	uint8_t ports[256];
	struct acpi_memory memory[RAM_SEGMENTS_MAX];
	struct pci_root pci[PCI_ROOTS_MAX];
	struct acpi_root roots[PCI_ROOTS_MAX];
};

static void describe_memory(
	const struct machine *m, struct acpi_desc *desc, struct table_parts *parts)
{
	const struct config_numa *numa = &m->config->numa;

	desc->n_nodes = numa->n_nodes;
	desc->cpu_nodes = numa->cpu_node;
	desc->distances = numa->distance;
	desc->memory = parts->memory;
	desc->n_memory = m->ram.layout.count;
	for (unsigned i = 0; i < desc->n_memory; i++) {
		const struct ram_segment *s = &m->ram.layout.segment[i];

		parts->memory[i] = (struct acpi_memory){ s->gpa, s->size,
			guest_memory_node(m->config, s->backend) };
	}
}

/* The ports of a root bus follow each other in parts->ports. */
static uint8_t *list_ports(
	const struct machine *m, unsigned index, uint8_t *to, unsigned *n, unsigned *node)
{
	*n = 0;
	for (const struct port *p = m->ports; p; p = p->next) {
		if (p->root.function.root != index)
			continue;
		to[(*n)++] = p->root.function.devfn;
		*node = (unsigned)p->root.options->numa_node;
	}
	return to + *n;
}

static void describe_buses(struct machine *m, struct acpi_desc *desc, struct table_parts *parts)
{
	const struct pci_root *pci = parts->pci;
	unsigned node, n = pci_roots(&m->pcie0, &m->windows, parts->pci);
	uint8_t *ports = list_ports(m, 0, parts->ports, &desc->n_ports, &node);

	desc->mem32_start = pci->windows.mem32_start;
	desc->mem32_end = pci->windows.mem32_end;
	desc->mem64_start = pci->windows.mem64_start;
	desc->mem64_end = pci->windows.mem64_end;
	desc->io_start = pci->windows.io_start;
	desc->io_end = pci->windows.io_end;
	desc->ports = parts->ports;
	desc->roots = parts->roots;
	desc->n_roots = n - 1;
	for (unsigned i = 1; i < n; i++) {
		struct acpi_root *root = &parts->roots[i - 1];
		const struct pci_windows *w = &pci[i].windows;

		*root = (struct acpi_root){ .bus = pci[i].bus,
			.last_bus = pci[i].last_bus,
			.io_start = w->io_start,
			.io_end = w->io_end,
			.mem32_start = w->mem32_start,
			.mem32_end = w->mem32_end,
			.mem64_start = w->mem64_start,
			.mem64_end = w->mem64_end,
			.ports = ports };
		ports = list_ports(m, i, ports, &root->n_ports, &root->node);
	}
}

/* rsdp: where ACPI's tables are. */
static int place_tables(struct machine *m, uint64_t *rsdp, struct err *err)
{
	struct table_parts parts;
	struct acpi_desc desc = {
		.cpus = m->topology.cpus,
		.apic_ids = parts.apic_ids,
		.ecam = GPA_ECAM,
		.native_hotplug = m->ports && m->ports->root.options->native_hotplug,
	};
	int ret;

	for (unsigned i = 0; i < desc.cpus; i++)
		parts.apic_ids[i] = kvm_apic_id(&m->topology, i);
	describe_memory(m, &desc, &parts);
	describe_buses(m, &desc, &parts);
	memcpy(desc.intx_gsi, m->board->intx_gsi, sizeof(desc.intx_gsi));
	ret = acpi_place(&desc, &m->ram, rsdp, err);
	return ret ? ret : smbios_place(m->config->uuid.byte, &m->ram, err);
}

/*
 * Where a PC's firmware starts, and where a kernel jumps in real mode when it knows no better way
 * to reset: Linux does on a hardware-reduced machine without EFI, asking neither ACPI nor the
 * keyboard controller. There is no firmware, so what it would do stands here.
 */
#define RESET_VECTOR 0xffff0ull /* f000:fff0 */
static const uint8_t reset_vector[] = {
	0xba, POWER_RESET_REG & 0xff, POWER_RESET_REG >> 8, /* mov dx, 0xcf9 */
	0xb0, ACPI_RESET_VALUE,				    /* mov al, 6 */
	0xee,						    /* out dx, al */
	0xf4,						    /* hlt */
	0xeb, 0xfd,					    /* jmp to the hlt */
};

static void place_reset_vector(struct machine *m)
{
	void *at = ram_hva(&m->ram, RESET_VECTOR, sizeof(reset_vector));

	if (at)
		memcpy(at, reset_vector, sizeof(reset_vector));
}

static int q35_load(struct machine *m, struct err *err)
{
	uint64_t rsdp = 0;
	int ret = place_tables(m, &rsdp, err);

	if (!ret)
		ret = boot_place(&m->boot, &m->ram, rsdp, &m->gate.load, &m->gate.entry, err);
	place_reset_vector(m);
	return ret;
}

const struct board q35_board = {
	.ram_hole = { GPA_LOW_RAM_END, GPA_HIGH_RAM - 1 },
	.windows = {
		.io_start = PCI_IO_START,
		.io_end = PCI_IO_END,
		.mem32_start = GPA_PCI32,
		.mem32_end = GPA_PCI32_END,
	},
	.host_bridge_vendor = 0x8086,
	.host_bridge_device = 0x29c0, /* 82G33, without functions */
	.intx_gsi = { INTX_GSI, INTX_GSI + 1, INTX_GSI + 2, INTX_GSI + 3 },
	.places = places,
	.n_places = sizeof(places) / sizeof(places[0]),
	.pulses = pulses,
	.n_pulses = sizeof(pulses) / sizeof(pulses[0]),
	.init = q35_init,
	.release = q35_release,
	.reset = q35_reset,
	.load = q35_load,
};
