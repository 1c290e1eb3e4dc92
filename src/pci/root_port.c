/* SPDX-License-Identifier: Apache-2.0 */
/* root_port.c - pcie-root-port: its config space, and the slot's state machine wired to it. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/pci_host.h>
#include <portcullis/root_port.h>

#include "bar.h"
#include "root_port_express.h"
#include "slot.h"

#define MSI_SIZE 14
#define SSVID_SIZE 8
/* Everything up to the link interrupt, but the electromechanical interlock, which is not there. */
#define SLTCTL_WRITABLE 0x17ff
#define SLTCAP_NATIVE                                                                              \
	(PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP | PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP |       \
		PCI_EXP_SLTCAP_HPS | PCI_EXP_SLTCAP_HPC)

static struct root_port *port_of(struct pci_function *fn)
{
	return container_of(fn, struct root_port, function);
}

static void add_exp(struct root_port *port)
{
	uint32_t sltcap = port->slot->native ? SLTCAP_NATIVE : 0;

	root_port_express_init(port);
	pci_put(port->function.config, port->exp + PCI_EXP_SLTCAP, 4,
		sltcap | (uint32_t)port->number << 19);
	pci_put(port->function.wmask, port->exp + PCI_EXP_SLTCTL, 2,
		port->slot->native ? SLTCTL_WRITABLE : 0);
}

