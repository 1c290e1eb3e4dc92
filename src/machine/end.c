/* SPDX-License-Identifier: Apache-2.0 */
/*
 * end.c - the end of the machine: vCPUs parked, devices fenced, reset and closed by their workers.
 *
 * Main serves its loop meanwhile, so that whatever a vCPU waits for is still finished, and a second
 * signal is heard. What the kernel holds is waited for until a deadline.
 */
#include <errno.h>

#include <portcullis/log.h>

#include "plug.h"

#define POLL_MS 1

void machine_abandon(struct machine *m, const char *why)
{
	if (m->abandoned)
		return;
	m->abandoned = true;
	for (const struct device *d = m->devices; d; d = d->next)
		if (device_busy(d))
			log_error("%s: the kernel does not give back device '%s' (stage: %s)", why,
				d->id, life_stage_name(d->life.stage));
	if (closer_busy(&m->closer))
		log_error("%s: the kernel does not close what a client handed over", why);
	for (unsigned i = 0; i < m->n_vcpus; i++)
		if (vcpu_runs(&m->vcpus[i]))
			log_error("%s: %s vcpu%u", why,
				atomic_load(&m->vcpus[i].request.done)
					? "the kernel holds"
					: "an access is not finished, of",
				i);
}

static void too_late(void *opaque)
{
	role_enter_main();
	machine_abandon(opaque, "the end takes too long, not waiting any longer");
}

static bool busy(const struct machine *m)
{
	return device_jobs_running(m) || !vcpus_parked(m);
}

static bool clients_busy(const struct machine *m)
{
	return closer_busy(&m->closer);
}

static void wait_until_idle(struct machine *m, bool (*busy_yet)(const struct machine *m)) ON_MAIN
{
	while (busy_yet(m) && !m->abandoned)
		loop_step(&m->loop, POLL_MS);
}

static void deadline_set(struct machine *m)
{
	m->end_timer = (struct loop_timer){ .fn = too_late, .opaque = m };
	loop_timer_set(&m->loop, &m->end_timer, MACHINE_END_MS);
}

/* Nobody is left without an answer. */
static void answer(struct machine *m) ON_MAIN
{
	struct err err = { 0 };

	err_set(&err, ECANCELED, "the machine is ending");
	ops_done(&m->stop_ops, NULL);
	for (struct device *d = m->devices; d; d = d->next) {
		loop_timer_cancel(&m->loop, &d->deadline);
		ops_done(&d->add_op, &err);
		ops_done(&d->del_ops, &err);
	}
}

bool machine_end(struct machine *m)
{
	m->ending = true;
	m->stopping = false;
	loop_timer_cancel(&m->loop, &m->reset_timer);
	loop_timer_cancel(&m->loop, &m->stop_timer);
	deadline_set(m);
	vcpus_stop(m);
	for (struct device *d = m->devices; d; d = d->next)
		if (life_may(&d->life, LIFE_CANCEL))
			device_event(d, LIFE_CANCEL);
	/* Parked first: a vCPU that waits for an access goes on to its next one afterwards. */
	wait_until_idle(m, busy);
	if (!m->abandoned) {
		passthrough_set_multi_reset(m, true);
		/* Main's no more: queries by clients who are still there keep off it. */
		for (struct device *d = m->devices; d; d = d->next)
			device_event(d, LIFE_END);
		wait_until_idle(m, busy);
	}
	loop_timer_cancel(&m->loop, &m->end_timer);
	answer(m);
	return !m->abandoned;
}

bool machine_end_clients(struct machine *m)
{
	chardev_free(m->console);
	m->console = NULL;
	if (!m->abandoned)
		passthrough_end_clients(m);
	deadline_set(m);
	wait_until_idle(m, clients_busy);
	loop_timer_cancel(&m->loop, &m->end_timer);
	return !m->abandoned;
}
