/* SPDX-License-Identifier: Apache-2.0 */
/* unplug.c - device_del: asking the guest, and taking the device back once it may not touch it. */
#include <errno.h>

#include <portcullis/log.h>

#include "plug.h"

/*
 * At the end every device is closed, and nobody takes it before; nor one whose start failed: the
 * machine's fails with it, and says why.
 */
static bool takeable(const struct device *device)
{
	return !device->machine->ending && !device->failure.code &&
	       life_may(&device->life, LIFE_TAKE);
}

static void late(void *opaque);

/* Off the bus; then the worker makes it harmless and closes it. */
static void take(struct device *device) ON_MAIN
{
	device->deadline.fn = late;
	device->deadline.opaque = device;
	device_event(device, LIFE_TAKE);
}

static void guest_released(struct port *port, uint8_t functions) ON_MAIN
{
	struct device *next;

	for (struct device *d = port->machine->devices; d; d = next) {
		next = d->next;
		if (d->port == port && takeable(d) && (functions & (1u << (d->devfn & 7))))
			take(d);
	}
	port_cancel_unplug(port);
	port_update_presence(port, false);
}

static void ask(struct device *device) ON_MAIN
{
	device->deadline.fn = late;
	device->deadline.opaque = device;
	device_event(device, LIFE_ASK);
}

/* Without the guest's word: the card is pulled. All functions of a slot go together. */
void plug_surprise(struct device *device)
{
	struct port *port = device->port;
	bool seen = port_guest_has_card(port);

	for (struct device *d = port->machine->devices, *next; d; d = next) {
		next = d->next;
		if (d->port == port && takeable(d))
			take(d);
	}
	if (seen)
		port_surprise_removal(port);
	else
		port_update_presence(port, false);
}

/* The guest does not let go, or the kernel holds the worker. */
static void late(void *opaque)
{
	struct device *device = opaque;
	const bool asked = device->life.stage == DEVICE_REQUESTED;

	role_enter_main();
	if (asked && device->machine->ending)
		return;
	if (asked && device->host_wants_it) {
		log_warn("device '%s': the guest did not let go in time, the host takes it",
			device->id);
		plug_surprise(device);
		return;
	}
	device_event(device, LIFE_LATE);
}

void plug_on_reset(struct machine *m)
{
	for (struct port *p = m->ports; p; p = p->next)
		if (port_asked(p))
			guest_released(p, 0xff);
}

/* By asking, where there is somebody to ask. */
static void get_back(struct device *device) ON_MAIN
{
	if (device->machine->resetting) {
		plug_surprise(device); /* the guest has forgotten it */
	} else if (!port_guest_has_card(device->port)) {
		take(device); /* the guest never saw it */
		port_update_presence(device->port, false);
	} else if (device->life.stage == DEVICE_PLUGGED) {
		ask(device);
	}
}

void plug_host_request(struct device *device)
{
	if (!device->port) {
		log_warn(
			"device '%s': the host wants it back, but it sits on pcie.0: end the guest",
			device->id);
		return;
	}
	if (!takeable(device))
		return;
	if (!device->host_wants_it)
		log_info("device '%s': the host wants it back, asking the guest", device->id);
	device->host_wants_it = true;
	get_back(device);
}

static int del_check(
	struct machine *m, const char *id, bool force, struct device **out, struct err *err)
{
	struct device *device = device_find(m, id);
	char shown[PROP_ID_SIZE];

	if (topology_has_port(m, id))
		return err_set(
			err, EINVAL, "device '%s' is a root port and cannot be unplugged", id);
	if (!device)
		return err_set(err, ENODEV, "device '%s' not found", prop_id_show(id, shown));
	if (m->ending)
		return err_set(err, EBUSY, "the machine is ending");
	*out = device;
	if (!device->port) {
		err_set(err, EINVAL, "bus 'pcie.0' does not support hot unplug of device '%s'", id);
		err_hint(err, "plug it behind a pcie-root-port to be able to take it out");
		return -EINVAL;
	}
	if (device->life.stage >= DEVICE_RELEASED ||
		(device->del_ops && (!force || !takeable(device))))
		return err_set(err, EBUSY,
			"device '%s' is already in the process of unplug (stage: %s)", id,
			life_stage_name(device->life.stage));
	if (takeable(device) && !force && !m->resetting && m->runstate != RUNSTATE_RUNNING) {
		err_set(err, EAGAIN, "the guest is not running and cannot release device '%s'", id);
		err_hint(err, "use cont first, or \"force\": true");
		return -EAGAIN;
	}
	return 0;
}

void machine_device_del(struct machine *m, const char *id, bool force, struct machine_op *op)
{
	struct err err = { 0 };
	struct device *device = NULL;

	if (del_check(m, id, force, &device, &err)) {
		op->done(op, &err);
		return;
	}
	/* A forced unplug overtakes the one under way: both are answered when it is gone. */
	ops_push(&device->del_ops, op);
	if (!takeable(device)) {
		device_event(device, LIFE_CANCEL);
		return;
	}
	if (force)
		plug_surprise(device);
	else
		get_back(device);
}

static const struct hotplug_ops hotplug_ops = { .released = guest_released,
	.bus_reset = port_bus_reset };

void plug_init(struct machine *m)
{
	hotplug_init(m, &hotplug_ops);
}
