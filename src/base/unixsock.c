/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unixsock.c - a unix socket's name outlives its program; who is in the way is found out by
 * calling.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>
#include <portcullis/unixsock.h>

int unixsock_address(const char *path, const char *what, struct sockaddr_un *addr, struct err *err)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(addr->sun_path))
		return err_set(err, ENAMETOOLONG, "%s: path '%s' is longer than %zu bytes", what,
			path, sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

int unixsock_new(const char *what, struct err *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? err_set_errno(err, errno, "%s: cannot make one", what) : fd;
}

/* 0: nobody listens; -EADDRINUSE: somebody does; else why it cannot be told. */
static int call(const struct sockaddr_un *addr)
{
	struct err ignored = { 0 };
	int fd = unixsock_new("", &ignored), error = 0;

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) != 0)
		error = errno;
	sys_close(fd);
	if (error == ECONNREFUSED || error == ENOENT)
		return 0;
	/* EAGAIN: its queue is full, so it lives. */
	return error == 0 || error == EAGAIN ? -EADDRINUSE : -error;
}

int unixsock_make_way(const struct sockaddr_un *addr, const char *what, struct err *err)
{
	const char *path = addr->sun_path;
	struct stat st;
	int ret;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "%s '%s'", what, path);
	if (!S_ISSOCK(st.st_mode)) {
		err_set(err, EEXIST, "%s: '%s' exists and is not a socket", what, path);
		err_hint(err, "remove it, or name another path");
		return -EEXIST;
	}
	ret = call(addr);
	if (ret == -EADDRINUSE) {
		err_set(err, EADDRINUSE, "%s '%s' is in use by a running program", what, path);
		err_hint(err, "end it, or name another path");
		return ret;
	}
	if (ret < 0) {
		err_set_errno(err, -ret, "%s '%s' exists and belongs to uid %u", what, path,
			(unsigned)st.st_uid);
		err_hint(err, "remove it if no program uses it, or name another path");
		return ret;
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "%s: cannot remove the stale '%s'", what, path);
	return 0;
}

static int is_stream(int fd, const char *what, struct err *err)
{
	int type;
	socklen_t len = sizeof(type);

	if (fcntl(fd, F_GETFD) < 0) {
		err_set(err, EBADF, "%s fd %d is not open", what, fd);
		err_hint(err, "start this program with it open, and without close-on-exec");
		return -EBADF;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return err_set(err, ENOTSOCK, "%s fd %d is not a socket", what, fd);
	if (type != SOCK_STREAM)
		return err_set(err, EINVAL, "%s fd %d is not a stream socket", what, fd);
	return 0;
}

int unixsock_check(int fd, bool listening, const char *what, struct err *err)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer), size = sizeof(int);
	int ret = is_stream(fd, what, err), accepts = 0;

	if (ret < 0)
		return ret;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) < 0)
		return err_set_errno(err, errno, "%s fd %d", what, fd);
	if (listening && !accepts) {
		err_set(err, EINVAL, "%s fd %d is not a listening socket", what, fd);
		err_hint(err, "bind it and call listen() on it before it is handed over");
		return -EINVAL;
	}
	if (!listening && accepts) {
		err_set(err, EINVAL, "%s fd %d is a listening socket", what, fd);
		err_hint(err, "add 'server=on'");
		return -EINVAL;
	}
	if (!listening && getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return err_set(err, EINVAL, "%s fd %d is not connected", what, fd);
	return 0;
}

int unixsock_adopt(int fd, bool listening, const char *what, struct err *err)
{
	int ret = unixsock_check(fd, listening, what, err), flags;

	if (ret == -EBADF)
		return ret;
	if (!ret && fd >= FD_ZONE_DEVICE) { /* numbers that mean something to the filters */
		fd = sys_fd_move(fd, FD_ZONE_ANY);
		if (fd < 0)
			return err_set_errno(err, -fd, "%s a lower number for the socket", what);
	}
	flags = ret ? 0 : fcntl(fd, F_GETFL);
	if (!ret && (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
			    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0))
		ret = err_set_errno(err, errno, "%s fd %d", what, fd);
	if (ret < 0)
		sys_close(fd);
	return ret < 0 ? ret : fd;
}
