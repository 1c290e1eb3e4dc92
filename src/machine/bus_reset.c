/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus_reset.c - the guest resets what is behind a root port (Secondary Bus Reset): each function is
 * reset on its own worker, and the guest's write is done when all of them are.
 *
 * Every device behind the port takes part, not only those the guest's driver had in mind: that is
 * what the wire does. The physical bus is left alone unless a function has no better way.
 */
#include "plug.h"

static void finish(struct port *port) ON_MAIN
{
	struct machine *m = port->machine;
	struct io_request *request = port->bus_reset;

	port->bus_reset = NULL;
	m->sink.commit(m->sink.opaque);
	io_complete(request);
}

static void function_was_reset(struct device *device, int status)
{
	struct port *port = device->port;

	(void)status; /* a device that is lost is reported by its worker */
	role_enter_main();
	/* Its BARs are back to zero: nothing decodes. Before their memslots would come back. */
	if (device_on_bus(device))
		pci_update_mappings(device->class->function(device));
	if (device->class->reset_done)
		device->class->reset_done(device);
	if (--port->bus_resets_left == 0)
		finish(port);
}

bool port_bus_reset(struct port *port, struct io_request *request)
{
	/* Another vCPU does the same at the same time: one reset is enough. */
	if (port->bus_reset || port->machine->ending)
		return false;
	port->bus_reset = request;
	port->bus_resets_left = 1; /* ours, so that it cannot reach 0 while we post */
	for (struct device *d = port->machine->devices; d; d = d->next) {
		if (d->port != port || d->reset_job.running || !device_on_bus(d))
			continue;
		if (d->class->reset_prepare)
			d->class->reset_prepare(d);
		else
			pci_function_reset(d->class->function(d));
		port->bus_resets_left +=
			device_job(d, &d->reset_job, device_reset_job, function_was_reset);
	}
	if (--port->bus_resets_left)
		return true;
	port->bus_reset = NULL;
	return false;
}
