/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - what pci and vfio ask of the machine: BARs in the maps, and what happens to devices. */
#include <errno.h>
#include <string.h>

#include <portcullis/log.h>

#include "plug.h"

/*
 * The whole BAR goes on the bus, trapped; memslots then lie over the pieces that can be mapped. KVM
 * exits only where no slot is, so a slot that cannot be had costs speed, never function.
 */
static void slots_add(struct device *device, unsigned bar) ON_MAIN
{
	struct bar_map *map = &device->bar[bar];
	struct vfio_area area[VFIO_AREAS_MAX];
	unsigned n = map->space == BUS_PIO ? 0 : vfio_pci_areas(device->vfio, bar, area);

	for (unsigned i = 0; i < n; i++) {
		int ret;

		if (!area[i].hva)
			continue;
		ret = kvm_slot_add(&device->machine->vm, map->base + area[i].offset, area[i].hva,
			area[i].size, area[i].readonly, &map->slot[map->n_slots]);
		if (!ret)
			map->n_slots++;
		else
			log_guest("device '%s': BAR %u at 0x%llx is trapped: %s", device->id, bar,
				(unsigned long long)map->base, strerror(-ret));
	}
}

static void slots_del(struct device *device, unsigned bar) ON_MAIN
{
	struct bar_map *map = &device->bar[bar];

	for (unsigned i = 0; i < map->n_slots; i++)
		kvm_slot_del(&device->machine->vm, map->slot[i]);
	map->n_slots = 0;
}

static int map_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;
	struct device *device = device_of_function(m, fn);
	struct bar_map *map;
	struct bus_region region;
	int ret;

	role_enter_main();
	if (!device)
		return -ENODEV;
	map = &device->bar[bar];
	region = (struct bus_region){ .base = addr,
		.size = fn->bar[bar].size,
		.fn = vfio_pci_bar_access,
		.opaque = vfio_pci_bar_opaque(device->vfio, bar),
		.name = "vfio-bar" };
	map->space = fn->bar[bar].kind == PCI_BAR_IO ? BUS_PIO : BUS_MMIO;
	ret = bus_add(&m->bus, map->space, &region);
	if (ret)
		return ret;
	map->on_bus = true;
	map->base = addr;
	if (!device->bars_trapped)
		slots_add(device, bar);
	vfio_pci_bar_moved(device->vfio, bar, addr, true);
	return 0;
}

static void unmap_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct machine *m = opaque;
	struct device *device = device_of_function(m, fn);
	struct bar_map *map;

	role_enter_main();
	if (!device)
		return;
	map = &device->bar[bar];
	slots_del(device, bar);
	if (map->on_bus)
		(void)bus_del(&m->bus, map->space, map->base);
	map->on_bus = false;
	vfio_pci_bar_moved(device->vfio, bar, addr, false);
}

static void trap_bars(void *opaque, struct pci_function *fn, bool trapped)
{
	struct device *device = device_of_function(opaque, fn);

	role_enter_main();
	if (!device || device->bars_trapped == trapped)
		return;
	device->bars_trapped = trapped;
	for (unsigned bar = 0; bar < PCI_BARS; bar++) {
		if (trapped)
			slots_del(device, bar);
		else if (device->bar[bar].on_bus)
			slots_add(device, bar);
	}
}

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
		.map_bar = map_bar,
		.unmap_bar = unmap_bar,
		.trap_bars = trap_bars,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop,
	};
	m->env = (struct vfio_env){ .ops = &env_ops, .opaque = m, .irq = &m->irq_sink };
}
