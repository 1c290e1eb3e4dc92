/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_pci_config.c - config cycles on a small machine: host bridge, two root ports (ACPI and
 * native), a card with every kind of BAR behind one of them; cards come and go meanwhile.
 *
 * Input: eight bytes per step: what, size, bus and devfn or one of those that are there, register,
 * three of data (repeated).
 * Checked: bits that no mask opens never change, a BAR is mapped exactly where it is decoded, and
 * no two steps leave something behind.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/acpi_slots.h>
#include <portcullis/pci_host.h>
#include <portcullis/root_port.h>

#include "../../src/pci/bar.h"

#define LEGACY_SIZE 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

struct machine {
	struct pci_sink sink;
	struct loop loop;
	struct pci_bus root;
	struct pci_host host;
	struct pci_function bridge, card;
	struct root_port port[2];
	struct acpi_slots slots;
	bool mapped[PCI_BARS];
	unsigned maps;
};

static int map_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;

	must(fn == &m->card && !m->mapped[bar]);
	must((addr & (fn->bar[bar].size - 1)) == 0 && addr != 0);
	if (++m->maps % 7 == 0)
		return -1;
	m->mapped[bar] = true;
	return 0;
}

static void unmap_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;

	must(fn == &m->card && m->mapped[bar] && addr == fn->bar[bar].mapped_at);
	m->mapped[bar] = false;
}

static void raise_msi(void *opaque, uint64_t addr, uint32_t value)
{
	(void)opaque;
	(void)addr;
	(void)value;
}

static void commit(void *opaque)
{
	(void)opaque;
}

static void on_power(void *opaque, struct root_port *port, bool off)
{
	struct machine *m = opaque;

	if (off && atomic_load(&m->card.bus) == &port->bus) {
		pci_unplug(&m->card);
		root_port_set_presence(port, false);
	}
}

static bool on_bus_reset(void *opaque, struct root_port *port, struct io_request *request)
{
	(void)opaque;
	(void)port;
	(void)request;
	return false;
}

static const struct root_port_ops port_ops = { .on_power = on_power, .on_bus_reset = on_bus_reset };

static void on_eject(void *opaque, uint8_t port, uint8_t functions)
{
	(void)functions;
	must(port == 8);
	acpi_slots_set_present(&((struct machine *)opaque)->slots, port, 0, false);
}

static const struct acpi_slots_ops slots_ops = { .eject = on_eject };

static void make_card(struct pci_function *card)
{
	pci_function_init(card, "card", NULL, NULL);
	pci_put(card->config, PCI_VENDOR_ID, 4, 0x12348086);
	pci_set_bar(card, 0, PCI_BAR_MEM64, 1ull << 34, true);
	pci_set_bar(card, 2, PCI_BAR_MEM32, 0x4000, false);
	pci_set_bar(card, 3, PCI_BAR_IO, 32, false);
	pci_set_bar(card, 4, PCI_BAR_MEM64, 0x100000, false);
	pci_set_bar(card, PCI_ROM, PCI_BAR_ROM, 0x10000, false);
	(void)pci_add_cap(card, PCI_CAP_ID_MSI, 0, 14);
	pci_function_save(card);
}

static void make_port(struct machine *m, unsigned i, const char *text)
{
	void *options;

	must(props_new(&root_port_type, &options) == 0);
	must(props_parse(&root_port_type, options, text, NULL) == 0);
	must(root_port_init(&m->port[i], options, &m->sink) == 0);
	m->port[i].ops = &port_ops;
	m->port[i].opaque = m;
	must(pci_plug(&m->root, &m->port[i].function, PCI_DEVFN(1, i), true, NULL) == 0);
}

static void make(struct machine *m)
{
	const struct pci_windows windows = { 0x1000, 0x10000, 0xd0000000, 0xfeb00000, 1ull << 38,
		1ull << 39 };

	m->sink = (struct pci_sink){ .map_bar = map_bar,
		.unmap_bar = unmap_bar,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop };
	must(loop_init(&m->loop) == 0);
	pci_bus_init(&m->root, "pcie.0", NULL, &m->sink);
	m->host.root = &m->root;
	pci_host_bridge_init(&m->bridge, 0x8086, 0x29c0);
	must(pci_plug(&m->root, &m->bridge, 0, false, NULL) == 0);
	make_port(m, 0, "id=rp0");
	make_port(m, 1, "id=rp1,native-hotplug=on");
	make_card(&m->card);
	must(pci_plug(&m->port[1].bus, &m->card, 0, false, NULL) == 0);
	acpi_slots_init(&m->slots, &m->loop, &slots_ops, m);
	acpi_slots_add_port(&m->slots, 8, 1);
	must(pci_assign(&m->root, &windows, NULL) == 0);
	pci_update_mappings(&m->card);
}

