/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vfio_machine.c - what a passed-through device needs around it, and shorthands for tests. */
#include "fake_vfio_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

static void violation(struct fake_machine *m, const char *what, uint32_t gsi, int fd)
{
	if (!m->violation[0])
		snprintf(m->violation, sizeof(m->violation), "%s: gsi %u fd %d", what, gsi, fd);
}

static int gsi_alloc(void *opaque, uint32_t *gsi)
{
	struct fake_machine *m = opaque;

	if (m->gsis >= m->gsi_limit)
		return -ENOSPC;
	for (uint32_t i = FAKE_GSI_FIRST; i < FAKE_GSI_MAX; i++) {
		if (m->gsi_used[i])
			continue;
		m->gsi_used[i] = true;
		m->gsis++;
		m->message[i] = (struct msi_message){ 0 };
		m->gsi_routed[i] = false;
		*gsi = i;
		return 0;
	}
	return -ENOSPC;
}

static void gsi_free(void *opaque, uint32_t gsi)
{
	struct fake_machine *m = opaque;

	if (!m->gsi_used[gsi])
		violation(m, "free of a GSI that is not allocated", gsi, -1);
	for (unsigned i = 0; i < m->n_irqfds; i++)
		if (m->irqfd[i].gsi == gsi)
			violation(m, "free of a GSI with an irqfd", gsi, m->irqfd[i].fd);
	m->gsi_used[gsi] = false;
	m->gsis--;
}

/* As KVM: all or none, and one that it does not like is enough. */
static int gsi_set_routes(void *opaque, const struct msi_route *route, unsigned n)
{
	struct fake_machine *m = opaque;

	m->route_calls++;
	if (n == 0)
		violation(m, "a change of no routes", 0, -1);
	for (unsigned i = 0; i < n; i++) {
		if (!m->gsi_used[route[i].gsi])
			violation(m, "route of a GSI that is not allocated", route[i].gsi, -1);
		if (m->route_error || (m->bad_addr && route[i].addr == m->bad_addr))
			return m->route_error ? -m->route_error : -EINVAL;
	}
	for (unsigned i = 0; i < n; i++) {
		m->message[route[i].gsi] = (struct msi_message){ route[i].addr, route[i].data };
		m->gsi_routed[route[i].gsi] = true;
	}
	m->route_changes++;
	return 0;
}

static int irqfd_add(void *opaque, uint32_t gsi, int fd, int resample_fd)
{
	struct fake_machine *m = opaque;

	if (m->irqfd_error)
		return -m->irqfd_error;
	if (resample_fd < 0 && !m->gsi_routed[gsi])
		violation(m, "irqfd on a GSI that has no message", gsi, fd);
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n_irqfds; i++)
		if (m->irqfd[i].fd == fd)
			violation(m, "irqfd added twice", gsi, fd);
	m->irqfd[m->n_irqfds++] = (struct fake_irqfd){ gsi, fd, resample_fd };
	m->irqfd_adds++;
	pthread_mutex_unlock(&m->lock);
	return 0;
}

static int irqfd_del(void *opaque, uint32_t gsi, int fd)
{
	struct fake_machine *m = opaque;
	int ret = -ENOENT;

	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n_irqfds; i++) {
		if (m->irqfd[i].fd != fd || m->irqfd[i].gsi != gsi)
			continue;
		m->irqfd[i] = m->irqfd[--m->n_irqfds];
		m->irqfd_dels++;
		ret = 0;
		break;
	}
	pthread_mutex_unlock(&m->lock);
	if (ret)
		violation(m, "irqfd that was never added", gsi, fd);
	return ret;
}

static uint32_t intx_gsi(void *opaque, const struct pci_function *fn, unsigned pin)
{
	(void)opaque;
	return 16 + ((fn->devfn >> 3) + pin - 1) % 4;
}

static void wants_back(void *opaque, struct vfio_pci *dev)
{
	(void)dev;
	((struct fake_machine *)opaque)->wants_back++;
}

static void failed(void *opaque, struct vfio_pci *dev)
{
	(void)dev;
	((struct fake_machine *)opaque)->failed++;
}

/* Grace periods are numbered; the test says how long they last. */
static uint64_t grace(void *opaque)
{
	return ++((struct fake_machine *)opaque)->graces;
}

static void grace_wait(void *opaque, uint64_t name)
{
	((struct fake_machine *)opaque)->waited_for = name;
}

static const struct vfio_env_ops env_ops = {
	.grace = grace,
	.grace_wait = grace_wait,
	.wants_back = wants_back,
	.failed = failed,
};

static int map_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct fake_machine *m = opaque;

	m->bar_at[bar] = addr;
	vfio_bar_moved(fn, bar, addr, true);
	return 0;
}

static void unmap_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct fake_machine *m = opaque;

	m->bar_at[bar] = 0;
	vfio_bar_moved(fn, bar, addr, false);
}

static void trap_bars(void *opaque, struct pci_function *fn, bool trapped)
{
	struct fake_machine *m = opaque;

	(void)fn;
	m->trapped = trapped;
	m->traps += trapped;
}

static void commit(void *opaque)
{
	((struct fake_machine *)opaque)->commits++;
}

