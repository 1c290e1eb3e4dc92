/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - one passed-through device: its jobs on the worker, its place on the bus. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/debug.h>
#include <portcullis/log.h>

#include "plug.h"

static struct worker *worker_take(struct machine *m, struct device *device)
{
	for (unsigned i = 0; i < m->n_workers; i++) {
		if (!m->workers[i].device) {
			m->workers[i].device = device;
			return &m->workers[i];
		}
	}
	return NULL;
}

void device_step(struct device *device, enum life_event event)
{
	const bool possible = life_step(&device->stage, event);

	debug_check(possible, "a device's life goes by the table of life.c");
}

struct device *device_find(struct machine *m, const char *id)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (!strcmp(d->id, id))
			return d;
	return NULL;
}

struct device *device_of_function(struct machine *m, const struct pci_function *fn)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (d->vfio && vfio_pci_function(d->vfio) == fn)
			return d;
	return NULL;
}

/*
 * Room for every BAR of every device, now: a guest that maps its BARs must not make main allocate.
 */
static int device_reserve(struct machine *m, struct err *err) ON_MAIN
{
	size_t devices = 1;

	for (const struct device *d = m->devices; d; d = d->next)
		devices++;
	if (bus_reserve(&m->bus, devices * PCI_BARS))
		return err_set(err, ENOMEM, "no memory for the address map");
	return 0;
}

static void device_link(struct machine *m, struct device *device)
{
	struct device **at = &m->devices;

	while (*at)
		at = &(*at)->next;
	*at = device;
}

static void device_unlink(struct machine *m, struct device *device)
{
	for (struct device **at = &m->devices; *at; at = &(*at)->next) {
		if (*at == device) {
			*at = device->next;
			return;
		}
	}
}

/* Checks the words of the options against the machine; opens nothing. */
static int device_place(
	struct device *device, const struct vfio_pci_options *options, struct err *err)
{
	struct machine *m = device->machine;
	int devfn;

	if (device_find(m, options->id) || topology_has_port(m, options->id))
		return err_set(err, EEXIST, "duplicate device id '%s'", options->id);
	device->bus = topology_find_bus(m, options->bus ? options->bus : "pcie.0");
	if (!device->bus) {
		err_set(err, ENOENT, "vfio-pci '%s': bus '%s' not found", options->id,
			options->bus);
		err_hint(
			err, "buses are pcie.0 and the ids of pcie-root-port devices given before");
		return -ENOENT;
	}
	devfn = topology_place(device->bus, options->addr, err);
	if (devfn < 0)
		return err_prefix(err, "vfio-pci '%s'", options->id);
	/* Again when it is plugged; but nobody should wait for memory to be pinned in vain. */
	if (pci_check_place(device->bus, options->id, (uint8_t)devfn, options->multifunction, err))
		return err_prefix(err, "vfio-pci '%s'", options->id);
	device->devfn = (uint8_t)devfn;
	device->multifunction = options->multifunction;
	device->port = topology_port_of(m, device->bus);
	return device_check_policy(device, options, err);
}

struct device *device_new(struct machine *m, struct vfio_pci_options *options, struct err *err)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device) {
		err_set(err, ENOMEM, "no memory for device '%s'", options->id);
		return NULL;
	}
	device->machine = m;
	if (device_reserve(m, err) || device_place(device, options, err))
		goto fail;
	device->worker = worker_take(m, device);
	if (!device->worker) {
		err_set(err, EBUSY, "no worker thread is free for device '%s' (%u are in use)",
			options->id, m->n_workers);
		goto fail;
	}
	if (vfio_pci_new(&device->vfio, m->vfio, options, &device->worker->loop, err))
		goto fail;
	device->id = vfio_pci_id(device->vfio);
	device_link(m, device);
	return device;
fail:
	if (device->worker)
		device->worker->device = NULL;
	free(device);
	return NULL;
}

void device_free(struct device *device)
{
	if (!device)
		return;
	device_unlink(device->machine, device);
	vfio_pci_free(device->vfio);
	device->worker->device = NULL;
	free(device);
}

static void job_done(struct mail *mail)
{
	struct job *job = container_of(mail, struct job, mail);

	job->running = false;
	if (job->status)
		job->device->err = job->err;
	job->done(job->device, job->status);
}

/* On the worker. */
static void job_run(struct mail *mail)
{
	struct job *job = container_of(mail, struct job, mail);

	job->status = job->work(job->device, &job->err);
	mail->run = job_done;
	loop_post(&job->device->machine->loop, mail);
}

bool device_closing(const struct device *device)
{
	return device->job.running && device->job.work == device_close_job;
}

bool device_job(struct device *device, struct job *job, int (*work)(struct device *, struct err *),
	void (*done)(struct device *, int))
{
	const bool may = !job->running && !device_closing(device);

	debug_check(may, "one job of a kind at a time, and none behind a device's closing");
	if (!may)
		return false;
	*job = (struct job){
		.mail.run = job_run, .device = device, .work = work, .done = done, .running = true
	};
	loop_post(&device->worker->loop, &job->mail);
	return true;
}

void device_cancel(struct device *device)
{
	device->cancelled = true;
	/*
	 * Only what that job does takes time. Before it and after it the attachment is the worker's
	 * alone, which may be making or freeing it.
	 */
	if (device->job.running && device->job.work == device_realize_job)
		vfio_pci_cancel(device->vfio);
}

bool device_busy(const struct device *device)
{
	return device->job.running || device->reset_job.running || device->memory_job.running;
}

bool device_jobs_running(const struct machine *m)
{
	for (const struct device *d = m->devices; d; d = d->next)
		if (device_busy(d))
			return true;
	return false;
}

int device_open_job(struct device *device, struct err *err)
{
	role_enter_worker();
	return vfio_pci_open(device->vfio, err);
}

int device_realize_job(struct device *device, struct err *err)
{
	int ret;

	role_enter_worker();
	ret = vfio_pci_map_ram(device->vfio, err);
	return ret ? ret : vfio_pci_realize(device->vfio, err);
}

int device_memory_job(struct device *device, struct err *err)
{
	role_enter_worker();
	return vfio_pci_map_ram(device->vfio, err);
}

int device_reset_job(struct device *device, struct err *err)
{
	role_enter_worker();
	return vfio_pci_reset(device->vfio, err);
}

int device_fence_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	vfio_pci_fence(device->vfio);
	return 0;
}

int device_close_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	vfio_pci_fence(device->vfio);
	/* The kernel may hold a vCPU in the device; nobody but us waits for that. */
	bus_wait(&device->machine->bus, device->grace);
	vfio_pci_close(device->vfio);
	return 0;
}

int device_plug(struct device *device, struct err *err)
{
	struct pci_function *fn = vfio_pci_function(device->vfio);
	int ret = pci_plug(device->bus, fn, device->devfn, device->multifunction, err);

	if (ret)
		return err_prefix(err, "vfio-pci '%s'", device->id);
	device_step(device, LIFE_PLACED);
	return 0;
}
