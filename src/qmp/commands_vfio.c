/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands_vfio.c - query-vfio: the passed-through devices, from plug to unplug; and what their DMA
 * reaches.
 */
#include <portcullis/machine_query.h>
#include <portcullis/machine_vfio.h>
#include <portcullis/pci.h>
#include <portcullis/vfio.h>
#include <portcullis/vfio_query.h>

#include "schema.h"

/* As many as a person reads; the sum has them all. */
#define TRAPS_SHOWN 64

struct traps_out {
	struct json_writer *w;
	unsigned shown;
	uint64_t sum;
};

static void put_traps(const struct vfio_traps *traps, void *opaque)
{
	struct traps_out *out = opaque;

	out->sum += traps->count;
	if (out->shown++ >= TRAPS_SHOWN)
		return;
	json_begin_object(out->w, NULL);
	json_put_uint(out->w, "offset", traps->offset);
	json_put_uint(out->w, "size", traps->size);
	json_put_uint(out->w, "count", traps->count);
	json_end_object(out->w);
}

static void put_areas(struct json_writer *w, struct vfio_pci *dev, unsigned bar)
{
	struct pci_area area[PCI_AREAS_MAX];
	struct pci_function *fn = vfio_pci_function(dev);
	unsigned n = fn->ops->areas(fn, bar, area);

	json_begin_array(w, "areas");
	for (unsigned i = 0; i < n; i++) {
		json_begin_object(w, NULL);
		json_put_uint(w, "offset", area[i].offset);
		json_put_uint(w, "size", area[i].size);
		json_put_string(w, "access",
			!area[i].hva	   ? "trapped"
			: area[i].readonly ? "read-only"
					   : "mapped");
		json_end_object(w);
	}
	json_end_array(w);
}

static void put_interrupts(struct json_writer *w, const struct vfio_interrupts *i)
{
	json_begin_object(w, "interrupts");
	json_put_string(w, "mode", i->mode);
	json_put_uint(w, "vectors", i->vectors);
	json_put_uint(w, "armed", i->armed);
	json_put_uint(w, "connected", i->connected);
	json_put_uint(w, "pending", i->pending);
	json_put_uint(w, "set-irqs", i->set_irqs);
	json_put_uint(w, "masked", i->masked);
	json_put_uint(w, "held", i->held);
	json_put_uint(w, "failures", i->failures);
	json_end_object(w);
}

static void put_state(struct json_writer *w, const struct vfio_pci_info *info)
{
	json_put_string(w, "reset", info->reset);
	json_put_uint(w, "denied-writes", info->denied);
	json_put_bool(w, "quarantined", info->quarantined);
	if (info->error != VFIO_ERROR_NONE)
		json_put_string(w, "error", vfio_severity_name(info->error));
}

static void put_bar(struct json_writer *w, const struct machine_vfio *info, unsigned i)
{
	static const char *const kinds[] = {
		[PCI_BAR_IO] = "io",
		[PCI_BAR_MEM32] = "mem32",
		[PCI_BAR_MEM64] = "mem64",
		[PCI_BAR_ROM] = "rom",
	};
	const struct pci_bar *bar = &vfio_pci_function(info->dev)->bar[i];
	struct traps_out traps = { .w = w };

	json_begin_object(w, NULL);
	json_put_int(w, "bar", i);
	json_put_string(w, "kind", kinds[bar->kind]);
	json_put_bool(w, "prefetchable", bar->prefetchable);
	json_put_uint(w, "size", bar->size);
	if (bar->mapped)
		json_put_uint(w, "address", bar->mapped_at);
	json_put_uint(w, "memslots", info->bar_memslots[i]);
	put_areas(w, info->dev, i);
	json_begin_array(w, "traps");
	vfio_pci_traps(info->dev, i, put_traps, &traps);
	json_end_array(w);
	json_put_uint(w, "trapped", traps.sum);
	json_put_uint(w, "refused", vfio_pci_traps_failed(info->dev, i));
	json_end_object(w);
}

static void put_bars(struct json_writer *w, const struct machine_vfio *info)
{
	json_begin_array(w, "bars");
	for (unsigned i = 0; info->on_bus && i < PCI_BARS; i++)
		if (vfio_pci_function(info->dev)->bar[i].kind != PCI_BAR_NONE)
			put_bar(w, info, i);
	json_end_array(w);
}

