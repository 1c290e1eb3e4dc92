/* SPDX-License-Identifier: Apache-2.0 */
/* device_new.c - a device out of its options: its place, its worker, its card; nothing is opened. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plug.h"

struct device *device_find(struct machine *m, const char *id)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (!strcmp(d->id, id))
			return d;
	return NULL;
}

static struct worker *worker_take(struct machine *m, struct device *device)
{
	for (unsigned i = 0; i < m->n_workers; i++) {
		if (!m->workers[i].device) {
			m->workers[i].device = device;
			return &m->workers[i];
		}
	}
	return NULL;
}

/*
 * Room for every BAR of every device, now: a guest that maps its BARs must not make main allocate.
 */
static int device_reserve(struct machine *m, struct err *err) ON_MAIN
{
	size_t devices = 1;

	for (const struct device *d = m->devices; d; d = d->next)
		devices++;
	if (bus_reserve(&m->bus, devices * PCI_BARS))
		return err_set(err, ENOMEM, "no memory for the address map");
	return 0;
}

static void device_link(struct machine *m, struct device *device)
{
	struct device **at = &m->devices;

	while (*at)
		at = &(*at)->next;
	*at = device;
}

static void device_unlink(struct machine *m, struct device *device)
{
	for (struct device **at = &m->devices; *at; at = &(*at)->next) {
		if (*at == device) {
			*at = device->next;
			return;
		}
	}
}

int device_check_policy(
	const struct device *device, const struct device_options *options, struct err *err)
{
	if (options->on_error != ON_ERROR_UNPLUG || device->port)
		return 0;
	err_set(err, EINVAL, "%s '%s': on-error=unplug is not possible on bus 'pcie.0'",
		device->class->type->name, options->id);
	err_hint(err, "plug the device behind a pcie-root-port, or choose another on-error");
	return -EINVAL;
}

/* Checks the words of the options against the machine; opens nothing. */
static int find_place(struct device *device, const struct device_options *options, struct err *err)
{
	const char *name = device->class->type->name;
	struct machine *m = device->machine;
	int devfn;

	if (device_find(m, device->id) || topology_has_port(m, device->id))
		return err_set(err, EEXIST, "duplicate device id '%s'", device->id);
	device->bus = topology_find_bus(m, options->bus ? options->bus : "pcie.0");
	if (!device->bus) {
		err_set(err, ENOENT, "%s '%s': bus '%s' not found", name, device->id, options->bus);
		err_hint(
			err, "buses are pcie.0 and the ids of pcie-root-port devices given before");
		return -ENOENT;
	}
	devfn = topology_place(device->bus, options->addr, err);
	if (devfn < 0)
		return err_prefix(err, "%s '%s'", name, device->id);
	/* Again when it is plugged; but nobody should wait for memory to be pinned in vain. */
	if (pci_check_place(device->bus, device->id, (uint8_t)devfn, options->multifunction, err))
		return err_prefix(err, "%s '%s'", name, device->id);
	device->devfn = (uint8_t)devfn;
	device->multifunction = options->multifunction;
	device->port = topology_port_of(m, device->bus);
	return device_check_policy(device, options, err);
}

struct device *device_new(struct machine *m, const struct device_class *class, void *options,
	int (*check)(const struct device *device, struct err *err), struct err *err)
{
	const struct device_options *common = options;
	struct device *device = calloc(1, sizeof(*device));

	if (!device) {
		err_set(err, ENOMEM, "no memory for %s", class->type->name);
		props_free(class->type, options, &m->closer);
		return NULL;
	}
	device->machine = m;
	device->class = class;
	device->options = common;
	if (!common->id) /* no id that a user could give */
		snprintf(device->unnamed, sizeof(device->unnamed), "#%s%u", class->type->name,
			m->n_unnamed++);
	device->id = common->id ? common->id : device->unnamed;
	if (device_reserve(m, err) || find_place(device, common, err) ||
		(check && check(device, err)))
		goto fail;
	device->worker = worker_take(m, device);
	if (!device->worker) {
		err_set(err, EBUSY, "no worker thread is free for device '%s' (%u are in use)",
			device->id, m->n_workers);
		goto fail;
	}
	if (class->create(device, options, err)) {
		options = NULL; /* taken */
		goto fail;
	}
	device_link(m, device);
	return device;
fail:
	props_free(class->type, options, &m->closer);
	if (device->worker)
		device->worker->device = NULL;
	free(device);
	return NULL;
}

void device_free(struct device *device)
{
	if (!device)
		return;
	device_unlink(device->machine, device);
	device->worker->device = NULL;
	device->class->free(device);
	free(device);
}
