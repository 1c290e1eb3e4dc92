/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.c - mail, timers and fds, in one thread. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/debug.h>
#include <portcullis/loop.h>
#include <portcullis/sys.h>

static int setup(void **state)
{
	static struct loop loop;

	*state = &loop;
	return loop_init(&loop);
}

static int teardown(void **state)
{
	loop_release(*state);
	return 0;
}

/* --- mail --- */

struct letter {
	struct mail mail;
	struct loop *loop;
	char name;
	char *log;
	unsigned repeat;
	struct letter *also;
};

static void note(struct mail *mail)
{
	struct letter *letter = (struct letter *)mail;

	strncat(letter->log, &letter->name, 1);
	if (letter->repeat && letter->repeat--)
		loop_post(letter->loop, mail);
	if (letter->also)
		loop_post(letter->loop, &letter->also->mail);
}

static void mail_in_order(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct letter a = { { .run = note }, loop, 'a', log, 0, NULL };
	struct letter b = { { .run = note }, loop, 'b', log, 0, NULL };
	struct letter c = { { .run = note }, loop, 'c', log, 0, NULL };

	loop_post(loop, &b.mail);
	loop_post(loop, &a.mail);
	loop_post(loop, &c.mail);
	loop_step(loop, 0);
	assert_string_equal(log, "bac");
	loop_post(loop, &a.mail);
	loop_step(loop, -1);
	assert_string_equal(log, "baca");
	loop_step(loop, 0);
	assert_string_equal(log, "baca");
}

/* What is behind it, in front of it, or nothing at all is there: the mailbox stays whole. */
static void mail_taken_back(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct letter a = { { .run = note }, loop, 'a', log, 0, NULL };
	struct letter b = { { .run = note }, loop, 'b', log, 0, NULL };
	struct letter c = { { .run = note }, loop, 'c', log, 0, NULL };

	assert_false(loop_take_back(loop, &a.mail));
	loop_post(loop, &a.mail);
	loop_post(loop, &b.mail);
	loop_post(loop, &c.mail);
	assert_true(loop_take_back(loop, &b.mail));
	assert_false(loop_take_back(loop, &b.mail));
	assert_true(loop_take_back(loop, &c.mail));
	loop_post(loop, &b.mail);
	assert_true(loop_take_back(loop, &a.mail));
	assert_int_equal(loop->count, 1);
	loop_post(loop, &c.mail);
	loop_step(loop, 0);
	assert_string_equal(log, "bc");
	loop_post(loop, &a.mail);
	assert_true(loop_take_back(loop, &a.mail));
	loop_step(loop, 0);
	loop_post(loop, &b.mail);
	loop_step(loop, 0);
	assert_string_equal(log, "bcb");
}

