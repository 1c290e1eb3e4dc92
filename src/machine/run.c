/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - starting and stopping the vCPUs, the run state, and what clients are told of it. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "state.h"

static void futex_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Stopped for our purposes: it holds nothing and touches nothing until the gate opens again. */
static bool vcpu_stopped(const struct vcpu *v)
{
	return atomic_load(&v->state) != VCPU_RUNNING || !atomic_load(&v->request.done);
}

void vcpus_stop(struct machine *m)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	atomic_store(&m->gate.open, GATE_CLOSED);
	for (unsigned i = 0; i < m->n_vcpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		kvm_vcpu_immediate_exit(&v->kvm, true);
		if (atomic_load(&v->state) == VCPU_RUNNING)
			pthread_kill(v->thread, SIGUSR1);
	}
	/* The tick covers a vCPU that goes from running to waiting for us: that wakes nobody. */
	for (unsigned i = 0; i < m->n_vcpus; i++)
		while (!vcpu_stopped(&m->vcpus[i]))
			syscall(SYS_futex, &m->vcpus[i].state, FUTEX_WAIT_PRIVATE, VCPU_RUNNING,
				&tick, NULL, 0);
}

void vcpus_go(struct machine *m)
{
	atomic_store(&m->gate.open, GATE_OPEN);
	futex_wake_all(&m->gate.open);
}

void vcpus_end(struct machine *m)
{
	atomic_store(&m->gate.open, GATE_END);
	futex_wake_all(&m->gate.open);
}

bool vcpus_parked(const struct machine *m)
{
	for (unsigned i = 0; i < m->n_vcpus; i++)
		if (atomic_load(&m->vcpus[i].state) == VCPU_RUNNING)
			return false;
	return true;
}

void machine_emit(struct machine *m, const struct machine_event *event)
{
	if (m->on_event)
		m->on_event(m->on_event_opaque, event);
}

void machine_on_event(
	struct machine *m, void (*fn)(void *, const struct machine_event *), void *opaque)
{
	m->on_event = fn;
	m->on_event_opaque = opaque;
}

int machine_run(struct machine *m, struct err *err)
{
	if (m->runstate == RUNSTATE_RUNNING)
		return 0;
	if (m->runstate == RUNSTATE_INTERNAL_ERROR || m->ending)
		return err_set(err, EINVAL,
			"the guest cannot go on after an internal error: reset it first");
	m->runstate = RUNSTATE_RUNNING;
	if (m->resetting)
		m->run_after_reset = true;
	else
		vcpus_go(m);
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_RESUME });
	return 0;
}

void machine_pause(struct machine *m)
{
	if (m->runstate != RUNSTATE_RUNNING)
		return;
	vcpus_stop(m);
	m->runstate = RUNSTATE_PAUSED;
	m->run_after_reset = false;
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_STOP });
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

void machine_shutdown(struct machine *m, enum shutdown_cause cause)
{
	if (m->ending)
		return;
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_SHUTDOWN,
				.guest = shutdown_by_guest(cause),
				.reason = shutdown_reason(cause) });
	if (m->config->no_shutdown && shutdown_by_guest(cause)) {
		machine_pause(m);
		m->runstate = RUNSTATE_SHUTDOWN;
		return;
	}
	m->ending = true;
	m->exit_status = cause == SHUTDOWN_HOST_ERROR ? 1 : m->guest_status;
	m->loop.stop = true;
}

/* A vCPU cannot go on: on main, posted by vcpu_report(). */
static void vcpu_stopped_mail(struct mail *mail)
{
	struct vcpu *v = (struct vcpu *)((char *)mail - offsetof(struct vcpu, stopped));
	struct machine *m = v->machine;

	role_enter_main();
	if (v->exit_kind == KVM_EXITED_POWEROFF)
		return machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	if (v->exit_kind == KVM_EXITED_RESET)
		return machine_reset(m, SHUTDOWN_GUEST_RESET);
	/* As often as the guest likes: it may go through this in a loop. */
	log_guest("vcpu%u: %s", v->kvm.index, v->why);
	if (v->exit_kind == KVM_EXITED_SHUTDOWN)
		return machine_reset(m, SHUTDOWN_GUEST_RESET);
	machine_pause(m);
	m->runstate = RUNSTATE_INTERNAL_ERROR;
}

void vcpu_report(struct vcpu *v, int exit_kind, const char *why)
{
	v->exit_kind = exit_kind;
	snprintf(v->why, sizeof(v->why), "%s", why);
	v->stopped.run = vcpu_stopped_mail;
	loop_post(&v->machine->loop, &v->stopped);
}
