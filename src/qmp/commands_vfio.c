/* SPDX-License-Identifier: Apache-2.0 */
/* commands_vfio.c - query-vfio: the passed-through devices, from plug to unplug. */
#include <string.h>

#include <portcullis/machine_query.h>
#include <portcullis/pci.h>
#include <portcullis/vfio.h>
#include <portcullis/vfio_fault.h>
#include <portcullis/vfio_interrupts.h>

#include "schema.h"

/* Only while it is on its bus: before and after, its worker may be changing them. */
static void put_areas(struct json_writer *w, const struct machine_vfio *info)
{
	bool on_bus = !strcmp(info->stage, "plugged") || !strcmp(info->stage, "requested");
	struct vfio_area area[VFIO_AREAS_MAX];

	json_begin_array(w, "areas");
	for (unsigned bar = 0; on_bus && bar < PCI_BARS; bar++) {
		unsigned n = vfio_pci_areas(info->dev, bar, area);

		for (unsigned i = 0; i < n; i++) {
			json_begin_object(w, NULL);
			json_put_int(w, "bar", bar);
			json_put_uint(w, "offset", area[i].offset);
			json_put_uint(w, "size", area[i].size);
			json_put_bool(w, "mapped", area[i].hva != NULL);
			json_end_object(w);
		}
	}
	json_end_array(w);
}

static void put_interrupts(struct json_writer *w, const struct vfio_pci *dev)
{
	struct vfio_interrupts i;

	vfio_pci_interrupts(dev, &i);
	json_begin_object(w, "interrupts");
	json_put_string(w, "mode", i.mode);
	json_put_uint(w, "vectors", i.vectors);
	json_put_uint(w, "armed", i.armed);
	json_put_uint(w, "connected", i.connected);
	json_put_uint(w, "pending", i.pending);
	json_put_uint(w, "set-irqs", i.set_irqs);
	json_put_uint(w, "masked", i.masked);
	json_put_uint(w, "held", i.held);
	json_put_uint(w, "failures", i.failures);
	json_end_object(w);
}

static void put_state(struct json_writer *w, const struct vfio_pci *dev)
{
	struct vfio_pci_state state;

	vfio_pci_query(dev, &state);
	json_put_string(w, "reset", state.reset);
	json_put_uint(w, "denied-writes", state.denied);
	json_put_bool(w, "quarantined", state.quarantined);
	if (state.error != VFIO_ERROR_NONE)
		json_put_string(w, "error", vfio_severity_name(state.error));
}

static void put_device(const struct machine_vfio *info, void *opaque)
{
	const struct vfio_pci_options *options = vfio_pci_get_options(info->dev);
	struct json_writer *w = opaque;
	char host[HOST_BDF_STRLEN];

	json_begin_object(w, NULL);
	json_put_string(w, "id", info->id);
	json_put_string(w, "host",
		options->sysfsdev ? options->sysfsdev : host_bdf_format(&options->host, host));
	json_put_string(w, "bus", info->bus);
	json_put_int(w, "slot", info->devfn >> 3);
	json_put_int(w, "function", info->devfn & 7);
	json_put_string(w, "stage", info->stage);
	json_put_string(w, "backend", options->iommufd ? "iommufd" : "group");
	json_put_string(w, "worker", info->worker);
	json_put_uint(w, "memslots", info->slots);
	put_state(w, info->dev);
	if (*info->last_error)
		json_put_string(w, "last-error", info->last_error);
	put_areas(w, info);
	put_interrupts(w, info->dev);
	json_end_object(w);
}

int qmp_cmd_query_vfio(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	machine_query_vfio(r->context->machine, put_device, r->out);
	json_end_array(r->out);
	return 0;
}
