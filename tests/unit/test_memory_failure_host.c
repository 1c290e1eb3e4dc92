/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory_failure_host.c - the host finds an uncorrectable error, or somebody else meets it. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "memory_failure_fixture.h"

static void found_by_the_host(void **state)
{
	struct machine_rig *rig = *state;

	run(rig);
	fake_vcpu_wait("Rr");
	send_sigbus(BUS_MCEERR_AO, hva(BAD_GPA)); /* main is this thread */
	expect_failure(rig, "guest", "inject", false);
	fake_vcpu_wait("RrOr");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
}

static void found_while_it_stands(void **state)
{
	struct machine_rig *rig = *state;

	send_sigbus(BUS_MCEERR_AO, hva(BAD_GPA));
	loop_step(&rig->m->loop, 100);
	assert_int_equal(events(rig, MACHINE_MEMORY_FAILURE), 0);
	run(rig);
	expect_failure(rig, "guest", "inject", false);
	fake_vcpu_wait("Or");
	fake_vcpu_pause(rig);
	/* What it was to be told does not outlive a reset. */
	send_sigbus(BUS_MCEERR_AO, hva(2 * BAD_GPA));
	loop_step(&rig->m->loop, 100);
	memory_failures_forget(rig->m);
	vcpus_reset(rig->m);
	run(rig);
	fake_vcpu_wait("OrRr");
}

static void found_elsewhere(void **state)
{
	struct machine_rig *rig = *state;

	(void)hva(0);
	run(rig);
	send_sigbus(BUS_MCEERR_AO, rig);
	expect_failure(rig, "hypervisor", "ignore", false);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(rig->m->memory.n_pages, 0);
	fake_vcpu_wait("Rr");
}

/* Ever new pages: the list of them is bounded, and with it what is said of them. */
static void many_pages(void **state)
{
	struct machine_rig *rig = *state;

	run(rig);
	for (unsigned i = 0; i < 300; i++)
		assert_true(machine_sigbus(rig->m, BUS_MCEERR_AO, hva(i * PAGE)));
	for (unsigned i = 0; i < 300; i++) {
		assert_true(machine_sigbus(rig->m, BUS_MCEERR_AO, hva(i * PAGE)));
		loop_step(&rig->m->loop, 0);
	}
	fake_vcpu_wait("Or");
	loop_step(&rig->m->loop, 1);
	assert_int_equal(rig->m->memory.n_pages, MEMORY_PAGES);
	assert_in_range(log_captured_lines(), 1, MEMORY_PAGES);
}

/* A child that does what, with a log of its own; its status. */
static int dies(void (*what)(void *), void *arg)
{
	const struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		sigbus_is_main(NULL);
		what(arg);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void touch(void *at)
{
	*(volatile char *)at = 1;
}

static void be_told(void *at)
{
	send_sigbus(BUS_MCEERR_AO, at);
	kill(getpid(), SIGBUS);
}

static void death_with_a_word(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	struct machine_rig *rig = *state;
	int status;

	shorten(rig, directory);
	status = dies(touch, hva(BAD_GPA));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	assert_says(log_captured(), "error: bus error at 0x");
	assert_says(log_captured(), "a truncated file, or huge pages that ran out; the process");
	/* What nobody has met kills nobody, nor does what somebody sends. */
	status = dies(be_told, rig);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(log_captured_lines(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(found_by_the_host),
		MEMORY_TEST(found_while_it_stands),
		MEMORY_TEST(found_elsewhere),
		MEMORY_TEST(many_pages),
		MEMORY_TEST(death_with_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
