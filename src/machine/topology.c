/* SPDX-License-Identifier: Apache-2.0 */
/* topology.c - pcie.0 and its root ports: who sits where, and where BARs go. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/board.h>
#include <portcullis/log.h>

#include "state.h"

#define GIB (1ull << 30)
/* What must be left below the IOMMU's limit for it to be kept: a 64 GiB BAR and its neighbours. */
#define ROOM (128 * GIB)

struct pci_bus *topology_find_bus(struct machine *m, const char *name)
{
	if (!strcmp(name, m->pcie0.name))
		return &m->pcie0;
	for (struct port *p = m->ports; p; p = p->next)
		if (!strcmp(name, p->root.bus.name))
			return &p->root.bus;
	return NULL;
}

struct port *topology_port_of(struct machine *m, const struct pci_bus *bus)
{
	for (struct port *p = m->ports; p; p = p->next)
		if (&p->root.bus == bus)
			return p;
	return NULL;
}

bool topology_has_port(const struct machine *m, const char *id)
{
	for (const struct port *p = m->ports; p; p = p->next)
		if (p->root.options->device.id && !strcmp(p->root.options->device.id, id))
			return true;
	return false;
}

static bool slot_empty(const struct pci_bus *bus, unsigned slot)
{
	for (unsigned fn = 0; fn < 8; fn++)
		if (atomic_load(&bus->function[PCI_DEVFN(slot, fn)]))
			return false;
	return true;
}

int topology_place(struct pci_bus *bus, int32_t addr, struct err *err)
{
	unsigned slots = bus->bridge ? 1 : 32;

	if (addr >= 0)
		return addr;
	for (unsigned slot = 0; slot < slots; slot++)
		if (slot_empty(bus, slot))
			return PCI_DEVFN(slot, 0);
	return err_set(err, EBUSY, "no free slot on bus '%s'", bus->name);
}

/* devfn, or -errno. */
static int port_place(struct machine *m, const struct device_options *options, struct err *err)
{
	int devfn;

	if (options->bus && strcmp(options->bus, m->pcie0.name))
		return err_set(err, EINVAL,
			"pcie-root-port '%s': bus '%s' is not pcie.0: root ports sit on pcie.0",
			options->id, options->bus);
	devfn = topology_place(&m->pcie0, options->addr, err);
	return devfn < 0 ? err_prefix(err, "pcie-root-port '%s'", options->id) : devfn;
}

/* Takes options. */
static int port_new(struct machine *m, struct root_port_options *options, struct err *err) ON_MAIN
{
	const bool multifunction = options->device.multifunction, numbered = options->slot;
	int devfn = port_place(m, &options->device, err), ret = devfn;
	struct port *port = devfn < 0 ? NULL : calloc(1, sizeof(*port)), **at = &m->ports;

	if (!port) {
		if (devfn >= 0)
			ret = err_set(
				err, ENOMEM, "no memory for root port '%s'", options->device.id);
		props_free(&root_port_type, options, &m->closer);
		return ret;
	}
	port->machine = m;
	ret = root_port_init(&port->root, options, &m->sink);
	if (ret) {
		err_set_errno(err, -ret, "cannot create a root port");
		goto fail;
	}
	if (!numbered)
		root_port_set_number(&port->root, root_port_number_of((uint8_t)devfn));
	ret = pci_plug(&m->pcie0, &port->root.function, (uint8_t)devfn, multifunction, err);
	if (ret) {
		err_prefix(err, "pcie-root-port '%s'", port->root.options->device.id);
		root_port_release(&port->root);
		goto fail;
	}
	while (*at)
		at = &(*at)->next;
	*at = port;
	return 0;
fail:
	free(port);
	return ret;
}

static void set_windows(struct machine *m)
{
	unsigned bits = m->vm.phys_bits < 46 ? m->vm.phys_bits : 46;

	m->windows = m->board->windows;
	/* The upper half of the address space; windows_place() has the last word. */
	m->windows.mem64_start = 1ull << (bits - 1);
	m->windows.mem64_end = 1ull << bits;
}

