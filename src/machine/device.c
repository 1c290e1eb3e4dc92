/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - one passed-through device: its jobs on the worker, and what every step of its life
 * (life.h) has for consequences.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/debug.h>
#include <portcullis/log.h>
#include <portcullis/vfio_fault.h>

#include "plug.h"

#define MS_PER_S 1000u

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

struct device *device_find(struct machine *m, const char *id)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (!strcmp(d->id, id))
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

int device_check_policy(
	const struct device *device, const struct device_options *options, struct err *err)
{
	if (options->on_error != ON_ERROR_UNPLUG || device->port)
		return 0;
	err_set(err, EINVAL, "vfio-pci '%s': on-error=unplug is not possible on bus 'pcie.0'",
		options->id);
	err_hint(err, "plug the device behind a pcie-root-port, or choose another on-error");
	return -EINVAL;
}

/* Checks the words of the options against the machine; opens nothing. */
static int device_place(
	struct device *device, const struct vfio_pci_options *options, struct err *err)
{
	struct machine *m = device->machine;
	int devfn;

	if (device_find(m, options->device.id) || topology_has_port(m, options->device.id))
		return err_set(err, EEXIST, "duplicate device id '%s'", options->device.id);
	device->bus = topology_find_bus(m, options->device.bus ? options->device.bus : "pcie.0");
	if (!device->bus) {
		err_set(err, ENOENT, "vfio-pci '%s': bus '%s' not found", options->device.id,
			options->device.bus);
		err_hint(
			err, "buses are pcie.0 and the ids of pcie-root-port devices given before");
		return -ENOENT;
	}
	devfn = topology_place(device->bus, options->device.addr, err);
	if (devfn < 0)
		return err_prefix(err, "vfio-pci '%s'", options->device.id);
	/* Again when it is plugged; but nobody should wait for memory to be pinned in vain. */
	if (pci_check_place(device->bus, options->device.id, (uint8_t)devfn,
		    options->device.multifunction, err))
		return err_prefix(err, "vfio-pci '%s'", options->device.id);
	device->devfn = (uint8_t)devfn;
	device->multifunction = options->device.multifunction;
	device->port = topology_port_of(m, device->bus);
	return device_check_policy(device, &options->device, err);
}

struct device *device_new(struct machine *m, struct vfio_pci_options *options, struct err *err)
{
	struct device *device = calloc(1, sizeof(*device));

	if (!device) {
		err_set(err, ENOMEM, "no memory for device '%s'", options->device.id);
		props_free(&vfio_pci_type, options, &m->closer);
		return NULL;
	}
	device->machine = m;
	if (device_reserve(m, err) || device_place(device, options, err))
		goto fail;
	device->worker = worker_take(m, device);
	if (!device->worker) {
		err_set(err, EBUSY, "no worker thread is free for device '%s' (%u are in use)",
			options->device.id, m->n_workers);
		goto fail;
	}
	if (vfio_pci_new(&device->vfio, m->vfio, options, &device->worker->loop, err)) {
		options = NULL; /* taken */
		goto fail;
	}
	device->id = vfio_pci_id(device->vfio);
	device->options = &options->device;
	device_link(m, device);
	return device;
fail:
	props_free(&vfio_pci_type, options, &m->closer);
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
	debug_check(!job->status || job->err.code, "a job that fails says why");
	if (job->status && !job->err.code) /* it would be taken for one that did not */
		err_set_errno(&job->err, -job->status, "device '%s'", job->device->id);
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

bool device_on_bus(const struct device *device)
{
	return device->life.stage == DEVICE_PLUGGED || device->life.stage == DEVICE_REQUESTED;
}

bool device_leaving(const struct device *device)
{
	return device->life.work >= LIFE_FENCING;
}

/* done NULL: it is a job of its life. */
static bool post(struct device *device, struct job *job, int (*work)(struct device *, struct err *),
	void (*done)(struct device *, int))
{
	debug_check(!job->running, "one job of a kind at a time");
	if (job->running)
		return false;
	*job = (struct job){
		.mail.run = job_run, .device = device, .work = work, .done = done, .running = true
	};
	loop_post(&device->worker->loop, &job->mail);
	return true;
}

bool device_job(struct device *device, struct job *job, int (*work)(struct device *, struct err *),
	void (*done)(struct device *, int))
{
	debug_check(!device_leaving(device), "nothing is posted behind a device's closing");
	return !device_leaving(device) && post(device, job, work, done);
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

int device_plug(struct device *device, struct err *err)
{
	struct pci_function *fn = vfio_pci_function(device->vfio);
	int ret = pci_plug(device->bus, fn, device->devfn, device->multifunction, err);

	if (ret)
		return err_prefix(err, "vfio-pci '%s'", device->id);
	return 0;
}

static int open_job(struct device *device, struct err *err)
{
	role_enter_worker();
	return vfio_pci_open(device->vfio, err);
}

static int realize_job(struct device *device, struct err *err)
{
	int ret;

	role_enter_worker();
	ret = vfio_pci_map_ram(device->vfio, err);
	return ret ? ret : vfio_pci_realize(device->vfio, err);
}

static int fence_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	vfio_pci_fence(device->vfio);
	return 0;
}

static int close_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	/* The kernel may hold a vCPU in the device; nobody but us waits for that. */
	bus_wait(&device->machine->bus, device->grace);
	vfio_pci_close(device->vfio);
	return 0;
}

static int (*const works[LIFE_WORKS])(struct device *, struct err *) = {
	[LIFE_OPENING] = open_job,
	[LIFE_OPENING_COLD] = open_job,
	[LIFE_REALIZING] = realize_job,
	[LIFE_REALIZING_COLD] = realize_job,
	[LIFE_FENCING] = fence_job,
	[LIFE_FENCING_LAST] = fence_job,
	[LIFE_CLOSING] = close_job,
	[LIFE_CLOSING_LAST] = close_job,
};

