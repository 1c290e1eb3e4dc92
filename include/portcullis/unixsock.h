/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixsock.h - unix sockets that clients connect to: addresses, and what is in the way of a new
 * one.
 *
 * Layer: L0. Main, before the guest runs: its filter allows none of this later.
 * Errors: -errno with text that begins with `what`, such as "-qmp: socket".
 */
#ifndef PORTCULLIS_UNIXSOCK_H
#define PORTCULLIS_UNIXSOCK_H

#include <stdbool.h>
#include <sys/un.h>

struct err;

/* -ENAMETOOLONG. */
int unixsock_address(const char *path, const char *what, struct sockaddr_un *addr, struct err *err);
/* A non-blocking stream socket, owned by the caller. */
int unixsock_new(const char *what, struct err *err);
/*
 * Removes what a program that has died left at the address. -EEXIST: it is no socket;
 * -EADDRINUSE: somebody listens; -EACCES: whether somebody does cannot be found out.
 */
int unixsock_make_way(const struct sockaddr_un *addr, const char *what, struct err *err);
/*
 * Sockets that whoever started us hands over, of any family. Is fd (borrowed) an open stream
 * socket, and does it listen, or is it connected? -EBADF, -ENOTSOCK, -EINVAL; what: "-qmp:".
 */
int unixsock_check(int fd, bool listening, const char *what, struct err *err);
/* Takes fd, on failure too, checks it and returns the number it has from now on; non-blocking. */
int unixsock_adopt(int fd, bool listening, const char *what, struct err *err);

#endif
