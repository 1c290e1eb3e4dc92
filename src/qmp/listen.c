/* SPDX-License-Identifier: Apache-2.0 */
/* listen.c - sockets that clients connect to. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <portcullis/closer.h>
#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/sys.h>
#include <portcullis/unixsock.h>

#include "listen.h"

#define BACKLOG 16

static int socket_new(int family, struct err *err)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? err_set_errno(err, errno, "-qmp: cannot make a socket") : fd;
}

static int open_unix(struct listen_socket *s, const char *path, struct err *err)
{
	struct sockaddr_un addr;
	struct stat st;
	int ret = unixsock_address(path, "-qmp: socket", &addr, err);

	if (ret == 0)
		ret = unixsock_make_way(&addr, "-qmp: socket", err);
	if (ret < 0)
		return ret;
	s->fd = unixsock_new("-qmp: socket", err);
	if (s->fd < 0)
		return s->fd;
	/* Before bind(), so that the name never has a wider mode. */
	if (fchmod(s->fd, 0600) < 0 ||
		bind(s->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		stat(path, &st) < 0) {
		ret = err_set_errno(err, errno, "-qmp: cannot listen on socket '%s'", path);
		err_hint_directory(err, path);
		return ret;
	}
	s->path = path;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

static socklen_t tcp_address(const struct config_qmp *config, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, config->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(config->port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, config->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(config->port);
		return sizeof(*v6);
	}
	return 0;
}

static int open_tcp(struct listen_socket *s, const struct config_qmp *config, struct err *err)
{
	struct sockaddr_storage addr;
	socklen_t len = tcp_address(config, &addr);
	const int on = 1;

	if (!len)
		return err_set(err, EINVAL, "-qmp: '%s' is no IP address", config->host);
	s->fd = socket_new(addr.ss_family, err);
	if (s->fd < 0)
		return s->fd;
	/* A port whose last connections are still being forgotten is free. */
	(void)setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Accepted sockets inherit it: replies are small and waited for. */
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(s->fd, (const struct sockaddr *)&addr, len) < 0)
		return err_set_errno(err, errno, "-qmp: cannot listen on %s port %u", config->host,
			config->port);
	return 0;
}

int listen_open(struct listen_socket *s, const struct config_qmp *config, struct err *err)
{
	int ret;

	*s = (struct listen_socket){ .fd = -1 };
	if (config->kind == QMP_FD) {
		ret = unixsock_adopt(config->fd, true, "-qmp:", err);
		s->fd = ret < 0 ? -1 : ret;
		return ret < 0 ? ret : 0;
	}
	ret = config->kind == QMP_UNIX ? open_unix(s, config->path, err) : open_tcp(s, config, err);
	if (!ret && listen(s->fd, BACKLOG) < 0)
		ret = err_set_errno(err, errno, "-qmp: cannot listen on '%s'",
			config->path ? config->path : config->host);
	if (ret < 0)
		listen_close(s, NULL);
	return ret;
}

void listen_close(struct listen_socket *s, struct closer *closer)
{
	struct stat st;

	closer_closep(closer, &s->fd); /* with clients that were not accepted, and their files */
	if (s->path && stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		(void)unlink(s->path);
	s->path = NULL;
}

int listen_accept(const struct listen_socket *s, struct closer *closer)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	/* Numbers from there on mean something to the filters. */
	if (fd >= FD_ZONE_DEVICE) {
		closer_hang_up(closer, &fd);
		return -EMFILE;
	}
	return fd;
}

int listen_wait(const struct listen_socket *s, struct err *err)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };

	log_info("waiting for a QMP client on '%s'", s->path ? s->path : "its socket");
	if (poll(&p, 1, -1) < 0)
		return err_set_errno(err, errno, "waiting for a QMP client");
	return 0;
}