/*
 * An IOMMU may have fewer address bits than the CPU (39 beside 46 is sold in numbers). A BAR above
 * its limit cannot be reached by other devices' DMA, so BARs go below it while there is room.
 */
void windows_place(struct pci_windows *w, uint64_t ram_top, uint64_t iova_end)
{
	uint64_t low = ram_top > 4 * GIB ? (ram_top + GIB - 1) & ~(GIB - 1) : 4 * GIB;

	iova_end &= ~(GIB - 1);
	if (iova_end < w->mem64_end && iova_end > low && iova_end - low >= ROOM) {
		w->mem64_start = low;
		w->mem64_end = iova_end;
	}
	if (w->mem64_start < ram_top)
		w->mem64_start = low;
}

_Static_assert(CONFIG_NODES_MAX < PCI_ROOTS_MAX, "bus 0, and one for each node");

/* Ports of one node share a root bus; those of none are on bus 0. */
static int spread_ports(struct machine *m, struct err *err) ON_MAIN
{
	uint8_t root[CONFIG_NODES_MAX] = { 0 }, n = 0;
	unsigned buses = 1;

	for (struct port *p = m->ports; p; p = p->next) {
		const struct root_port_options *options = p->root.options;

		buses++;
		if (options->numa_node == UINT64_MAX)
			continue;
		if (options->numa_node >= m->config->numa.n_nodes) {
			err_set(err, EINVAL,
				"pcie-root-port '%s': numa_node=%llu: the guest has no such node",
				options->device.id, (unsigned long long)options->numa_node);
			err_hint(err, "-numa node makes one");
			return -EINVAL;
		}
		if (!root[options->numa_node]) {
			root[options->numa_node] = ++n;
			buses++;
		}
		p->root.function.root = root[options->numa_node];
	}
	return buses <= 256
		       ? 0
		       : err_set(err, E2BIG,
				 "%u PCI buses, one for each port and each NUMA node of ports, are more than 256",
				 buses);
}

int topology_init(struct machine *m, struct err *err)
{
	struct config *config = m->config;
	int ret;

	set_windows(m);
	pci_bus_init(&m->pcie0, "pcie.0", NULL, &m->sink);
	m->host.root = &m->pcie0;
	pci_host_bridge_init(
		&m->host_bridge, m->board->host_bridge_vendor, m->board->host_bridge_device);
	ret = pci_plug(&m->pcie0, &m->host_bridge, 0, false, err);
	for (unsigned i = 0; !ret && i < config->n_devices; i++) {
		struct root_port_options *options = config->devices[i].options;

		if (config->devices[i].type != &root_port_type)
			continue;
		config->devices[i].options = NULL;
		ret = port_new(m, options, err);
	}
	if (!ret)
		ret = spread_ports(m, err);
	/* _OSC gives the operating system all of native hot plug or none of it. */
	for (struct port *p = m->ports; !ret && p; p = p->next)
		if (p->root.options->native_hotplug != m->ports->root.options->native_hotplug)
			ret = err_set(err, EINVAL,
				"pcie-root-port '%s': native-hotplug differs from that of '%s': it is one for all ports",
				p->root.options->device.id, m->ports->root.options->device.id);
	return ret;
}

void topology_release(struct machine *m)
{
	while (m->ports) {
		struct port *port = m->ports;

		m->ports = port->next;
		root_port_release(&port->root);
		free(port);
	}
	if (m->host_bridge.id)
		pci_function_release(&m->host_bridge);
}

static void map_bus(struct pci_bus *bus) ON_MAIN
{
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *fn = atomic_load(&bus->function[i]);

		if (!fn)
			continue;
		pci_update_mappings(fn);
		if (fn->child)
			map_bus(fn->child);
	}
}

void topology_program(struct machine *m)
{
	struct err err = { 0 };

	if (pci_assign(&m->pcie0, &m->windows, &err))
		log_guest(
			"%s%s%s", err.text, err.hint[0] ? ": " : "", err.hint); /* at each reset */
	map_bus(&m->pcie0);
	m->sink.commit(m->sink.opaque);
}
