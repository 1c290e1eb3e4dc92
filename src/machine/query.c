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
		const struct pci_function *function = vfio_pci_function(d->vfio);
		struct machine_vfio info = { .id = d->id,
			.bus = d->bus->name,
			.devfn = d->devfn,
			.stage = life_stage_name(d->life.stage),
			.worker = worker,
			.last_error = d->err.text,
			.dev = d->vfio };

		snprintf(worker, sizeof(worker), "vfio_worker%u", d->worker->index);
		/* While a job of another stage runs, its worker may be changing them. */
		info.open = d->life.stage != DEVICE_NEW;
		info.on_bus = device_on_bus(d);
		for (unsigned i = 0; i < PCI_BARS; i++) {
			info.bar_slots[i] = function->bar[i].place.n_memslots;
			info.slots += info.bar_slots[i];
		}
		fn(&info, opaque);
	}
}

void machine_query_limits(struct machine *m, machine_limit_fn fn, void *opaque)
{
	unsigned workers = 0;

	for (unsigned i = 0; i < m->n_workers; i++)
		workers += m->workers[i].device != NULL;
	fn(&(struct machine_limit){ "memslots", m->vm.max_slots - kvm_slots_free(&m->vm),
		   m->vm.max_slots },
		opaque);
	fn(&(struct machine_limit){ "interrupt-routes", KVM_MSI_MAX - kvm_gsis_free(&m->vm),
		   KVM_MSI_MAX },
		opaque);
	fn(&(struct machine_limit){ "workers", workers, m->n_workers }, opaque);
}

struct loop_away machine_query_main_loop(struct machine *m, bool anew)
{
	struct loop_away away = m->loop.away;

	if (anew)
		loop_away_forget(&m->loop.away);
	return away;
}

/* RAM is cut into pieces to the kernel's liking, which is nobody else's concern. */
struct merge {
	struct vfio_mapping last; /* guest memory; size 0: none */
	vfio_mapping_fn fn;
	void *opaque;
};

static void merge_next(const struct vfio_mapping *mapping, void *opaque)
{
	struct merge *merge = opaque;
	struct vfio_mapping *last = &merge->last;

	if (last->size && mapping->ram && last->container == mapping->container &&
		last->iova + last->size == mapping->iova) {
		last->size += mapping->size;
		return;
	}
	if (last->size)
		merge->fn(last, merge->opaque);
	last->size = 0;
	if (mapping->ram)
		*last = *mapping;
	else /* at once: what it points to is there under the lock only */
		merge->fn(mapping, merge->opaque);
}

void machine_query_mappings(struct machine *m, vfio_mapping_fn fn, void *opaque)
{
	struct merge merge = { .fn = fn, .opaque = opaque };

	vfio_context_mappings(m->vfio, merge_next, &merge);
	if (merge.last.size)
		fn(&merge.last, opaque);
}
