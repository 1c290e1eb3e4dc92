/* SPDX-License-Identifier: Apache-2.0 */
/* test_stop.c - stopping the guest takes time: what main does meanwhile, and what vCPUs report. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "machine_rig.h"

/* A vCPU that executes the guest, for all that main can see. */
static int setup(void **state)
{
	struct machine_rig *rig;

	(void)signal(SIGUSR1, SIG_IGN);
	rig_setup_acpi(state);
	rig = *state;
	rig->vcpu->thread = pthread_self();
	atomic_store(&rig->vcpu->state, VCPU_RUNNING);
	return 0;
}

static void done(struct machine_op *op, const struct err *err)
{
	assert_null(err);
	assert_false(((struct rig_op *)op)->done);
	((struct rig_op *)op)->done = true;
}

static struct rig_op stop_op(void)
{
	return (struct rig_op){ .op.done = done };
}

static void park(struct machine_rig *rig)
{
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
	while (rig->m->stopping)
		loop_step(&rig->m->loop, -1);
}

static unsigned events(const struct machine_rig *rig, enum machine_event_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->n_events; i++)
		n += rig->event[i].kind == kind;
	return n;
}

static void stop_is_answered_when_nobody_executes(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op one = stop_op(), two = stop_op();

	machine_pause(rig->m, &one.op);
	machine_pause(rig->m, &two.op);
	loop_step(&rig->m->loop, 2);
	assert_false(one.done || two.done);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(rig->n_events, 0);
	park(rig);
	assert_true(one.done && two.done);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_PAUSED);
	assert_int_equal(events(rig, MACHINE_STOP), 1);
	one = stop_op();
	machine_pause(rig->m, &one.op);
	assert_true(one.done); /* it is already */
}

static void cont_overtakes_a_stop(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op stop = stop_op();

	machine_pause(rig->m, &stop.op);
	assert_int_equal(machine_run(rig->m, NULL), 0);
	assert_true(stop.done);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(gate_state(atomic_load(&rig->m->gate.open)), GATE_OPEN);
	assert_int_equal(rig->event[0].kind, MACHINE_STOP);
	assert_int_equal(rig->event[1].kind, MACHINE_RESUME);
	loop_step(&rig->m->loop, 2);
	assert_int_equal(rig->n_events, 2);
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
}

static void an_error_outweighs_a_stop(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op stop = stop_op();
	struct err err = { 0 };

	machine_pause(rig->m, &stop.op);
	machine_stop(rig->m, RUNSTATE_INTERNAL_ERROR, NULL);
	assert_int_equal(machine_run(rig->m, &err), -EPERM);
	assert_false(stop.done);
	park(rig);
	assert_true(stop.done);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_INTERNAL_ERROR);
	assert_int_equal(events(rig, MACHINE_STOP), 1);
}

/* From a panic the guest may go on; not from what needs a reset, whichever came first. */
static void a_panic_outweighs_a_stop_alone(void **state)
{
	static const struct {
		enum runstate first, second, then;
		int run;
	} cases[] = {
		{ RUNSTATE_PAUSED, RUNSTATE_GUEST_PANICKED, RUNSTATE_GUEST_PANICKED, 0 },
		{ RUNSTATE_GUEST_PANICKED, RUNSTATE_PAUSED, RUNSTATE_GUEST_PANICKED, 0 },
		{ RUNSTATE_INTERNAL_ERROR, RUNSTATE_GUEST_PANICKED, RUNSTATE_INTERNAL_ERROR,
			-EPERM },
		{ RUNSTATE_GUEST_PANICKED, RUNSTATE_INTERNAL_ERROR, RUNSTATE_INTERNAL_ERROR,
			-EPERM },
		{ RUNSTATE_SHUTDOWN, RUNSTATE_GUEST_PANICKED, RUNSTATE_SHUTDOWN, -EPERM },
	};
	struct machine_rig *rig = *state;

	for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const bool stopped = i % 2; /* before the second one comes */
		struct err err = { 0 };

		rig->m->runstate = RUNSTATE_RUNNING;
		atomic_store(&rig->vcpu->state, VCPU_RUNNING);
		machine_stop(rig->m, cases[i / 2].first, NULL);
		if (stopped)
			park(rig);
		machine_stop(rig->m, cases[i / 2].second, NULL);
		park(rig);
		assert_int_equal(machine_runstate(rig->m), cases[i / 2].then);
		assert_int_equal(machine_run(rig->m, &err), cases[i / 2].run);
	}
}

