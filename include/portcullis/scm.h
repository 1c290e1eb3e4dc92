/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scm.h - reads from a unix socket, with the file descriptors that came along.
 *
 * Layer: L0. Any thread.
 * Why:   whoever is connected may send some (unix(7), SCM_RIGHTS), asked or not. What a read() or a
 *        small buffer leaves is closed by the kernel on the reader's thread, as long as that takes.
 */
#ifndef PORTCULLIS_SCM_H
#define PORTCULLIS_SCM_H

#include <sys/types.h>

#define SCM_FDS_MAX 253 /* the kernel's SCM_MAX_FD: more cannot be sent at once */

struct scm_fds {
	int fd[SCM_FDS_MAX]; /* the caller's to close, close-on-exec */
	unsigned n;
};

/* recvmsg(2) without waiting: bytes, 0 at the end, or -errno. */
ssize_t scm_receive(int socket, void *buf, size_t size, struct scm_fds *fds);

#endif
