/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_doc.c - prints docs/qmp.md from the schema table.
 */
#include <stdio.h>

#include "../../src/qmp/schema.h"
#include "../../src/qmp/wire.h"

static const char intro[] =
	"# QMP reference\n\n"
	"Generated from `src/qmp/schema_table.c` by `tests/tools/qmp_doc.c`; do not edit.\n\n"
	"`-qmp unix:PATH,server,nowait` or `-qmp tcp:ADDRESS:PORT,server,nowait` opens a control "
	"socket;\n"
	"both may be given more than once. The protocol is QEMU's: JSON objects, one after the "
	"other, in\n"
	"both directions. Any number of clients may connect at a time. Each is greeted, sends\n"
	"`qmp_capabilities`, and from then on gets replies to its own commands, in their order, "
	"and every\n"
	"event.\n\n"
	"```\n"
	"-> {\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", \"id\": "
	"\"vfio-0\",\n"
	"    \"bus\": \"pcie.1\", \"addr\": \"0x0\", \"host\": \"0000:1a:00.3\"}, \"id\": 1}\n"
	"<- {\"return\": {}, \"id\": 1}\n"
	"-> {\"execute\": \"device_del\", \"arguments\": {\"id\": \"vfio-0\"}}\n"
	"<- {\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"vfio-0\", \"path\": "
	"\"vfio-0\"},\n"
	"    \"timestamp\": {\"seconds\": 1614310541, \"microseconds\": 554250}}\n"
	"<- {\"return\": {}}\n"
	"```\n\n"
	"An error is `{\"error\": {\"class\": CLASS, \"desc\": TEXT}}`. The class is "
	"`GenericError`,\n"
	"`CommandNotFound` (unknown, or not allowed before or after negotiation) or "
	"`DeviceNotFound`; the\n"
	"text says what failed and what to do about it.\n\n"
	"Replies and events are ASCII, other characters are `\\uXXXX`. Clients may send UTF-8, and "
	"strings\n"
	"in single quotes as QEMU lets them. What a client has sent is carried out even if it "
	"closes "
	"the\n"
	"connection right after and hears no answer.\n\n";

static const char limits[] =
	"## Limits\n\n"
	"| what | limit | beyond it |\n|---|---|---|\n"
	"| a message | %u bytes, %u values, nesting %u | an error; the next message is heard |\n"
	"| replies a client has not read | %u bytes | none of its commands is taken until it reads "
	"|\n"
	"| replies and events a client has not read | %u bytes | it is disconnected |\n"
	"| file descriptors a client has handed over | %u unnamed, %u named | they are closed; an "
	"error |\n"
	"| file descriptors in all sets | %u | an error |\n";

static void print_members(const char *name)
{
	const struct qmp_type *type = name ? qmp_type_find(name) : NULL;

	for (const struct qmp_member *m = type ? type->members : NULL; m && m->name; m++)
		printf("- `%s`: %s%s%s%s\n", m->name, m->type, m->optional ? ", optional" : "",
			m->doc ? " - " : "", m->doc ? m->doc : "");
}

static void print_commands(void)
{
	printf("## Commands\n");
	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		printf("\n### %s\n\n%s\n", c->name, c->doc);
		if (c->args) {
			printf("\nArguments:\n\n");
			print_members(c->args);
		}
		if (c->open_args)
			printf("- every other property of the type (`-device TYPE,help`, `-object TYPE,help`), as string, number or boolean\n");
		if (c->returns)
			printf("\nReturns: %s\n", c->returns);
	}
}

static void print_events(void)
{
	printf("\n## Events\n");
	for (const struct qmp_event_type *e = qmp_events; e->name; e++) {
		printf("\n### %s\n\n%s\n", e->name, e->doc);
		if (e->data) {
			printf("\nData:\n\n");
			print_members(e->data);
		}
	}
}

static void print_types(void)
{
	printf("\n## Types\n\n`[X]` is an array of X.\n");
	for (const struct qmp_type *t = qmp_types; t->name; t++) {
		printf("\n### %s\n\n", t->name);
		print_members(t->name);
		for (unsigned i = 0; t->values && t->values[i]; i++)
			printf("%s`%s`", i ? ", " : "One of ", t->values[i]);
		if (t->values)
			printf("\n");
	}
}

int main(void)
{
	fputs(intro, stdout);
	printf(limits, JSON_MESSAGE_MAX, JSON_VALUES_MAX, JSON_DEPTH_MAX, WIRE_OUTPUT_LOW,
		WIRE_OUTPUT_MAX, FDS_MAX, FDS_MAX, FDSET_MAX);
	printf("\n");
	print_commands();
	print_events();
	print_types();
	return 0;
}
