/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socket_spec.c - a socket in QEMU's words: "unix:PATH,server=on,wait=off", "tcp:ADDRESS:PORT,..."
 * and the same keys behind -chardev socket.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "cli.h"

void socket_spec_release(struct socket_spec *spec)
{
	free(spec->path);
	free(spec->host);
	free(spec->port);
	*spec = (struct socket_spec){ 0 };
}

static int take_switch(struct parse *p, const char *key, const char *value, bool *out)
{
	return parse_bool(value, out) < 0
		       ? option_error(p, "'%s' is 'on' or 'off', not '%s'", key, value)
		       : 0;
}

static int take_fd(struct parse *p, const char *value, struct socket_spec *spec)
{
	uint64_t fd;

	if (parse_u64(value, &fd) < 0 || fd > INT_MAX)
		return option_error(p, "fd '%s' is not the number of a file descriptor", value);
	spec->fd = (int)fd;
	spec->has_fd = true;
	return 0;
}

enum only { ONLY_ANY, ONLY_OFF, ONLY_ABSENT };

/* Keys that QEMU has, with the values that mean nothing here. */
static const struct other_key {
	const char *key;
	enum only only;
	const char *cure; /* for the other values */
} other_keys[] = {
	{ "nodelay", ONLY_ANY, NULL },
	{ "delay", ONLY_ANY, NULL },
	{ "ipv4", ONLY_ANY, NULL },
	{ "ipv6", ONLY_ANY, NULL },
	{ "tight", ONLY_ANY, NULL },
	{ "logappend", ONLY_ANY, NULL },
	{ "telnet", ONLY_OFF,
		"connect with a plain stream: 'socat - UNIX:PATH', 'nc ADDRESS PORT'" },
	{ "tn3270", ONLY_OFF, "connect with a plain stream: 'socat - UNIX:PATH'" },
	{ "websocket", ONLY_OFF, "connect with a plain stream: 'socat - UNIX:PATH'" },
	{ "mux", ONLY_OFF, "each socket has one use: leave 'mux' out" },
	{ "reconnect", ONLY_OFF, "it is not connected again: use server=on, and connect to it" },
	{ "abstract", ONLY_OFF,
		"use a path: its directory and mode say who may connect, an abstract name cannot" },
	{ "to", ONLY_ABSENT, "name one port: leave 'to' out" },
	{ "tls-creds", ONLY_ABSENT, "there is no TLS: use a unix socket, and a tunnel to it" },
	{ "tls-authz", ONLY_ABSENT, "there is no TLS: use a unix socket, and a tunnel to it" },
	{ "logfile", ONLY_ABSENT, "nothing is copied to a file: log what is read from the socket" },
	{ NULL, ONLY_ANY, NULL },
};

static const char *const keys[] = { "path", "fd", "host", "port", "server", "wait", NULL };

static const struct other_key *find_other(const char *key)
{
	for (const struct other_key *o = other_keys; o->key; o++)
		if (!strcmp(o->key, key))
			return o;
	return NULL;
}

static bool is_key(const char *key)
{
	for (unsigned i = 0; keys[i]; i++)
		if (!strcmp(keys[i], key))
			return true;
	return find_other(key) != NULL;
}

static int take_other(struct parse *p, const char *key, const char *value)
{
	const struct other_key *o = find_other(key);
	bool on;

	if (!o)
		return unknown_key(p, key, keys);
	if (o->only == ONLY_ANY || (o->only == ONLY_OFF && !parse_bool(value, &on) && !on))
		return 0;
	option_error(p, "'%s=%s' is not supported", key, value);
	err_hint(p->err, "%s", o->cure);
	return -EINVAL;
}

int socket_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	struct socket_spec *spec = opaque;

	if (!strcmp(key, "path"))
		return copy_string(p, &spec->path, value);
	if (!strcmp(key, "fd"))
		return take_fd(p, value, spec);
	if (!strcmp(key, "host"))
		return copy_string(p, &spec->host, value);
	if (!strcmp(key, "port"))
		return copy_string(p, &spec->port, value);
	if (!strcmp(key, "server"))
		return take_switch(p, key, value, &spec->server);
	if (strcmp(key, "wait") != 0)
		return take_other(p, key, value);
	spec->has_wait = true;
	return take_switch(p, key, value, &spec->wait);
}

