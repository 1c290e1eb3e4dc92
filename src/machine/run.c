/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - the run state, and what changes it. */
#include <errno.h>

#include "plug.h"

#define STOP_POLL_MS 1

/* The run state alone: who waits for it is answered by the caller, last. */
static void set_stopped(struct machine *m) ON_MAIN
{
	m->stopping = false;
	loop_timer_cancel(&m->loop, &m->stop_timer);
	m->runstate = m->stop_as;
	m->run_after_reset = false;
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_STOP });
}

static void stop_poll(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	if (!vcpus_stopped(m)) {
		loop_timer_set(&m->loop, &m->stop_timer, STOP_POLL_MS);
		return;
	}
	set_stopped(m);
	ops_done(&m->stop_ops, NULL);
}

static bool needs_reset(enum runstate state)
{
	return state == RUNSTATE_INTERNAL_ERROR || state == RUNSTATE_SHUTDOWN;
}

/* Stopped twice: cont goes on from a panic, but not from what came with it and needs a reset. */
static enum runstate stopped_as(enum runstate was, enum runstate as)
{
	if (as == RUNSTATE_PAUSED || (as == RUNSTATE_GUEST_PANICKED && needs_reset(was)))
		return was;
	return as;
}

void machine_stop(struct machine *m, enum runstate as, struct machine_op *op)
{
	if (op)
		ops_push(&m->stop_ops, op);
	if (m->ending) { /* nobody would look again */
		ops_done(&m->stop_ops, NULL);
	} else if (m->stopping) {
		m->stop_as = stopped_as(m->stop_as, as);
	} else if (m->runstate == RUNSTATE_RUNNING) {
		m->stopping = true;
		m->stop_as = as;
		m->stop_timer = (struct loop_timer){ .fn = stop_poll, .opaque = m };
		vcpus_stop(m);
		stop_poll(m);
	} else {
		m->runstate = stopped_as(m->runstate, as);
		ops_done(&m->stop_ops, NULL);
	}
}

void machine_pause(struct machine *m, struct machine_op *op)
{
	machine_stop(m, RUNSTATE_PAUSED, op);
}

static int may_run(const struct machine *m, struct err *err)
{
	enum runstate state = m->stopping ? m->stop_as : m->runstate;

	if (m->ending)
		return err_set(err, EBUSY, "the machine is ending");
	if (needs_reset(state))
		return err_set(err, EPERM, "Resetting the Virtual Machine is required");
	return 0;
}

int machine_run(struct machine *m, struct err *err)
{
	struct machine_op *stopped = NULL;
	int ret;

	if (m->runstate == RUNSTATE_RUNNING && !m->stopping)
		return 0;
	ret = may_run(m, err);
	if (ret)
		return ret;
	if (m->stopping) { /* whoever asked for that has had it, if only just */
		set_stopped(m);
		stopped = m->stop_ops;
		m->stop_ops = NULL;
	}
	m->runstate = RUNSTATE_RUNNING;
	if (m->resetting)
		m->run_after_reset = true;
	else
		vcpus_go(m);
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_RESUME });
	ops_done(&stopped, NULL);
	return 0;
}

enum runstate machine_runstate(const struct machine *m)
{
	return m->runstate;
}

void machine_powerdown(struct machine *m)
{
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_POWERDOWN });
	ged_raise(&m->ged, GED_POWER_BUTTON);
}

/* QEMU's ShutdownCause, so that its clients understand. */
static const struct {
	const char *name;
	bool guest;
} causes[] = {
	[SHUTDOWN_GUEST_POWEROFF] = { "guest-shutdown", true },
	[SHUTDOWN_GUEST_RESET] = { "guest-reset", true },
	[SHUTDOWN_GUEST_PANIC] = { "guest-panic", true },
	[SHUTDOWN_HOST_QUIT] = { "host-qmp-quit", false },
	[SHUTDOWN_HOST_SIGNAL] = { "host-signal", false },
	[SHUTDOWN_HOST_RESET] = { "host-qmp-system-reset", false },
	[SHUTDOWN_HOST_ERROR] = { "host-error", false },
};

const char *shutdown_reason(enum shutdown_cause cause)
{
	return causes[cause].name;
}

bool shutdown_by_guest(enum shutdown_cause cause)
{
	return causes[cause].guest;
}

/* Of the cause that ends the process: a panic that did not is forgotten (QEMU). */
static int exit_status(const struct machine *m, enum shutdown_cause cause)
{
	const bool failed =
		cause == SHUTDOWN_HOST_ERROR ||
		(cause == SHUTDOWN_GUEST_PANIC && m->config->panic_action == PANIC_EXIT_FAILURE);

	return failed ? 1 : m->guest_status;
}

void machine_shutdown(struct machine *m, enum shutdown_cause cause)
{
	const bool stays = m->config->no_shutdown && shutdown_by_guest(cause);

	if (m->ending)
		return;
	if (!stays) {
		m->ending = true;
		m->exit_status = exit_status(m, cause);
		m->loop.stop = true;
	}
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_SHUTDOWN,
				.guest = shutdown_by_guest(cause),
				.reason = shutdown_reason(cause) });
	if (stays)
		machine_stop(m, RUNSTATE_SHUTDOWN, NULL);
}

bool machine_held(const struct machine *m)
{
	return m->held;
}

bool machine_ending(const struct machine *m)
{
	return m->ending;
}

struct machine_actions machine_actions(const struct machine *m)
{
	return (struct machine_actions){ .no_reboot = m->config->no_reboot,
		.no_shutdown = m->config->no_shutdown,
		.panic = m->config->panic_action };
}

void machine_set_actions(struct machine *m, const struct machine_actions *actions)
{
	m->config->no_reboot = actions->no_reboot;
	m->config->no_shutdown = actions->no_shutdown;
	m->config->panic_action = actions->panic;
}
