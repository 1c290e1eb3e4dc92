/* SPDX-License-Identifier: Apache-2.0 */
/* command_line.c - from argv to handlers, and the checks that need all options. */
#include <portcullis/command_line.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define OPTIONS_MAX 128 /* bits of parse.given */

static unsigned option_index(const struct option *option)
{
	return (unsigned)(option - options);
}

bool option_given(const struct parse *p, const char *name)
{
	unsigned i = option_index(option_find(name));

	return p->given[i / 64] >> (i % 64) & 1;
}

const struct option *option_find(const char *name)
{
	for (const struct option *o = options; o->name; o++)
		if (!strcmp(o->name, name))
			return o;
	return NULL;
}

/* The option that an argument names, or NULL: "-name" and "--name". */
static const struct option *option_named(const char *arg)
{
	if (arg[0] != '-' || !arg[1])
		return NULL;
	return option_find(arg + (arg[1] == '-' ? 2 : 1));
}

static int unknown_option(struct parse *p, const char *arg)
{
	const char *names[OPTIONS_MAX], *name = arg + (arg[0] == '-' && arg[1] == '-' ? 2 : 1);
	const char *near, *equals = strchr(arg, '=');
	unsigned n = 0;

	if (arg[0] != '-' || !*name) {
		err_set(p->err, EINVAL, "'%s' is not an option", arg);
		err_hint(p->err, "options begin with '-'; '-help' lists them");
		return -EINVAL;
	}
	for (const struct refused *r = refused_options; r->name; r++) {
		if (!strcmp(r->name, name)) {
			err_set(p->err, EINVAL, "option '-%s' is not supported", name);
			err_hint(p->err, "%s", r->why);
			return -EINVAL;
		}
	}
	err_set(p->err, EINVAL, "unknown option '%s'", arg);
	for (const struct option *o = options; o->name; o++) {
		if (equals && !strncmp(o->name, name, (size_t)(equals - name)) &&
			!o->name[equals - name]) {
			if (o->arg)
				err_hint(p->err, "an option and its argument are two words: -%s %s",
					o->name, equals + 1);
			else
				err_hint(p->err, "it takes no argument: -%s", o->name);
			return -EINVAL;
		}
		if (o->help && n < OPTIONS_MAX - 1)
			names[n++] = o->name;
	}
	names[n] = NULL;
	near = nearest_word(name, names);
	if (near)
		err_hint(p->err, "did you mean '-%s'?", near);
	else
		err_hint(p->err, "'-help' lists the options");
	return -EINVAL;
}

/* The option's argument, or NULL if it takes none. */
static int take_argument(struct parse *p, int argc, char *const argv[], int *i, const char **value)
{
	const struct option *option = p->option;

	if (!option->arg)
		return 0;
	if (*i + 1 >= argc)
		return option_error(p, "it needs an argument: -%s %s", option->name, option->arg);
	*value = argv[++*i];
	if (option_named(*value))
		return option_error(p, "it needs an argument (-%s %s), but '%s' follows",
			option->name, option->arg, *value);
	if (!**value && !option->may_be_empty)
		return option_error(p, "its argument is empty: -%s %s", option->name, option->arg);
	return 0;
}

/* One option with its argument; *i moves on to the last word used. */
static int parse_one(struct parse *p, int argc, char *const argv[], int *i)
{
	const struct option *option = option_named(argv[*i]);
	const char *value = NULL;
	unsigned index;
	uint64_t bit;
	int ret;

	if (!option)
		return unknown_option(p, argv[*i]);
	p->option = option;
	index = option_index(option);
	bit = 1ull << (index % 64);
	ret = take_argument(p, argc, argv, i, &value);
	if (!ret)
		ret = option->handle(p, value);
	/* Last, because what is wrong with the argument itself is the better thing to say. */
	if (!ret && p->given[index / 64] & bit && !option->many)
		ret = option_error(p, "it is given twice");
	p->given[index / 64] |= bit;
	return ret;
}

