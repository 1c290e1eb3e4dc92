/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - what happens to the machine, told to every client. */
#include <string.h>

#include "schema.h"
#include "session.h"

/* Members of an event's data and where their values come from. */
static void put_member(
	struct json_writer *w, const struct qmp_member *m, const struct machine_event *event)
{
	const struct {
		const char *name, *value;
	} strings[] = { { "reason", event->reason }, { "stage", event->reason },
		{ "severity", event->reason }, { "device", event->device }, { "path", event->path },
		{ "action", event->action } };

	if (!strcmp(m->name, "guest")) {
		json_put_bool(w, m->name, event->guest);
		return;
	}
	for (unsigned i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (!strcmp(m->name, strings[i].name) && (strings[i].value || !m->optional))
			json_put_string(
				w, m->name, strings[i].value ? strings[i].value : "unknown");
}

static void put_data(struct json_writer *w, const void *opaque)
{
	const struct machine_event *event = opaque;
	const struct qmp_type *type = qmp_type_find(qmp_event_find(event->kind)->data);

	for (const struct qmp_member *m = type->members; m->name; m++)
		put_member(w, m, event);
}

void qmp_on_machine_event(void *opaque, const struct machine_event *event)
{
	const struct qmp_event_type *type = qmp_event_find(event->kind);

	if (type)
		qmp_send_event(opaque, type->name, type->data ? put_data : NULL, event);
}
