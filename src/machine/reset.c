/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reset.c - the whole machine back to power-on: vCPUs, devices, interrupt controllers, memory.
 *
 * Nothing here blocks main. Steps: stop the vCPUs; let accesses that are under way finish (they sit
 * in mailboxes, ours among them, and then in KVM); reset every passed-through device on its worker,
 * all at the same time; then the platform; then go.
 */
#include <portcullis/board.h>
#include <portcullis/log.h>

#include "plug.h"

#define IN_FLIGHT_RETRY_MS 1

/* The last step. */
static void reset_go(struct machine *m, const struct err *err) ON_MAIN
{
	if (m->ending)
		return;
	if (err) {
		log_error("cannot restart the guest: %s", err->text);
		machine_shutdown(m, SHUTDOWN_HOST_ERROR);
		return;
	}
	passthrough_set_multi_reset(m, false);
	m->resetting = false;
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_RESET,
				.guest = shutdown_by_guest(m->reset_cause),
				.reason = shutdown_reason(m->reset_cause) });
	if (m->run_after_reset)
		vcpus_go(m);
	else /* no guest has run since: as before the first cont */
		m->runstate = RUNSTATE_PRELAUNCH;
}

static void reset_finish(struct machine *m) ON_MAIN
{
	struct err err = { 0 };

	hotplug_reset(m);
	m->board->reset(m);
	if (kvm_vm_reset(&m->vm))
		log_guest("cannot reset the interrupt controllers");
	if (machine_load(m, &err))
		reset_go(m, &err);
	else
		memory_failures_remap_dma(m, reset_go);
}

static void device_was_reset(struct device *device, int status) ON_MAIN
{
	struct machine *m = device->machine;

	if (status)
		log_guest("device '%s' could not be reset: %s", device->id, device->err.text);
	if (--m->reset_jobs == 0 && !m->ending)
		reset_finish(m);
}

static void reset_devices(struct machine *m) ON_MAIN
{
	passthrough_set_multi_reset(m, true);
	plug_on_reset(m);
	m->reset_jobs = 1; /* ours, so that the count cannot reach 0 while we post */
	for (struct device *d = m->devices; d; d = d->next) {
		if (d->life.stage != DEVICE_PLUGGED)
			continue;
		m->reset_jobs += device_job(d, &d->reset_job, device_reset_job, device_was_reset);
	}
	if (--m->reset_jobs == 0)
		reset_finish(m);
}

static void reset_quiesce(void *opaque) ON_MAIN
{
	struct machine *m = opaque;

	if (m->ending)
		return;
	/* A stop that is under way is told before the reset that came after it. */
	if (vcpus_parked(m) && !m->stopping && vcpus_finished(m))
		reset_devices(m);
	else
		loop_timer_set(&m->loop, &m->reset_timer, IN_FLIGHT_RETRY_MS);
}

void machine_reset(struct machine *m, enum shutdown_cause cause)
{
	if (m->resetting || m->ending)
		return;
	if (m->config->no_reboot && shutdown_by_guest(cause)) {
		machine_shutdown(m, cause);
		return;
	}
	if (m->runstate == RUNSTATE_SHUTDOWN || m->runstate == RUNSTATE_INTERNAL_ERROR ||
		m->runstate == RUNSTATE_GUEST_PANICKED)
		m->runstate = RUNSTATE_PAUSED;
	m->stop_as = RUNSTATE_PAUSED;
	m->resetting = true;
	m->reset_cause = cause;
	m->run_after_reset = m->runstate == RUNSTATE_RUNNING && !m->stopping;
	vcpus_stop(m);
	m->reset_timer = (struct loop_timer){ .fn = reset_quiesce, .opaque = m };
	reset_quiesce(m);
}
