/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - what can be seen of the machine from outside. */
#include <stdio.h>

#include <portcullis/machine_query.h>

#include "plug.h"

static const char *const runstates[] = {
	[RUNSTATE_PRELAUNCH] = "prelaunch",
	[RUNSTATE_RUNNING] = "running",
	[RUNSTATE_PAUSED] = "paused",
	[RUNSTATE_SHUTDOWN] = "shutdown",
	[RUNSTATE_INTERNAL_ERROR] = "internal-error",
};

const char *runstate_name(enum runstate state)
{
	return runstates[state];
}

void machine_query_cpu(struct machine *m, unsigned index, struct machine_cpu *out)
{
	const struct config *config = m->config;
	const struct vcpu *v = &m->vcpus[index];

	*out = (struct machine_cpu){
		.index = index,
		.socket = index / (config->cores * config->threads),
		.core = index / config->threads % config->cores,
		.thread = index % config->threads,
		.tid = atomic_load(&v->tid),
		.halted = atomic_load(&v->halted),
	};
}

void machine_query_functions(
	struct machine *m, struct pci_bus *bus, machine_function_fn fn, void *opaque)
{
	if (!bus)
		bus = &m->pcie0;
	for (unsigned i = 0; i < 256; i++) {
		struct pci_function *function = atomic_load(&bus->function[i]);

		if (function)
			fn(function, opaque);
	}
}

void machine_query_vfio(struct machine *m, machine_vfio_fn fn, void *opaque)
{
	char worker[16];

	for (const struct device *d = m->devices; d; d = d->next) {
		struct machine_vfio info = { .id = d->id,
			.bus = d->bus->name,
			.devfn = d->devfn,
			.stage = device_stage_name(d->stage),
			.worker = worker,
			/* A running job may be writing it. */
			.last_error = d->job.running || d->reset_job.running ? "" : d->err.text,
			.dev = d->vfio };

		snprintf(worker, sizeof(worker), "vfio_worker%u", d->worker->index);
		for (unsigned i = 0; i < PCI_BARS; i++)
			info.slots += d->bar[i].n_slots;
		fn(&info, opaque);
	}
}