static void add_msi(struct root_port *port)
{
	struct pci_function *fn = &port->function;
	unsigned at = port->msi = pci_add_cap(fn, PCI_CAP_ID_MSI, 0, MSI_SIZE);

	pci_put(fn->config, at + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT);
	pci_put(fn->wmask, at + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
	pci_put(fn->wmask, at + PCI_MSI_ADDRESS_LO, 4, 0xfffffffc);
	pci_put(fn->wmask, at + PCI_MSI_ADDRESS_HI, 4, UINT32_MAX);
	pci_put(fn->wmask, at + PCI_MSI_DATA_64, 2, 0xffff);
}

static void add_ssvid(struct root_port *port)
{
	struct pci_function *fn = &port->function;
	unsigned at = pci_add_cap(fn, PCI_CAP_ID_SSVID, 0, SSVID_SIZE);

	pci_put(fn->config, at + PCI_SSVID_VENDOR_ID, 2, 0x1b36);
}

/* Registers <- slot. The caller holds the lock. */
static void show(struct root_port *port)
{
	uint8_t *config = port->function.config;

	pci_put(config, port->exp + PCI_EXP_SLTCTL, 2, port->slot->control);
	pci_put(config, port->exp + PCI_EXP_SLTSTA, 2, port->slot->status);
	root_port_link_show(port);
}

static void settled(void *opaque);

/* What an event brought about, outside the lock. */
static void carry_out(struct root_port *port, const struct slot_effects *effects)
{
	struct pci_sink *sink = port->bus.sink;
	uint8_t *config = port->function.config;
	uint64_t addr;
	uint32_t data;
	bool enabled;

	if (effects->settle)
		loop_timer_set(sink->main, &port->settle, SLOT_SETTLE_MS);
	if (effects->interrupt) {
		pthread_mutex_lock(&port->function.lock);
		enabled = config[port->msi + PCI_MSI_FLAGS] & PCI_MSI_FLAGS_ENABLE;
		addr = pci_get(config, port->msi + PCI_MSI_ADDRESS_LO, 4) |
		       (uint64_t)pci_get(config, port->msi + PCI_MSI_ADDRESS_HI, 4) << 32;
		data = pci_get(config, port->msi + PCI_MSI_DATA_64, 2);
		enabled = enabled && config[PCI_COMMAND] & PCI_COMMAND_MASTER;
		pthread_mutex_unlock(&port->function.lock);
		if (enabled)
			sink->raise_msi(sink->opaque, addr, data);
	}
	if (!port->ops || !port->ops->on_power)
		return;
	if (effects->powered_off)
		port->ops->on_power(port->opaque, port, true);
	if (effects->powered_on)
		port->ops->on_power(port->opaque, port, false);
}

/* An event that is no config write. The guest may have cleared status bits since the last one. */
static void event(struct root_port *port, enum slot_event what)
{
	struct slot_effects effects;

	pthread_mutex_lock(&port->function.lock);
	port->slot->status =
		(uint16_t)pci_get(port->function.config, port->exp + PCI_EXP_SLTSTA, 2);
	effects = slot_step(port->slot, what, 0);
	show(port);
	pthread_mutex_unlock(&port->function.lock);
	carry_out(port, &effects);
}

static void settled(void *opaque)
{
	event(opaque, SLOT_SETTLED);
}

/* On main: a write that covers Slot Control, perhaps together with Slot Status. */
static void finish_slot_control(struct io_request *request)
{
	struct pci_function *fn = request->opaque;
	struct root_port *port = port_of(fn);
	struct slot_effects effects;
	uint16_t value;

	pthread_mutex_lock(&fn->lock);
	(void)pci_config_apply(fn, request->arg, request->size, (uint32_t)request->data);
	value = (uint16_t)pci_get(fn->config, port->exp + PCI_EXP_SLTCTL, 2);
	port->slot->status = (uint16_t)pci_get(fn->config, port->exp + PCI_EXP_SLTSTA, 2);
	effects = slot_step(port->slot, SLOT_CONTROL, value);
	show(port);
	pthread_mutex_unlock(&fn->lock);
	carry_out(port, &effects);
	io_complete(request);
}

static void finish_bus_reset(struct io_request *request)
{
	struct pci_function *fn = request->opaque;
	struct root_port *port = port_of(fn);

	pthread_mutex_lock(&fn->lock);
	(void)pci_config_apply(fn, request->arg, request->size, (uint32_t)request->data);
	pthread_mutex_unlock(&fn->lock);
	if (!port->ops->on_bus_reset(port->opaque, port, request))
		io_complete(request);
}

static bool overlaps(unsigned offset, unsigned size, unsigned at, unsigned length)
{
	return offset < at + length && at < offset + size;
}

static bool starts_bus_reset(struct pci_function *fn, unsigned offset, unsigned size, uint64_t data)
{
	const unsigned at = PCI_BRIDGE_CONTROL;
	bool was;

	if (!overlaps(offset, size, at, 1))
		return false;
	pthread_mutex_lock(&fn->lock);
	was = fn->config[at] & PCI_BRIDGE_CTL_BUS_RESET;
	pthread_mutex_unlock(&fn->lock);
	return !was && data >> (8 * (at - offset)) & PCI_BRIDGE_CTL_BUS_RESET;
}

static enum io_status write_config(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access)
{
	struct root_port *port = port_of(fn);
	struct loop *owner = port->bus.sink->main;

	if (port->slot->native && overlaps(offset, size, port->exp + PCI_EXP_SLTCTL, 2))
		return pci_defer(access, owner, finish_slot_control, fn, offset, size);
	if (port->ops && port->ops->on_bus_reset &&
		starts_bus_reset(fn, offset, size, access->data))
		return pci_defer(access, owner, finish_bus_reset, fn, offset, size);
	return pci_config_write(fn, offset, size, access);
}

static void reset(struct pci_function *fn)
{
	struct root_port *port = port_of(fn);

	/*
	 * What is plugged is what counts: a card that was put in or pulled out without a word, too.
	 */
	port->present = atomic_load(&port->bus.function[0]);
	pthread_mutex_lock(&fn->lock);
	(void)slot_step(port->slot, port->present ? SLOT_RESET_CARD : SLOT_RESET_EMPTY, 0);
	show(port);
	pthread_mutex_unlock(&fn->lock);
}

static const struct pci_function_ops root_port_ops = {
	.config_read = root_port_express_read,
	.config_write = write_config,
	.reset = reset,
};

uint16_t root_port_number_of(uint8_t devfn)
{
	return (uint16_t)((devfn & 7) << 5 | devfn >> 3);
}

void root_port_set_number(struct root_port *port, uint16_t number)
{
	struct pci_function *fn = &port->function;
	unsigned at = port->exp + PCI_EXP_SLTCAP;
	uint32_t sltcap = pci_get(fn->config, at, 4) & ~PCI_EXP_SLTCAP_PSN;

	port->number = number & 0x1fff;
	sltcap |= (uint32_t)port->number << 19;
	pci_put(fn->config, at, 4, sltcap);
	pci_put(fn->reset_config, at, 4, sltcap);
}

int root_port_init(struct root_port *port, struct root_port_options *options, struct pci_sink *sink)
{
	struct pci_function *fn = &port->function;

	memset(port, 0, sizeof(*port));
	port->options = options;
	pci_function_init(fn, port->options->device.id, &root_port_ops, port);
	pci_bus_init(&port->bus, port->options->device.id, fn, sink);
	fn->child = &port->bus;
	fn->reserve_mem32 = port->options->mem_reserve;
	fn->reserve_pref64 = port->options->pref64_reserve;
	fn->reserve_io = port->options->io_reserve;
	port->settle = (struct loop_timer){ .fn = settled, .opaque = port };
	port->slot = calloc(1, sizeof(*port->slot));
	if (!port->slot) {
		root_port_release(port);
		return -ENOMEM;
	}
	port->slot->native = port->options->native_hotplug;
	if (port->options->slot)
		port->number = port->options->slot & 0x1fff;
	else if (port->options->device.addr >= 0)
		port->number = root_port_number_of((uint8_t)port->options->device.addr);
	pci_put(fn->config, PCI_VENDOR_ID, 2, 0x1b36);
	pci_put(fn->config, PCI_DEVICE_ID, 2, 0x000c);
	pci_bridge_init(fn);
	add_exp(port);
	add_msi(port);
	add_ssvid(port);
	pci_function_save(fn);
	reset(fn);
	return 0;
}

void root_port_release(struct root_port *port)
{
	if (!port)
		return;
	if (port->settle.armed)
		loop_timer_cancel(port->bus.sink->main, &port->settle);
	free(port->slot);
	pci_function_release(&port->function);
	props_free(&root_port_type, port->options, NULL); /* no fd among them */
	memset(port, 0, sizeof(*port));
}

void root_port_set_presence(struct root_port *port, bool present)
{
	port->present = present;
	event(port, present ? SLOT_INSERT : SLOT_REMOVE);
}

void root_port_press_attention(struct root_port *port)
{
	event(port, SLOT_BUTTON);
}

static uint16_t slot_control(struct root_port *port)
{
	uint16_t value;

	pthread_mutex_lock(&port->function.lock);
	value = port->slot->control;
	pthread_mutex_unlock(&port->function.lock);
	return value;
}

bool root_port_blinking(struct root_port *port)
{
	return (slot_control(port) & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK;
}

bool root_port_powered(struct root_port *port)
{
	return port->slot->state == SLOT_ON;
}
