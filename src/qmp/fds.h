/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fds.h - file descriptors that clients handed over (SCM_RIGHTS). (private to src/qmp)
 *
 * Layer: L5, main only. Every fd here is owned here until it is taken.
 * getfd names belong to the client that gave them; fd sets (add-fd) belong to all. Fds whose
 * numbers a seccomp filter gives a meaning (FD_ZONE_DEVICE and up) are refused.
 */
#ifndef PORTCULLIS_QMP_FDS_H
#define PORTCULLIS_QMP_FDS_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/prop.h>

#define FDS_MAX 16		 /* per client: received and not yet named; and named */
#define FDSET_MAX 64		 /* fds in all sets together */
#define FD_NAME_MAX PROP_ID_SIZE /* bytes, with the NUL */

struct closer;
struct err;
struct json_writer;

struct named_fd {
	int fd; /* -1: free */
	char name[FD_NAME_MAX];
};

struct named_fds {
	struct closer *closer; /* what closes them; NULL: here */
	int received[FDS_MAX]; /* in the order they came */
	unsigned n_received;
	struct named_fd named[FDS_MAX];
};

struct fdset_fd {
	int64_t set; /* -1: free */
	int fd;
	char *opaque; /* owned, may be NULL */
};
struct fdsets {
	struct closer *closer;
	struct fdset_fd fd[FDSET_MAX];
};

void named_fds_init(struct named_fds *fds, struct closer *closer);
void named_fds_release(struct named_fds *fds);
/*
 * Other fds are about to come: what nobody asked for is closed, as QEMU does, or a later getfd
 * would name it in place of its own.
 */
void named_fds_forget_received(struct named_fds *fds);
/* Takes fd; closes it when there is no room. */
void named_fds_received(struct named_fds *fds, int fd);
/* The oldest fd that was received, or -1; the caller owns it. */
int named_fds_pop(struct named_fds *fds);
/*
 * Names the oldest fd received; a name in use is given to the new one. -EINVAL, -ENOSPC: that fd is
 * closed.
 */
int named_fds_name(struct named_fds *fds, const char *name, struct err *err);
/* Gives the fd of that name to the caller, or -1. */
int named_fds_take(struct named_fds *fds, const char *name);

void fdsets_init(struct fdsets *sets);
void fdsets_release(struct fdsets *sets);
/* Takes fd. set < 0: a new one. Returns the set's number or -errno. */
int64_t fdsets_add(struct fdsets *sets, int64_t set, int fd, const char *opaque, struct err *err);
/* fd < 0: the whole set. -ENOENT. */
int fdsets_remove(struct fdsets *sets, int64_t set, int fd, struct err *err);
/* Gives fd to the caller if it is in a set. */
bool fdsets_take(struct fdsets *sets, int fd);
/* The array that query-fdsets returns. */
void fdsets_put(const struct fdsets *sets, struct json_writer *w, const char *key);

#endif
