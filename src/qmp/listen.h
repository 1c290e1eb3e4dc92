/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.h - sockets that clients connect to. (private to src/qmp)
 *
 * Layer: L5. listen_open() runs before main is under its filter, the rest may run under it.
 */
#ifndef PORTCULLIS_QMP_LISTEN_H
#define PORTCULLIS_QMP_LISTEN_H

#include <sys/stat.h>

struct config_qmp;
struct err;

struct listen_socket {
	int fd;		  /* owned, -1: closed */
	const char *path; /* borrowed; NULL: TCP, or handed over */
	dev_t dev;	  /* of the name we made, so that only that is removed */
	ino_t ino;
};

/* Mode 0600 for unix sockets. -EADDRINUSE, -EEXIST, ... with text. */
int listen_open(struct listen_socket *s, const struct config_qmp *config, struct err *err);
/* Closes and removes the name if it is still ours. */
void listen_close(struct listen_socket *s, struct closer *closer);
/* A client's non-blocking fd, or -errno (-EAGAIN: nobody waits). */
int listen_accept(const struct listen_socket *s, struct closer *closer);
/* Blocks until a client connects. */
int listen_wait(const struct listen_socket *s, struct err *err);

#endif
