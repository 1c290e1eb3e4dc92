/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.c - the only pthread_create: named, small stack, signals blocked, filter first.
 *
 * What a new thread needs to know lies on its creator's stack, not in allocated memory: a thread
 * that once touched malloc or free also does so when it ends, with calls that a vCPU's filter
 * does not allow.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <portcullis/futex.h>
#include <portcullis/policy.h>
#include <portcullis/thread.h>

#define STACK_SIZE (256u << 10)

struct start {
	const struct policy_filter *filter;
	_Atomic int *tid;
	void *(*fn)(void *);
	void *arg;
	char name[16];
	int error;		/* why it cannot run: -errno */
	_Atomic uint32_t ready; /* futex word: the thread is done with this structure */
};

static void *entry(void *opaque)
{
	struct start *start = opaque;
	void *(*fn)(void *) = start->fn;
	void *arg = start->arg;
	int error;

	prctl(PR_SET_NAME, start->name);
	if (start->tid)
		atomic_store(start->tid, gettid());
	error = start->filter ? policy_install(start->filter) : 0;
	start->error = error;
	atomic_store(&start->ready, 1);
	/* The creator may have seen it and returned: only the address is used. */
	futex_wake_all(&start->ready);
	return error ? NULL : fn(arg);
}

static int create(pthread_t *out, struct start *start)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int ret = pthread_attr_init(&attr);

	if (ret)
		return -ret;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	sigdelset(&all, THREAD_KICK_SIGNAL);
	sigdelset(&all, SIGBUS); /* blocked, it would kill without a word, or never be heard */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(out, &attr, entry, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

void threads_init(void)
{
	mallopt(M_ARENA_MAX, 1);
}

int thread_start(pthread_t *out, const char *name, const struct policy_filter *filter,
	_Atomic int *tid, void *(*fn)(void *), void *arg)
{
	struct start start = { .filter = filter, .tid = tid, .fn = fn, .arg = arg };
	int ret;

	strncpy(start.name, name, sizeof(start.name) - 1);
	ret = create(out, &start);
	if (ret)
		return ret;
	while (!atomic_load(&start.ready))
		futex_wait(&start.ready, 0);
	if (start.error)
		pthread_join(*out, NULL);
	return start.error;
}
