/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passthrough.c - the device class of -device vfio-pci, and the objects (iommufd) and the context
 * that such devices share: the only file of the machine that knows VFIO.
 */
#include <errno.h>
#include <stdio.h>

#include <portcullis/machine_vfio.h>
#include <portcullis/vfio.h>

#include "state.h"

/* --- what a device asks of the machine --- */

static int kvm_add(void *opaque, int fd)
{
	struct machine *m = opaque;

	return kvm_vfio_add(&m->vm, fd);
}

static void kvm_del(void *opaque, int fd)
{
	struct machine *m = opaque;

	kvm_vfio_del(&m->vm, fd);
}

static uint64_t grace(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	return bus_grace(&m->bus);
}

static void grace_wait(void *opaque, uint64_t name)
{
	struct machine *m = opaque;

	role_enter_worker();
	bus_wait(&m->bus, name);
}

/* On the worker; main set worker->device before it gave the worker anything to do. */
static struct device *device_of_worker(struct vfio_pci *dev)
{
	return container_of(vfio_pci_worker(dev), struct worker, loop)->device;
}

static void wanted_mail(struct mail *mail)
{
	struct device *device = container_of(mail, struct device, wanted);

	role_enter_main();
	atomic_store(&device->wanted_posted, false);
	device->machine->notices->wanted(device);
}

static void wants_back(void *opaque, struct vfio_pci *dev)
{
	struct device *device = device_of_worker(dev);

	(void)opaque;
	if (atomic_exchange(&device->wanted_posted, true))
		return;
	device->wanted.run = wanted_mail;
	loop_post(&device->machine->loop, &device->wanted);
}

static void failed_mail(struct mail *mail)
{
	struct device *device = container_of(mail, struct device, failed);
	struct vfio_pci_info info;

	role_enter_main();
	atomic_store(&device->failed_posted, false);
	vfio_pci_query(device->card, &info);
	device->machine->notices->failed(
		device, vfio_severity_name(info.error), info.error == VFIO_ERROR_LOST);
}

static void failed(void *opaque, struct vfio_pci *dev)
{
	struct device *device = device_of_worker(dev);

	(void)opaque;
	if (atomic_exchange(&device->failed_posted, true))
		return;
	device->failed.run = failed_mail;
	loop_post(&device->machine->loop, &device->failed);
}

static const struct vfio_env_ops env_ops = {
	.kvm_add = kvm_add,
	.kvm_del = kvm_del,
	.grace = grace,
	.grace_wait = grace_wait,
	.wants_back = wants_back,
	.failed = failed,
};

/* --- the class --- */

static int create(struct device *device, void *options, struct err *err)
{
	struct vfio_pci *card;
	int ret = vfio_pci_new(&card, device->machine->vfio, options, &device->worker->loop,
		device->worker->lookup, err);

	if (!ret)
		device->card = card;
	return ret;
}

static void card_free(struct device *device)
{
	vfio_pci_free(device->card);
}

static struct pci_function *function(const struct device *device)
{
	return vfio_pci_function(device->card);
}

static int card_open(struct device *device, struct err *err) ON_WORKER
{
	return vfio_pci_open(device->card, err);
}

static int map_ram(struct device *device, struct err *err) ON_WORKER
{
	return vfio_pci_map_ram(device->card, err);
}

static int check_ram(struct device *device, struct err *err) ON_WORKER
{
	return vfio_pci_check_ram(device->card, err);
}

static int realize(struct device *device, struct err *err) ON_WORKER
{
	int ret = vfio_pci_map_ram(device->card, err);

	return ret ? ret : vfio_pci_realize(device->card, err);
}

static int reset(struct device *device, struct err *err) ON_WORKER
{
	return vfio_pci_reset(device->card, err);
}

static void fence(struct device *device) ON_WORKER
{
	vfio_pci_fence(device->card);
}

static void card_close(struct device *device) ON_WORKER
{
	vfio_pci_close(device->card);
}

static void cancel(struct device *device) ON_MAIN
{
	vfio_pci_cancel(device->card);
}

static void reset_prepare(struct device *device) ON_MAIN
{
	vfio_pci_reset_prepare(device->card);
}

static void reset_done(struct device *device) ON_MAIN
{
	vfio_pci_reset_done(device->card);
}

static void dma_limits(const struct device *device, struct dma_limits *limits) ON_MAIN
{
	struct dma_limits own;

	vfio_pci_dma_limits(device->card, &own);
	dma_limits_join(limits, &own);
}

