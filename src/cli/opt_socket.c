/* SPDX-License-Identifier: Apache-2.0 */
/* opt_socket.c - where others connect: -serial, -qmp, -chardev and -mon. */
#include <arpa/inet.h>
#include <errno.h>
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

/* What -qmp, -serial unix: and -chardev socket have in common. */
static int socket_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const char *const keys[] = { "path", "host", "port", "server", "wait", NULL };
	struct socket_spec *spec = opaque;

	if (!strcmp(key, "path"))
		return copy_string(p, &spec->path, value);
	if (!strcmp(key, "host"))
		return copy_string(p, &spec->host, value);
	if (!strcmp(key, "port"))
		return copy_string(p, &spec->port, value);
	if (!strcmp(key, "server"))
		return take_switch(p, key, value, &spec->server);
	if (!strcmp(key, "wait"))
		return take_switch(p, key, value, &spec->wait);
	if (!strcmp(key, "nodelay") || !strcmp(key, "ipv4") || !strcmp(key, "ipv6"))
		return 0;
	if (!strcmp(key, "telnet") && !strcmp(value, "off"))
		return 0;
	return unknown_key(p, key, keys);
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
		return option_error(p, "a socket needs a path, or a host and a port");
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
		"anyone who reaches the port controls the machine: name the address to listen "
		"on, such as 127.0.0.1");
	return ret;
}

static int check_socket(struct parse *p, struct socket_spec *spec)
{
	size_t longest = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

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

/* "PATH,..." with any character in the path, commas doubled -> path; the rest are pairs. */
static int parse_unix(struct parse *p, const char *value, struct socket_spec *spec)
{
	char *out = malloc(strlen(value) + 1);

	if (!out)
		return out_of_memory(p);
	spec->path = out;
	for (; *value && (*value != ',' || value[1] == ','); value++) {
		if (*value == ',')
			value++;
		*out++ = *value;
	}
	*out = '\0';
	if (!*spec->path)
		return option_error(p, "the socket's path is missing");
	return *value ? option_pairs(p, value + 1, NULL, socket_pair, spec) : 0;
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
		return option_error(p, "'%s' is not %sunix:PATH,server,nowait", value,
			allow_tcp ? "tcp:ADDRESS:PORT,server,nowait or " : "");
	return ret < 0 ? ret : check_socket(p, spec);
}

static int serial_unix(struct parse *p, const char *value)
{
	struct config_serial *serial = &p->config->serial;
	struct socket_spec spec;
	int ret = parse_socket(p, value, false, &spec);

	if (!ret) {
		serial->kind = SERIAL_UNIX;
		free(serial->path); /* of an earlier -serial, which is an error in a moment */
		serial->path = spec.path;
		serial->server = spec.server;
		serial->wait = spec.server && spec.wait;
		spec.path = NULL;
	}
	socket_spec_release(&spec);
	return ret;
}

int opt_serial(struct parse *p, const char *value)
{
	struct config_serial *serial = &p->config->serial;

	if (!strcmp(value, "none"))
		return 0;
	if (!strcmp(value, "stdio") || !strcmp(value, "mon:stdio")) {
		serial->kind = SERIAL_STDIO;
		return 0;
	}
	if (!strcmp(value, "null")) {
		/* A port that is there and leads nowhere. */
		serial->kind = SERIAL_FILE;
		return copy_string(p, &serial->path, "/dev/null");
	}
	if (!strncmp(value, "file:", 5)) {
		if (!value[5])
			return option_error(p, "the file's name is missing in '%s'", value);
		serial->kind = SERIAL_FILE;
		return copy_string(p, &serial->path, value + 5);
	}
	if (!strncmp(value, "unix:", 5))
		return serial_unix(p, value);
	option_error(p, "unknown destination '%s'", value);
	err_hint(p->err, "it is stdio, none, null, file:PATH or unix:PATH[,server[,nowait]]");
	return -EINVAL;
}

/* Takes what spec holds. */
static int add_qmp(struct parse *p, struct socket_spec *spec)
{
	struct config *c = p->config;
	struct config_qmp *qmp, *grown;
	uint64_t port = 0;

	if (!spec->server) {
		option_error(p, "QMP is served here: it connects to nobody");
		err_hint(p->err, "add ',server,nowait'");
		return -EINVAL;
	}
	grown = array_grow(p, c->qmp, &c->n_qmp, sizeof(*c->qmp));
	if (!grown)
		return -ENOMEM;
	c->qmp = grown;
	qmp = &c->qmp[c->n_qmp - 1];
	qmp->kind = spec->path ? QMP_UNIX : QMP_TCP;
	qmp->path = spec->path;
	qmp->host = spec->host;
	if (spec->port && parse_u64(spec->port, &port) == 0)
		qmp->port = (uint16_t)port;
	qmp->wait = spec->wait;
	spec->path = spec->host = NULL;
	return 0;
}

int opt_qmp(struct parse *p, const char *value)
{
	struct socket_spec spec = { 0 };
	int ret = parse_socket(p, value, true, &spec);

	if (!ret)
		ret = add_qmp(p, &spec);
	socket_spec_release(&spec);
	return ret;
}

static int check_id(struct parse *p, const char *id)
{
	const char *fault = prop_id_fault(id);

	return fault ? option_error(p, "id '%.300s': %s", id, fault) : 0;
}

static int chardev_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	struct chardev_spec *chardev = opaque;

	if (!strcmp(key, "backend")) {
		chardev->is_socket = !strcmp(value, "socket");
		if (chardev->is_socket)
			return 0;
		return option_error(p, "unknown kind '%s': it is 'socket'", value);
	}
	if (strcmp(key, "id") != 0)
		return socket_pair(p, key, value, &chardev->socket);
	if (check_id(p, value) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < p->n_chardevs; i++)
		if (p->chardevs[i].id && !strcmp(p->chardevs[i].id, value))
			return option_error(p, "id '%s' is used twice", value);
	return copy_string(p, &chardev->id, value);
}

