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
#include <stdlib.h>
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
	log_setup(p->fds[1], LOG_LEVEL_INFO);
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

/* --- readers that have stopped --- */

#define MANY 3000
#define A_LINE "a line of some length, as they are: with a device's name, an address and a reason"

/* Nobody reads: this comes back all the same, and the next reader learns how much is missing. */
static void stopped_reader(int reader, int fd)
{
	static char text[1 << 20];
	size_t used = 0;
	ssize_t n;

	log_setup_stderr(fd, LOG_LEVEL_INFO);
	assert_true(log_is_stderr());
	for (unsigned i = 0; i < MANY; i++)
		log_info("%u " A_LINE, i);
	assert_int_not_equal(log_lost, 0);
	while ((n = read(reader, text, sizeof(text))) > 0)
		;
	log_info("the last");
	while (used < sizeof(text) - 1 && !strstr(text, "the last") &&
		(n = read(reader, text + used, sizeof(text) - 1 - used)) > 0) {
		used += (size_t)n;
		text[used] = '\0';
	}
	assert_non_null(strstr(text, " messages were lost before this one"));
	assert_non_null(strstr(text, "portcullis: the last"));
	if (log_fd() != fd)
		close(log_fd());
}

static void a_terminal_nobody_reads(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave;
	(void)state;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	alarm(60); /* it would wait for ever */
	stopped_reader(master, slave);
	alarm(0);
	assert_false(fcntl(slave, F_GETFL) & O_NONBLOCK); /* others' business */
	close(slave);
	close(master);
}

static const char *shown(int master, char *text, size_t room)
{
	ssize_t n = 0;

	for (unsigned i = 0; i < 1000 && n <= 0; i++, usleep(1000))
		n = read(master, text, room - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* A line that takes the place of the last, and gives it up to any message. */
static void progress_on_a_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave;
	struct pipe_log *p = *state;
	char text[256];

	log_progress("to nobody"); /* a file of our own */
	assert_string_equal(logged(p), "");
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	log_setup_stderr(slave, LOG_LEVEL_INFO);
	log_progress(NULL); /* there is none */
	log_progress("1 of 2");
	assert_string_equal(shown(master, text, sizeof(text)), "\r\033[Kportcullis: 1 of 2");
	log_info("x");
	assert_string_equal(shown(master, text, sizeof(text)), "\r\033[Kportcullis: x\r\n");
	log_info("y");
	assert_string_equal(shown(master, text, sizeof(text)), "portcullis: y\r\n");
	log_progress("2 of 2");
	assert_string_equal(shown(master, text, sizeof(text)), "\r\033[Kportcullis: 2 of 2");
	log_progress(NULL);
	assert_string_equal(shown(master, text, sizeof(text)), "\r\033[K");
	log_info("z");
	assert_string_equal(shown(master, text, sizeof(text)), "portcullis: z\r\n");
	if (log_fd() != slave)
		close(log_fd());
	close(slave);
	close(master);
}

/* As stderr, but no terminal. */
static void no_progress_on_a_pipe(void **state)
{
	struct pipe_log *p = *state;

	log_setup_stderr(p->fds[1], LOG_LEVEL_INFO);
	log_progress("1 of 2");
	log_progress(NULL);
	log_info("x");
	assert_string_equal(logged(p), "portcullis: x\n");
	if (log_fd() != p->fds[1])
		close(log_fd());
}

static void a_pipe_nobody_reads(void **state)
{
	int fds[2];
	(void)state;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	alarm(60);
	stopped_reader(fds[0], fds[1]);
	alarm(0);
	assert_false(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	close(fds[0]);
	close(fds[1]);
}

static void a_socket_nobody_reads(void **state)
{
	int fds[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	alarm(60);
	stopped_reader(fds[0], fds[1]);
	alarm(0);
	assert_int_equal(log_manner, SEND);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reader_stopped),
		TEST(a_terminal_nobody_reads),
		TEST(a_pipe_nobody_reads),
		TEST(a_socket_nobody_reads),
		TEST(progress_on_a_terminal),
		TEST(no_progress_on_a_pipe),
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
