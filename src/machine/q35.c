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

/* rsdp: where ACPI's tables are. */
static int place_tables(struct machine *m, uint64_t *rsdp, struct err *err)
{
	const struct config_numa *numa = &m->config->numa;
	struct acpi_memory memory[RAM_SEGMENTS_MAX];
	uint8_t apic_ids[MACHINE_CPUS_MAX], ports[256];
	struct acpi_desc desc = {
		.cpus = m->topology.cpus,
		.apic_ids = apic_ids,
		.ecam = GPA_ECAM,
		.mem32_start = m->windows.mem32_start,
		.mem32_end = m->windows.mem32_end,
		.mem64_start = m->windows.mem64_start,
		.mem64_end = m->windows.mem64_end,
		.io_start = (uint16_t)m->windows.io_start,
		.native_hotplug = m->ports && m->ports->root.options->native_hotplug,
		.ports = ports,
		.n_nodes = numa->n_nodes,
		.cpu_nodes = numa->cpu_node,
		.memory = memory,
		.n_memory = m->ram.layout.count,
		.distances = numa->distance,
	};
	int ret;

	for (unsigned i = 0; i < desc.cpus; i++)
		apic_ids[i] = (uint8_t)kvm_apic_id(&m->topology, i);
	for (struct port *p = m->ports; p; p = p->next)
		ports[desc.n_ports++] = p->root.function.devfn;
	for (unsigned i = 0; i < desc.n_memory; i++) {
		const struct ram_segment *s = &m->ram.layout.segment[i];

		memory[i] = (struct acpi_memory){ s->gpa, s->size,
			guest_memory_node(m->config, s->backend) };
	}
	memcpy(desc.intx_gsi, m->board->intx_gsi, sizeof(desc.intx_gsi));
	ret = acpi_place(&desc, &m->ram, rsdp, err);
	return ret ? ret : smbios_place(m->config->uuid, &m->ram, err);
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