static void finish_reset(struct machine *m)
{
	while (m->resetting)
		loop_step(&m->loop, -1);
}

static void a_stop_is_told_before_the_reset_behind_it(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op stop = stop_op();

	machine_pause(rig->m, &stop.op);
	machine_reset(rig->m, SHUTDOWN_HOST_RESET);
	loop_step(&rig->m->loop, 2);
	assert_true(rig->m->resetting && !stop.done);
	park(rig);
	assert_true(stop.done);
	assert_int_equal(rig->event[0].kind, MACHINE_STOP);
	assert_false(rig->m->run_after_reset);
	finish_reset(rig->m);
	assert_int_equal(rig->event[1].kind, MACHINE_RESET);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_PRELAUNCH);
}

static void the_end_answers_a_stop(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op stop = stop_op();

	machine_pause(rig->m, &stop.op);
	machine_shutdown(rig->m, SHUTDOWN_HOST_QUIT);
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
	assert_true(machine_end(rig->m));
	assert_true(stop.done);
}

/* --- reports --- */

static void count(struct mail *mail);

static struct tally {
	struct mail mail;
	unsigned runs;
} tally;

static void count(struct mail *mail)
{
	((struct tally *)mail)->runs++;
}

/* A guest that resets and triple faults, and does so again before main has looked. */
static void what_was_reported_before_a_reset_is_void(void **state)
{
	struct machine_rig *rig = *state;
	struct machine *m = rig->m;

	tally = (struct tally){ .mail.run = count };
	vcpu_report(rig->vcpu, KVM_EXITED_SHUTDOWN, "triple fault");
	loop_post(&m->loop, &tally.mail);
	vcpus_reset(m);
	assert_true(atomic_load(&rig->vcpu->needs_reset));
	assert_int_equal(m->loop.count, 1);
	vcpu_report(rig->vcpu, KVM_EXITED_ERROR, "again");
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
	loop_step(&m->loop, 0);
	/* The mailbox is whole, and the second report has been heard. */
	assert_int_equal(tally.runs, 1);
	assert_int_equal(machine_runstate(m), RUNSTATE_INTERNAL_ERROR);
	assert_int_equal(m->loop.count, 0);
}

/* The reset came first and waits for this very vCPU: the guest runs after it. */
static void an_error_before_a_reset_is_void(void **state)
{
	struct machine_rig *rig = *state;
	struct machine *m = rig->m;

	machine_reset(m, SHUTDOWN_HOST_RESET);
	assert_true(m->resetting && m->run_after_reset);
	vcpu_report(rig->vcpu, KVM_EXITED_ERROR, "too late");
	loop_step(&m->loop, 0);
	assert_true(m->run_after_reset);
	assert_int_equal(events(rig, MACHINE_STOP), 0);
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
	finish_reset(m);
	assert_int_equal(events(rig, MACHINE_STOP), 0);
	assert_int_equal(gate_state(atomic_load(&m->gate.open)), GATE_OPEN);
}

/* A client whose next command is stop, while nobody waits for vCPUs any longer. */
static void a_stop_at_the_end_is_answered_at_once(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op stop = stop_op();

	machine_shutdown(rig->m, SHUTDOWN_HOST_QUIT);
	machine_pause(rig->m, &stop.op);
	assert_true(stop.done);
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			stop_is_answered_when_nobody_executes, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(cont_overtakes_a_stop, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(an_error_outweighs_a_stop, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_panic_outweighs_a_stop_alone, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_stop_is_told_before_the_reset_behind_it, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_end_answers_a_stop, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			an_error_before_a_reset_is_void, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			a_stop_at_the_end_is_answered_at_once, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(
			what_was_reported_before_a_reset_is_void, setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
