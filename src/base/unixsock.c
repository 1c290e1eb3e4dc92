/* SPDX-License-Identifier: Apache-2.0 */
/* unixsock.c - a unix socket's name outlives its program; who is in the way is found out by
 * calling. */
#include <errno.h>
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