static void work_done(struct device *device, int status)
{
	enum life_work work;

	role_enter_main();
	if (device->machine->ending && life_may(&device->life, LIFE_CANCEL))
		device_event(device, LIFE_CANCEL);
	work = device->life.work;
	if (work == LIFE_REALIZING_CANCELLED || (work == LIFE_OPENING_CANCELLED && !status))
		status = err_set(&device->err, ECANCELED,
			"device '%s' was taken away while it was being added", device->id);
	if (status)
		device->failure = device->err;
	device_event(device, status ? LIFE_FAILED : LIFE_DONE);
}

/*
 * Onto its bus, as plug.c (hot) or realize.c (cold) would have it: the next step of its life, and
 * the last of an add.
 */
static void place(struct device *device) ON_MAIN
{
	const bool placed = !device->place(device, &device->err);

	if (!placed)
		device->failure = device->err;
	device_event(device, placed ? LIFE_PLACED : LIFE_FAILED);
}

/* Functions that the guest was asked to let go of. */
static unsigned n_asked(const struct port *port)
{
	unsigned n = 0;

	for (const struct device *d = port->machine->devices; d; d = d->next)
		n += d->port == port && d->life.stage == DEVICE_REQUESTED;
	return n;
}

bool port_asked(const struct port *port)
{
	return n_asked(port) > 0;
}

static unsigned timeout_s(const struct device *device)
{
	return (unsigned)device->options->unplug_timeout;
}

/* was: the stage that it did not leave in time. */
static void late_error(const struct device *device, enum device_stage was, struct err *err)
{
	const bool guest = was == DEVICE_REQUESTED;

	err_set(err, ETIMEDOUT,
		guest ? "the guest did not release device '%s' within %u s (stage: %s)"
		      : "device '%s' is not given back within %u s (stage: %s)",
		device->id, timeout_s(device), life_stage_name(was));
	err_hint(err, "%s",
		guest ? "the device stays in use; repeat device_del, or use \"force\": true"
		      : "the device or the host kernel does not answer; see the host's dmesg");
}

static void carry_out(struct device *device, unsigned effects) ON_MAIN
{
	struct machine *m = device->machine;
	struct port *port = device->port;

	if ((effects & LIFE_INTERRUPT) && device->job.running)
		vfio_pci_cancel(device->vfio);
	if (effects & LIFE_UNPLUG) {
		pci_unplug(vfio_pci_function(device->vfio));
		device->grace = bus_grace(&m->bus);
	}
	if (effects & LIFE_STOP_TIMER)
		loop_timer_cancel(&m->loop, &device->deadline);
	if (effects & LIFE_START_TIMER)
		loop_timer_set(&m->loop, &device->deadline, (uint64_t)timeout_s(device) * MS_PER_S);
	/* Once for all functions of a slot: a second press of the button takes it back. */
	if ((effects & LIFE_ASK_GUEST) && n_asked(port) == 1)
		slots_ask(port);
	if ((effects & LIFE_WITHDRAW) && !port_asked(port))
		slots_withdraw(port);
	if (effects & LIFE_RUN)
		post(device, &device->job, works[device->life.work], work_done);
}

static struct machine_op *take_ops(struct machine_op **ops, bool take)
{
	struct machine_op *list = take ? *ops : NULL;

	if (take)
		*ops = NULL;
	return list;
}

/*
 * State is what it will be: whoever is told may ask again at once, and the device may be gone when
 * the first of these returns.
 */
static void tell(struct device *device, enum device_stage was, unsigned effects) ON_MAIN
{
	struct machine *m = device->machine;
	struct machine_op *add = take_ops(&device->add_op, effects & LIFE_ANSWER_ADD);
	struct machine_op *del = take_ops(&device->del_ops, effects & LIFE_ANSWER_DEL);
	const bool freed = effects & LIFE_FREE;
	/* Whoever took away what was still being added hears of it as of any other. */
	const bool deleted = freed && ((effects & LIFE_EMIT_DELETED) || del);
	struct err failure = device->failure, late = { 0 };
	char id[PROP_ID_SIZE];

	prop_id_copy(id, device->id);
	if (effects & LIFE_EMIT_NOT_RELEASED)
		late_error(device, was, &late);
	if (freed)
		device_free(device);
	if (deleted)
		machine_emit(m, &(struct machine_event){
					.kind = MACHINE_DEVICE_DELETED, .device = id, .path = id });
	if (effects & LIFE_EMIT_NOT_RELEASED)
		machine_emit(m, &(struct machine_event){ .kind = MACHINE_DEVICE_UNPLUG_GUEST_ERROR,
					.device = id,
					.path = id,
					.reason = life_stage_name(was) });
	ops_done(&add, freed ? &failure : NULL);
	ops_done(&del, freed ? NULL : &late);
}

void device_event(struct device *device, enum life_event event)
{
	const enum device_stage was = device->life.stage;
	const unsigned effects = life_step(&device->life, event);

	debug_check(effects != 0, "a device's life goes by the table of life.c");
	carry_out(device, effects);
	if (effects & LIFE_PLACE)
		place(device);
	else
		tell(device, was, effects);
}

void ops_push(struct machine_op **ops, struct machine_op *op)
{
	while (*ops)
		ops = &(*ops)->next;
	op->next = NULL;
	*ops = op;
}

void ops_done(struct machine_op **ops, const struct err *err)
{
	struct machine_op *op = *ops, *next;

	*ops = NULL;
	for (; op; op = next) {
		next = op->next; /* done() may free it */
		op->done(op, err);
	}
}
