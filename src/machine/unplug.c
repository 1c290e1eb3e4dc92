/* SPDX-License-Identifier: Apache-2.0 */
/* unplug.c - device_del: asking the guest, and taking the device back once it may not touch it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/log.h>

#include "plug.h"

#define MS_PER_S 1000u

static unsigned timeout_s(const struct device *device)
{
	return (unsigned)vfio_pci_get_options(device->vfio)->unplug_timeout;
}

static void deadline_set(struct device *device, void (*fn)(void *))
{
	device->deadline.fn = fn;
	device->deadline.opaque = device;
	loop_timer_set(
		&device->machine->loop, &device->deadline, (uint64_t)timeout_s(device) * MS_PER_S);
}

/*
 * stage: where it did not get on. Last in every function: who is answered may ask again at once, of
 * a device that is in its next stage already.
 */
static void unplug_error(struct device *device, enum device_stage stage, const struct err *err)
{
	machine_emit(
		device->machine, &(struct machine_event){ .kind = MACHINE_DEVICE_UNPLUG_GUEST_ERROR,
					 .device = device->id,
					 .path = device->id,
					 .reason = life_stage_name(stage) });
	ops_done(&device->del_ops, err);
}

/* The end of every device: fds are closed, the host may have it. */
void device_gone(struct device *device)
{
	struct machine *m = device->machine;
	struct machine_op *add = device->add_op, *del = device->del_ops;
	struct err failure = device->failure;
	bool was_plugged = device->stage >= DEVICE_PLUGGED || del;
	char id[PROP_ID_SIZE];

	prop_id_copy(id, device->id);
	loop_timer_cancel(&m->loop, &device->deadline);
	device_free(device);
	if (was_plugged)
		machine_emit(m, &(struct machine_event){
					.kind = MACHINE_DEVICE_DELETED, .device = id, .path = id });
	ops_done(&add, &failure);
	ops_done(&del, NULL);
}

static void closed(struct device *device, int status)
{
	(void)status;
	role_enter_main();
	device_step(device, LIFE_CLOSED);
	device_gone(device);
}

static void fenced(struct device *device, int status)
{
	(void)status;
	role_enter_main();
	device_step(device, LIFE_FENCED);
	device_job(device, &device->job, device_close_job, closed);
}

/* The kernel holds a worker longer than the deadline: say so; it goes on when the kernel does. */
static void taking_late(void *opaque)
{
	struct device *device = opaque;
	struct err err = { 0 };

	role_enter_main();
	err_set(&err, ETIMEDOUT, "device '%s' is not given back within %u s (stage: %s)",
		device->id, timeout_s(device), life_stage_name(device->stage));
	err_hint(&err, "the device or the host kernel does not answer; see the host's dmesg");
	unplug_error(device, device->stage, &err);
}

/* Off the bus; then the worker makes it harmless and closes it. */
static void take(struct device *device) ON_MAIN
{
	struct machine *m = device->machine;

	device_step(device, LIFE_TAKEN);
	pci_unplug(vfio_pci_function(device->vfio));
	device->grace = bus_grace(&m->bus);
	deadline_set(device, taking_late);
	device_job(device, &device->job, device_fence_job, fenced);
}

/* At the end every device is closed, and nobody takes it before. */
static bool takeable(const struct device *device)
{
	return !device->machine->ending &&
	       (device->stage == DEVICE_PLUGGED || device->stage == DEVICE_REQUESTED);
}

void plug_guest_released(struct port *port, uint8_t functions)
{
	struct device *next;

	for (struct device *d = port->machine->devices; d; d = next) {
		next = d->next;
		if (d->port == port && takeable(d) && (functions & (1u << (d->devfn & 7))))
			take(d);
	}
	slots_withdraw(port);
	slots_show(port, false);
}

/*
 * The guest is asked once for all functions of a slot: a second press of the button takes it back.
 */
static bool asked(const struct port *port)
{
	for (const struct device *d = port->machine->devices; d; d = d->next)
		if (d->port == port && d->stage == DEVICE_REQUESTED)
			return true;
	return false;
}

static void not_released(void *opaque)
{
	struct device *device = opaque;
	struct err err = { 0 };

	role_enter_main();
	if (!takeable(device))
		return;
	if (device->host_wants_it) {
		log_warn("device '%s': the guest did not let go within %u s, the host takes it",
			device->id, timeout_s(device));
		plug_surprise(device);
		return;
	}
	err_set(&err, ETIMEDOUT, "the guest did not release device '%s' within %u s (stage: %s)",
		device->id, timeout_s(device), life_stage_name(device->stage));
	err_hint(&err, "the device stays in use; repeat device_del, or use \"force\": true");
	device_step(device, LIFE_KEPT);
	if (!asked(device->port))
		slots_withdraw(device->port);
	unplug_error(device, DEVICE_REQUESTED, &err);
}

static void ask(struct device *device) ON_MAIN
{
	bool already = asked(device->port);

	device_step(device, LIFE_ASKED);
	deadline_set(device, not_released);
	if (!already)
		slots_ask(device->port);
}

/* Without the guest's word: the card is pulled. All functions of a slot go together. */
void plug_surprise(struct device *device)
{
	struct port *port = device->port;
	bool seen = slots_guest_has(port);

	for (struct device *d = port->machine->devices, *next; d; d = next) {
		next = d->next;
		if (d->port == port && takeable(d))
			take(d);
	}
	if (seen)
		slots_pull(port);
	else
		slots_show(port, false);
}

void plug_on_reset(struct machine *m)
{
	for (struct port *p = m->ports; p; p = p->next)
		if (asked(p))
			plug_guest_released(p, 0xff);
}

/* By asking, where there is somebody to ask. */
static void get_back(struct device *device) ON_MAIN
{
	if (device->machine->resetting) {
		plug_surprise(device); /* the guest has forgotten it */
	} else if (!slots_guest_has(device->port)) {
		take(device); /* the guest never saw it */
		slots_show(device->port, false);
	} else if (device->stage == DEVICE_PLUGGED) {
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

	if (topology_has_port(m, id))
		return err_set(
			err, EINVAL, "device '%s' is a root port and cannot be unplugged", id);
	if (!device)
		return err_set(err, ENODEV, "device '%s' not found", id);
	if (m->ending)
		return err_set(err, EBUSY, "the machine is ending");
	*out = device;
	if (!device->port) {
		err_set(err, EINVAL, "bus 'pcie.0' does not support hot unplug of device '%s'", id);
		err_hint(err, "plug it behind a pcie-root-port to be able to take it out");
		return -EINVAL;
	}
	if (device->stage >= DEVICE_RELEASED || (device->del_ops && !force))
		return err_set(err, EBUSY,
			"device '%s' is already in the process of unplug (stage: %s)", id,
			life_stage_name(device->stage));
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
		device_cancel(device);
		return;
	}
	if (force)
		plug_surprise(device);
	else
		get_back(device);
}
