/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closer.h - closes what clients handed over, on a thread that may wait for it.
 *
 * Layer: L0.
 * Who:   closer_close() and closer_busy() main, the rest before threads start or after they are
 *        joined; its loop is what threads/closer.c runs.
 * Why:   the last close() of a file waits for whatever the file is: a TCP socket with SO_LINGER for
 *        its peer, a FUSE or NFS file for its server, a VFIO device for its reset. Main cannot know
 *        what a client sent. One that never ends holds up the others, and nobody else; when there
 *        are many, clients are not listened to until there are less.
 */
#ifndef PORTCULLIS_CLOSER_H
#define PORTCULLIS_CLOSER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/loop.h>
#include <portcullis/sys.h>

struct closer {
	struct loop loop;
	bool served; /* its thread runs; else fds are closed at once. Main's */
	struct mail mail;
	atomic_bool posted;
	atomic_uint left; /* fds that are not closed yet */
	/*
	 * A bit each. Numbers of fds that come in are below the eventfds', of which there are many.
	 */
	_Atomic uint64_t fds[FD_ZONE_EVENT / 64];
};

/* -errno, and then nothing is left behind. */
int closer_init(struct closer *closer);
void closer_release(struct closer *closer);
/* Takes fd; -1 is ignored. closer NULL, or without its thread: closes it here. */
void closer_close(struct closer *closer, int fd);
/* closer_close(*fd), then *fd = -1. */
void closer_closep(struct closer *closer, int *fd);
/* The same for a connection of ours alone: its peer hears at once, whoever is before it. */
void closer_hang_up(struct closer *closer, int *fd);
/* Is there something that is not closed yet? */
bool closer_busy(const struct closer *closer);
/*
 * So much that nothing more should be received: a message brings up to SCM_FDS_MAX, and numbers end
 * at FD_ZONE_DEVICE.
 */
#define CLOSER_ENOUGH 64
bool closer_full(const struct closer *closer);

#endif
