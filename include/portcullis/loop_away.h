/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_away.h - how long a loop's thread was away from its loop, and served nobody.
 *
 * Layer: L0. Who: the loop's thread alone.
 * Away:  from one return of epoll_wait() to the next call of it, whichever of nested steps makes
 *        it: while main steps its loop to wait for something, it serves the others.
 * Two clocks, because they answer different questions. The monotonic one says how long clients and
 *        guest had to wait, for whatever reason; the thread's processor time says how much of it
 *        was work. Wall without processor is waiting: for the kernel, for another thread, or for a
 *        processor on a busy machine (/proc/PID/task/TID/schedstat tells that apart, from outside).
 * Cost:  per step, two readings of the monotonic clock, which the vDSO answers, and one
 *        clock_gettime() that the kernel answers. Loops that nobody asks about pay nothing.
 */
#ifndef PORTCULLIS_LOOP_AWAY_H
#define PORTCULLIS_LOOP_AWAY_H

#include <stdbool.h>
#include <stdint.h>

struct loop_away {
	uint64_t steps; /* that have ended */
	/* Nanoseconds of the longest one by each clock; they need not be the same step. */
	uint64_t longest_ns, longest_cpu_ns;

	/* the measurement's own */
	bool on;
	uint64_t since_ns; /* when epoll_wait() returned; 0: it has not yet */
	uint64_t cpu_ns;   /* the thread's processor time when it was last called */
};

/* epoll_wait() has returned. */
void loop_away_begin(struct loop_away *away);
/* epoll_wait() is about to be called. */
void loop_away_end(struct loop_away *away);
/* The figures begin anew with the step that is under way. */
void loop_away_forget(struct loop_away *away);

#endif
