/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hotplug.c - how the guest hears of hot plug: ACPI (acpi_slots.h registers and a GED interrupt),
 * or the root port's own slot registers (native, pciehp). One of the two per port.
 */
#include "plug.h"

/*
 * GED's interrupt is an edge: one that comes before the guest's handler is there is lost, so it is
 * repeated while there is something that the guest has not read.
 */
#define RETRY_MS 250
/* A guest that has not let go of a pulled card by now never will. */
#define STALE_MS 5000

static struct port *port_of_devfn(struct machine *m, uint8_t devfn)
{
	for (struct port *p = m->ports; p; p = p->next)
		if (p->root.function.devfn == devfn)
			return p;
	return NULL;
}

static void retry(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	if (!acpi_slots_pending(&m->acpi_slots))
		return;
	ged_raise(&m->ged, GED_PCI_HOTPLUG);
	loop_timer_set(&m->loop, &m->hotplug_retry, RETRY_MS);
}

/* The guest is done with a card that was pulled: what came since may be shown. */
static void stale_over(struct port *port) ON_MAIN
{
	loop_timer_cancel(&port->machine->loop, &port->stale_end);
	port->stale = false;
	port_cancel_unplug(port);
	port_update_presence(port, true);
}

static void stale_timeout(void *opaque)
{
	role_enter_main();
	stale_over(opaque);
}

static void acpi_eject(void *opaque, uint8_t devfn, uint8_t functions) ON_MAIN
{
	struct port *port = port_of_devfn(opaque, devfn);

	if (!port)
		return;
	/* It means the card that was pulled: it has not been shown another one. */
	if (port->stale)
		stale_over(port);
	else
		port->machine->hotplug_ops->released(port, functions);
}

static const struct acpi_slots_ops acpi_ops = { .eject = acpi_eject };

static void native_power(void *opaque, struct root_port *root, bool off) ON_MAIN
{
	struct port *port = opaque;

	(void)root;
	if (off)
		port->machine->hotplug_ops->released(port, 0xff);
}

static bool bus_reset(void *opaque, struct root_port *root, struct io_request *request) ON_MAIN
{
	struct port *port = opaque;

	(void)root;
	return port->machine->hotplug_ops->bus_reset(port, request);
}

static const struct root_port_ops port_ops = { .on_power = native_power,
	.on_bus_reset = bus_reset };

static bool native(const struct port *port)
{
	return port->root.options->native_hotplug;
}

void hotplug_init(struct machine *m, const struct hotplug_ops *ops)
{
	m->hotplug_ops = ops;
	acpi_slots_init(&m->acpi_slots, &m->loop, &acpi_ops, m);
	m->hotplug_retry = (struct loop_timer){ .fn = retry, .opaque = m };
	for (struct port *p = m->ports; p; p = p->next) {
		p->root.ops = &port_ops;
		p->root.opaque = p;
		if (!native(p))
			acpi_slots_add_port(&m->acpi_slots, p->root.function.devfn, p->root.number);
	}
}

void hotplug_release(struct machine *m)
{
	loop_timer_cancel(&m->loop, &m->hotplug_retry);
	for (struct port *p = m->ports; p; p = p->next) {
		loop_timer_cancel(&m->loop, &p->ask_again);
		loop_timer_cancel(&m->loop, &p->stale_end);
	}
	acpi_slots_release(&m->acpi_slots);
}

void hotplug_reset(struct machine *m)
{
	acpi_slots_reset(&m->acpi_slots);
	for (struct port *p = m->ports; p; p = p->next) {
		loop_timer_cancel(&m->loop, &p->stale_end);
		p->stale = false;
		port_cancel_unplug(p);
		port_update_presence(p, false);
	}
}

static uint8_t functions_of(struct port *port)
{
	unsigned bits = 0;

	for (unsigned fn = 0; fn < 8; fn++)
		if (atomic_load(&port->root.bus.function[fn]))
			bits |= 1u << fn;
	return (uint8_t)bits;
}

/* A press while the power indicator blinks takes the one before back (PCIe 5.0 6.7.1.5). */
static void press(void *opaque)
{
	struct port *port = opaque;

	role_enter_main();
	if (root_port_blinking(&port->root)) {
		port->ask_again = (struct loop_timer){ .fn = press, .opaque = port };
		loop_timer_set(&port->machine->loop, &port->ask_again, RETRY_MS);
		return;
	}
	root_port_press_attention(&port->root);
}

void port_update_presence(struct port *port, bool tell)
{
	struct machine *m = port->machine;
	uint8_t now = functions_of(port);

	root_port_set_presence(&port->root, now & 1);
	if (native(port) || port->stale)
		return;
	acpi_slots_set_present(&m->acpi_slots, port->root.function.devfn, now, tell);
	if (tell)
		retry(m);
}

/*
 * Linux looks at a slot anew only when its old device is gone, so a card that comes before that
 * would never be found. Natively the link going down tells it, and the slot's own state machine
 * holds a new card back.
 */
void port_surprise_removal(struct port *port)
{
	struct machine *m = port->machine;

	if (native(port)) {
		port_update_presence(port, false);
		return;
	}
	root_port_set_presence(&port->root, false);
	acpi_slots_pull(&m->acpi_slots, port->root.function.devfn);
	port->stale = true;
	port->stale_end = (struct loop_timer){ .fn = stale_timeout, .opaque = port };
	loop_timer_set(&m->loop, &port->stale_end, STALE_MS);
	retry(m);
}

bool port_guest_has_card(struct port *port)
{
	if (!(functions_of(port) & 1) || port->stale)
		return false;
	return !native(port) || root_port_powered(&port->root);
}

void port_request_unplug(struct port *port)
{
	struct machine *m = port->machine;

	if (native(port)) {
		loop_timer_cancel(&m->loop, &port->ask_again);
		press(port);
		return;
	}
	acpi_slots_request_eject(&m->acpi_slots, port->root.function.devfn, functions_of(port));
	retry(m);
}

void port_cancel_unplug(struct port *port)
{
	if (native(port))
		loop_timer_cancel(&port->machine->loop, &port->ask_again);
	else
		acpi_slots_cancel_eject(&port->machine->acpi_slots, port->root.function.devfn);
}