/* Numeric, because looking names up would open files and sockets before any check is done. */
static bool host_is_numeric(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static int check_tcp(struct parse *p, struct socket_spec *spec)
{
	uint64_t port;
	int ret;

	if (!spec->host && !spec->port)
		return option_error(p, "a socket needs a path, an fd, or a host and a port");
	if (!spec->port)
		return option_error(p, "a TCP socket needs a port");
	if (parse_u64(spec->port, &port) < 0 || !port || port > UINT16_MAX)
		return option_error(
			p, "'%s' is not a port: it is a number from 1 to 65535", spec->port);
	if (spec->host && !strcmp(spec->host, "localhost"))
		return copy_string(p, &spec->host, "127.0.0.1");
	if (spec->host && host_is_numeric(spec->host))
		return 0;
	ret = option_error(p, "'%s' is not an IP address", spec->host ? spec->host : "");
	err_hint(p->err,
		"anyone who reaches the port controls the machine: name the address to listen on, such as 127.0.0.1");
	return ret;
}

int check_socket(struct parse *p, struct socket_spec *spec)
{
	size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (spec->has_fd && (spec->path || spec->host || spec->port))
		return option_error(p,
			"a socket that is handed over (fd=%d) has no path, host or port here",
			spec->fd);
	if (spec->has_fd)
		return 0;
	if (spec->path && (spec->host || spec->port))
		return option_error(p, "a socket has a path, or a host and a port, not both");
	if (!spec->path)
		return check_tcp(p, spec);
	if (strlen(spec->path) > longest)
		return option_error(
			p, "the socket's path is longer than %zu bytes: '%s'", longest, spec->path);
	return 0;
}

/* "HOST:PORT,..." with the host in brackets if it is IPv6 -> host, port; the rest are pairs. */
static int parse_tcp(struct parse *p, const char *value, struct socket_spec *spec)
{
	const char *end = strchrnul(value, ','),
		   *colon = memrchr(value, ':', (size_t)(end - value));
	size_t len;

	if (!colon)
		return option_error(p, "'tcp:%s' is not tcp:ADDRESS:PORT", value);
	len = (size_t)(colon - value);
	spec->port = strndup(colon + 1, (size_t)(end - colon - 1));
	if (len >= 2 && value[0] == '[' && colon[-1] == ']')
		spec->host = strndup(value + 1, len - 2);
	else
		spec->host = strndup(value, len);
	if (!spec->port || !spec->host)
		return out_of_memory(p);
	return *end ? option_pairs(p, end + 1, NULL, socket_pair, spec) : 0;
}

/*
 * "PATH,..." or "path=PATH,..." or "fd=N,...". A first word with '=' is a key and its value, as for
 * QEMU: taken for a path, fd=3 would be a file of that name.
 */
static int parse_unix(struct parse *p, const char *value, struct socket_spec *spec)
{
	const char *end = value + strcspn(value, ",="), *word = strchrnul(value, ',');
	char *key;
	bool known;
	int ret;

	if (!*value || (*value == ',' && value[1] != ','))
		return option_error(p, "the socket's path is missing");
	if (*end == '=') {
		key = strndup(value, (size_t)(end - value));
		if (!key)
			return out_of_memory(p);
		known = is_key(key);
		free(key);
		if (!known) {
			option_error(p, "'%.*s' is not KEY=VALUE with a key of a socket's",
				(int)(word - value), value);
			err_hint(p->err, "a path with '=' in it is written path=PATH");
			return -EINVAL;
		}
	}
	ret = option_pairs(p, value, "path", socket_pair, spec);
	if (!ret && !spec->path && !spec->has_fd)
		ret = option_error(p, "the socket's path is missing");
	return ret;
}

int parse_socket(struct parse *p, const char *value, bool allow_tcp, struct socket_spec *spec)
{
	int ret;

	*spec = (struct socket_spec){ .wait = true };
	if (!strncmp(value, "unix:", 5))
		ret = parse_unix(p, value + 5, spec);
	else if (allow_tcp && !strncmp(value, "tcp:", 4))
		ret = parse_tcp(p, value + 4, spec);
	else
		return option_error(p, "'%s' is not %sunix:PATH,server=on,wait=off", value,
			allow_tcp ? "tcp:ADDRESS:PORT,server=on,wait=off or " : "");
	return ret < 0 ? ret : check_socket(p, spec);
}
