/* SPDX-License-Identifier: Apache-2.0 */
/* types.c - "TYPE[,properties]" of -device and -object: which types there are, and their help. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define HELP_SIZE 16384

const struct type_list device_list = { "device", device_types };
const struct type_list object_list = { "object", object_types };

int unknown_type(struct parse *p, const struct type_list *list, const char *name)
{
	const char *names[32], *near;
	char text[256] = "";
	size_t used = 0;
	unsigned n = 0;

	for (; list->types[n] && n < 31; n++) {
		names[n] = list->types[n]->name;
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s", n ? ", " : "", names[n]);
		if (used >= sizeof(text))
			used = sizeof(text) - 1;
	}
	names[n] = NULL;
	near = nearest_word(name, names);
	option_error(p, "unknown %s type '%s'", list->noun, name);
	if (near)
		err_hint(p->err, "did you mean '%s'?", near);
	else
		err_hint(p->err, "there are: %s", text);
	return -EINVAL;
}

/* "-device help" */
static int list_types(struct parse *p, const struct type_list *list)
{
	char *text = malloc(HELP_SIZE);
	size_t used = 0;

	if (!text)
		return out_of_memory(p);
	for (unsigned i = 0; list->types[i] && used < HELP_SIZE; i++)
		used += (size_t)snprintf(text + used, HELP_SIZE - used, "%-20s %s\n",
			list->types[i]->name, list->types[i]->help);
	p->text = text;
	return 0;
}

/* "-device TYPE,help" */
static int list_props(struct parse *p, const struct prop_type *type)
{
	char *text = malloc(HELP_SIZE);
	int used;

	if (!text)
		return out_of_memory(p);
	used = snprintf(text, HELP_SIZE, "%s: %s\n", type->name, type->help);
	props_help(type, text + used, HELP_SIZE - (size_t)used);
	p->text = text;
	return 0;
}

static const struct prop_type *find(const struct type_list *list, const char *name)
{
	for (unsigned i = 0; list->types[i]; i++)
		if (!strcmp(list->types[i]->name, name))
			return list->types[i];
	return NULL;
}

int split_type(struct parse *p, const struct type_list *list, const char *value,
	const struct prop_type **type, const char **rest)
{
	const char *name = value, *comma;
	char *copy = NULL;
	int ret;

	if (*value == '{') {
		option_error(p, "it is not given as JSON here");
		err_hint(p->err, "write it as -%s TYPE,property=value,...", list->noun);
		return -EINVAL;
	}
	if (list == &device_list && !strncmp(name, "driver=", 7))
		name += 7;
	else if (list == &object_list && !strncmp(name, "qom-type=", 9))
		name += 9;
	comma = strchrnul(name, ',');
	*rest = *comma ? comma + 1 : comma;
	ret = copy_string(p, &copy, name);
	if (ret < 0)
		return ret;
	copy[comma - name] = '\0';
	*type = find(list, copy);
	if (!*type)
		ret = unknown_type(p, list, copy);
	free(copy);
	return ret;
}

int type_help(struct parse *p, const struct type_list *list, const char *value)
{
	const struct prop_type *type;
	const char *rest;
	int ret;

	if (!strcmp(value, "help") || !strcmp(value, "?"))
		return list_types(p, list);
	ret = split_type(p, list, value, &type, &rest);
	if (ret < 0 || (strcmp(rest, "help") != 0 && strcmp(rest, "?") != 0))
		return ret;
	return list_props(p, type);
}
