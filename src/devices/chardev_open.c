/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev_open.c - opening each kind of chardev, and leaving everything as it was found.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <portcullis/closer.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/sys.h>
#include <portcullis/unixsock.h>

#define SOCKET "-serial: socket" /* how messages begin */

#include "chardev_private.h"

static int fd_dup(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

static int raw_mode(struct chardev *c, struct err *err)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &c->saved) != 0)
		return err_set_errno(err, errno, "reading the terminal's settings");
	raw = c->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* our own messages end in \n only */
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0)
		return err_set_errno(err, errno, "putting the terminal into raw mode");
	c->terminal = true;
	return 0;
}

/*
 * O_NONBLOCK belongs to the open file description, which a terminal or pipe shares with the shell
 * and others: setting it would break them. Opening it anew gives a description of our own. Not for
 * regular files, whose position is shared on purpose (>>), and impossible for sockets.
 */
static int open_stdout(struct chardev *c)
{
	struct stat st;
	int fd;

	if (fstat(STDOUT_FILENO, &st) != 0)
		return -errno;
	if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) {
		fd = sys_open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
		if (fd >= 0)
			return fd;
	}
	c->out_is_socket = S_ISSOCK(st.st_mode);
	c->out_may_block = !S_ISREG(st.st_mode) && !c->out_is_socket;
	return fd_dup(STDOUT_FILENO);
}

/*
 * A background job must not touch the terminal's input: the kernel would stop it. A terminal that
 * does not control us has no jobs.
 */
static bool in_foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 || group == getpgrp();
}

static int open_stdio(struct chardev *c, struct err *err)
{
	bool tty = isatty(STDIN_FILENO);

	c->out.lfd.fd = open_stdout(c);
	if (c->out.lfd.fd < 0)
		return err_set_errno(err, -c->out.lfd.fd, "opening standard output");
	if (tty && !in_foreground())
		return 0;
	c->in.lfd.fd = fd_dup(STDIN_FILENO);
	if (c->in.lfd.fd == -EBADF) { /* closed: like an empty one */
		c->in.lfd.fd = -1;
		return 0;
	}
	if (c->in.lfd.fd < 0)
		return err_set_errno(err, -c->in.lfd.fd, "opening standard input");
	return tty ? raw_mode(c, err) : 0;
}

static int open_file(struct chardev *c, struct err *err)
{
	int fd = sys_open(c->path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0644);

	if (fd == -ENXIO)
		return err_set(err, ENXIO, "serial file '%s' is a pipe that nobody reads", c->path);
	if (fd < 0) {
		err_set_errno(err, -fd, "cannot open serial file '%s'", c->path);
		err_hint_directory(err, c->path);
		return fd;
	}
	c->out.lfd.fd = fd;
	return 0;
}

static int wait_for_client(struct chardev *c, struct err *err)
{
	struct pollfd p = { .fd = c->listen.lfd.fd, .events = POLLIN };
	int fd;

	log_info("waiting for a client on '%s'", c->path);
	if (poll(&p, 1, -1) < 0)
		return err_set_errno(err, errno, "waiting for a client on '%s'", c->path);
	fd = accept4(c->listen.lfd.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, errno, "accepting a client on '%s'", c->path);
	fd = chardev_attach(c, fd);
	return fd < 0 ? err_set_errno(err, -fd, "accepting a client on '%s'", c->path) : 0;
}

static int open_named_server(struct chardev *c, struct err *err)
{
	struct sockaddr_un addr;
	struct stat st;
	int ret = unixsock_address(c->path, SOCKET, &addr, err);

	if (ret == 0)
		ret = unixsock_make_way(&addr, SOCKET, err);
	if (ret < 0)
		return ret;
	c->listen.lfd.fd = unixsock_new(SOCKET, err);
	if (c->listen.lfd.fd < 0)
		return c->listen.lfd.fd;
	/* Before bind(): the name appears with this mode, never with a wider one. */
	if (fchmod(c->listen.lfd.fd, 0600) != 0 ||
		bind(c->listen.lfd.fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		ret = err_set_errno(err, errno, "cannot listen on socket '%s'", c->path);
		err_hint_directory(err, c->path);
		return ret;
	}
	if (stat(c->path, &st) == 0) {
		c->socket_dev = st.st_dev;
		c->socket_ino = st.st_ino;
	}
	if (listen(c->listen.lfd.fd, 1) != 0)
		return err_set_errno(err, errno, "cannot listen on socket '%s'", c->path);
	return 0;
}

/* Its name, if it has one, is whose it was: it is not removed. */
static int open_given(struct chardev *c, int fd, bool listening, struct err *err)
{
	snprintf(c->given, sizeof(c->given), "fd %d", fd);
	c->path = c->given;
	return unixsock_adopt(fd, listening, "-serial:", err);
}

static int open_server(struct chardev *c, const struct chardev_options *options, struct err *err)
{
	int ret;

	if (options->path) {
		ret = open_named_server(c, err);
	} else {
		ret = open_given(c, options->fd, true, err);
		c->listen.lfd.fd = ret < 0 ? -1 : ret;
	}
	if (ret < 0)
		return ret;
	return options->wait ? wait_for_client(c, err) : 0;
}

static int open_named_client(struct chardev *c, struct err *err)
{
	struct sockaddr_un addr;
	int ret = unixsock_address(c->path, SOCKET, &addr, err), fd;

	if (ret < 0)
		return ret;
	fd = unixsock_new(SOCKET, err);
	if (fd < 0)
		return fd;
	/* On a unix socket this succeeds or fails at once. */
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		ret = err_set_errno(err, errno, "cannot connect to socket '%s'", c->path);
		sys_close(fd);
		return ret;
	}
	return fd;
}

static int open_client(struct chardev *c, const struct chardev_options *options, struct err *err)
{
	int fd = options->path ? open_named_client(c, err) : open_given(c, options->fd, false, err);
	int ret;

	if (fd < 0)
		return fd;
	ret = chardev_attach(c, fd);
	return ret < 0 ? err_set_errno(err, -ret, "socket '%s'", c->path) : 0;
}

int chardev_open(struct chardev *c, const struct chardev_options *options, struct err *err)
{
	switch (options->kind) {
	case CHARDEV_STDIO:
		return open_stdio(c, err);
	case CHARDEV_FILE:
		return open_file(c, err);
	case CHARDEV_UNIX_SERVER:
		return open_server(c, options, err);
	case CHARDEV_UNIX_CLIENT:
		return open_client(c, options, err);
	}
	return err_set(err, EINVAL, "unknown kind of serial port");
}

/* Two fds for one socket, so that input and output are two watches like everywhere else. */
int chardev_attach(struct chardev *c, int fd)
{
	int copy = fd < FD_ZONE_DEVICE ? fd_dup(fd) : -EMFILE;

	if (copy >= FD_ZONE_DEVICE) {
		sys_close(copy); /* not the last of its socket */
		copy = -EMFILE;
	}
	if (copy < 0) {
		closer_close(c->closer, fd);
		return copy;
	}
	c->in.lfd.fd = fd;
	c->out.lfd.fd = copy;
	return 0;
}

void chardev_close(struct chardev *c)
{
	struct stat st;

	if (c->terminal)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &c->saved);
	c->terminal = false;
	if (c->socket_ino && stat(c->path, &st) == 0 && st.st_dev == c->socket_dev &&
		st.st_ino == c->socket_ino)
		(void)unlink(c->path);
	closer_closep(c->closer, &c->in.lfd.fd);
	closer_closep(c->closer, &c->out.lfd.fd);
	closer_closep(c->closer, &c->listen.lfd.fd);
}
