/* SPDX-License-Identifier: Apache-2.0 */
/* plug.c - device_add: from options to a device that the guest was told of. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "plug.h"

/* Software looks at a slot once, when function 0 arrives; later ones it would not look for. */
static int check_function(const struct pci_bus *bus, int32_t devfn, const char *id, struct err *err)
{
	const struct pci_function *zero = atomic_load(&bus->function[0]);

	if (!zero || devfn < 0 || !(devfn & 7))
		return 0;
	err_set(err, EBUSY,
		"vfio-pci '%s': slot 0 of bus '%s' already shows the guest '%s' as function 0: function %u would not be found",
		id, bus->name, zero->id, (unsigned)devfn & 7);
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
	int ret = check_function(device->bus, device->devfn, device->id, err);

	if (!ret)
		ret = device_plug(device, err);
	if (ret)
		return ret;
	/* No guest has run yet that could give it addresses: a simple one never would. */
	if (guest_is_being_loaded(device->machine))
		topology_program(device->machine);
	/* Functions other than 0 wait, unseen, until function 0 makes the slot complete. */
	if (atomic_load(&device->bus->function[0]))
		slots_show(device->port, true);
	return 0;
}

static int check_bus(struct machine *m, const struct vfio_pci_options *options, struct err *err)
{
	struct pci_bus *bus =
		options->device.bus ? topology_find_bus(m, options->device.bus) : NULL;

	if (!options->device.bus)
		err_set(err, EINVAL, "device '%s': 'bus' is missing", options->device.id);
	else if (!bus)
		err_set(err, ENOENT, "bus '%s' not found", options->device.bus);
	else if (!bus->bridge)
		err_set(err, EINVAL, "bus '%s' does not support hot plug", bus->name);
	else
		return check_function(bus, options->device.addr, options->device.id, err);
	err_hint(err, "name the id of a pcie-root-port that was given on the command line");
	return -err->code;
}

static int check_add(struct machine *m, const struct prop_type *type, const void *options,
	struct err *err) ON_MAIN
{
	int ret;

	if (type != &vfio_pci_type)
		return err_set(err, EINVAL, "device type '%s' cannot be hot-plugged", type->name);
	if (m->ending)
		return err_set(err, EBUSY, "the machine is ending");
	ret = props_check(type, options, err);
	return ret ? ret : check_bus(m, options, err);
}

void machine_device_add(
	struct machine *m, const struct prop_type *type, void *options, struct machine_op *op)
{
	struct err err = { 0 };
	struct device *device = NULL;

	if (check_add(m, type, options, &err))
		props_free(type, options, &m->closer);
	else
		device = device_new(m, options, &err);
	if (!device) {
		op->done(op, &err);
		return;
	}
	device->place = place;
	ops_push(&device->add_op, op);
	device_event(device, LIFE_ADD);
}