void fake_machine_init(struct fake_machine *m)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	m->irq = (struct irq_sink){ .gsi_alloc = gsi_alloc,
		.gsi_free = gsi_free,
		.gsi_set_routes = gsi_set_routes,
		.irqfd_add = irqfd_add,
		.irqfd_del = irqfd_del,
		.intx_gsi = intx_gsi,
		.opaque = m };
	m->env = (struct vfio_env){ .ops = &env_ops, .opaque = m, .irq = &m->irq };
	m->gsi_limit = FAKE_GSI_MAX;
	loop_init(&m->worker);
	loop_init(&m->main);
	m->sink = (struct pci_sink){ .map_bar = map_bar,
		.unmap_bar = unmap_bar,
		.trap_bars = trap_bars,
		.commit = commit,
		.opaque = m,
		.main = &m->main };
}

void fake_machine_release(struct fake_machine *m)
{
	loop_release(&m->worker);
	loop_release(&m->main);
	pthread_mutex_destroy(&m->lock);
}

void fake_deliver(struct fake_machine *m)
{
	pthread_mutex_lock(&m->lock);
	for (unsigned i = 0; i < m->n_irqfds; i++)
		if (sys_eventfd_drain(m->irqfd[i].fd))
			m->delivered[m->irqfd[i].gsi]++;
	pthread_mutex_unlock(&m->lock);
}

int fake_rig_realize(struct fake_rig *rig, const char *bus, struct err *err)
{
	struct vfio_pci_options *options = calloc(1, sizeof(*options));
	int ret;

	sys_fd_limit();
	props_init(&vfio_pci_type, options);
	free(options->device.bus);
	options->device.bus = strdup(bus);
	options->device.id = strdup("card");
	if (rig->set_options)
		rig->set_options(options);
	ret = vfio_device_new(&rig->dev, &rig->machine.env, options, &rig->machine.worker);
	if (ret)
		return ret;
	rig->dev->reset_deadline_ms = 50;
	role_enter_worker();
	ret = vfio_rom_open(rig->dev, err);
	if (!ret)
		ret = vfio_device_probe(rig->dev, &rig->card.io, err);
	if (!ret)
		ret = vfio_pci_realize(rig->dev, err);
	if (ret)
		return ret;
	pci_bus_init(&rig->machine.bus, "pcie.0", NULL, &rig->machine.sink);
	return pci_plug(&rig->machine.bus, &rig->dev->fn, PCI_DEVFN(3, 0), false, err);
}

int fake_rig_init(struct fake_rig *rig, void (*fill)(struct fake_card *), const char *bus)
{
	struct err err = { 0 };
	int ret;

	rig->dev = NULL;
	fake_card_init(&rig->card);
	fake_machine_init(&rig->machine);
	fill(&rig->card);
	ret = fake_rig_realize(rig, bus, &err);
	if (ret)
		fprintf(stderr, "realize: %s\n", err.text);
	return ret;
}

void fake_rig_release(struct fake_rig *rig)
{
	if (rig->dev) {
		pci_unplug(&rig->dev->fn);
		fake_step(rig);
		vfio_device_close(rig->dev);
		vfio_device_put(rig->dev);
	}
	fake_machine_release(&rig->machine);
	fake_card_release(&rig->card);
}

int fake_rig_stop(void **state)
{
	struct fake_rig *rig = *state;

	fake_rig_release(rig);
	return rig->machine.gsis || rig->machine.n_irqfds || rig->machine.violation[0];
}

void fake_step(struct fake_rig *rig)
{
	for (unsigned i = 0; i < 4; i++) {
		fake_deliver(&rig->machine);
		loop_step(&rig->machine.worker, 0);
		loop_step(&rig->machine.main, 0);
	}
	fake_deliver(&rig->machine);
}

static bool finish(struct fake_rig *rig, enum io_status status)
{
	struct io_request *request = &rig->machine.request;

	if (status == IO_DONE)
		return false;
	rig->machine.defers++;
	loop_post(request->owner, &request->mail);
	for (unsigned i = 0; i < 10 && !atomic_load(&request->done); i++)
		fake_step(rig);
	return true;
}

uint32_t fake_config_read(struct fake_rig *rig, unsigned offset, unsigned size)
{
	return pci_function_read(&rig->dev->fn, offset, size);
}

bool fake_config_write(struct fake_rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	struct io_access access = { .offset = offset,
		.data = value,
		.size = (uint8_t)size,
		.write = true,
		.request = &rig->machine.request };

	return finish(rig, pci_function_write(&rig->dev->fn, offset, size, &access));
}

uint64_t fake_bar_read(struct fake_rig *rig, unsigned bar, uint64_t offset, unsigned size)
{
	struct io_access access = {
		.offset = offset, .size = (uint8_t)size, .request = &rig->machine.request
	};

	vfio_bar_access(vfio_bar_opaque(&rig->dev->fn, bar), &access);
	return access.data;
}

bool fake_bar_write(
	struct fake_rig *rig, unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
	struct io_access access = { .offset = offset,
		.data = value,
		.size = (uint8_t)size,
		.write = true,
		.request = &rig->machine.request };

	return finish(rig, vfio_bar_access(vfio_bar_opaque(&rig->dev->fn, bar), &access));
}

unsigned fake_delivered(const struct fake_rig *rig, unsigned vector)
{
	return rig->machine.delivered[rig->dev->irqs.vector[vector].gsi];
}
