/* SPDX-License-Identifier: Apache-2.0 */
/* plug.c - device_add: from options to a device that the guest was told of. */
#include <errno.h>

#include "plug.h"

/* Software looks at a slot once, when function 0 arrives; later ones it would not look for. */
static int check_function(const struct device *device, struct err *err)
{
	const struct pci_bus *bus = device->bus;
	const struct pci_function *zero = atomic_load(&bus->function[0]);

	if (!zero || !(device->devfn & 7))
		return 0;
	err_set(err, EBUSY,
		"%s '%s': slot 0 of bus '%s' already shows the guest '%s' as function 0: function %u would not be found",
		device->class->type->name, device->id, bus->name, zero->id, device->devfn & 7u);
	err_hint(err, "plug function 0 last");
	return -EBUSY;
}

/* All other cards have their addresses by now, and no guest has seen them. */
static bool guest_is_being_loaded(const struct machine *m)
{
	return m->runstate == RUNSTATE_PRELAUNCH || m->memory.jobs_left > 0;
}

/* The last step of an add: from here on the guest has it. */
static int place(struct device *device, struct err *err) ON_MAIN
{
	int ret = check_function(device, err);

	if (!ret)
		ret = device_plug(device, err);
	if (ret)
		return ret;
	/* No guest has run yet that could give it addresses: a simple one never would. */
	if (guest_is_being_loaded(device->machine))
		topology_program(device->machine);
	/* Functions other than 0 wait, unseen, until function 0 makes the slot complete. */
	if (atomic_load(&device->bus->function[0]))
		port_update_presence(device->port, true);
	return 0;
}

/* It has a place; is that one where cards come and go? */
static int check_place(const struct device *device, struct err *err)
{
	if (device->port)
		return check_function(device, err);
	err_set(err, EINVAL, "bus '%s' does not support hot plug", device->bus->name);
	err_hint(err, "name the id of a pcie-root-port that was given on the command line");
	return -EINVAL;
}

static int check_add(struct machine *m, const struct device_class *class,
	const struct prop_type *type, const void *options, struct err *err) ON_MAIN
{
	if (!class || !class->hot_pluggable)
		return err_set(err, EINVAL, "device type '%s' cannot be hot-plugged", type->name);
	if (m->ending)
		return err_set(err, EBUSY, "the machine is ending");
	return props_check(type, options, err);
}

void machine_device_add(
	struct machine *m, const struct prop_type *type, void *options, struct machine_op *op)
{
	const struct device_class *class = device_class_find(type);
	struct err err = { 0 };
	struct device *device = NULL;

	if (check_add(m, class, type, options, &err))
		props_free(type, options, &m->closer);
	else
		device = device_new(m, class, options, check_place, &err);
	if (!device) {
		op->done(op, &err);
		return;
	}
	device->place = place;
	ops_push(&device->add_op, op);
	device_event(device, LIFE_ADD);
}
