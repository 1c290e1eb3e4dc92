/* SPDX-License-Identifier: Apache-2.0 */
/* test_vcpu.c - a vCPU's thread (threads/vcpu.c), the real one, on a vCPU that is none. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "fake_vcpu.h"

static int setup(void **state)
{
	rig_setup_acpi(state);
	fake_vcpu_start(*state);
	return 0;
}

static int teardown(void **state)
{
	fake_vcpu_stop(*state);
	return rig_teardown(state);
}

/* KVM_KVMCLOCK_CTRL before the first KVM_RUN after each pause, and at no other time. */
static void a_pause_is_forgiven(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	fake_vcpu_pause(rig);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("RrCr");
	fake_vcpu_pause(rig);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCr");
	fake_vcpu_pause(rig);
	vcpus_reset(rig->m); /* what stood still is not there any more */
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCrRr");
}

/* REP INS: one exit of many accesses, the second of which takes until the test lets go of it. */
#define REPEATED 5
#define SLOW_ACCESS 2
static struct {
	_Atomic unsigned accesses;
	_Atomic bool let_go;
	bool exited;
} rep;

static enum io_status read_slowly(void *opaque, struct io_access *access)
{
	(void)opaque;
	access->data = atomic_fetch_add(&rep.accesses, 1) + 1;
	while (access->data == SLOW_ACCESS && !atomic_load(&rep.let_go))
		usleep(1000);
	return IO_DONE;
}

static uint8_t rep_data[REPEATED];

static void reads_a_string(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	vcpu->io_pending = !rep.exited;
	if (rep.exited) {
		usleep(1000);
		return;
	}
	rep.exited = true;
	*exit = (struct kvm_exit){
		.kind = KVM_EXITED_IO, .addr = 0x80, .size = 1, .count = REPEATED, .data = rep_data
	};
}

static void await_accesses(unsigned n)
{
	for (unsigned i = 0; i < 20000 && atomic_load(&rep.accesses) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&rep.accesses), n);
}

/* The machine is stopped while the second access is under way; that one ends then. */
static void stop_within_a_string(struct machine_rig *rig)
{
	static const struct bus_region region = {
		.base = 0x80, .size = 1, .fn = read_slowly, .name = "slow"
	};

	memset(rep_data, 0, sizeof(rep_data));
	atomic_store(&rep.accesses, 0);
	atomic_store(&rep.let_go, false);
	rep.exited = false;
	assert_int_equal(bus_add(&rig->m->bus, BUS_PIO, &region), 0);
	bus_publish(&rig->m->bus);
	fake_vcpu.guest = reads_a_string;
	assert_int_equal(machine_run(rig->m, NULL), 0);
	await_accesses(SLOW_ACCESS);
	machine_pause(rig->m, NULL);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_PAUSED); /* it executes nothing */
	atomic_store(&rep.let_go, true);
	fake_vcpu_pause(rig);
	assert_int_equal(atomic_load(&rep.accesses), SLOW_ACCESS);
}

static void a_string_is_stopped_in_the_middle(void **state)
{
	static const uint8_t all[REPEATED] = { 1, 2, 3, 4, 5 };
	struct machine_rig *rig = *state;

	stop_within_a_string(rig);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("RrCr");
	assert_int_equal(atomic_load(&rep.accesses), REPEATED);
	assert_memory_equal(rep_data, all, sizeof(all));
}

static void finish(struct machine_rig *rig)
{
	for (unsigned i = 0; i < 20000 && !vcpus_finished(rig->m); i++)
		usleep(1000);
	assert_true(vcpus_finished(rig->m));
}

static void reads_once(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	reads_a_string(vcpu, exit);
	exit->count = 1;
}

/* What KVM has yet to write for the old guest is written before main writes for the new one. */
static void accesses_end_before_a_reset(void **state)
{
	struct machine_rig *rig = *state;

	rep.exited = false;
	fake_vcpu.guest = reads_once;
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	vcpus_stop(rig->m); /* perhaps before the next KVM_RUN, perhaps after it */
	while (!vcpus_parked(rig->m))
		loop_step(&rig->m->loop, 1);
	rig->vcpu->kvm.io_pending = true;
	assert_false(vcpus_finished(rig->m)); /* it is asked, and not parked meanwhile */
	finish(rig);
	fake_vcpu_wait("rF");
	assert_true(vcpus_finished(rig->m));
	vcpus_reset(rig->m);
	vcpus_go(rig->m);
	fake_vcpu_wait("rFRr");
}