int opt_chardev(struct parse *p, const char *value)
{
	struct chardev_spec *grown = array_grow(p, p->chardevs, &p->n_chardevs, sizeof(*grown));
	struct chardev_spec *chardev;
	int ret;

	if (!grown)
		return -ENOMEM;
	p->chardevs = grown;
	chardev = &grown[p->n_chardevs - 1];
	chardev->socket.wait = true;
	ret = option_pairs(p, value, "backend", chardev_pair, chardev);
	if (ret < 0)
		return ret;
	if (!chardev->is_socket)
		return option_error(p, "its kind comes first: -chardev socket,id=ID,...");
	if (!chardev->id)
		return option_error(p, "it needs an id: -chardev socket,id=ID,...");
	return check_socket(p, &chardev->socket);
}

struct mon {
	char *chardev;
	bool control;
};

static int mon_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const char *const keys[] = { "chardev", "mode", "pretty", "id", NULL };
	struct mon *mon = opaque;

	if (!strcmp(key, "chardev"))
		return copy_string(p, &mon->chardev, value);
	if (!strcmp(key, "mode")) {
		mon->control = !strcmp(value, "control");
		return mon->control
			       ? 0
			       : option_error(p, "mode '%s' does not exist: it is 'control' (QMP)",
					 value);
	}
	if (!strcmp(key, "id"))
		return check_id(p, value);
	if (!strcmp(key, "pretty") && !strcmp(value, "off"))
		return 0;
	return unknown_key(p, key, keys);
}

int opt_mon(struct parse *p, const char *value)
{
	struct mon mon = { 0 };
	char **grown;
	int ret = option_pairs(p, value, "chardev", mon_pair, &mon);

	if (!ret && (!mon.chardev || !mon.control))
		ret = option_error(p, "it is -mon chardev=ID,mode=control");
	if (!ret) {
		grown = array_grow(p, p->monitors, &p->n_monitors, sizeof(*grown));
		if (grown) {
			p->monitors = grown;
			grown[p->n_monitors - 1] = mon.chardev;
			mon.chardev = NULL;
		} else {
			ret = -ENOMEM;
		}
	}
	free(mon.chardev);
	return ret;
}

/* -mon and the -chardev it names may come in any order. */
int finish_monitors(struct parse *p)
{
	for (unsigned i = 0; i < p->n_monitors; i++) {
		struct chardev_spec *chardev = NULL;
		int ret;

		for (unsigned j = 0; j < p->n_chardevs; j++)
			if (!strcmp(p->chardevs[j].id, p->monitors[i]))
				chardev = &p->chardevs[j];
		p->option = option_find("mon");
		if (!chardev)
			return option_error(p, "there is no -chardev with id '%s'", p->monitors[i]);
		if (chardev->used)
			return option_error(
				p, "chardev '%s' has a monitor already", p->monitors[i]);
		chardev->used = true;
		ret = add_qmp(p, &chardev->socket);
		if (ret < 0)
			return ret;
	}
	for (unsigned j = 0; j < p->n_chardevs; j++) {
		p->option = option_find("chardev");
		if (!p->chardevs[j].used) {
			option_error(p, "nothing uses chardev '%s'", p->chardevs[j].id);
			err_hint(p->err, "add -mon chardev=%s,mode=control", p->chardevs[j].id);
			return -EINVAL;
		}
	}
	return 0;
}