static int combination(struct parse *p, const char *text, const char *hint)
{
	err_set(p->err, EINVAL, "%s", text);
	err_hint(p->err, "%s", hint);
	return -EINVAL;
}

static int finish_boot(struct parse *p)
{
	const struct config *c = p->config;

	if (c->kernel)
		return 0;
	if (c->initrd)
		return combination(p, "-initrd needs -kernel", "name the kernel that goes with it");
	if (c->append)
		return combination(
			p, "-append needs -kernel", "name the kernel that the words are for");
	return combination(p,
		"no kernel was given: there is no firmware that could boot from a device",
		"name one with -kernel FILE; '-help' shows an example");
}

static int finish_console(struct parse *p)
{
	struct config *c = p->config;
	bool serial = option_given(p, "serial");

	if (p->nographic && !serial)
		c->serial.kind = SERIAL_STDIO;
	if (c->daemonize && c->serial.kind == SERIAL_STDIO)
		return combination(p,
			serial ? "-daemonize cannot be used with -serial stdio"
			       : "-daemonize cannot be used with -nographic",
			"a daemon has no terminal: use -serial file:PATH or -serial unix:PATH,server,nowait");
	return 0;
}

/* Two servers on one path would take each other's socket away. */
static int finish_sockets(struct parse *p)
{
	const struct config *c = p->config;
	const struct config_serial *serial = &c->serial;

	for (unsigned i = 0; i < c->n_qmp; i++) {
		const struct config_qmp *a = &c->qmp[i];

		if (a->kind == QMP_UNIX && serial->kind == SERIAL_UNIX &&
			!strcmp(a->path, serial->path))
			return err_set(p->err, EINVAL,
				"-serial and -qmp are on the same socket '%s'", a->path);
		for (unsigned j = 0; j < i; j++) {
			const struct config_qmp *b = &c->qmp[j];

			if (a->kind != b->kind)
				continue;
			if (a->kind == QMP_FD) /* inherited_take() */
				continue;
			if (a->kind == QMP_UNIX && !strcmp(a->path, b->path))
				return err_set(p->err, EINVAL,
					"two QMP servers on the same socket '%s'", a->path);
			if (a->kind == QMP_TCP && a->port == b->port && !strcmp(a->host, b->host))
				return err_set(p->err, EINVAL,
					"two QMP servers on the same port %s:%u", a->host, a->port);
		}
	}
	return 0;
}

static int finish(struct parse *p)
{
	static int (*const steps[])(struct parse *) = { finish_console, finish_monitors,
		finish_sockets, finish_numa, finish_memory, finish_devices, finish_boot };
	int ret = 0;

	p->option = NULL;
	for (size_t i = 0; !ret && i < sizeof(steps) / sizeof(steps[0]); i++)
		ret = steps[i](p);
	return ret;
}

static void parse_release(struct parse *p)
{
	for (unsigned i = 0; i < p->n_devices; i++)
		free(p->devices[i]);
	free(p->devices);
	for (unsigned i = 0; i < p->n_chardevs; i++) {
		free(p->chardevs[i].id);
		socket_spec_release(&p->chardevs[i].socket);
	}
	free(p->chardevs);
	free(p->numa_cpus);
	free(p->numa_distances);
	for (unsigned i = 0; i < p->n_monitors; i++)
		free(p->monitors[i]);
	free(p->monitors);
	free(p->text);
}

int command_line_parse(
	struct config *config, int argc, char *const argv[], char **text, struct err *err)
{
	struct parse p = { .config = config, .err = err };
	int ret = 0;

	*text = NULL;
	for (int i = 1; !ret && !p.text && i < argc; i++)
		ret = parse_one(&p, argc, argv, &i);
	if (!ret && !p.text)
		ret = finish(&p);
	if (!ret) {
		*text = p.text;
		p.text = NULL;
	}
	parse_release(&p);
	return ret;
}
