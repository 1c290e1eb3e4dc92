/* SPDX-License-Identifier: Apache-2.0 */
/* test_closer.c - what clients handed over is closed, once, and by nobody who has no time. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "slow_close.h"

#define FDS 200

static struct slow_close slow;

static int setup(void **state)
{
	(void)state;
	slow_close_start(&slow);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	slow_close_stop(&slow);
	return 0;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void nobody_else_waits(void **state)
{
	(void)state;

	closer_closep(&slow.closer, &slow.fd);
	assert_int_equal(slow.fd, -1);
	slow_close_expect(&slow);
}

/* Those that come meanwhile have their turn after it, each once. */
static void every_one_once(void **state)
{
	int fd[FDS];
	(void)state;

	closer_close(&slow.closer, slow.fd);
	slow_close_expect(&slow);
	for (unsigned i = 0; i < FDS; i++) {
		fd[i] = dup(slow.peer);
		assert_true(fd[i] >= 0);
	}
	for (unsigned i = 0; i < FDS; i++)
		closer_close(&slow.closer, fd[i]);
	closer_close(&slow.closer, -1);
	assert_int_equal(atomic_load(&slow.closer.left), FDS + 1);
	slow_close_stop(&slow);
	for (unsigned i = 0; i < FDS; i++)
		assert_false(is_open(fd[i]));
	slow_close_start(&slow); /* for teardown */
	closer_close(&slow.closer, slow.fd);
}

/* A client that hands over ever more of them is not listened to. */
static void enough(void **state)
{
	(void)state;
	closer_close(&slow.closer, slow.fd);
	slow_close_expect(&slow);
	for (unsigned i = 0; i < CLOSER_ENOUGH; i++) {
		assert_false(closer_full(&slow.closer));
		closer_close(&slow.closer, dup(slow.peer));
	}
	assert_true(closer_full(&slow.closer));
	assert_false(closer_full(NULL));
}

/* The peer of a connection hears at once that it has ended. */
static void a_hang_up_is_heard(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2];
	(void)state;

	closer_close(&slow.closer, slow.fd);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	closer_hang_up(&slow.closer, &fds[0]);
	assert_int_equal(fds[0], -1);
	p.fd = fds[1];
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(read(fds[1], &(char){ 0 }, 1), 0);
	close(fds[1]);
}

static void without_a_thread(void **state)
{
	int fd = dup(slow.peer);
	(void)state;

	closer_close(NULL, fd);
	assert_false(is_open(fd));
	closer_close(NULL, -1);
	closer_close(&slow.closer, slow.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nobody_else_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(every_one_once, setup, teardown),
		cmocka_unit_test_setup_teardown(enough, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hang_up_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_thread, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
