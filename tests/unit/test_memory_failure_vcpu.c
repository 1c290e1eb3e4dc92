/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory_failure_vcpu.c - a vCPU meets an uncorrectable error in guest memory. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_failure_fixture.h"

/* KVM_RUN itself fails, too; older and other kernels do. */
static void meets_it_and_fails(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	if (atomic_load(&times) > 0)
		*exit = (struct kvm_exit){ .kind = KVM_EXITED_ERROR, .error = 14 };
	meets_it(vcpu, exit);
}

/* One page that it needs, and in the same KVM_RUN and the next one others that it does not. */
static void meets_more(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	(void)vcpu, (void)exit;
	if (atomic_load(&times) == 2) {
		send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
		send_sigbus(BUS_MCEERR_AO, (char *)atomic_load(&met) + PAGE);
	} else if (atomic_load(&times) == 1) {
		send_sigbus(BUS_MCEERR_AO, (char *)atomic_load(&met) + 2 * PAGE);
	} else {
		usleep(1000);
		return;
	}
	atomic_fetch_sub(&times, 1);
}

/* In the middle of a port access of two parts. */
static void meets_it_in_an_access(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	static uint32_t data;

	vcpu->io_pending = false;
	if (atomic_load(&times) <= 0) {
		usleep(1000);
		return;
	}
	*exit = (struct kvm_exit){ .kind = KVM_EXITED_IO,
		.addr = 0x80,
		.size = 4,
		.write = true,
		.count = 1,
		.data = &data };
	vcpu->io_pending = true;
	if (atomic_fetch_sub(&times, 1) == 2)
		send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
}

static void the_guest_is_told(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it, 1, (char *)hva(BAD_GPA) + 8);
	fake_vcpu_wait("RrQr");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA + 8);
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(rig->m->memory.page[0], BAD_GPA);
	assert_int_equal(log_captured_lines(), 1);
	assert_says(log_captured(), "0x5000 has an uncorrectable error: the guest is told");
}

/* Before main hears of the first: each outcome is told of its own page. */
static void two_before_main(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_more, 2, hva(BAD_GPA));
	fake_vcpu_wait("RrQrOr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(events(rig, MACHINE_MEMORY_FAILURE), 2);
	assert_int_equal(rig->m->memory.n_pages, 2);
	assert_int_equal(rig->m->memory.page[0], BAD_GPA);
	assert_int_equal(rig->m->memory.page[1], BAD_GPA + 2 * PAGE);
}

/* What waits to be told is not replaced by what comes after it. */
static void the_first_is_told(void **state)
{
	struct machine_rig *rig = *state;
	struct vcpu *v = rig->vcpu;

	vcpu_memory_error(v, false, hva(BAD_GPA));
	vcpu_memory_error(v, false, hva(2 * BAD_GPA));
	send_sigbus(BUS_MCEERR_AO, hva(3 * BAD_GPA));
	loop_step(&rig->m->loop, 100);
	expect_failure(rig, "guest", "ignore", false);
	rig->n_events = 0;
	run(rig);
	fake_vcpu_wait("Or");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA);
	expect_failure(rig, "guest", "inject", false);
	/* And then the next. */
	vcpu_memory_error(v, false, hva(2 * BAD_GPA));
	fake_vcpu_wait("OrOr");
	assert_int_equal(fake_vcpu.gpa, 2 * BAD_GPA);
}

/* EFAULT beside the signal is no internal error. */
static void the_error_is_the_signal(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it_and_fails, 1, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_false(rig->m->stopping);
}

/* A machine check in the middle of an instruction's accesses: it waits for their end. */
static void not_within_an_access(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it_in_an_access, 2, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	assert_int_equal(atomic_load(&times), 0);
	expect_failure(rig, "guest", "inject", true);
}

/* As often as it likes: neither the log nor the clients drown. */
static void again_and_again(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it, 3000, hva(BAD_GPA));
	for (unsigned i = 0; i < 20000 && atomic_load(&times) > 0; i++)
		loop_step(&rig->m->loop, 1);
	assert_int_equal(atomic_load(&times), 0);
	loop_step(&rig->m->loop, 1);
	assert_in_range(events(rig, MACHINE_MEMORY_FAILURE), 1, 25); /* one a second */
	assert_int_equal(log_captured_lines(), 1);
	assert_int_equal(rig->m->memory.n_pages, 1);
}

static void the_guest_cannot_take_it(void **state)
{
	struct machine_rig *rig = *state;

	fake_vcpu.fate = MCE_SHUTDOWN;
	fake_vcpu.recursive = true;
	start(rig, meets_it, 1, hva(BAD_GPA));
	expect_failure(rig, "guest", "reset", true);
	while (!events(rig, MACHINE_SHUTDOWN))
		loop_step(&rig->m->loop, 1);
	assert_string_equal(rig->event[rig->n_events - 1].reason, "guest-reset");
	fake_vcpu_wait("RrQ"); /* and it did not run again */
}

static void expect_the_end(struct machine_rig *rig)
{
	expect_failure(rig, "hypervisor", "fatal", true);
	assert_int_equal(events(rig, MACHINE_SHUTDOWN), 1);
	assert_true(machine_ending(rig->m));
	assert_int_equal(rig->m->exit_status, 1);
	assert_says(log_captured(), "error: ");
	assert_says(log_captured(), "the machine ends");
}

static void kvm_cannot_tell(void **state)
{
	struct machine_rig *rig = *state;

	fake_vcpu.fate = MCE_IMPOSSIBLE;
	start(rig, meets_it, 1, hva(BAD_GPA));
	expect_the_end(rig);
	fake_vcpu_wait("RrQ");
}

static void not_the_guests_memory(void **state)
{
	struct machine_rig *rig = *state;

	(void)hva(0);
	start(rig, meets_it, 1, rig);
	expect_the_end(rig);
	fake_vcpu_wait("Rr");
}

/* Intel: every other vCPU takes part. */
static void broadcast(void **state)
{
	static struct vcpu two[2];
	struct machine_rig *rig = *state;

	fake_vcpu.broadcast = true;
	rig->vcpu->memory.asked = 0;
	memset(two, 0, sizeof(two));
	/* The one that runs is the second of three. */
	rig->m->vcpus = two;
	rig->m->n_vcpus = 2;
	start(rig, meets_it, 1, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(atomic_load(&two[0].memory.asked), MEMORY_ASK_SHARE);
	assert_int_equal(atomic_load(&two[1].memory.asked), MEMORY_ASK_SHARE);
	assert_int_equal(atomic_load(&rig->vcpu->memory.asked), 0);
	rig->m->vcpus = rig->vcpu;
	rig->m->n_vcpus = 1;
	atomic_fetch_or(&rig->vcpu->memory.asked, MEMORY_ASK_SHARE);
	fake_vcpu_wait("QrSr");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(the_guest_is_told),
		MEMORY_TEST(two_before_main),
		MEMORY_TEST(the_first_is_told),
		MEMORY_TEST(the_error_is_the_signal),
		MEMORY_TEST(not_within_an_access),
		MEMORY_TEST(again_and_again),
		MEMORY_TEST(the_guest_cannot_take_it),
		MEMORY_TEST(kvm_cannot_tell),
		MEMORY_TEST(not_the_guests_memory),
		MEMORY_TEST(broadcast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