/* From the wish until it is done the vCPU is not parked: nobody would join its thread, say. */
static void a_wish_counts_as_running(void **state)
{
	struct machine_rig *rig = *state;
	static struct vcpu v;

	rig->m->vcpus = &v; /* the one with a thread waits at the gate */
	atomic_store(&v.request.done, 1);
	assert_true(vcpus_parked(rig->m) && vcpus_stopped(rig->m));
	atomic_store(&v.finish, true);
	assert_false(vcpus_parked(rig->m) || vcpus_stopped(rig->m));
	atomic_store(&v.finish, false);
	rig->m->vcpus = rig->vcpu;
}

static void a_reset_in_the_middle_of_a_string(void **state)
{
	struct machine_rig *rig = *state;

	stop_within_a_string(rig);
	finish(rig);
	fake_vcpu_wait("RrF");
	vcpus_reset(rig->m);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("RrFRr");
	assert_int_equal(atomic_load(&rep.accesses), SLOW_ACCESS);
	assert_false(atomic_load(&rig->vcpu->halted));
}

/* The rest is nobody's any more. */
static int the_end_of_a_string(void **state)
{
	int ret = teardown(state);

	assert_int_equal(atomic_load(&rep.accesses), SLOW_ACCESS);
	return ret;
}

static void the_end_in_the_middle_of_a_string(void **state)
{
	stop_within_a_string(*state);
}

/* Memory that nobody can write before the test lets go of it: a step of copying that takes long. */
static struct {
	uint8_t *at;
	_Atomic bool reached, let_go;
} slow;

static void on_fault(int signal)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	(void)signal;
	atomic_store(&slow.reached, true);
	while (!atomic_load(&slow.let_go))
		nanosleep(&tick, NULL);
	(void)mprotect(slow.at, 4096, PROT_READ | PROT_WRITE);
}

/*
 * The first vCPU copies the kernel before it is reset to run it. Main goes on meanwhile, and a stop
 * takes one step.
 */
