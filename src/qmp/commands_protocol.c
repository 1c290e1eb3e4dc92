/* SPDX-License-Identifier: Apache-2.0 */
/* commands_protocol.c - the protocol about itself: version, commands, events, schema. */
#include <stdio.h>
#include <string.h>

#include <portcullis/version.h>

#include "schema.h"

int qmp_cmd_query_version(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_object(r->out, QMP_RETURN);
	json_begin_object(r->out, "qemu");
	json_put_int(r->out, "major", PORTCULLIS_VERSION_MAJOR);
	json_put_int(r->out, "minor", PORTCULLIS_VERSION_MINOR);
	json_put_int(r->out, "micro", PORTCULLIS_VERSION_MICRO);
	json_end_object(r->out);
	json_put_string(r->out, "package", "portcullis-" PORTCULLIS_VERSION);
	json_end_object(r->out);
	return 0;
}

static void put_name(struct json_writer *w, const char *name)
{
	json_begin_object(w, NULL);
	json_put_string(w, "name", name);
	json_end_object(w);
}

int qmp_cmd_query_commands(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	for (const struct qmp_command *c = qmp_commands; c->name; c++)
		put_name(r->out, c->name);
	json_end_array(r->out);
	return 0;
}

int qmp_cmd_query_events(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	for (const struct qmp_event_type *e = qmp_events; e->name; e++)
		put_name(r->out, e->name);
	json_end_array(r->out);
	return 0;
}

/* --- query-qmp-schema --- */

/* What a command without arguments takes, and one without a value returns. */
static const char empty[] = "Empty";

static void begin_info(struct json_writer *w, const char *name, const char *meta)
{
	json_begin_object(w, NULL);
	json_put_string(w, "name", name);
	json_put_string(w, "meta-type", meta);
}

static void put_builtin(struct json_writer *w, const char *name, const char *json_type)
{
	begin_info(w, name, "builtin");
	json_put_string(w, "json-type", json_type);
	json_end_object(w);
}

static void put_members(struct json_writer *w, const struct qmp_member *members)
{
	json_begin_array(w, "members");
	for (const struct qmp_member *m = members; m && m->name; m++) {
		json_begin_object(w, NULL);
		json_put_string(w, "name", m->name);
		json_put_string(w, "type", m->type);
		if (m->optional)
			json_put_null(w, "default");
		json_end_object(w);
	}
	json_end_array(w);
}

static void put_enum(struct json_writer *w, const struct qmp_type *type)
{
	begin_info(w, type->name, "enum");
	json_begin_array(w, "members");
	for (unsigned i = 0; type->values[i]; i++)
		put_name(w, type->values[i]);
	json_end_array(w);
	json_begin_array(w, "values");
	for (unsigned i = 0; type->values[i]; i++)
		json_put_string(w, NULL, type->values[i]);
	json_end_array(w);
	json_end_object(w);
}

static void put_type(struct json_writer *w, const struct qmp_type *type)
{
	if (type->values) {
		put_enum(w, type);
		return;
	}
	begin_info(w, type->name, "object");
	put_members(w, type->members);
	json_end_object(w);
}

/* Called with every type name that is used anywhere; true to go on. */
typedef bool (*use_fn)(const char *type, void *opaque);

static bool each_use(use_fn fn, void *opaque)
{
	for (const struct qmp_command *c = qmp_commands; c->name; c++)
		if (c->returns && !fn(c->returns, opaque))
			return false;
	for (const struct qmp_type *t = qmp_types; t->name; t++)
		for (const struct qmp_member *m = t->members; m && m->name; m++)
			if (!fn(m->type, opaque))
				return false;
	return true;
}

/* Arrays have no entry of their own in the table: the first use of each is described. */
struct array_walk {
	struct json_writer *w;
	unsigned index; /* of the use at hand */
	const char *type;
	unsigned earlier;
};

static bool used_earlier(const char *type, void *opaque)
{
	struct array_walk *walk = opaque;

	if (walk->earlier++ == walk->index)
		return false;
	if (strcmp(type, walk->type) != 0)
		return true;
	walk->type = NULL;
	return false;
}

static bool put_array(const char *type, void *opaque)
{
	struct array_walk *walk = opaque;
	char element[64];

	if (*type == '[') {
		walk->type = type;
		walk->earlier = 0;
		each_use(used_earlier, walk);
		if (walk->type) {
			snprintf(element, sizeof(element), "%.*s", (int)strlen(type) - 2, type + 1);
			begin_info(walk->w, type, "array");
			json_put_string(walk->w, "element-type", element);
			json_end_object(walk->w);
		}
	}
	walk->index++;
	return true;
}

static void put_commands(struct json_writer *w)
{
	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		begin_info(w, c->name, "command");
		json_put_string(w, "arg-type", c->args ? c->args : empty);
		json_put_string(w, "ret-type", c->returns ? c->returns : empty);
		json_put_bool(w, "allow-oob", false);
		json_end_object(w);
	}
}

int qmp_cmd_query_schema(struct qmp_request *r, struct err *err)
{
	struct array_walk walk = { .w = r->out };

	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	put_commands(r->out);
	for (const struct qmp_event_type *e = qmp_events; e->name; e++) {
		begin_info(r->out, e->name, "event");
		json_put_string(r->out, "arg-type", e->data ? e->data : empty);
		json_end_object(r->out);
	}
	for (const struct qmp_type *t = qmp_types; t->name; t++)
		put_type(r->out, t);
	put_type(r->out, &(struct qmp_type){ .name = empty });
	put_builtin(r->out, "str", "string");
	put_builtin(r->out, "int", "int");
	put_builtin(r->out, "bool", "boolean");
	put_builtin(r->out, "any", "value");
	each_use(put_array, &walk);
	json_end_array(r->out);
	return 0;
}
