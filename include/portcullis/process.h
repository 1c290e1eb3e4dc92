/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - the process around the machine: what it was started with, background, pid file.
 *
 * Layer: L5 (cli), includes base and config.h.
 * Who:   main, before other threads exist; daemon_started() and pidfile_remove() also under main's
 *        system call filter, so they only write, close, stat and unlink.
 */
#ifndef PORTCULLIS_PROCESS_H
#define PORTCULLIS_PROCESS_H

#include <stdbool.h>
#include <sys/stat.h>

struct config;
struct err;

/*
 * Makes sure that fds 0 to 2 are open (on /dev/null): the first file opened would otherwise be
 * taken for standard output or error. -errno.
 */
int process_std_fds(void);

/*
 * Every fd that -qmp, -mon, -serial, -object and -device name, handed over by whoever started us:
 * is it none of the standard ones, open, a socket where it must be one, and named once? Before
 * anything else is opened: a number that is not open now would be one of our own files a moment
 * later, and taken for what the user meant. Each has one owner from now on: what names it. -EBADF,
 * -ENOTSOCK, -EINVAL with text.
 */
int inherited_take(struct config *config, struct err *err);

/*
 * Goes on in a child without terminal, in "/". Only the child returns. The parent waits: it copies
 * what the child writes to standard error to its own, and exits with 0 when the child calls
 * daemon_started() or with 1 when it ends before. From then on the child's standard error leads
 * nowhere. -errno when there is no child.
 */
int daemonize(struct err *err);
void daemon_started(void);

struct pidfile {
	const char *path; /* borrowed; NULL: none */
	int fd;		  /* holds the lock */
	struct stat stat; /* the file we made */
};

/* Creates and locks path (borrowed) and writes the process id. -EBUSY: a living process has it. */
int pidfile_create(struct pidfile *pidfile, const char *path, struct err *err);
/* Removes the file if it is still ours. A zeroed or failed pidfile is ignored. */
void pidfile_remove(struct pidfile *pidfile);

#endif
