/* SPDX-License-Identifier: Apache-2.0 */
/* test_vcpu.c - a vCPU's thread (threads/vcpu.c), the real one, on a vCPU that is none. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "fake_vcpu.h"
#include "machine_rig.h"

static void on_kick(int signal)
{
	(void)signal;
}

/* The machine as it is before its first `cont`. */
static int setup(void **state)
{
	struct machine_rig *rig;
	struct vcpu *v;

	(void)signal(SIGUSR1, on_kick);
	fake_vcpu_clear();
	rig_setup_acpi(state);
	rig = *state;
	v = &rig->vcpu;
	v->machine = &rig->m;
	v->bus = &rig->m.bus;
	v->gate = &rig->m.gate;
	atomic_store(&v->request.done, 1);
	rig->m.vcpus = v;
	rig->m.n_vcpus = 1;
	rig->m.runstate = RUNSTATE_PRELAUNCH;
	assert_int_equal(bus_add_reader(&rig->m.bus, &v->reader), 0);
	vcpus_reset(&rig->m);
	assert_int_equal(pthread_create(&v->thread, NULL, vcpu_thread, v), 0);
	return 0;
}

static void pause_guest(struct machine_rig *rig)
{
	machine_pause(&rig->m, NULL);
	while (!vcpus_parked(&rig->m) || rig->m.stopping)
		loop_step(&rig->m.loop, 1);
}

static int teardown(void **state)
{
	struct machine_rig *rig = *state;

	pause_guest(rig);
	vcpus_end(&rig->m);
	pthread_join(rig->vcpu.thread, NULL);
	return rig_teardown(state);
}

/* KVM_KVMCLOCK_CTRL before the first KVM_RUN after each pause, and at no other time. */
static void a_pause_is_forgiven(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	pause_guest(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCr");
	pause_guest(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCr");
	pause_guest(rig);
	vcpus_reset(&rig->m); /* what stood still is not there any more */
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCrRr");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pause_is_forgiven, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
