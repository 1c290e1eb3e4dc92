/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpus.c - starting and stopping the vCPUs at their gate, and how one reports that it cannot go
 * on.
 *
 * Main closes the gate, interrupts KVM_RUN and asks from time to time; it never waits for a vCPU,
 * which the kernel may hold in an access to a device for as long as that is reset.
 */
#include <signal.h>
#include <stdio.h>

#include <portcullis/futex.h>

#include "state.h"

void vcpu_kick(struct vcpu *v)
{
	kvm_vcpu_immediate_exit(&v->kvm, true);
	if (atomic_load(&v->state) == VCPU_RUNNING)
		pthread_kill(v->thread, SIGUSR1);
}

/* news: parked vCPUs are to look again. */
static void gate_set(struct machine *m, unsigned state, unsigned news)
{
	uint32_t count = atomic_load(&m->gate.open) / GATE_STATES + news;

	atomic_store(&m->gate.open, count * GATE_STATES + state);
}

void vcpus_stop(struct machine *m)
{
	gate_set(m, GATE_CLOSED, 0);
	for (unsigned i = 0; i < m->n_vcpus; i++)
		vcpu_kick(&m->vcpus[i]);
}

/* In KVM_RUN, in an access, or about to finish one that KVM holds. */
bool vcpu_runs(const struct vcpu *v)
{
	return atomic_load(&v->state) == VCPU_RUNNING || atomic_load(&v->finish);
}

/*
 * Might it execute the guest's instructions? Not while it waits at the gate, for an access that
 * somebody else finishes, or inside one of its own: it looks at the gate before it enters KVM_RUN.
 */
static bool executes(const struct vcpu *v)
{
	return vcpu_runs(v) && atomic_load(&v->request.done) && !atomic_load(&v->reader.inside);
}

bool vcpus_stopped(const struct machine *m)
{
	for (unsigned i = 0; i < m->n_vcpus; i++)
		if (executes(&m->vcpus[i]))
			return false;
	return true;
}

bool vcpus_parked(const struct machine *m)
{
	for (unsigned i = 0; i < m->n_vcpus; i++)
		if (vcpu_runs(&m->vcpus[i]))
			return false;
	return true;
}

void vcpus_go(struct machine *m)
{
	gate_set(m, GATE_OPEN, 1);
	futex_wake_all(&m->gate.open);
}

void vcpus_end(struct machine *m)
{
	gate_set(m, GATE_END, 0);
	futex_wake_all(&m->gate.open);
	atomic_store(&m->gate.others, 0);
	futex_wake_all(&m->gate.others);
}

void vcpu_report(struct vcpu *v, int exit_kind, const char *why)
{
	v->exit_kind = exit_kind;
	snprintf(v->why, sizeof(v->why), "%s", why);
	loop_post(&v->machine->loop, &v->stopped);
}

bool vcpus_finished(struct machine *m)
{
	bool all = true, wake = false;

	for (unsigned i = 0; i < m->n_vcpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		if (!atomic_load(&v->finish)) {
			if (!v->kvm.io_pending) /* its own, but it is parked */
				continue;
			atomic_store(&v->finish, true);
			wake = true;
		}
		all = false;
	}
	if (wake) {
		gate_set(m, GATE_CLOSED, 1);
		futex_wake_all(&m->gate.open);
	}
	return all;
}

void vcpus_reset(struct machine *m)
{
	uint32_t others = 0;

	for (unsigned i = 0; i < m->n_vcpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		(void)loop_take_back(&m->loop, &v->stopped);
		atomic_store(&v->needs_reset, true);
		others += i > 0;
	}
	atomic_store(&m->gate.others, others);
}
