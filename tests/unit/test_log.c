/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_log.c - lines as they arrive at the other end of a pipe. The log is compiled into this
 * program for its calendar's sake.
 */
#include "../../src/base/log.c"

#include <ctype.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct pipe_log {
	int fds[2];
	char text[65536];
};

static int setup(void **state)
{
	static struct pipe_log p;

	if (pipe2(p.fds, O_NONBLOCK) < 0)
		return -1;
	log_setup(p.fds[1], LOG_LEVEL_INFO);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct pipe_log *p = *state;

	log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
	close(p->fds[0]);
	close(p->fds[1]);
	return 0;
}

static const char *logged(struct pipe_log *p)
{
	ssize_t n = read(p->fds[0], p->text, sizeof(p->text) - 1);

	p->text[n > 0 ? n : 0] = '\0';
	return p->text;
}

/* "2026-01-02T03:04:05.678Z " */
#define STAMP 25

static void level_and_text(void **state)
{
	struct pipe_log *p = *state;

	log_warn("%d of %s", 3, "four");
	assert_string_equal(logged(p) + STAMP, "warning: 3 of four\n");
	log_error("x");
	assert_string_equal(logged(p) + STAMP, "error: x\n");
	log_info("x");
	assert_string_equal(logged(p) + STAMP, "x\n");
	log_debug("x");
	assert_string_equal(logged(p), "");
	log_setup(p->fds[1], LOG_LEVEL_DEBUG);
	assert_int_equal(log_fd(), p->fds[1]);
	log_debug("x");
	assert_string_equal(logged(p) + STAMP, "debug: x\n");
}

static void stderr_has_the_name_and_no_stamp(void **state)
{
	struct pipe_log *p = *state;
	int saved = dup(STDERR_FILENO);

	assert_int_equal(dup2(p->fds[1], STDERR_FILENO), STDERR_FILENO);
	log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
	log_warn("x");
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_string_equal(logged(p), "portcullis: warning: x\n");
}

/* Every day of four centuries, against libc's calendar, which the log itself may not use. */
static void calendar(void **state)
{
	struct timespec at = { .tv_nsec = 7000000 };
	char ours[40], theirs[40];
	struct tm tm;

	(void)state;
	for (at.tv_sec = 86399; at.tv_sec < 400ll * 365 * 86400; at.tv_sec += 86400) {
		stamp(ours, sizeof(ours), &at);
		gmtime_r(&at.tv_sec, &tm);
		strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%S.007Z ", &tm);
		assert_string_equal(ours, theirs);
	}
}

static void stamp_is_utc_now(void **state)
{
	struct pipe_log *p = *state;
	struct tm tm = { 0 };
	struct timespec before, after;
	time_t stamped;

	/* The log's own clock: time() reads one that is a tick behind. */
	clock_gettime(CLOCK_REALTIME, &before);
	log_info("x");
	clock_gettime(CLOCK_REALTIME, &after);
	assert_non_null(strptime(logged(p), "%Y-%m-%dT%H:%M:%S", &tm));
	stamped = timegm(&tm);
	assert_true(stamped >= before.tv_sec && stamped <= after.tv_sec);
	assert_int_equal(p->text[19], '.');
	assert_true(isdigit((unsigned char)p->text[20]) && isdigit((unsigned char)p->text[22]));
	assert_int_equal(p->text[23], 'Z');
}

static void control_characters_are_tamed(void **state)
{
	struct pipe_log *p = *state;

	log_info("a\nb\x1b[2Jc\x7f");
	assert_string_equal(logged(p) + STAMP, "a?b?[2Jc?\n");
}

static void long_lines_are_cut(void **state)
{
	struct pipe_log *p = *state;
	char big[5000];
	size_t len;

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	len = strlen(logged(p));
	assert_true(len > 1000 && len <= 1200);
	assert_int_equal(p->text[len - 1], '\n');
	assert_ptr_equal(strchr(p->text, '\n'), p->text + len - 1);
}

static unsigned lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void site(int i)
{
	log_guest("guest did %d", i);
}

static void a_guest_cannot_fill_the_disk(void **state)
{
	struct pipe_log *p = *state;

	for (int i = 0; i < 100; i++)
		site(i);
	logged(p);
	assert_int_equal(lines(p->text), LOG_GUEST_MAX + 1);
	assert_non_null(strstr(p->text, "guest did 7\n"));
	assert_null(strstr(p->text, "guest did 8\n"));
	assert_non_null(strstr(p->text, "no more messages"));
	log_guest("another site");
	assert_int_equal(lines(logged(p)), 1);
}

/* The counter stays where it is: it cannot come round to 0 after 2^32 lines. */
static void counter_saturates(void **state)
{
	struct pipe_log *p = *state;
	atomic_uint count = UINT32_MAX;

	log_guest_limited(&count, "x");
	assert_string_equal(logged(p), "");
	assert_int_equal(count, UINT32_MAX);
}

static void full_pipe_is_no_error(void **state)
{
	(void)state;
	for (int i = 0; i < 5000; i++)
		log_info("0123456789012345678901234567890123456789");
}

/* Nobody reads: the pipe fills up, and nobody waits. The fd blocks, as stderr does. */
static void reader_stopped(void **state)
{
	struct pipe_log *p = *state;
	char page[4096] = { 0 };
	unsigned lost = 0;

	while (write(p->fds[1], page, sizeof(page)) > 0)
		;
	assert_int_equal(fcntl(p->fds[1], F_SETFL, 0), 0);
	for (; lost < 3; lost++)
		log_warn("nobody hears this");
	while (read(p->fds[0], p->text, sizeof(p->text)) > 0)
		;
	log_warn("somebody does");
	logged(p);
	assert_non_null(strstr(p->text, "3 messages were lost before this one\n"));
	assert_non_null(strstr(p->text, "somebody does\n"));
	assert_null(strstr(p->text, "nobody hears"));
	log_warn("once");
	assert_null(strstr(logged(p), "lost"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reader_stopped),
		TEST(level_and_text),
		TEST(stderr_has_the_name_and_no_stamp),
		TEST(stamp_is_utc_now),
		TEST(calendar),
		TEST(control_characters_are_tamed),
		TEST(long_lines_are_cut),
		TEST(a_guest_cannot_fill_the_disk),
		TEST(counter_saturates),
		TEST(full_pipe_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
