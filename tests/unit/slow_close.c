/* SPDX-License-Identifier: Apache-2.0 */
/* slow_close.c - a TCP connection to ourselves that lingers. */
#include "slow_close.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/scm.h>
#include <portcullis/thread.h>

#include "send_fds.h"

#define LINGER_S 60
#define WAIT_TICKS 20000
#define BUSY_TICKS 50
#define TICK_US 1000

static void connect_to_self(struct slow_close *slow)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(listen(listener, 1), 0);
	slow->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(slow->fd, (struct sockaddr *)&addr, len), 0);
	slow->peer = accept(listener, NULL, NULL);
	assert_true(slow->peer >= 0);
	close(listener);
}

void slow_close_start(struct slow_close *slow)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = LINGER_S };
	static const char data[65536];

	connect_to_self(slow);
	assert_int_equal(setsockopt(slow->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(slow->fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(closer_init(&slow->closer), 0);
	assert_int_equal(pthread_create(&slow->thread, NULL, closer_thread, &slow->closer), 0);
	slow->closer.served = true;
}

void slow_close_send(struct slow_close *slow, int socket, const char *text, unsigned n)
{
	int fds[SCM_FDS_MAX];

	for (unsigned i = 0; i < n; i++)
		fds[i] = i < n - 1 ? slow->peer : slow->fd;
	send_fds(socket, text, fds, n);
	close(slow->fd);
	slow->fd = -1;
}

void slow_close_expect(struct slow_close *slow)
{
	/* It would be through with anything else by then. */
	for (unsigned i = 0; i < BUSY_TICKS; i++) {
		assert_true(closer_busy(&slow->closer));
		usleep(TICK_US);
	}
}

void slow_close_stop(struct slow_close *slow)
{
	static char data[65536];

	while (recv(slow->peer, data, sizeof(data), 0) > 0)
		;
	close(slow->peer);
	for (unsigned i = 0; i < WAIT_TICKS && closer_busy(&slow->closer); i++)
		usleep(TICK_US);
	assert_false(closer_busy(&slow->closer));
	loop_end(&slow->closer.loop);
	pthread_join(slow->thread, NULL);
	slow->closer.served = false;
	closer_release(&slow->closer);
}
