/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_policy_live.c - the filters in the kernel: real processes live or die by them.
 *
 * Each probe is a child that enters a role's filter, makes one harmless call (bad fd, null pointer)
 * and leaves. Death by SIGSYS means the filter said no.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <asm/unistd.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "policy_sim.h"

/*
 * A sanitizer's thread start and end make calls of their own; TSan has a thread in every process.
 */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define UNDER_ASAN true
#else
#define UNDER_ASAN false
#endif

#define NR_END 470
#define PROBE_OK 7 /* exit status of a child that was let through */

/* The kernel lets these past every filter; called by a program itself they are a SIGILL. */
#define NR_URETPROBE 335
#define NR_UPROBE 336

enum fate { LIVES, DIES };

/* In a child: no core file, and signals kill instead of going to cmocka's handlers. */
static void child_setup(void)
{
	static const int fatal[] = { SIGSYS, SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGABRT };
	const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	for (unsigned i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		(void)signal(fatal[i], SIG_DFL);
}

static int wait_for(pid_t pid)
{
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool died_of_filter(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static int probe(const struct policy_filter *filter, int nr, const uint64_t args[6])
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid)
		return wait_for(pid);
	child_setup();
	if (policy_install(filter) != 0)
		_exit(1);
	syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	syscall(__NR_exit, PROBE_OK);
	__builtin_unreachable();
}

static void build(const struct policy *policy, const int fds[POLICY_FDS], struct policy_filter *out)
{
	struct err err = { 0 };
	if (policy_build(policy, fds, out, &err) != 0)
		fail_msg("%s: %s", policy->role, err.text);
}

static void test_absent_calls_kill(void **state)
{
	static const uint64_t args[6] = { ~0ull, 0, 0, 0, 0, 0 };
	struct policy_filter filter;
	(void)state;

	for (unsigned p = 0; policies[p]; p++) {
		build(policies[p], sim_fds, &filter);
		for (int nr = 0; nr < NR_END; nr++) {
			bool known = nr == __NR_clone3;
			SIM_FOR_EACH_RULE(policies[p], rule)
			known |= rule->nr == nr;
			if (known || nr == NR_URETPROBE || nr == NR_UPROBE)
				continue;
			if (!died_of_filter(probe(&filter, nr, args)))
				fail_msg("%s: call %d did not kill", policies[p]->role, nr);
		}
		policy_filter_release(&filter);
	}
}

/* Arguments that satisfy the rule and can do no harm. */
static void harmless(const struct sc_rule *rule, uint64_t args[6])
{
	args[0] = ~0ull;
	for (unsigned i = 1; i < 6; i++)
		args[i] = 0;
	for (unsigned i = 0; i < SIM_TESTS && rule->test[i].op != ARG_END; i++)
		args[rule->test[i].arg] = sim_pass(&rule->test[i], sim_fds);
}

static void probe_rule(
	const struct policy *policy, const struct policy_filter *filter, const struct sc_rule *rule)
{
	uint64_t args[6];

	harmless(rule, args);
	if (died_of_filter(probe(filter, rule->nr, args)))
		fail_msg("%s: %s (%s) is killed", policy->role, rule->name, rule->why);
	for (unsigned i = 0; i < SIM_TESTS && rule->test[i].op != ARG_END; i++) {
		harmless(rule, args);
		args[rule->test[i].arg] = sim_fail(&rule->test[i], sim_fds);
		if (sim_allowed(policy, sim_fds, rule->nr, args))
			continue; /* another rule's case */
		if (!died_of_filter(probe(filter, rule->nr, args)))
			fail_msg("%s: %s (%s) lives with argument %u wrong", policy->role,
				rule->name, rule->why, rule->test[i].arg);
	}
}

static void test_each_rule(void **state)
{
	struct policy_filter filter;
	(void)state;

	for (unsigned p = 0; policies[p]; p++) {
		build(policies[p], sim_fds, &filter);
		SIM_FOR_EACH_RULE(policies[p], rule)
		probe_rule(policies[p], &filter, rule);
		policy_filter_release(&filter);
	}
}

/* Commands with bit 31 set reach the kernel sign-extended when the caller's type was int. */
static void test_high_bit_ioctl(void **state)
{
	static const struct {
		uint64_t cmd;
		enum fate fate;
	} cases[] = {
		{ KVM_GET_REGS, LIVES },
		{ (uint64_t)(int64_t)(int32_t)KVM_GET_REGS, LIVES },
		{ KVM_GET_REGS ^ 1, DIES },
		{ (uint64_t)(int64_t)(int32_t)(KVM_GET_REGS ^ 1), DIES },
	};
	struct policy_filter filter;
	(void)state;

	build(&policy_vcpu, sim_fds, &filter);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t args[6] = { (uint64_t)sim_fds[POLICY_FD_OWN], cases[i].cmd };
		bool died = died_of_filter(probe(&filter, __NR_ioctl, args));
		assert_int_equal(died, cases[i].fate == DIES);
	}
	policy_filter_release(&filter);
}

