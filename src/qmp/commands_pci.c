/* SPDX-License-Identifier: Apache-2.0 */
/* commands_pci.c - query-pci: the tree, read from the bytes that guest and assignment have set. */
#include <linux/pci_regs.h>

#include <portcullis/machine_query.h>
#include <portcullis/pci.h>
#include <portcullis/prop.h>

#include "schema.h"

struct pci_walk {
	struct machine *machine;
	struct json_writer *w;
};

static void put_bus(struct pci_walk *walk, struct pci_bus *bus) ON_MAIN;

/* The emulated bytes: the device itself is not asked. */
static uint32_t config(struct pci_function *fn, unsigned offset, unsigned size)
{
	return pci_config_read(fn, offset, size);
}

static void put_config(struct json_writer *w, const char *key, struct pci_function *fn,
	unsigned offset, unsigned size)
{
	json_put_uint(w, key, config(fn, offset, size));
}

static void put_range(struct json_writer *w, const char *key, uint64_t base, uint64_t limit)
{
	json_begin_object(w, key);
	json_put_uint(w, "base", base);
	json_put_uint(w, "limit", limit);
	json_end_object(w);
}

/* PCI-to-PCI Bridge Architecture Specification 3.2.5: base and limit hold the upper bits. */
static void put_windows(struct json_writer *w, struct pci_function *fn)
{
	uint64_t io_base = (config(fn, PCI_IO_BASE, 1) & 0xf0) << 8,
		 io_limit = (config(fn, PCI_IO_LIMIT, 1) & 0xf0) << 8 | 0xfff,
		 mem_base = (config(fn, PCI_MEMORY_BASE, 2) & 0xfff0) << 16,
		 mem_limit = (config(fn, PCI_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff,
		 pref_base = (config(fn, PCI_PREF_MEMORY_BASE, 2) & 0xfff0) << 16,
		 pref_limit = (config(fn, PCI_PREF_MEMORY_LIMIT, 2) & 0xfff0) << 16 | 0xfffff;

	pref_base |= (uint64_t)config(fn, PCI_PREF_BASE_UPPER32, 4) << 32;
	pref_limit |= (uint64_t)config(fn, PCI_PREF_LIMIT_UPPER32, 4) << 32;
	put_range(w, "io_range", io_base, io_limit);
	put_range(w, "memory_range", mem_base, mem_limit);
	put_range(w, "prefetchable_range", pref_base, pref_limit);
}

static void put_bridge(struct pci_walk *walk, struct pci_function *fn) ON_MAIN
{
	struct json_writer *w = walk->w;

	json_begin_object(w, "pci_bridge");
	json_begin_object(w, "bus");
	put_config(w, "number", fn, PCI_PRIMARY_BUS, 1);
	put_config(w, "secondary", fn, PCI_SECONDARY_BUS, 1);
	put_config(w, "subordinate", fn, PCI_SUBORDINATE_BUS, 1);
	put_windows(w, fn);
	json_end_object(w);
	json_begin_array(w, "devices");
	put_bus(walk, fn->child);
	json_end_array(w);
	json_end_object(w);
}

static void put_region(struct json_writer *w, unsigned index, const struct pci_bar *bar)
{
	bool io = bar->kind == PCI_BAR_IO;

	json_begin_object(w, NULL);
	json_put_int(w, "bar", index);
	json_put_string(w, "type", io ? "io" : "memory");
	json_put_int(w, "address", bar->mapped ? (int64_t)bar->mapped_at : -1);
	json_put_uint(w, "size", bar->size);
	if (!io) {
		json_put_bool(w, "prefetch", bar->prefetchable);
		json_put_bool(w, "mem_type_64", bar->kind == PCI_BAR_MEM64);
	}
	json_end_object(w);
}

/* PCI Code and ID Assignment, the classes one meets. */
static const char *class_name(unsigned class_code)
{
	static const struct {
		unsigned class_code;
		const char *name;
	} names[] = {
		{ 0x0100, "SCSI controller" },
		{ 0x0106, "SATA controller" },
		{ 0x0108, "NVMe controller" },
		{ 0x0200, "Ethernet controller" },
		{ 0x0207, "InfiniBand controller" },
		{ 0x0300, "VGA controller" },
		{ 0x0302, "3D controller" },
		{ 0x0403, "Audio device" },
		{ 0x0600, "Host bridge" },
		{ 0x0604, "PCI bridge" },
		{ 0x0700, "Serial port" },
		{ 0x0c03, "USB controller" },
		{ 0x1200, "Processing accelerator" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].class_code == class_code)
			return names[i].name;
	return NULL;
}

static void put_ids(struct json_writer *w, struct pci_function *fn)
{
	unsigned class_code = config(fn, PCI_CLASS_DEVICE, 2);
	const char *name = class_name(class_code);

	json_begin_object(w, "class_info");
	if (name)
		json_put_string(w, "desc", name);
	json_put_int(w, "class", class_code);
	json_end_object(w);
	json_begin_object(w, "id");
	put_config(w, "device", fn, PCI_DEVICE_ID, 2);
	put_config(w, "vendor", fn, PCI_VENDOR_ID, 2);
	if (!fn->child) {
		put_config(w, "subsystem", fn, PCI_SUBSYSTEM_ID, 2);
		put_config(w, "subsystem-vendor", fn, PCI_SUBSYSTEM_VENDOR_ID, 2);
	}
	json_end_object(w);
}

static void put_function(struct pci_function *fn, void *opaque)
{
	struct pci_walk *walk = opaque;
	struct json_writer *w = walk->w;
	struct pci_bus *bus = atomic_load(&fn->bus);

	role_enter_main();
	json_begin_object(w, NULL);
	json_put_int(
		w, "bus", bus->bridge ? config(bus->bridge, PCI_SECONDARY_BUS, 1) : fn->root_bus);
	json_put_int(w, "slot", fn->devfn >> 3);
	json_put_int(w, "function", fn->devfn & 7);
	put_ids(w, fn);
	if (config(fn, PCI_INTERRUPT_PIN, 1))
		put_config(w, "irq", fn, PCI_INTERRUPT_LINE, 1);
	put_config(w, "irq_pin", fn, PCI_INTERRUPT_PIN, 1);
	/* The machine's own functions have names for messages, no ids. */
	json_put_string(w, "qdev_id", fn->id && !prop_id_fault(fn->id) ? fn->id : "");
	if (fn->child)
		put_bridge(walk, fn);
	json_begin_array(w, "regions");
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (fn->bar[i].kind != PCI_BAR_NONE)
			put_region(w, i, &fn->bar[i]);
	json_end_array(w);
	json_end_object(w);
}

static void put_bus(struct pci_walk *walk, struct pci_bus *bus)
{
	machine_query_functions(walk->machine, bus, put_function, walk);
}

/* What pcie.0 is shown as: a root bus, or several. */
struct pci_root_walk {
	struct pci_walk walk;
	unsigned bus;
	bool found;
};

static void put_of_root(struct pci_function *fn, void *opaque)
{
	struct pci_root_walk *root = opaque;

	role_enter_main();
	if (fn->root_bus != root->bus)
		return;
	if (!root->found) {
		json_begin_object(root->walk.w, NULL);
		json_put_int(root->walk.w, "bus", root->bus);
		json_begin_array(root->walk.w, "devices");
	}
	root->found = true;
	put_function(fn, &root->walk);
}

int qmp_cmd_query_pci(struct qmp_request *r, struct err *err)
{
	struct pci_root_walk root = { .walk = { .machine = r->context->machine, .w = r->out } };

	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	for (; root.bus < 256; root.bus++) {
		root.found = false;
		machine_query_functions(root.walk.machine, NULL, put_of_root, &root);
		if (!root.found)
			continue;
		json_end_array(r->out);
		json_end_object(r->out);
	}
	json_end_array(r->out);
	return 0;
}
