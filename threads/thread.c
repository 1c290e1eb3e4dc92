/* SPDX-License-Identifier: Apache-2.0 */
/* thread.c - the only pthread_create: named, small stack, signals blocked, filter first. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/policy.h>
#include <portcullis/thread.h>

#define STACK_SIZE (256u << 10)

struct start {
	const struct policy_filter *filter;
	_Atomic int *tid;
	void *(*fn)(void *);
	void *arg;
	char name[16];
};

static void *entry(void *opaque)
{
	struct start start = *(struct start *)opaque;

	free(opaque);
	prctl(PR_SET_NAME, start.name);
	if (start.tid)
		atomic_store(start.tid, gettid());
	if (start.filter && policy_install(start.filter)) {
		log_error("%s: cannot install its seccomp filter", start.name);
		_exit(1);
	}
	return start.fn(start.arg);
}

int thread_start(pthread_t *out, const char *name, const struct policy_filter *filter,
	_Atomic int *tid, void *(*fn)(void *), void *arg)
{
	struct start *start = calloc(1, sizeof(*start));
	pthread_attr_t attr;
	sigset_t all, old;
	int ret;

	if (!start)
		return -ENOMEM;
	*start = (struct start){ .filter = filter, .tid = tid, .fn = fn, .arg = arg };
	strncpy(start->name, name, sizeof(start->name) - 1);
	ret = pthread_attr_init(&attr);
	if (ret) {
		free(start);
		return -ret;
	}
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	sigdelset(&all, THREAD_KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(out, &attr, entry, start);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		free(start);
	return -ret;
}