/* The kernel takes the low half of an fd, so a number above 32 bits is fd 2 in disguise. */
static void test_disguised_fd(void **state)
{
	struct policy_filter filter;
	uint64_t args[6] = { 1ull << 32 | 2, (uintptr_t) "leak\n", 5 };
	(void)state;

	build(&policy_vcpu, sim_fds, &filter);
	assert_true(died_of_filter(probe(&filter, __NR_write, args)));
	args[0] = FD_ZONE_EVENT + 500; /* not open: EBADF */
	assert_int_equal(WEXITSTATUS(probe(&filter, __NR_write, args)), PROBE_OK);
	policy_filter_release(&filter);
}

static void *violate(void *filter)
{
	if (policy_install(filter) == 0)
		syscall(__NR_getppid);
	return NULL;
}

/* One thread's violation ends the process: nobody is left behind holding its locks. */
static void test_kills_process(void **state)
{
	struct policy_filter filter;
	(void)state;

	if (UNDER_ASAN)
		skip();
	build(&policy_vcpu, sim_fds, &filter);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t thread;
		child_setup();
		if (pthread_create(&thread, NULL, violate, &filter) != 0)
			_exit(1);
		sleep(5);
		_exit(3);
	}
	assert_true(died_of_filter(wait_for(pid)));
	policy_filter_release(&filter);
}

static void test_clone3(void **state)
{
	struct policy_filter filter;
	(void)state;

	for (unsigned p = 0; policies[p]; p++) {
		build(policies[p], sim_fds, &filter);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			child_setup();
			if (policy_install(&filter) != 0)
				_exit(1);
			long ret = syscall(__NR_clone3, NULL, 0);
			syscall(__NR_exit, ret < 0 && errno == ENOSYS ? PROBE_OK : 2);
		}
		int status = wait_for(pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), PROBE_OK);
		policy_filter_release(&filter);
	}
}

static void test_install_reports(void **state)
{
	struct sock_fprog empty = { .len = 0, .filter = NULL };
	const struct policy_filter bad = { .prog = &empty };
	(void)state;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(policy_install(&bad) < 0 ? PROBE_OK : 1);
	assert_int_equal(WEXITSTATUS(wait_for(pid)), PROBE_OK);
}

/* A thread under a filter can wait, be woken and be joined: what libc does for that is allowed. */
struct gate {
	const struct policy_filter *filter;
	_Atomic uint32_t open; /* futex word */
};

static void *wait_at_gate(void *opaque)
{
	struct gate *gate = opaque;
	if (policy_install(gate->filter) != 0)
		return gate;
	while (!gate->open)
		syscall(SYS_futex, &gate->open, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return NULL;
}

static void thread_under(const struct policy_filter *filter, const struct policy_filter *own)
{
	struct gate gate = { .filter = filter };
	pthread_t thread;
	void *result = NULL;

	child_setup();
	if (pthread_create(&thread, NULL, wait_at_gate, &gate) != 0)
		_exit(1);
	usleep(1000);
	if (policy_install(own) != 0)
		_exit(1);
	gate.open = 1;
	syscall(SYS_futex, &gate.open, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	if (pthread_join(thread, &result) != 0 || result)
		_exit(2);
	_exit(PROBE_OK);
}

static void test_thread_life(void **state)
{
	static const struct policy *const roles[] = { &policy_vcpu, &policy_vfio_worker };
	struct policy_filter filter, own;
	(void)state;

	if (UNDER_ASAN)
		skip();
	build(&policy_main, sim_fds, &own);
	for (unsigned i = 0; i < 2; i++) {
		build(roles[i], sim_fds, &filter);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			thread_under(&filter, &own);
		int status = wait_for(pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != PROBE_OK)
			fail_msg("%s: thread ended with status %#x", roles[i]->role, status);
		policy_filter_release(&filter);
	}
	policy_filter_release(&own);
}

static void test_not_under_tsan(void **state)
{
	(void)state;
	skip();
}

int main(void)
{
	const struct CMUnitTest none[] = { cmocka_unit_test(test_not_under_tsan) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absent_calls_kill),
		cmocka_unit_test(test_each_rule),
		cmocka_unit_test(test_high_bit_ioctl),
		cmocka_unit_test(test_disguised_fd),
		cmocka_unit_test(test_kills_process),
		cmocka_unit_test(test_clone3),
		cmocka_unit_test(test_install_reports),
		cmocka_unit_test(test_thread_life),
	};
	if (UNDER_TSAN)
		return cmocka_run_group_tests(none, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
