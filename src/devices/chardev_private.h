/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev_private.h - the object behind chardev.h, shared by chardev.c (data) and chardev_open.c.
 *
 * Layer: L3.
 */
#ifndef PORTCULLIS_CHARDEV_PRIVATE_H
#define PORTCULLIS_CHARDEV_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include <portcullis/chardev.h>
#include <portcullis/loop.h>

#define CHARDEV_BUFFER 4096

/* An fd in the loop. A file that epoll does not take is ready at any time. */
struct watch {
	struct loop_fd lfd; /* lfd.fd owned, -1: none */
	uint32_t events;    /* watched now; 0: not in the loop */
	bool always_ready;
};

struct chardev {
	struct serial *serial;
	struct loop *loop;
	struct closer *closer;
	enum chardev_kind kind;
	const char *path;
	char given[20]; /* what a socket that was handed over is called in messages */
	void (*on_quit)(void *opaque);
	void *opaque;

	struct watch in, out, listen;
	bool out_may_block; /* no O_NONBLOCK to be had: write little, and only when told there is
			       room */
	bool out_is_socket; /* send() can say "do not wait" itself */
	bool out_failed;    /* said so already */
	struct loop_timer again;

	bool terminal; /* stdin is one, and is in raw mode */
	struct termios saved;
	bool escape;	  /* Ctrl-A was the last key */
	dev_t socket_dev; /* of the socket we made, so that only it is unlinked */
	ino_t socket_ino;

	uint8_t in_buf[CHARDEV_BUFFER], out_buf[CHARDEV_BUFFER];
	size_t in_pos, in_len, out_pos, out_len;
};

/* Fills the fds as options say. What was opened is closed by chardev_free(). */
int chardev_open(struct chardev *c, const struct chardev_options *options, struct err *err);
/* fd becomes both sides (takes fd). */
int chardev_attach(struct chardev *c, int fd);
/* Terminal as it was; the socket's name removed. */
void chardev_close(struct chardev *c);

#endif
