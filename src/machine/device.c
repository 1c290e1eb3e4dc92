/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - a PCI device of the guest: its jobs on the worker, and what every step of its life
 * (life.h) has for consequences.
 */
#include <errno.h>

#include <portcullis/debug.h>

#include "plug.h"

#define MS_PER_S 1000u

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

/* On the worker: one of its class's operations, if it has that. */
static int run(
	int (*operation)(struct device *, struct err *), struct device *device, struct err *err)
{
	role_enter_worker();
	return operation ? operation(device, err) : 0;
}

int device_memory_job(struct device *device, struct err *err)
{
	return run(device->class->map_ram, device, err);
}

int device_check_memory_job(struct device *device, struct err *err)
{
	return run(device->class->check_ram, device, err);
}

int device_reset_job(struct device *device, struct err *err)
{
	return run(device->class->reset, device, err);
}

int device_plug(struct device *device, struct err *err)
{
	struct pci_function *fn = device->class->function(device);
	int ret = pci_plug(device->bus, fn, device->devfn, device->multifunction, err);

	if (ret)
		return err_prefix(err, "%s '%s'", device->class->type->name, device->id);
	if (device->port)
		port_update_offer(device->port);
	return 0;
}

static int open_job(struct device *device, struct err *err)
{
	return run(device->class->open, device, err);
}

static int realize_job(struct device *device, struct err *err)
{
	return run(device->class->realize, device, err);
}

static int fence_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	if (device->class->fence)
		device->class->fence(device);
	return 0;
}

static int close_job(struct device *device, struct err *err)
{
	(void)err;
	role_enter_worker();
	/* The kernel may hold a vCPU in the device; nobody but us waits for that. */
	bus_wait(&device->machine->bus, device->grace);
	if (device->class->close)
		device->class->close(device);
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

	if ((effects & LIFE_INTERRUPT) && device->job.running && device->class->cancel)
		device->class->cancel(device);
	if (effects & LIFE_UNPLUG) {
		pci_unplug(device->class->function(device));
		port_update_offer(port);
		device->grace = bus_grace(&m->bus);
	}
	if (effects & LIFE_STOP_TIMER)
		loop_timer_cancel(&m->loop, &device->deadline);
	if (effects & LIFE_START_TIMER)
		loop_timer_set(&m->loop, &device->deadline, (uint64_t)timeout_s(device) * MS_PER_S);
	/* Once for all functions of a slot: a second press of the button takes it back. */
	if ((effects & LIFE_ASK_GUEST) && n_asked(port) == 1)
		port_request_unplug(port);
	if ((effects & LIFE_WITHDRAW) && !port_asked(port))
		port_cancel_unplug(port);
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
	struct err err; /* for whom it failed; large, so filled only then */
	char path[PROP_ID_SIZE];
	const char *id; /* what clients know it by: NULL, the user gave none */

	prop_id_copy(path, device->id);
	id = device->id == device->unnamed ? NULL : path;
	err.code = err.text[0] = err.hint[0] = 0;
	if (effects & LIFE_EMIT_NOT_RELEASED)
		late_error(device, was, &err);
	else if (freed && add)
		err = device->failure;
	if (freed)
		device_free(device);
	if (deleted)
		machine_emit(
			m, &(struct machine_event){
				   .kind = MACHINE_DEVICE_DELETED, .device = id, .path = path });
	if (effects & LIFE_EMIT_NOT_RELEASED)
		machine_emit(m, &(struct machine_event){ .kind = MACHINE_DEVICE_UNPLUG_GUEST_ERROR,
					.device = id,
					.path = path,
					.reason = life_stage_name(was) });
	ops_done(&add, freed ? &err : NULL);
	ops_done(&del, freed ? NULL : &err);
}

void device_event(struct device *device, enum life_event event)
{
	const enum device_stage was = device->life.stage;
	const unsigned effects = life_step(&device->life, event);

	debug_check(effects != 0, "a device's life goes by the table of life.c");
	carry_out(device, effects);
	if (effects & LIFE_PLACE)
		place(device);
	else if (effects & LIFE_TELLS)
		tell(device, was, effects);
}
