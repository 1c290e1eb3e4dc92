/* SPDX-License-Identifier: Apache-2.0 */
/* loop_away.c - how long a loop's thread was away from its loop. */
#include <portcullis/loop_away.h>

#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void keep_longest(uint64_t *longest, uint64_t ns)
{
	if (ns > *longest)
		*longest = ns;
}

void loop_away_begin(struct loop_away *away)
{
	if (away->on)
		away->since_ns = read_clock(CLOCK_MONOTONIC);
}

void loop_away_end(struct loop_away *away)
{
	uint64_t cpu;

	if (!away->on)
		return;
	/* One reading per step is enough: epoll_wait() itself takes next to nothing. */
	cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
	if (away->since_ns) {
		away->steps++;
		keep_longest(&away->longest_ns, read_clock(CLOCK_MONOTONIC) - away->since_ns);
		keep_longest(&away->longest_cpu_ns, cpu - away->cpu_ns);
	}
	away->cpu_ns = cpu;
}

void loop_away_forget(struct loop_away *away)
{
	away->steps = away->longest_ns = away->longest_cpu_ns = 0;
}
