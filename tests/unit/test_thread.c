/* SPDX-License-Identifier: Apache-2.0 */
/* test_thread.c - how threads are born: name, number, signals, filter before anything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <portcullis/policy.h>
#include <portcullis/thread.h>

/* A sanitizer has a heap of its own, and calls of its own. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#define SANITIZED                                                                                  \
	(__has_feature(thread_sanitizer) || __has_feature(address_sanitizer) || GCC_SANITIZED)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GCC_SANITIZED 1
#else
#define GCC_SANITIZED 0
#endif

struct seen {
	char name[16];
	int tid, seccomp;
	sigset_t blocked;
};

static void *look(void *opaque)
{
	struct seen *seen = opaque;

	prctl(PR_GET_NAME, seen->name);
	seen->tid = gettid();
	seen->seccomp = prctl(PR_GET_SECCOMP);
	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	return opaque;
}

/* A filter that allows everything: the thread can tell that it has one. */
static struct sock_filter allow[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
static struct sock_fprog allow_all = { .len = 1, .filter = allow };
static const struct policy_filter some = { .prog = &allow_all };

static void test_birth(void **state)
{
	struct seen seen = { .tid = 0 };
	_Atomic int tid = 0;
	pthread_t thread;
	void *result;
	(void)state;

	assert_int_equal(thread_start(&thread, "a name that is long", &some, &tid, look, &seen), 0);
	assert_int_not_equal(tid, 0); /* known when thread_start() returns */
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &seen);
	assert_int_equal(seen.tid, tid);
	assert_string_equal(seen.name, "a name that is ");
	assert_int_equal(seen.seccomp, SECCOMP_MODE_FILTER);
	assert_int_equal(prctl(PR_GET_SECCOMP), SECCOMP_MODE_DISABLED); /* its own only */
}

static void test_signals(void **state)
{
	struct seen seen = { .tid = 0 };
	sigset_t before, after;
	pthread_t thread;
	(void)state;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(thread_start(&thread, "t", NULL, NULL, look, &seen), 0);
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(seen.seccomp, SECCOMP_MODE_DISABLED);
	assert_true(sigismember(&seen.blocked, SIGTERM));
	assert_true(sigismember(&seen.blocked, SIGINT));
	assert_false(sigismember(&seen.blocked, THREAD_KICK_SIGNAL));
	assert_false(sigismember(&seen.blocked, SIGBUS)); /* see sigbus.c */
	for (int sig = 1; sig < NSIG; sig++)
		assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

/* Without its filter a thread does nothing at all. */
static void test_no_filter_no_thread(void **state)
{
	struct sock_fprog empty = { .len = 0 };
	const struct policy_filter bad = { .prog = &empty };
	struct seen seen = { .tid = 0 };
	pthread_t thread;
	(void)state;

	assert_true(thread_start(&thread, "t", &bad, NULL, look, &seen) < 0);
	assert_int_equal(seen.tid, 0);
}

#define BLOCKS 4000

struct heap_use {
	struct policy_filter main, worker;
	void *block[BLOCKS];
};

static void *allocate(void *opaque)
{
	struct heap_use *use = opaque;

	for (unsigned i = 0; i < BLOCKS; i++)
		use->block[i] = malloc(1000);
	return NULL;
}

static void free_what_a_worker_allocated(struct heap_use *use)
{
	pthread_t thread;

	threads_init();
	if (thread_start(&thread, "worker", &use->worker, NULL, allocate, use) ||
		policy_install(&use->main))
		_exit(1);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		free(use->block[i]);
	malloc_trim(0);
	_exit(7);
}

/* Devices are allocated by workers and freed by main, each under its filter. */
static void test_one_heap(void **state)
{
	static const int fds[POLICY_FDS] = { -1, -1, -1, -1 };
	struct heap_use use = { .block = { NULL } };
	int status;
	pid_t pid;
	(void)state;

	if (SANITIZED)
		skip();
	assert_int_equal(policy_build(&policy_main, fds, &use.main, NULL), 0);
	assert_int_equal(policy_build(&policy_vfio_worker, fds, &use.worker, NULL), 0);
	pid = fork();
	if (pid == 0)
		free_what_a_worker_allocated(&use);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	policy_filter_release(&use.main);
	policy_filter_release(&use.worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_birth),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_no_filter_no_thread),
		cmocka_unit_test(test_one_heap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
