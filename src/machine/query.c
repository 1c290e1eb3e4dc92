/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - what can be seen of the machine from outside. */
#include <portcullis/machine_query.h>

#include <portcullis/memory_backend.h>

#include "plug.h"

static const char *const runstates[] = {
	[RUNSTATE_PRELAUNCH] = "prelaunch",
	[RUNSTATE_RUNNING] = "running",
	[RUNSTATE_PAUSED] = "paused",
	[RUNSTATE_SHUTDOWN] = "shutdown",
	[RUNSTATE_INTERNAL_ERROR] = "internal-error",
	[RUNSTATE_GUEST_PANICKED] = "guest-panicked",
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

void machine_query_limits(struct machine *m, machine_limit_fn fn, void *opaque)
{
	unsigned workers = 0;

	for (unsigned i = 0; i < m->n_workers; i++)
		workers += m->workers[i].device != NULL;
	fn(&(struct machine_limit){ "memslots", m->vm.max_memslots - kvm_memslots_free(&m->vm),
		   m->vm.max_memslots },
		opaque);
	fn(&(struct machine_limit){ "interrupt-routes", KVM_MSI_MAX - kvm_gsis_free(&m->vm),
		   KVM_MSI_MAX },
		opaque);
	fn(&(struct machine_limit){ "workers", workers, m->n_workers }, opaque);
}

void machine_query_memdevs(struct machine *m, machine_memdev_fn fn, void *opaque)
{
	for (unsigned i = 0; i < m->config->n_objects; i++) {
		const struct config_device *object = &m->config->objects[i];
		const struct memory_backend_options *options = object->options;
		struct ram_options ram;

		if (!memory_backend_type(object->type))
			continue;
		memory_backend_ram_options(&ram, object->type, options);
		fn(&(struct machine_memdev){ .id = options->id,
			   .policy = ram_policy_names[ram.policy],
			   .size = options->size,
			   .prealloc = ram.prealloc || m->config->mem_prealloc,
			   .share = ram.share,
			   .reserve = options->reserve,
			   .host_nodes = ram.nodes.bits,
			   .max_nodes = HOST_NODES_MAX },
			opaque);
	}
}

struct loop_away machine_query_main_loop(struct machine *m, bool anew)
{
	struct loop_away away = m->loop.away;

	if (anew)
		loop_away_forget(&m->loop.away);
	return away;
}
