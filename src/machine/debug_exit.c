/* SPDX-License-Identifier: Apache-2.0 */
/* debug_exit.c - the isa-debug-exit device of the command line, in its place among the ports. */
#include <errno.h>
#include <inttypes.h>

#include "state.h"

static void on_exit_status(void *opaque, int status)
{
	struct machine *m = opaque;

	role_enter_main();
	if (m->resetting)
		return;
	m->guest_status = status;
	machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	/* Before its writer is let go: it executes nothing after its last word. */
	vcpus_stop(m);
}

/* Who answers at these ports already; NULL: nobody. */
static const char *holder(const struct machine *m, uint64_t base, uint64_t size)
{
	for (size_t i = 0; i < m->bus.count[BUS_PIO]; i++) {
		const struct bus_region *r = &m->bus.regions[BUS_PIO][i];

		if (base < r->base + r->size && r->base < base + size)
			return r->name;
	}
	return base + size > m->windows.io_start ? "PCI devices" : NULL;
}

static int place(
	struct machine *m, const struct debug_exit_options *options, struct err *err) ON_MAIN
{
	struct bus_region region = { .base = options->iobase,
		.size = options->iosize,
		.fn = debug_exit_access,
		.opaque = &m->debug_exit,
		.name = debug_exit_type.name };
	const char *taken = holder(m, region.base, region.size);
	int ret;

	if (taken) {
		err_set(err, EBUSY, "%s: ports %#" PRIx64 "-%#" PRIx64 " are those of '%s'",
			debug_exit_type.name, region.base, region.base + region.size - 1, taken);
		err_hint(err, "give another iobase, such as 0xf4");
		return -EBUSY;
	}
	ret = bus_add(&m->bus, BUS_PIO, &region);
	if (ret)
		return err_set_errno(err, -ret, "cannot place %s", region.name);
	bus_publish(&m->bus);
	return 0;
}

int debug_exits_init(struct machine *m, struct err *err)
{
	int ret = 0;

	debug_exit_init(&m->debug_exit, &m->loop, on_exit_status, m);
	for (unsigned i = 0; !ret && i < m->config->n_devices; i++)
		if (m->config->devices[i].type == &debug_exit_type)
			ret = place(m, m->config->devices[i].options, err);
	return ret;
}