struct list {
	struct json_writer *w;
	struct machine *machine;
};

struct sum {
	unsigned container;
	uint64_t bytes;
};

static void add_ram(const struct vfio_mapping *mapping, void *opaque)
{
	struct sum *sum = opaque;

	if (mapping->ram && mapping->container == sum->container)
		sum->bytes += mapping->size;
}

static void put_attachment(const struct list *list, const struct vfio_pci_info *info) ON_MAIN
{
	struct sum sum = { .container = info->container };

	json_put_int(list->w, "group", info->group);
	json_put_uint(list->w, "container", info->container);
	machine_query_mappings(list->machine, add_ram, &sum);
	json_put_uint(list->w, "mapped-bytes", sum.bytes);
}

/* A device that is known by an fd alone has its name once it is open. */
static void put_host(
	struct json_writer *w, const struct vfio_pci_options *options, const char *found) ON_MAIN
{
	char host[HOST_BDF_STRLEN];

	if (options->sysfsdev) {
		json_put_string(w, "host", options->sysfsdev);
	} else if (options->host.set) {
		json_put_string(w, "host", host_bdf_format(&options->host, host));
	} else {
		json_put_string(w, "host", found);
	}
}

static void put_device(const struct machine_vfio *info, void *opaque) ON_MAIN
{
	const struct vfio_pci_options *options = vfio_pci_get_options(info->dev);
	const struct list *list = opaque;
	struct json_writer *w = list->w;
	struct vfio_pci_info card;

	vfio_pci_query(info->dev, &card);
	json_begin_object(w, NULL);
	json_put_string(w, "id", info->id);
	put_host(w, options, info->open ? card.name : "");
	json_put_string(w, "bus", info->bus);
	json_put_int(w, "slot", info->devfn >> 3);
	json_put_int(w, "function", info->devfn & 7);
	json_put_string(w, "stage", info->stage);
	json_put_string(w, "backend", options->iommufd ? "iommufd" : "group");
	if (info->open)
		put_attachment(list, &card);
	json_put_string(w, "worker", info->worker);
	json_put_uint(w, "memslots", info->memslots);
	put_state(w, &card);
	if (*info->last_error)
		json_put_string(w, "last-error", info->last_error);
	put_bars(w, info);
	put_interrupts(w, &card.interrupts);
	json_end_object(w);
}

int qmp_cmd_query_vfio(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	machine_query_vfio(
		r->context->machine, put_device, &(struct list){ r->out, r->context->machine });
	json_end_array(r->out);
	return 0;
}

static void put_limit(const struct machine_limit *limit, void *opaque)
{
	struct json_writer *w = opaque;

	json_begin_object(w, NULL);
	json_put_string(w, "name", limit->name);
	json_put_uint(w, "used", limit->used);
	json_put_uint(w, "max", limit->max);
	json_end_object(w);
}

int qmp_cmd_query_vfio_limits(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	machine_query_limits(r->context->machine, put_limit, r->out);
	json_end_array(r->out);
	return 0;
}

int qmp_cmd_query_vfio_main_loop(struct qmp_request *r, struct err *err)
{
	const struct json *reset = r->args ? json_get(r->args, "reset") : NULL;
	struct loop_away away =
		machine_query_main_loop(r->context->machine, reset && reset->boolean);

	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	json_put_uint(r->out, "steps", away.steps);
	json_put_uint(r->out, "longest-step-us", away.longest_ns / 1000);
	json_put_uint(r->out, "longest-step-cpu-us", away.longest_cpu_ns / 1000);
	json_end_object(r->out);
	return 0;
}

static void put_mapping(const struct vfio_mapping *mapping, void *opaque)
{
	struct json_writer *w = opaque;

	json_begin_object(w, NULL);
	json_put_uint(w, "container", mapping->container);
	json_put_string(w, "backend", mapping->backend);
	json_put_uint(w, "iova", mapping->iova);
	json_put_uint(w, "size", mapping->size);
	json_put_bool(w, "ram", mapping->ram);
	if (mapping->device)
		json_put_string(w, "host", mapping->device);
	json_end_object(w);
}

int qmp_cmd_query_vfio_mappings(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	machine_query_mappings(r->context->machine, put_mapping, r->out);
	json_end_array(r->out);
	return 0;
}
