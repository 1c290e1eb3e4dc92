/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop_away.c - how long a loop's thread was away from it, on clocks that the test turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <portcullis/loop.h>
#include <portcullis/sys.h>

#define MS 1000000u

static uint64_t wall_ns, cpu_ns;
static unsigned readings;

/* Instead of libc's, in the whole program. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	uint64_t ns = clock == CLOCK_THREAD_CPUTIME_ID ? cpu_ns : wall_ns;

	readings++;
	*now = (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u) };
	return 0;
}

struct work {
	struct mail mail;
	struct loop *loop;
	unsigned waits_ms, works_ms; /* asleep in a call; busy */
	struct work *inside; /* done in a step within this one's, after a long sleep there */
};

static void pass(unsigned waits_ms, unsigned works_ms)
{
	wall_ns += (uint64_t)(waits_ms + works_ms) * MS;
	cpu_ns += (uint64_t)works_ms * MS;
}

static void work(struct mail *mail)
{
	struct work *w = (struct work *)mail;

	pass(w->waits_ms, w->works_ms);
	if (!w->inside)
		return;
	loop_post(w->loop, &w->inside->mail);
	loop_step(w->loop, 0);
	pass(w->waits_ms, w->works_ms);
}

static struct loop loop;

static int setup(void **state)
{
	(void)state;
	wall_ns = 5000 * MS;
	cpu_ns = 700 * MS;
	if (loop_init(&loop))
		return -1;
	loop.away.on = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_release(&loop);
	return 0;
}

static void do_work(struct work *w)
{
	w->mail.run = work;
	w->loop = &loop;
	loop_post(&loop, &w->mail);
	loop_step(&loop, 0);
}

/*
 * A step counts from where epoll_wait() returns to where it is called again: time between is not
 * away.
 */
static void longest_by_each_clock(void **state)
{
	struct work waits = { .waits_ms = 30 }, works = { .works_ms = 20 },
		    little = { .waits_ms = 1 };
	(void)state;

	do_work(&waits);
	assert_int_equal(loop.away.steps, 0); /* it has not ended: no one has called epoll_wait() */
	do_work(&works);
	assert_int_equal(loop.away.steps, 1);
	assert_int_equal(loop.away.longest_ns, 30 * MS);
	assert_int_equal(loop.away.longest_cpu_ns, 0);
	do_work(&little);
	loop_step(&loop, 0);
	assert_int_equal(loop.away.steps, 3);
	assert_int_equal(loop.away.longest_ns, 30 * MS);
	assert_int_equal(loop.away.longest_cpu_ns, 20 * MS);
	loop_away_forget(&loop.away);
	assert_int_equal(loop.away.steps, 0);
	do_work(&little);
	loop_step(&loop, 0);
	assert_int_equal(loop.away.steps, 2);
	assert_int_equal(loop.away.longest_ns, 1 * MS);
	assert_int_equal(loop.away.longest_cpu_ns, 0);
}

/* A callback that steps the loop while it waits is away before and after, not meanwhile. */
static void steps_within_steps(void **state)
{
	struct work inner = { .mail.run = work, .loop = &loop, .waits_ms = 7 };
	struct work outer = { .waits_ms = 10, .works_ms = 3, .inside = &inner };
	(void)state;

	do_work(&outer);
	loop_step(&loop, 0);
	/* 13 before the inner step; 7 in it and 13 after it. */
	assert_int_equal(loop.away.steps, 2);
	assert_int_equal(loop.away.longest_ns, 20 * MS);
	assert_int_equal(loop.away.longest_cpu_ns, 3 * MS);
}

/* What a thread did before its first step is not the loop's. */
static void before_the_first_step(void **state)
{
	(void)state;
	pass(1000, 1000);
	loop_step(&loop, 0);
	loop_step(&loop, 0);
	assert_int_equal(loop.away.longest_ns, 0);
	assert_int_equal(loop.away.longest_cpu_ns, 0);
}

/* Per step, with no timer waiting: two more readings of one clock and one of the other, or none. */
static void cost(void **state)
{
	unsigned unmeasured;
	(void)state;

	loop.away.on = false;
	readings = 0;
	loop_step(&loop, 0);
	unmeasured = readings;
	loop.away.on = true;
	loop_step(&loop, 0);
	readings = 0;
	loop_step(&loop, 0);
	assert_int_equal(readings, unmeasured + 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int raise_limit(void **state)
{
	(void)state;
	return sys_fd_limit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(longest_by_each_clock),
		TEST(steps_within_steps),
		TEST(before_the_first_step),
		TEST(cost),
	};

	return cmocka_run_group_tests(tests, raise_limit, NULL);
}
