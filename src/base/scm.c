/* SPDX-License-Identifier: Apache-2.0 */
/* scm.c - one recvmsg() with room for all the file descriptors there can be. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <portcullis/scm.h>

static void take(struct scm_fds *fds, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n && fds->n < SCM_FDS_MAX; i++)
		memcpy(&fds->fd[fds->n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
}

ssize_t scm_receive(int socket, void *buf, size_t size, struct scm_fds *fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * SCM_FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	fds->n = 0;
	if (n < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			take(fds, c);
	return n;
}