/* A bug, at which builds with checks stop; the others go on with a mailbox that is whole. */
static void mail_posted_twice(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct letter a = { { .run = note }, loop, 'a', log, 0, NULL };
	struct letter b = { { .run = note }, loop, 'b', log, 0, NULL };
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		(void)freopen("/dev/null", "w", stderr);
		loop_post(loop, &a.mail);
		loop_post(loop, &b.mail);
		loop_post(loop, &a.mail);
		loop_step(loop, 0);
		_exit(loop->count || strcmp(log, "ab"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (DEBUG_CHECKS)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Mail posted by mail runs in the next step, which does not sleep for it. */
static void mail_posting_mail(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct letter b = { { .run = note }, loop, 'b', log, 0, NULL };
	struct letter a = { { .run = note }, loop, 'a', log, 2, NULL };
	struct letter c = { { .run = note }, loop, 'c', log, 0, &b };

	loop_post(loop, &a.mail);
	loop_post(loop, &c.mail);
	loop_step(loop, -1);
	assert_string_equal(log, "ac");
	loop_step(loop, -1);
	assert_string_equal(log, "acab");
	loop_step(loop, -1);
	assert_string_equal(log, "acaba");
}

struct waiter {
	struct mail mail;
	struct loop *loop;
	char *log;
};

/* What a main thread does that waits for a worker: steps its own loop from within mail. */
static void wait_for_b(struct mail *mail)
{
	struct waiter *w = (struct waiter *)mail;

	strcat(w->log, "(");
	while (!strchr(w->log, 'b'))
		loop_step(w->loop, -1);
	strcat(w->log, ")");
}

static void mail_waiting_for_mail(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct waiter w = { { .run = wait_for_b }, loop, log };
	struct letter a = { { .run = note }, loop, 'a', log, 0, NULL };
	struct letter b = { { .run = note }, loop, 'b', log, 0, NULL };

	loop_post(loop, &w.mail);
	loop_post(loop, &a.mail);
	loop_post(loop, &b.mail);
	loop_step(loop, -1);
	assert_string_equal(log, "(ab)");
}

/* A flood of mail leaves fds and timers their turn, and all of it is run, in order. */
static void count_letters(void *opaque, uint32_t events)
{
	struct letter *letters = opaque;
	size_t seen = strlen(letters->log);

	(void)events; /* the fd stays ready */
	assert_true(seen - letters->repeat <= LOOP_MAIL_AT_ONCE);
	letters->repeat = (unsigned)seen;
}

static void mail_leaves_others_their_turn(void **state)
{
	struct loop *loop = *state;
	char log[65] = "", want[65] = "";
	struct letter letters[64], seen = { .log = log };
	struct loop_fd lfd = { .fd = sys_eventfd(), .fn = count_letters, .opaque = &seen };

	sys_eventfd_signal(lfd.fd);
	assert_int_equal(loop_fd_add(loop, &lfd, EPOLLIN), 0);
	for (unsigned i = 0; i < 64; i++) {
		letters[i] =
			(struct letter){ { .run = note }, loop, (char)('0' + i), log, 0, NULL };
		want[i] = (char)('0' + i);
		loop_post(loop, &letters[i].mail);
	}
	while (loop->count)
		loop_step(loop, -1);
	assert_string_equal(log, want);
	assert_true(seen.repeat >= 64 - LOOP_MAIL_AT_ONCE);
	loop_fd_del(loop, &lfd);
	sys_close(lfd.fd);
}

/* --- timers --- */

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	char name;
	char *log;
	unsigned repeat;
	uint64_t at;
	struct loop_timer *cancels;
};

static void ring(void *opaque)
{
	struct alarm *alarm = opaque;

	alarm->at = loop_now_ms();
	strncat(alarm->log, &alarm->name, 1);
	if (alarm->cancels)
		loop_timer_cancel(alarm->loop, alarm->cancels);
	if (alarm->repeat && alarm->repeat--)
		loop_timer_set(alarm->loop, &alarm->timer, 0);
}

static struct alarm alarm_make(struct loop *loop, char name, char *log)
{
	return (struct alarm){ .timer.fn = ring, .loop = loop, .name = name, .log = log };
}

static void timers_in_order(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct alarm a = alarm_make(loop, 'a', log), b = alarm_make(loop, 'b', log);
	struct alarm c = alarm_make(loop, 'c', log), d = alarm_make(loop, 'd', log);
	uint64_t start;

	a.timer.opaque = &a;
	b.timer.opaque = &b;
	c.timer.opaque = &c;
	d.timer.opaque = &d;
	/* Set within 5 ms, or once more: they count from when each is set. */
	do {
		start = loop_now_ms();
		loop_timer_set(loop, &c.timer, 30);
		loop_timer_set(loop, &a.timer, 5);
		loop_timer_set(loop, &b.timer, 20);
		loop_timer_set(loop, &d.timer, 10);
	} while (loop_now_ms() - start > 5);
	loop_timer_cancel(loop, &d.timer);
	loop_timer_cancel(loop, &d.timer);
	assert_true(b.timer.armed);
	assert_false(d.timer.armed);
	while (c.timer.armed)
		loop_step(loop, -1);
	assert_string_equal(log, "abc");
	assert_true(a.at - start >= 5);
	assert_true(b.at - start >= 20);
	assert_true(c.at - start >= 30);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not by a fraction of a millisecond either. */
static void timers_are_never_early(void **state)
{
	struct loop *loop = *state;

	for (unsigned i = 0; i < 20; i++) {
		char log[16] = "";
		struct alarm a = alarm_make(loop, 'a', log);
		uint64_t start = now_ns();

		a.timer.opaque = &a;
		loop_timer_set(loop, &a.timer, 1);
		while (a.timer.armed)
			loop_step(loop, -1);
		assert_true(now_ns() - start >= 1000000);
	}
}

static void timer_set_again_moves(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct alarm a = alarm_make(loop, 'a', log), b = alarm_make(loop, 'b', log);

	a.timer.opaque = &a;
	b.timer.opaque = &b;
	loop_timer_set(loop, &a.timer, 0);
	loop_timer_set(loop, &b.timer, 5);
	loop_timer_set(loop, &a.timer, 15);
	while (a.timer.armed)
		loop_step(loop, -1);
	assert_string_equal(log, "ba");
	loop_timer_set(loop, &a.timer, UINT64_MAX); /* for ever, not in the past */
	loop_step(loop, 5);
	assert_string_equal(log, "ba");
	assert_true(a.timer.armed);
	loop_timer_cancel(loop, &a.timer);
}

static void timer_callbacks_change_timers(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct alarm a = alarm_make(loop, 'a', log), b = alarm_make(loop, 'b', log);

	a.timer.opaque = &a;
	b.timer.opaque = &b;
	a.cancels = &b.timer;
	a.repeat = 3;
	loop_timer_set(loop, &a.timer, 0);
	loop_timer_set(loop, &b.timer, 1);
	usleep(3000);
	while (a.timer.armed)
		loop_step(loop, -1);
	assert_string_equal(log, "aaaa");
	assert_false(b.timer.armed);
}

static void step_does_not_oversleep(void **state)
{
	struct loop *loop = *state;
	char log[16] = "";
	struct alarm a = alarm_make(loop, 'a', log);
	uint64_t start = loop_now_ms();

	a.timer.opaque = &a;
	loop_timer_set(loop, &a.timer, 100000);
	loop_step(loop, 10);
	assert_in_range(loop_now_ms() - start, 10, 5000);
	loop_timer_cancel(loop, &a.timer);
	assert_string_equal(log, "");
}

/* --- fds --- */

struct watched {
	struct loop_fd lfd;
	struct loop *loop;
	unsigned calls;
	uint32_t events;
	struct watched *removes; /* freed as well */
};

static void on_event(void *opaque, uint32_t events)
{
	struct watched *w = opaque;

	w->calls++;
	w->events = events;
	sys_eventfd_drain(w->lfd.fd);
	if (w->removes) {
		loop_fd_del(w->loop, &w->removes->lfd);
		sys_close(w->removes->lfd.fd);
		free(w->removes);
		w->removes = NULL;
	}
}

static struct watched *watch(struct loop *loop)
{
	struct watched *w = calloc(1, sizeof(*w));

	w->lfd = (struct loop_fd){ .fd = sys_eventfd(), .fn = on_event, .opaque = w };
	w->loop = loop;
	assert_int_equal(loop_fd_add(loop, &w->lfd, EPOLLIN), 0);
	return w;
}

static void unwatch(struct watched *w)
{
	loop_fd_del(w->loop, &w->lfd);
	sys_close(w->lfd.fd);
	free(w);
}

static void fds(void **state)
{
	struct loop *loop = *state;
	struct watched *w = watch(loop);
	struct loop_fd bad = { .fd = -1, .fn = on_event };

	loop_step(loop, 0);
	assert_int_equal(w->calls, 0);
	sys_eventfd_signal(w->lfd.fd);
	loop_step(loop, -1);
	assert_int_equal(w->calls, 1);
	assert_int_equal(w->events, EPOLLIN);
	assert_int_equal(loop_fd_mod(loop, &w->lfd, EPOLLOUT), 0);
	loop_step(loop, -1);
	assert_int_equal(w->events, EPOLLOUT);
	assert_int_equal(loop_fd_add(loop, &w->lfd, EPOLLIN), -EEXIST);
	assert_int_equal(loop_fd_add(loop, &bad, EPOLLIN), -EBADF);
	loop_fd_del(loop, &w->lfd);
	loop_step(loop, 0);
	assert_int_equal(w->calls, 2);
	assert_int_equal(loop_fd_mod(loop, &w->lfd, EPOLLIN), -ENOENT);
	unwatch(w);
}

/* Whichever comes first frees the other, whose event was already fetched. */
static void freeing_what_has_an_event(void **state)
{
	struct loop *loop = *state;
	struct watched *a = watch(loop), *b = watch(loop);
	int fd_a = a->lfd.fd, fd_b = b->lfd.fd;

	a->removes = b;
	b->removes = a;
	sys_eventfd_signal(fd_a);
	sys_eventfd_signal(fd_b);
	loop_step(loop, -1);
	/* Exactly one is left. */
	assert_int_not_equal(fcntl(fd_a, F_GETFD) >= 0, fcntl(fd_b, F_GETFD) >= 0);
	unwatch(fcntl(fd_a, F_GETFD) >= 0 ? a : b);
}

static void step_inside(void *opaque, uint32_t events)
{
	struct watched *w = opaque;

	(void)events;
	sys_eventfd_drain(w->lfd.fd);
	w->calls++;
	if (w->calls == 1)
		loop_step(w->loop, 0); /* here w->removes' event is handled, which frees a third */
}

/* An inner step frees what the outer one still has an event for. */
static void freeing_across_frames(void **state)
{
	struct loop *loop = *state;
	struct watched *outer = watch(loop), *killer = watch(loop), *victim = watch(loop);
	int victim_fd = victim->lfd.fd;

	outer->lfd.fn = step_inside;
	killer->removes = victim;
	sys_eventfd_signal(outer->lfd.fd);
	sys_eventfd_signal(killer->lfd.fd);
	sys_eventfd_signal(victim_fd);
	loop_step(loop, -1);
	assert_int_equal(outer->calls, 1);
	assert_true(fcntl(victim_fd, F_GETFD) < 0);
	unwatch(killer);
	unwatch(outer);
}

static void release_tolerates_anything(void **state)
{
	struct loop loop = { 0 };

	(void)state;
	loop_release(NULL);
	loop_release(&loop);
	assert_int_equal(loop_init(&loop), 0);
	loop_release(&loop);
	loop_release(&loop);
}

/* Without fds to be had, nothing is left behind. */
static void init_fails_cleanly(void **state)
{
	struct rlimit before, none;
	struct loop loop;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(loop_init(&loop), -EMFILE);
	none.rlim_cur = FD_ZONE_EVENT; /* epoll yes, eventfd zone no */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(loop_init(&loop), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(loop_init(&loop), 0);
	loop_release(&loop);
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
		TEST(mail_in_order),
		TEST(mail_taken_back),
		TEST(mail_posted_twice),
		TEST(mail_posting_mail),
		TEST(mail_waiting_for_mail),
		TEST(mail_leaves_others_their_turn),
		TEST(timers_in_order),
		TEST(timers_are_never_early),
		TEST(timer_set_again_moves),
		TEST(timer_callbacks_change_timers),
		TEST(step_does_not_oversleep),
		TEST(fds),
		TEST(freeing_what_has_an_event),
		TEST(freeing_across_frames),
		cmocka_unit_test(release_tolerates_anything),
		cmocka_unit_test(init_fails_cleanly),
	};

	return cmocka_run_group_tests(tests, raise_limit, NULL);
}
