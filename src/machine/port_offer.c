/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port_offer.c - what a root port tells the guest that it completes (root_port_offer()).
 *
 * What the cards send does not end in that port, but in the host's memory behind the ports that they
 * are really below. A slot may have functions of several cards of the host's, so what is offered is
 * what all of them will find. Of functions of one card each has the other's word: Linux says it of
 * those only that complete AtomicOps themselves, a GPU say, and not of its audio function.
 */
#include "plug.h"

/* Those that are taken in or away are their workers'. */
static bool in_slot(const struct device *device, const struct port *port)
{
	return device->port == port && device->class->completes &&
	       atomic_load(&device->class->function(device)->bus) == &port->root.bus;
}

static uint32_t above(const struct device *device) ON_MAIN
{
	uint32_t completes = 0;

	for (const struct device *d = device->machine->devices; d; d = d->next)
		if (in_slot(d, device->port) && d->class == device->class &&
			(d == device || d->class->shares_link(d, device)))
			completes |= d->class->completes(d);
	return completes;
}

void port_update_offer(struct port *port)
{
	uint32_t offer = UINT32_MAX;
	bool any = false;

	for (const struct device *d = port->machine->devices; d; d = d->next) {
		if (!in_slot(d, port))
			continue;
		offer &= above(d);
		any = true;
	}
	root_port_offer(&port->root, any ? offer : 0);
}