static uint32_t completes(const struct device *device) ON_MAIN
{
	return vfio_pci_completes(device->card);
}

static bool shares_link(const struct device *device, const struct device *other) ON_MAIN
{
	return vfio_pci_shares_link(device->card, other->card);
}

const struct device_class passthrough_class = {
	.type = &vfio_pci_type,
	.hot_pluggable = true,
	.create = create,
	.free = card_free,
	.function = function,
	.open = card_open,
	.realize = realize,
	.check_ram = check_ram,
	.map_ram = map_ram,
	.reset = reset,
	.fence = fence,
	.close = card_close,
	.cancel = cancel,
	.reset_prepare = reset_prepare,
	.reset_done = reset_done,
	.completes = completes,
	.shares_link = shares_link,
	.dma_limits = dma_limits,
};

struct vfio_pci *passthrough_card(const struct device *device)
{
	return device->class == &passthrough_class ? device->card : NULL;
}

/* --- what they share --- */

int passthrough_init(struct machine *m, struct err *err)
{
	const struct vfio_env env = {
		.ops = &env_ops, .opaque = m, .irq = &m->irq_sink, .closer = &m->closer
	};
	int ret = vfio_context_new(&m->vfio, &env);

	return ret ? err_set_errno(err, -ret, "cannot prepare for passed-through devices") : 0;
}

void passthrough_end_clients(struct machine *m)
{
	int fd;

	while ((fd = vfio_context_take_iommufd(m->vfio)) >= 0)
		closer_close(&m->closer, fd);
}

void passthrough_release(struct machine *m)
{
	vfio_context_free(m->vfio);
}

void passthrough_set_ram(struct machine *m)
{
	vfio_context_set_ram(m->vfio, &m->ram);
}

/* Guest memory in a container, of which containers are listed one after the other. */
struct pinned {
	unsigned container;
	uint64_t bytes, of, unfinished;
};

static void pinned_container_ends(struct pinned *pinned)
{
	if (pinned->bytes < pinned->of)
		pinned->unfinished = pinned->bytes;
	pinned->bytes = 0;
}

static void add_pinned(const struct vfio_mapping *mapping, void *opaque)
{
	struct pinned *pinned = opaque;

	if (!mapping->ram)
		return;
	if (pinned->bytes && mapping->container != pinned->container)
		pinned_container_ends(pinned);
	pinned->container = mapping->container;
	pinned->bytes += mapping->size;
}

uint64_t passthrough_pinned(struct machine *m)
{
	struct pinned pinned = { .of = m->ram.layout.size };

	vfio_context_mappings(m->vfio, add_pinned, &pinned);
	pinned_container_ends(&pinned);
	return pinned.unfinished;
}

void passthrough_set_multi_reset(struct machine *m, bool allowed)
{
	vfio_context_set_multi_reset(m->vfio, allowed);
}

int passthrough_iommufd_add(
	struct machine *m, struct vfio_iommufd_options *options, struct err *err)
{
	return vfio_context_add_iommufd(m->vfio, options, err);
}

int passthrough_iommufd_del(struct machine *m, const char *id, struct err *err)
{
	int fd, ret = vfio_context_del_iommufd(m->vfio, id, &fd, err);

	if (!ret)
		closer_close(&m->closer, fd);
	return ret;
}

/* --- what can be seen of them --- */

void machine_query_vfio(struct machine *m, machine_vfio_fn fn, void *opaque)
{
	char worker[16];

	for (const struct device *d = m->devices; d; d = d->next) {
		struct vfio_pci *card = passthrough_card(d);
		const struct pci_function *function;
		struct machine_vfio info = { .id = d->id,
			.bus = d->bus->name,
			.devfn = d->devfn,
			.stage = life_stage_name(d->life.stage),
			.worker = worker,
			.last_error = d->err.text,
			.dev = card };

		if (!card)
			continue;
		function = vfio_pci_function(card);
		snprintf(worker, sizeof(worker), "vfio_worker%u", d->worker->index);
		/* While a job of another stage runs, its worker may be changing them. */
		info.open = d->life.stage != DEVICE_NEW;
		info.on_bus = device_on_bus(d);
		for (unsigned i = 0; i < PCI_BARS; i++) {
			info.bar_memslots[i] = function->place[i].n_memslots;
			info.memslots += info.bar_memslots[i];
		}
		fn(&info, opaque);
	}
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
