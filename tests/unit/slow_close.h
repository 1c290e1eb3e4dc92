/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow_close.h - an fd whose close() waits for somebody, as a client may hand it over; and the
 * closer's thread.
 */
#ifndef TESTS_SLOW_CLOSE_H
#define TESTS_SLOW_CLOSE_H

#include <pthread.h>

#include <portcullis/closer.h>

struct slow_close {
	struct closer closer;
	pthread_t thread;
	int fd;	  /* a TCP socket with SO_LINGER and data that nobody has read; the test's */
	int peer; /* who should read it */
};

void slow_close_start(struct slow_close *slow);
/*
 * Text on a unix socket, and n fds with it, the slow one last, of which the test has no copy then.
 */
void slow_close_send(struct slow_close *slow, int socket, const char *text, unsigned n);
/* It is with the closer, who waits. */
void slow_close_expect(struct slow_close *slow);
/* The peer reads; the closer comes to its end. */
void slow_close_stop(struct slow_close *slow);

#endif
