/* SPDX-License-Identifier: Apache-2.0 */
/* function.c - functions and buses: how they are made, plugged, reset and taken away. */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/pci.h>

#include "bar.h"
#include "function.h"

#define CAPS_START 0x40u
#define COMMAND_WRITABLE                                                                           \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |           \
		PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)

void pci_function_init(
	struct pci_function *fn, const char *id, const struct pci_function_ops *ops, void *opaque)
{
	memset(fn, 0, sizeof(*fn));
	fn->id = id;
	fn->ops = ops;
	fn->opaque = opaque;
	fn->cap_free = CAPS_START;
	pthread_mutex_init(&fn->lock, NULL);
	pci_put(fn->wmask, PCI_COMMAND, 2, COMMAND_WRITABLE);
	pci_put(fn->w1cmask, PCI_STATUS, 2, PCI_STATUS_ERRORS);
	fn->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	fn->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_function_release(struct pci_function *fn)
{
	if (fn)
		pthread_mutex_destroy(&fn->lock);
}

void pci_function_save(struct pci_function *fn)
{
	memcpy(fn->reset_config, fn->config, sizeof(fn->config));
}

void pci_function_reset(struct pci_function *fn)
{
	pthread_mutex_lock(&fn->lock);
	memcpy(fn->config, fn->reset_config, sizeof(fn->config));
	pci_bars_reset(fn);
	if (fn->multifunction)
		fn->config[PCI_HEADER_TYPE] |= HEADER_MULTI;
	atomic_store(&fn->bus_numbers, fn->child ? pci_get(fn->config, PCI_PRIMARY_BUS, 4) : 0);
	pthread_mutex_unlock(&fn->lock);
	if (fn->ops && fn->ops->reset)
		fn->ops->reset(fn);
}

void pci_bus_init(
	struct pci_bus *bus, const char *name, struct pci_function *bridge, struct pci_sink *sink)
{
	memset(bus, 0, sizeof(*bus));
	bus->name = name;
	bus->bridge = bridge;
	bus->sink = sink;
}

static struct pci_function *at(struct pci_bus *bus, unsigned devfn)
{
	return atomic_load(&bus->function[devfn]);
}

/*
 * Software looks at functions 1..7 of a slot only if function 0 says that there are several; a
 * function that could never be found is an error of whoever plugs it.
 */
int pci_check_place(
	struct pci_bus *bus, const char *id, uint8_t devfn, bool multifunction, struct err *err)
{
	unsigned slot = devfn >> 3, number = devfn & 7;
	struct pci_function *zero = at(bus, PCI_DEVFN(slot, 0));

	if (bus->bridge && slot != 0)
		return err_set(err, EINVAL,
			"PCI: slot %u of bus '%s' does not exist: behind a root port there is slot 0 only",
			slot, bus->name);
	if (at(bus, devfn))
		return err_set(err, EBUSY, "PCI: slot %u function %u already occupied by '%s'",
			slot, number, at(bus, devfn)->id);
	if (number && zero && !zero->multifunction)
		return err_set(err, EBUSY,
			"PCI: single function device can't be populated in function %x.%x: '%s' at %x.0 has multifunction off",
			slot, number, zero->id, slot);
	if (number || multifunction)
		return 0;
	for (unsigned i = 1; i < 8; i++) {
		struct pci_function *other = at(bus, PCI_DEVFN(slot, i));

		if (other)
			return err_set(err, EBUSY,
				"PCI: %x.0 indicates single function, but %x.%x is already populated by '%s': '%s' needs multifunction=on",
				slot, slot, i, other->id, id);
	}
	return 0;
}

int pci_plug(struct pci_bus *bus, struct pci_function *fn, uint8_t devfn, bool multifunction,
	struct err *err)
{
	int ret = pci_check_place(bus, fn->id, devfn, multifunction, err);

	if (ret)
		return ret;
	fn->devfn = devfn;
	fn->multifunction = multifunction;
	pthread_mutex_lock(&fn->lock);
	if (multifunction)
		fn->config[PCI_HEADER_TYPE] |= HEADER_MULTI;
	pthread_mutex_unlock(&fn->lock);
	atomic_store(&fn->bus, bus);
	atomic_store(&bus->function[devfn], fn);
	return 0;
}

void pci_unplug(struct pci_function *fn)
{
	struct pci_bus *bus = atomic_load(&fn->bus);

	if (!bus)
		return;
	atomic_store(&bus->function[fn->devfn], NULL);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &fn->bar[i];

		if (bar->mapped)
			bus->sink->unmap_bar(bus->sink->opaque, fn, i, bar->mapped_at);
		bar->mapped = false;
	}
	atomic_store(&fn->bus, NULL);
	bus->sink->commit(bus->sink->opaque);
}
