/* SPDX-License-Identifier: Apache-2.0 */
/*
 * realize.c - from options to a machine that can run. The order matters: devices are opened first,
 * because they say where RAM may lie; RAM is pinned for them next; the guest's tables come last.
 */
#include <errno.h>
#include <stdlib.h>

#include <portcullis/board.h>

#include "plug.h"

/* Signals are served meanwhile, and may end it early. The first device's failure is reported. */
static int wait_for_devices(struct machine *m, struct err *err) ON_MAIN
{
	while (device_jobs_running(m) && !m->abandoned) {
		loop_step(&m->loop, -1);
		for (struct device *d = m->devices; d && m->ending; d = d->next)
			if (life_may(&d->life, LIFE_CANCEL))
				device_event(d, LIFE_CANCEL);
	}
	if (m->abandoned)
		return err_set(err, ECANCELED, "the machine is ending");
	for (struct device *d = m->devices; d; d = d->next) {
		if (d->failure.code) {
			*err = d->failure;
			return -err->code;
		}
	}
	return 0;
}

/* One after the other, so that the error named is that of the first device on the command line. */
static int open_devices(struct machine *m, struct err *err) ON_MAIN
{
	struct config *config = m->config;

	for (unsigned i = 0; i < config->n_devices; i++) {
		const struct device_class *class = device_class_find(config->devices[i].type);
		struct device *device;
		void *options;
		int ret;

		if (!class)
			continue;
		options = config->devices[i].options;
		config->devices[i].options = NULL;
		device = device_new(m, class, options, NULL, err);
		if (!device)
			return -err->code;
		/* On the bus at once: the next device's slot check must see it. */
		device->place = device_plug;
		device_event(device, LIFE_ADD_COLD);
		ret = wait_for_devices(m, err);
		if (ret)
			return ret;
	}
	return 0;
}

static void memory_done(struct device *device, int status) ON_MAIN
{
	if (status)
		device->failure = device->err;
}

/* May all of RAM be pinned for them? Told before it has its pages, which takes long. */
static int check_memory(struct machine *m, struct err *err) ON_MAIN
{
	for (struct device *d = m->devices; d; d = d->next)
		(void)device_job(d, &d->memory_job, device_check_memory_job, memory_done);
	return wait_for_devices(m, err);
}

/* All at the same time: that is where guests with much memory wait. */
static int realize_devices(struct machine *m, struct err *err) ON_MAIN
{
	for (struct device *d = m->devices; d; d = d->next)
		device_event(d, LIFE_RAM_READY);
	return wait_for_devices(m, err);
}

/* DMA goes to memory as it is when everything is loaded. */
static int map_memory(struct machine *m, struct err *err) ON_MAIN
{
	for (struct device *d = m->devices; d; d = d->next)
		(void)device_job(d, &d->memory_job, device_memory_job, memory_done);
	return wait_for_devices(m, err);
}

static void collect_limits(struct machine *m, struct dma_limits *limits)
{
	*limits = (struct dma_limits){ .n_usable = 0 };
	if (m->vm.dma_hole_end)
		limits->reserved[limits->n_reserved++] =
			(struct range){ m->vm.dma_hole_start, m->vm.dma_hole_end };
	for (struct device *d = m->devices; d; d = d->next)
		if (d->class->dma_limits)
			d->class->dma_limits(d, limits);
}

/* Where RAM lies, and of what; what devices can reach is known. */
static int lay_out_ram(struct machine *m, struct err *err) ON_MAIN
{
	const struct config *config = m->config;
	struct ram_options options[RAM_BACKENDS_MAX];
	uint64_t sizes[RAM_BACKENDS_MAX];
	const unsigned n = guest_memory_backends(config, options, sizes);
	struct ram_layout layout;
	struct dma_limits *limits = calloc(1, sizeof(*limits));
	int ret;

	if (!limits)
		return err_set(err, ENOMEM, "no memory to lay out the guest's memory");
	collect_limits(m, limits);
	ret = ram_layout(&layout, config->ram_size, &m->board->ram_hole, limits,
		1ull << m->vm.phys_bits, err);
	m->iova_end = UINT64_MAX;
	if (limits->n_usable && limits->usable[limits->n_usable - 1].end < UINT64_MAX)
		m->iova_end = limits->usable[limits->n_usable - 1].end + 1;
	free(limits);
	if (!ret)
		ret = ram_layout_split(&layout, sizes, n, err);
	return ret ? ret : ram_init(&m->ram, &layout, options, n, err);
}

static int make_ram(struct machine *m, struct err *err) ON_MAIN
{
	int ret = lay_out_ram(m, err);

	if (ret)
		return ret;
	m->ram_ready = true;
	for (unsigned i = 0; i < m->ram.layout.count; i++) {
		struct ram_segment *s = &m->ram.layout.segment[i];
		unsigned slot;

		ret = kvm_memslot_add(&m->vm, s->gpa, s->hva, s->size, false, &slot);
		if (ret)
			return err_set_errno(err, -ret, "cannot give KVM the guest's memory");
	}
	passthrough_set_ram(m);
	return 0;
}

static int place_mem64(struct machine *m, struct err *err)
{
	windows_place(&m->windows, m->ram.layout.top, m->iova_end);
	if (m->windows.mem64_start >= m->windows.mem64_end)
		return err_set(err, E2BIG,
			"%llu MiB of memory leave no room for PCI devices in the %u address bits of this CPU",
			(unsigned long long)(m->ram.layout.size >> 20), m->vm.phys_bits);
	return 0;
}

/* What takes long with much memory: it is given its pages, and they are pinned. */
static int prepare_memory(struct machine *m, struct err *err) ON_MAIN
{
	int ret = check_memory(m, err);

	progress_begin(m);
	if (!ret)
		ret = machine_populate(m, err);
	if (!ret)
		ret = realize_devices(m, err);
	progress_end(m);
	return ret;
}

int machine_realize(struct machine *m, struct err *err)
{
	int ret = open_devices(m, err);

	if (!ret)
		ret = make_ram(m, err);
	if (!ret)
		ret = place_mem64(m, err);
	if (!ret)
		ret = prepare_memory(m, err);
	for (struct port *p = m->ports; !ret && p; p = p->next) {
		port_update_offer(p); /* of some of it the devices say only now */
		port_update_presence(p, false);
	}
	if (!ret)
		ret = machine_load(m, err);
	if (!ret)
		ret = map_memory(m, err);
	passthrough_set_multi_reset(m, false);
	return ret;
}
