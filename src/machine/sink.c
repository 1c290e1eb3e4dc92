/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - what pci and vfio ask of the machine: BARs in the maps, and what happens to devices. */
#include <errno.h>
#include <string.h>

#include <portcullis/log.h>

#include "plug.h"

static void raise_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct machine *m = opaque;

	(void)kvm_signal_msi(&m->vm, addr, data);
}

static void commit(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	bus_publish(&m->bus);
}

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
	plug_host_request(device);
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

	role_enter_main();
	atomic_store(&device->failed_posted, false);
	device_failed(device);
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

void sink_init(struct machine *m)
{
	m->sink = (struct pci_sink){
		.map_bar = bar_map,
		.unmap_bar = bar_unmap,
		.trap_bars = bars_trap,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop,
	};
	m->env = (struct vfio_env){
		.ops = &env_ops, .opaque = m, .irq = &m->irq_sink, .closer = &m->closer
	};
}
