/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - what happens to the machine, told to every client. */
#include <string.h>

#include "schema.h"
#include "session.h"

static void put_members(struct json_writer *w, const char *type, const struct machine_event *event);

/* Members of an event's data and where their values come from. */
static void put_member(
	struct json_writer *w, const struct qmp_member *m, const struct machine_event *event)
{
	const struct {
		const char *name, *value;
	} strings[] = { { "reason", event->reason }, { "stage", event->reason },
		{ "severity", event->reason }, { "device", event->device }, { "path", event->path },
		{ "action", event->action }, { "recipient", event->recipient } };
	const struct {
		const char *name;
		bool value;
	} bools[] = { { "guest", event->guest }, { "action-required", event->action_required },
		{ "recursive", event->recursive } };

	for (unsigned i = 0; i < sizeof(bools) / sizeof(bools[0]); i++)
		if (!strcmp(m->name, bools[i].name))
			json_put_bool(w, m->name, bools[i].value);
	if (!strcmp(m->name, "flags")) {
		json_begin_object(w, m->name);
		put_members(w, m->type, event);
		json_end_object(w);
	}
	for (unsigned i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (!strcmp(m->name, strings[i].name) && (strings[i].value || !m->optional))
			json_put_string(
				w, m->name, strings[i].value ? strings[i].value : "unknown");
}

static void put_members(struct json_writer *w, const char *type, const struct machine_event *event)
{
	for (const struct qmp_member *m = qmp_type_find(type)->members; m->name; m++)
		put_member(w, m, event);
}

static void put_data(struct json_writer *w, const void *opaque)
{
	const struct machine_event *event = opaque;

	put_members(w, qmp_event_find(event->kind)->data, event);
}

void qmp_on_machine_event(void *opaque, const struct machine_event *event)
{
	const struct qmp_event_type *type = qmp_event_find(event->kind);

	if (type)
		qmp_send_event(opaque, type->name, type->data ? put_data : NULL, event);
}
