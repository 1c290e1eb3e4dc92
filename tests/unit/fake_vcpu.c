/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vcpu.c - a vCPU of KVM without a kernel. */
#include "fake_vcpu.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#define WAIT_TICKS 20000
#define TICK_US 1000

struct fake_vcpu fake_vcpu = { .lock = PTHREAD_MUTEX_INITIALIZER };

void fake_vcpu_clear(void)
{
	memset(fake_vcpu.calls, 0, sizeof(fake_vcpu.calls));
	fake_vcpu.guest = NULL;
	fake_vcpu.on_reset = NULL;
	fake_vcpu.fate = MCE_INJECTED;
	fake_vcpu.recursive = fake_vcpu.broadcast = false;
}

static void on_kick(int signal)
{
	(void)signal;
}

void fake_vcpu_start(struct machine_rig *rig)
{
	struct vcpu *v = rig->vcpu;

	(void)signal(SIGUSR1, on_kick);
	fake_vcpu_clear();
	machine_pause(rig->m, NULL);
	rig->m->runstate = RUNSTATE_PRELAUNCH;
	rig->n_events = 0;
	vcpus_reset(rig->m);
	assert_int_equal(pthread_create(&v->thread, NULL, vcpu_thread, v), 0);
}

void fake_vcpu_pause(struct machine_rig *rig)
{
	machine_pause(rig->m, NULL);
	while (!vcpus_parked(rig->m) || rig->m->stopping)
		loop_step(&rig->m->loop, 1);
}

void fake_vcpu_stop(struct machine_rig *rig)
{
	vcpus_stop(rig->m);
	while (!vcpus_parked(rig->m))
		loop_step(&rig->m->loop, 1);
	vcpus_end(rig->m);
	pthread_join(rig->vcpu->thread, NULL);
}

static void called(char letter)
{
	size_t n;

	pthread_mutex_lock(&fake_vcpu.lock);
	n = strlen(fake_vcpu.calls);
	/* The last ones count: of a full record the older half makes room. */
	if (n + 1 == sizeof(fake_vcpu.calls)) {
		n -= FAKE_VCPU_CALLS / 2;
		memmove(fake_vcpu.calls, fake_vcpu.calls + FAKE_VCPU_CALLS / 2, n);
		memset(fake_vcpu.calls + n, 0, sizeof(fake_vcpu.calls) - n);
	}
	if (!(letter == 'r' && n && fake_vcpu.calls[n - 1] == 'r'))
		fake_vcpu.calls[n] = letter;
	pthread_mutex_unlock(&fake_vcpu.lock);
}

static bool ends_with(const char *end)
{
	size_t n, m = strlen(end);
	bool does;

	pthread_mutex_lock(&fake_vcpu.lock);
	n = strlen(fake_vcpu.calls);
	does = n >= m && !strcmp(fake_vcpu.calls + n - m, end);
	pthread_mutex_unlock(&fake_vcpu.lock);
	return does;
}

void fake_vcpu_wait(const char *end)
{
	for (unsigned i = 0; i < WAIT_TICKS && !ends_with(end); i++)
		usleep(TICK_US);
	if (!ends_with(end))
		fail_msg("calls were '%s', expected at their end: '%s'", fake_vcpu.calls, end);
}

void kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	*exit = (struct kvm_exit){ .kind = KVM_EXITED_INTERRUPTED };
	called('r');
	if (fake_vcpu.guest)
		fake_vcpu.guest(vcpu, exit);
	else
		usleep(TICK_US);
}

void kvm_vcpu_resumed(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	called('C');
}

void kvm_vcpu_finish_access(struct kvm_vcpu *vcpu)
{
	called('F');
	vcpu->io_pending = false;
}

int kvm_vcpu_reset(struct kvm_vcpu *vcpu, const struct kvm_entry *entry)
{
	(void)entry;
	if (vcpu->io_pending)
		called('!');
	if (fake_vcpu.on_reset)
		fake_vcpu.on_reset(vcpu);
	called('R');
	return 0;
}

enum mce_fate kvm_vcpu_mce(struct kvm_vcpu *vcpu, enum mce_kind kind, uint64_t gpa, bool *recursive)
{
	fake_vcpu.gpa = gpa;
	*recursive = fake_vcpu.recursive;
	called(vcpu->io_pending ? '!' : "QOS"[kind]);
	return fake_vcpu.fate;
}

bool kvm_vcpu_mce_broadcast(const struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	return fake_vcpu.broadcast;
}

const char *kvm_vcpu_describe(
	struct kvm_vcpu *vcpu, const struct kvm_exit *exit, char *buf, size_t size)
{
	(void)vcpu, (void)exit;
	strncpy(buf, "a fake exit", size);
	return buf;
}