static void the_kernel_is_copied_first(void **state)
{
	static uint8_t kernel[3 * BOOT_STEP];
	struct machine_rig *rig = *state;
	struct boot_load *load = &rig->m->gate.load;
	uint8_t *to = mmap(
		NULL, sizeof(kernel), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(to != MAP_FAILED);
	memset(kernel, 0xcc, sizeof(kernel));
	*load = (struct boot_load){ .count = 1 };
	load->copy[0] = (struct boot_copy){ to, kernel, sizeof(kernel), sizeof(kernel) };
	slow.at = to + BOOT_STEP;
	assert_int_equal(mprotect(slow.at, 4096, PROT_NONE), 0);
	(void)signal(SIGSEGV, on_fault);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	for (unsigned i = 0; i < 20000 && !atomic_load(&slow.reached); i++)
		usleep(1000);
	assert_true(atomic_load(&slow.reached));
	machine_pause(rig->m, NULL);
	for (unsigned i = 0; i < 5; i++)
		loop_step(&rig->m->loop, 1);
	assert_true(rig->m->stopping);
	atomic_store(&slow.let_go, true);
	fake_vcpu_pause(rig);
	(void)signal(SIGSEGV, SIG_DFL);
	assert_int_equal(load->done, 2 * BOOT_STEP);
	assert_string_equal(fake_vcpu.calls, "");
	assert_memory_equal(to, kernel, 2 * BOOT_STEP);
	assert_int_equal(to[2 * BOOT_STEP], 0);
	/* The rest, once. */
	assert_int_equal(machine_run(rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	assert_int_equal(load->written, sizeof(kernel));
	assert_memory_equal(to, kernel, sizeof(kernel));
	munmap(to, sizeof(kernel));
}

/* Two vCPUs, of which the second one's reset takes as long as the test likes. */
static struct {
	_Atomic bool reached, let_go;
} pair;

static void reset_slowly(struct kvm_vcpu *vcpu)
{
	if (!vcpu->index)
		return;
	atomic_store(&pair.reached, true);
	while (!atomic_load(&pair.let_go))
		usleep(1000);
}

static void await_second(void)
{
	for (unsigned i = 0; i < 20000 && !atomic_load(&pair.reached); i++)
		usleep(1000);
	assert_true(atomic_load(&pair.reached));
	usleep(20000); /* for what must not happen */
	assert_string_equal(fake_vcpu.calls, "");
}

/* Of both, or of the second one and the first one then. */
static void await_two_resets(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		const char *first;
		bool two;

		pthread_mutex_lock(&fake_vcpu.lock);
		first = strchr(fake_vcpu.calls, 'R');
		two = first && strchr(first + 1, 'R');
		pthread_mutex_unlock(&fake_vcpu.lock);
		if (two)
			return;
		usleep(1000);
	}
	fail_msg("calls were '%s', expected two resets", fake_vcpu.calls);
}

static int setup_pair(void **state)
{
	static struct machine_rig the_rig;
	struct machine_rig *rig = *state = &the_rig;

	rig_start(rig, "-smp 2");
	(void)signal(SIGUSR1, SIG_IGN); /* the fake's KVM_RUN is short */
	fake_vcpu_clear();
	memset(&pair, 0, sizeof(pair));
	fake_vcpu.on_reset = reset_slowly;
	machine_pause(rig->m, NULL);
	rig->m->runstate = RUNSTATE_PRELAUNCH;
	vcpus_reset(rig->m);
	for (unsigned i = 0; i < 2; i++) {
		struct vcpu *v = &rig->vcpu[i];

		assert_int_equal(pthread_create(&v->thread, NULL, vcpu_thread, v), 0);
	}
	return 0;
}

static int teardown_pair(void **state)
{
	struct machine_rig *rig = *state;

	vcpus_end(rig->m);
	pthread_join(rig->vcpu[0].thread, NULL);
	atomic_store(&pair.let_go, true);
	pthread_join(rig->vcpu[1].thread, NULL);
	return rig_teardown(state);
}

/*
 * What the first vCPU sends to others, INIT and SIPI, would be lost in a reset that comes after it.
 */
static void the_first_waits_for_the_others(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(rig->m, NULL), 0);
	await_second();
	atomic_store(&pair.let_go, true);
	await_two_resets();
}

/* Main does not wait meanwhile: a stop is complete, and so is the end. */
static void stopped_while_the_first_waits(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(rig->m, NULL), 0);
	await_second();
	machine_pause(rig->m, NULL);
	assert_int_equal(atomic_load(&rig->vcpu[0].state), VCPU_PARKED);
	atomic_store(&pair.let_go, true);
	while (rig->m->stopping)
		loop_step(&rig->m->loop, 1);
	assert_string_equal(fake_vcpu.calls, "R");
	assert_int_equal(machine_run(rig->m, NULL), 0);
	await_two_resets();
	vcpus_stop(rig->m);
	while (!vcpus_parked(rig->m))
		loop_step(&rig->m->loop, 1);
	/* Again, and the first one ends before the second one has been let go (teardown). */
	atomic_store(&pair.let_go, false);
	atomic_store(&pair.reached, false);
	rig->m->runstate = RUNSTATE_PAUSED;
	vcpus_reset(rig->m);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	for (unsigned i = 0; i < 20000 && !atomic_load(&pair.reached); i++)
		usleep(1000);
}

#define PAIR(name) cmocka_unit_test_setup_teardown(name, setup_pair, teardown_pair)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pause_is_forgiven, setup, teardown),
		cmocka_unit_test_setup_teardown(the_kernel_is_copied_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_string_is_stopped_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(accesses_end_before_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wish_counts_as_running, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reset_in_the_middle_of_a_string, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_end_in_the_middle_of_a_string, setup, the_end_of_a_string),
		PAIR(the_first_waits_for_the_others),
		PAIR(stopped_while_the_first_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
