/* SPDX-License-Identifier: Apache-2.0 */
/* opt_socket.c - where others connect: -serial, -qmp, -chardev and -mon. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/*
 * What QEMU has there and this program has not. A word that ends in ':', '/' or '*' is a beginning,
 * the '*' not included.
 */
struct elsewhere {
	const char *word, *cure;
};

#define USE_UNIX "use unix:PATH,server=on,wait=off"
#define USE_SOCAT USE_UNIX ", and socat from there"

static const struct elsewhere not_for_serial[] = {
	{ "vc", "there is no display: use stdio, or unix:PATH,server=on,wait=off" },
	{ "vc:", "there is no display: use stdio, or unix:PATH,server=on,wait=off" },
	{ "pty", USE_UNIX ", and 'socat -,raw,echo=0 UNIX:PATH' from a terminal" },
	{ "tcp:", USE_SOCAT " to a port: whoever reaches it has the guest's console" },
	{ "telnet:", USE_SOCAT " to a port: whoever reaches it has the guest's console" },
	{ "tn3270:", USE_UNIX },
	{ "websocket:", USE_UNIX },
	{ "udp:", USE_SOCAT },
	{ "pipe:", "use file:PATH, or unix:PATH,server=on,wait=off" },
	{ "chardev:", "name the socket here: unix:PATH,server=on,wait=off" },
	{ "mon:", "there is no human monitor to share it with: leave 'mon:' out" },
	{ "/dev/", USE_SOCAT " to the device" },
	{ "con:", "there is no display: use stdio, or unix:PATH,server=on,wait=off" },
	{ "COM*", USE_SOCAT " to the device" },
	{ "braille", USE_UNIX },
	{ "msmouse", USE_UNIX },
	{ "wctablet", USE_UNIX },
	{ "testdev", "use -device isa-debug-exit" },
	{ NULL, NULL },
};

static const struct elsewhere not_for_qmp[] = {
	{ "none", "leave -qmp out" },
	{ "null", "leave -qmp out" },
	{ "stdio", USE_UNIX },
	{ "vc", USE_UNIX },
	{ "vc:", USE_UNIX },
	{ "pty", USE_UNIX },
	{ "file:", "clients talk and listen: " USE_UNIX },
	{ "pipe:", USE_UNIX },
	{ "udp:", USE_UNIX },
	{ "telnet:", "use tcp:ADDRESS:PORT,server=on,wait=off" },
	{ "tn3270:", USE_UNIX },
	{ "websocket:", USE_UNIX },
	{ "mon:", "there is no human monitor to share it with: leave 'mon:' out" },
	{ "chardev:", "use -mon chardev=ID,mode=control" },
	{ "/dev/", USE_UNIX },
	{ NULL, NULL },
};

/* 0: none of them. */
static int check_elsewhere(struct parse *p, const struct elsewhere *table, const char *value)
{
	for (; table->word; table++) {
		size_t len = strlen(table->word);
		bool begins = strchr(":/*", table->word[len - 1]);

		if (table->word[len - 1] == '*')
			len--;
		if (begins ? strncmp(value, table->word, len) : strcmp(value, table->word))
			continue;
		option_error(p, "'%s' is not supported here", value);
		err_hint(p->err, "%s", table->cure);
		return -EINVAL;
	}
	return 0;
}

static int serial_unix(struct parse *p, const char *value)
{
	struct config_serial *serial = &p->config->serial;
	struct socket_spec spec;
	int ret = parse_socket(p, value, false, &spec);

	if (!ret && spec.has_wait && !spec.server) {
		ret = option_error(p, "'wait' is for a socket that is listened on");
		err_hint(p->err, "add 'server=on', or leave 'wait' out");
	}
	if (!ret) {
		serial->kind = spec.has_fd ? SERIAL_FD : SERIAL_UNIX;
		free(serial->path); /* of an earlier -serial, which is an error in a moment */
		serial->path = spec.path;
		serial->fd = spec.fd;
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
	if (check_elsewhere(p, not_for_serial, value) < 0)
		return -EINVAL;
	option_error(p, "unknown destination '%s'", value);
	err_hint(p->err, "it is stdio, none, null, file:PATH or unix:PATH[,server=on[,wait=off]]");
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
		err_hint(p->err, "add ',server=on,wait=off'%s",
			spec->has_fd ? " and hand over a listening socket" : "");
		return -EINVAL;
	}
	grown = array_grow(p, c->qmp, &c->n_qmp, sizeof(*c->qmp));
	if (!grown)
		return -ENOMEM;
	c->qmp = grown;
	qmp = &c->qmp[c->n_qmp - 1];
	qmp->kind = spec->has_fd ? QMP_FD : spec->path ? QMP_UNIX : QMP_TCP;
	qmp->fd = spec->fd;
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
	int ret = check_elsewhere(p, not_for_qmp, value);

	if (!ret)
		ret = parse_socket(p, value, true, &spec);
	if (!ret)
		ret = add_qmp(p, &spec);
	socket_spec_release(&spec);
	return ret;
}

static int check_id(struct parse *p, const char *id)
{
	const char *fault = prop_id_fault(id);
	char shown[PROP_ID_SIZE];

	return fault ? option_error(p, "id '%s': %s", prop_id_show(id, shown), fault) : 0;
}

static int chardev_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	struct chardev_spec *chardev = opaque;

	if (!strcmp(key, "backend")) {
		chardev->is_socket = !strcmp(value, "socket");
		if (chardev->is_socket)
			return 0;
		option_error(p, "kind '%s' is not supported here: it is 'socket'", value);
		err_hint(p->err,
			"a chardev is where a monitor listens: socket,id=ID,path=PATH,server=on,wait=off");
		return -EINVAL;
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
