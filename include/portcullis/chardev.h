/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev.h - the host's end of a serial port: terminal, file or unix socket.
 *
 * Layer: L3, includes base and devices.
 * Who:   main only. Opens everything in chardev_new(), before lock-down; later it only reads,
 *        writes, accepts (accept4, and F_DUPFD_CLOEXEC), and at the end unlinks its socket.
 * Flow:  when the reader outside is slow, bytes stay in the serial port's ring and the guest waits;
 *        when the guest is slow, nothing more is read from outside. Nothing is lost and nothing
 *        grows. Without a client (unix server), or with a reader that is gone, output is dropped.
 * Keys:  on a terminal, Ctrl-A X quits, Ctrl-A A sends Ctrl-A, Ctrl-A H helps. Everything else,
 *        Ctrl-C included, is the guest's.
 */
#ifndef PORTCULLIS_CHARDEV_H
#define PORTCULLIS_CHARDEV_H

#include <stdbool.h>

struct chardev;
struct closer;
struct err;
struct loop;
struct serial;

enum chardev_kind {
	CHARDEV_STDIO,	     /* terminal: raw until chardev_free() */
	CHARDEV_FILE,	     /* output only; created or emptied */
	CHARDEV_UNIX_SERVER, /* mode 0600, one client at a time, a stale socket is replaced */
	CHARDEV_UNIX_CLIENT,
};

struct chardev_options {
	enum chardev_kind kind;
	const char *path; /* borrowed until chardev_free(); NULL for stdio and fd */
	int fd;		  /* unix without path: a socket that was handed over; taken */
	bool wait;	  /* unix server: chardev_new() returns when the first client is there */
	struct closer *closer; /* of clients and what they hand over; NULL: here */
};

/*
 * Opens the host side and connects it with serial (borrowed, outlives it), whose callbacks it
 * takes. on_quit (may be NULL) is called on main for Ctrl-A X. A process that writes to pipes and
 * sockets must ignore SIGPIPE: the caller's business.
 */
int chardev_new(struct chardev **out, const struct chardev_options *options, struct serial *serial,
	struct loop *loop, void (*on_quit)(void *opaque), void *opaque, struct err *err);
/*
 * What the guest has written goes out first (for a moment); the terminal is as it was. NULL is
 * fine.
 */
void chardev_free(struct chardev *chardev);

#endif