/* Bits outside every mask are as they were at power-on, but for what the slot itself shows. */
static void check_read_only(const struct pci_function *fn, const struct root_port *port)
{
	/* Nobody here has extended capabilities. */
	must(memcmp(fn->config + LEGACY_SIZE, fn->reset_config + LEGACY_SIZE,
		     PCI_CONFIG_SIZE - LEGACY_SIZE) == 0);
	for (unsigned i = 0; i < LEGACY_SIZE; i++) {
		uint8_t fixed = (uint8_t) ~(fn->wmask[i] | fn->w1cmask[i]);
		bool slot =
			port && i >= port->exp + PCI_EXP_LNKSTA && i < port->exp + PCI_EXP_RTCTL;
		bool link = port && i >= port->exp + PCI_EXP_LNKSTA2 &&
			    i < port->exp + PCI_EXP_LNKSTA2 + 2;
		bool windows = port && i >= PCI_IO_BASE && i <= PCI_PREF_LIMIT_UPPER32 + 3;

		if (!slot && !link && !windows && i != PCI_HEADER_TYPE)
			must(((fn->config[i] ^ fn->reset_config[i]) & fixed) == 0);
	}
}

static void check_all_read_only(const struct machine *m)
{
	check_read_only(&m->bridge, NULL);
	check_read_only(&m->card, NULL);
	for (unsigned i = 0; i < 2; i++)
		check_read_only(&m->port[i].function, &m->port[i]);
}

static void check_bars(struct machine *m)
{
	struct pci_bar_targets targets;

	pci_bar_targets(&m->card, m->card.config, &targets);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *bar = &m->card.bar[i];

		must(bar->mapped == m->mapped[i]);
		must(!bar->mapped || atomic_load(&m->card.bus));
		must(!bar->mapped || bar->mapped_at == targets.at[i]);
	}
}

/* A register of the card holds what was written, where it can be written. */
static void check_written(const struct machine *m, uint64_t offset, const struct io_access *access)
{
	const uint8_t *wmask = m->card.wmask, *config = m->card.config;
	unsigned reg = offset & 0xfff;

	for (unsigned i = 0; i < access->size; i++) {
		uint8_t byte = (uint8_t)(access->data >> (8 * i));

		must(((config[reg + i] ^ byte) & wmask[reg + i]) == 0);
	}
}

static void cycle(struct machine *m, io_fn fn, void *opaque, uint64_t offset, const uint8_t *in)
{
	struct io_access access = {
		.offset = offset, .size = (uint8_t)(1u << (in[1] & 3)), .write = in[1] & 4
	};
	bool whole = access.size <= 4 && !(offset & (access.size - 1u));

	for (unsigned i = 0; access.write && i < access.size; i++)
		access.data |= (uint64_t)in[5 + i % 3] << (8 * i);
	must(fn(opaque, &access) == IO_DONE);
	must(access.write || access.size == 8 || access.data >> (8 * access.size) == 0);
	if (fn == pci_host_ecam && access.write && whole &&
		pci_host_find(&m->host, (uint8_t)(offset >> 20), (uint8_t)(offset >> 12)) ==
			&m->card)
		check_written(m, offset, &access);
}

static void swap_card(struct machine *m, unsigned port)
{
	struct pci_bus *bus = atomic_load(&m->card.bus);

	if (bus) {
		struct root_port *old = bus == &m->port[0].bus ? &m->port[0] : &m->port[1];

		pci_unplug(&m->card);
		root_port_set_presence(old, false);
		return;
	}
	must(pci_plug(&m->port[port].bus, &m->card, 0, false, NULL) == 0);
	root_port_set_presence(&m->port[port], true);
	acpi_slots_set_present(&m->slots, 8, port == 0, true);
}

static void step(struct machine *m, const uint8_t *in)
{
	/* Host bridge, ports, card as firmware numbered them; then wherever the guest puts it. */
	static const uint32_t there[] = { 0x000, 0x008, 0x009, 0x100, 0x200 };
	uint32_t function = in[2] < 0xc0 ? there[in[2] % 5] : (uint32_t)in[2] << 8 | in[5];
	/* Most of what there is to find is in the header. */
	uint32_t reg = in[4] & 0xf0 ? in[3] & 0x3f : (uint32_t)in[4] << 8 | in[3];
	uint32_t offset = function << 12 | reg;

	switch (in[0] % 8) {
	case 0:
		cycle(m, pci_host_cf8, &m->host, offset & 3, in);
		break;
	case 1:
		cycle(m, pci_host_cfc, &m->host, offset & 3, in);
		break;
	case 2:
		cycle(m, acpi_slots_access, &m->slots, offset & 0xfff, in);
		break;
	case 3:
		swap_card(m, in[1] & 1);
		break;
	case 4:
		root_port_press_attention(&m->port[in[1] & 1]);
		if (m->port[in[1] & 1].settle.armed && in[1] & 2)
			m->port[in[1] & 1].settle.fn(m->port[in[1] & 1].settle.opaque);
		break;
	default:
		cycle(m, pci_host_ecam, &m->host, offset, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine *m = calloc(1, sizeof(*m));

	must(m);
	make(m);
	for (; size >= 8; data += 8, size -= 8) {
		step(m, data);
		check_bars(m);
	}
	check_all_read_only(m);
	pci_unplug(&m->card);
	for (unsigned i = 0; i < PCI_BARS; i++)
		must(!m->mapped[i]);
	pci_function_release(&m->card);
	pci_function_release(&m->bridge);
	root_port_release(&m->port[0]);
	root_port_release(&m->port[1]);
	acpi_slots_release(&m->slots);
	loop_release(&m->loop);
	free(m);
	return 0;
}
