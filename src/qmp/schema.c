/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - looking things up in the table, and checking values against it. */
#include <errno.h>
#include <string.h>

#include <portcullis/err.h>

#include "schema.h"

const struct qmp_type *qmp_type_find(const char *name)
{
	for (const struct qmp_type *type = qmp_types; type->name; type++)
		if (!strcmp(type->name, name))
			return type;
	return NULL;
}

const struct qmp_command *qmp_command_find(const char *name)
{
	for (const struct qmp_command *command = qmp_commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

const struct qmp_event_type *qmp_event_find(enum machine_event_kind kind)
{
	for (const struct qmp_event_type *event = qmp_events; event->name; event++)
		if (event->kind == kind)
			return event;
	return NULL;
}

static int wrong_type(const char *what, const char *expected, struct err *err)
{
	return err_set(
		err, EINVAL, "Invalid parameter type for '%s', expected: %s", what, expected);
}

static const struct {
	const char *name, *expected;
	enum json_kind kind;
} builtins[] = {
	{ "str", "string", JSON_STRING },
	{ "int", "integer", JSON_INT },
	{ "bool", "boolean", JSON_BOOL },
};

static int check_enum(
	const struct qmp_type *type, const struct json *value, const char *what, struct err *err)
{
	if (value->kind != JSON_STRING)
		return wrong_type(what, "string", err);
	for (unsigned i = 0; type->values[i]; i++)
		if (!strcmp(type->values[i], value->text))
			return 0;
	return err_set(err, EINVAL, "Parameter '%s' does not accept value '%s'", what, value->text);
}

static const struct qmp_member *find_member(const struct qmp_type *type, const char *name)
{
	for (const struct qmp_member *m = type->members; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

static int check_members(
	const struct qmp_type *type, const struct json *object, bool open, struct err *err)
{
	for (const struct qmp_member *m = type->members; m->name; m++)
		if (!m->optional && !(object && json_get(object, m->name)))
			return err_set(err, EINVAL, "Parameter '%s' is missing", m->name);
	for (const struct json *v = object ? object->first : NULL; v; v = v->next) {
		const struct qmp_member *m = find_member(type, v->key);
		int ret = 0;

		if (m)
			ret = qmp_check_value(m->type, v, v->key, err);
		else if (!open)
			ret = err_set(err, EINVAL, "Parameter '%s' is unexpected", v->key);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int check_array(
	const char *type, const struct json *value, const char *what, struct err *err)
{
	char element[64];
	size_t len = strlen(type) - 2;

	if (value->kind != JSON_ARRAY)
		return wrong_type(what, "array", err);
	if (len >= sizeof(element))
		return err_set(err, EINVAL, "type '%s' has too long a name", type);
	memcpy(element, type + 1, len);
	element[len] = '\0';
	for (const struct json *v = value->first; v; v = v->next) {
		int ret = qmp_check_value(element, v, what, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int qmp_check_value(const char *name, const struct json *value, const char *what, struct err *err)
{
	const struct qmp_type *type;

	if (!strcmp(name, "any"))
		return 0;
	for (unsigned i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++)
		if (!strcmp(builtins[i].name, name))
			return value->kind == builtins[i].kind
				       ? 0
				       : wrong_type(what, builtins[i].expected, err);
	if (*name == '[')
		return check_array(name, value, what, err);
	type = qmp_type_find(name);
	if (!type)
		return err_set(err, EINVAL, "type '%s' of '%s' is not in the schema", name, what);
	if (type->values)
		return check_enum(type, value, what, err);
	if (value->kind != JSON_OBJECT)
		return wrong_type(what, "object", err);
	return check_members(type, value, false, err);
}

int qmp_check_args(const struct qmp_command *command, const struct json *args, struct err *err)
{
	static const struct qmp_member none[] = { { .name = NULL } };
	static const struct qmp_type no_args = { .name = "", .members = none };
	const struct qmp_type *type = command->args ? qmp_type_find(command->args) : &no_args;

	return check_members(type, args, command->open_args, err);
}
