/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_qmp_schema.c - the schema table is whole, and every reply is what it says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "fake_vfio_device.h"
#include "qmp_fixture.h"
#include "qmp_talk.h"

static struct machine machine;
static struct qmp_context context;
static struct talk talk;
static struct json_arena arena;

static int setup(void **state)
{
	(void)state;
	machine_setup(&machine);
	machine.answer_at_once = true;
	if (qmp_context_init(&context) || json_arena_init(&arena))
		return -1;
	context.machine = &machine;
	talk_open(&talk, &context);
	talk_take(&talk);
	talk_say(&talk, "{\"execute\": \"qmp_capabilities\"}");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	session_close(&talk.session);
	qmp_context_release(&context);
	json_arena_release(&arena);
	machine_teardown(&machine);
	return 0;
}

static bool type_exists(const char *name)
{
	static const char *const builtins[] = { "str", "int", "bool", "any", NULL };
	char element[64];

	for (unsigned i = 0; builtins[i]; i++)
		if (!strcmp(builtins[i], name))
			return true;
	if (*name != '[')
		return qmp_type_find(name) != NULL;
	snprintf(element, sizeof(element), "%.*s", (int)strlen(name) - 2, name + 1);
	return name[strlen(name) - 1] == ']' && type_exists(element);
}

static bool is_object(const char *name)
{
	const struct qmp_type *type = qmp_type_find(name);
	return type && type->members && !type->values;
}

static void test_types_exist(void **state)
{
	(void)state;
	for (const struct qmp_type *t = qmp_types; t->name; t++) {
		assert_true((t->members != NULL) != (t->values != NULL));
		assert_ptr_equal(qmp_type_find(t->name), t); /* no name twice */
		for (const struct qmp_member *m = t->members; m && m->name; m++)
			if (!type_exists(m->type))
				fail_msg("%s.%s: no type '%s'", t->name, m->name, m->type);
	}
	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		assert_ptr_equal(qmp_command_find(c->name), c);
		assert_non_null(c->fn);
		assert_non_null(c->doc);
		if (c->args && !is_object(c->args))
			fail_msg("%s: arguments are no object", c->name);
		if (c->returns && !type_exists(c->returns))
			fail_msg("%s: no type '%s'", c->name, c->returns);
	}
	for (const struct qmp_event_type *e = qmp_events; e->name; e++) {
		assert_ptr_equal(qmp_event_find(e->kind), e);
		if (e->data && !is_object(e->data))
			fail_msg("%s: data is no object", e->name);
	}
}

/* What clients of QEMU look for. */
static void test_commands_are_there(void **state)
{
	static const char *const names[] = { "qmp_capabilities", "query-version", "query-commands",
		"query-events", "query-qmp-schema", "query-status", "query-name", "query-uuid",
		"query-kvm", "query-machines", "query-target", "query-cpus", "query-cpus-fast",
		"query-memdev", "query-pci", "query-vfio", "query-vfio-mappings",
		"query-vfio-limits", "query-vfio-main-loop", "device-list-properties", "stop",
		"cont", "system_reset", "system_powerdown", "quit", "device_add", "device_del",
		"object-add", "object-del", "getfd", "closefd", "add-fd", "remove-fd",
		"query-fdsets" };
	const char *commands;
	char quoted[64];
	(void)state;

	commands = talk_say(&talk, "{\"execute\": \"query-commands\"}");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(quoted, sizeof(quoted), "{\"name\": \"%s\"}", names[i]);
		if (!strstr(commands, quoted))
			fail_msg("no command '%s'", names[i]);
	}
	for (int kind = MACHINE_SHUTDOWN; kind <= MACHINE_MEMORY_FAILURE; kind++)
		assert_non_null(qmp_event_find((enum machine_event_kind)kind));
}

static const struct json *ask(const char *command, const char *arguments)
{
	const struct json *reply = NULL;
	char message[512];
	const char *text;
	struct err err = { 0 };

	snprintf(message, sizeof(message), "{\"execute\": \"%s\"%s%s}", command,
		arguments ? ", \"arguments\": " : "", arguments ? arguments : "");
	text = talk_say(&talk, message);
	if (json_parse(&arena, text, strlen(text), &reply, &err) != 0)
		fail_msg("%s: %s", command, err.text);
	reply = json_get(reply, "return");
	if (!reply)
		fail_msg("%s: %s", command, text);
	return reply;
}

/* A passed-through card with trapped accesses, so that query-vfio has all there is to show. */
static struct fake_rig rig;

static void test_query_vfio(void **state)
{
	const struct json *row, *bar;
	struct machine_vfio info = { .id = "net",
		.bus = "pcie.0",
		.stage = "plugged",
		.worker = "vfio_worker0",
		.last_error = "something",
		.open = true,
		.on_bus = true };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(fake_rig_init(&rig, fake_card_e1000e, "pcie.0"), 0);
	info.dev = rig.dev;
	for (unsigned i = 0; i < 2000; i++)
		fake_bar_read(&rig, 2, 0x10, 4);
	fake_bar_read(&rig, 3, 0x2008, 4);
	machine.vfio = &info;
	row = ask("query-vfio", NULL);
	machine.vfio = NULL;
	if (qmp_check_value("[VfioDeviceInfo]", row, "query-vfio", &err))
		fail_msg("%s", err.text);
	row = row->first;
	assert_string_equal(json_get(row, "last-error")->text, "something");
	assert_int_equal(json_get(row, "mapped-bytes")->integer, 1 << 20);
	bar = json_get(row, "bars")->first->next->next;
	assert_string_equal(json_get(bar, "kind")->text, "io");
	assert_int_equal(json_get(bar, "trapped")->integer, 2000);
	bar = bar->next;
	assert_int_equal(json_get(bar, "bar")->integer, 3);
	assert_int_equal(json_get(json_get(bar, "traps")->first, "offset")->integer, 0x2000);
	bar = bar->next;
	assert_string_equal(json_get(bar, "kind")->text, "rom");
	assert_string_equal(json_get(json_get(bar, "areas")->first, "access")->text, "read-only");
	/* Asked for by an fd alone: its name is what was found behind it. */
	assert_false(rig.dev->options->host.set);
	strcpy(rig.dev->name, "0000:1a:00.3");
	atomic_store(&rig.dev->identified, true);
	machine.vfio = &info;
	assert_string_equal(json_get(ask("query-vfio", NULL)->first, "host")->text, "0000:1a:00.3");
	/* Before it is open its worker may be changing what there is to see. */
	info.open = info.on_bus = false;
	machine.vfio = &info;
	row = ask("query-vfio", NULL)->first;
	machine.vfio = NULL;
	assert_null(json_get(row, "group"));
	assert_string_equal(json_get(row, "host")->text, "");
	assert_null(json_get(row, "bars")->first);
	fake_rig_release(&rig);
}

static void test_replies_fit(void **state)
{
	static const struct {
		const char *command, *arguments;
	} with[] = {
		{ "device-list-properties", "{\"typename\": \"vfio-pci\"}" },
		{ "device_del", "{\"id\": \"a\"}" },
		{ "object-add", "{\"qom-type\": \"iommufd\", \"id\": \"a\"}" },
		{ "object-del", "{\"id\": \"a\"}" },
		{ "device_add", "{\"driver\": \"vfio-pci\", \"id\": \"a\", \"host\": \"1a:0.0\"}" },
	};
	static const char *const not_here[] = { "qmp_capabilities", "getfd", "closefd", "add-fd",
		"remove-fd", "query-qmp-schema" };
	(void)state;

	for (const struct qmp_command *c = qmp_commands; c->name; c++) {
		const char *arguments = NULL;
		struct err err = { 0 };
		bool skipped = false;

		for (unsigned i = 0; i < sizeof(not_here) / sizeof(not_here[0]); i++)
			skipped |= !strcmp(c->name, not_here[i]);
		for (unsigned i = 0; i < sizeof(with) / sizeof(with[0]); i++)
			if (!strcmp(c->name, with[i].command))
				arguments = with[i].arguments;
		if (skipped)
			continue;
		if (qmp_check_value(c->returns ? c->returns : "QmpCapabilities",
			    ask(c->name, arguments), c->name, &err) != 0)
			fail_msg("%s: %s", c->name, err.text);
	}
}

static void test_query_memdev(void **state)
{
	const struct json *memdev;

	(void)state;
	memdev = ask("query-memdev", NULL)->first;
	assert_string_equal(json_get(memdev, "id")->text, "m0");
	assert_int_equal(json_get(memdev, "size")->integer, 1ll << 40);
	assert_int_equal(json_get(memdev, "host-nodes")->first->integer, 0);
	assert_int_equal(json_get(memdev, "host-nodes")->first->next->integer, 2);
	assert_null(json_get(memdev, "host-nodes")->first->next->next);
	assert_string_equal(json_get(memdev, "policy")->text, "bind");
}

/* The values that matter of query-pci, in QEMU's places. */
static void test_query_pci(void **state)
{
	const struct json *devices, *nic, *region;
	(void)state;

	devices = json_get(ask("query-pci", NULL)->first, "devices");
	assert_int_equal(json_get(json_get(devices->first, "id"), "vendor")->integer, 0x8086);
	assert_int_equal(json_get(json_get(devices->first, "id"), "device")->integer, 0x29c0);
	assert_string_equal(
		json_get(json_get(devices->first, "class_info"), "desc")->text, "Host bridge");
	assert_string_equal(json_get(devices->first, "qdev_id")->text, "");
	nic = devices->first->next;
	assert_int_equal(json_get(nic, "slot")->integer, 3);
	assert_int_equal(json_get(nic, "function")->integer, 1);
	assert_string_equal(json_get(nic, "qdev_id")->text, "net");
	assert_int_equal(json_get(nic, "irq_pin")->integer, 1);
	region = json_get(nic, "regions")->first;
	assert_int_equal(json_get(region, "address")->integer, 0x8000000000);
	assert_int_equal(json_get(region, "size")->integer, 0x4000);
	assert_true(json_get(region, "mem_type_64")->boolean);
	assert_true(json_get(region, "prefetch")->boolean);
	region = region->next;
	assert_string_equal(json_get(region, "type")->text, "io");
	assert_int_equal(json_get(region, "address")->integer, -1);
	assert_null(region->next);
}

static void test_query_main_loop(void **state)
{
	const struct json *reply = ask("query-vfio-main-loop", NULL);
	struct err err = { 0 };
	(void)state;

	if (qmp_check_value("VfioMainLoop", reply, "query-vfio-main-loop", &err))
		fail_msg("%s", err.text);
	assert_int_equal(json_get(reply, "steps")->integer, 7);
	assert_int_equal(json_get(reply, "longest-step-us")->integer, 2000);
	assert_int_equal(json_get(reply, "longest-step-cpu-us")->integer, 1000);
	assert_null(strstr(machine.calls, "main-loop-anew"));
	ask("query-vfio-main-loop", "{\"reset\": false}");
	assert_null(strstr(machine.calls, "main-loop-anew"));
	ask("query-vfio-main-loop", "{\"reset\": true}");
	assert_non_null(strstr(machine.calls, "main-loop-anew"));
}

static void test_properties(void **state)
{
	const struct json *list = ask("device-list-properties", "{\"typename\": \"vfio-pci\"}");
	bool seen = false;
	(void)state;

	for (const struct json *p = list->first; p; p = p->next)
		if (!strcmp(json_get(p, "name")->text, "host")) {
			seen = true;
			assert_string_equal(json_get(p, "type")->text, "str");
			assert_non_null(json_get(p, "description"));
		}
	assert_true(seen);
	assert_non_null(
		strstr(talk_say(&talk, "{\"execute\": \"device-list-properties\", \"arguments\": "
				       "{\"typename\": \"x\"}}"),
			"\"DeviceNotFound\""));
}

/* --- introspection: too long for the parser's caps, so it is read as text --- */

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;
	for (; (text = strstr(text, word)); text++)
		n++;
	return n;
}

static void described(const char *schema, const char *name, const char *meta)
{
	char text[160];

	snprintf(text, sizeof(text), "{\"name\": \"%s\", \"meta-type\": \"%s\"", name, meta);
	if (count(schema, text) != 1)
		fail_msg("%s described %u times", text, count(schema, text));
}

static void test_introspection(void **state)
{
	const char *schema;
	(void)state;

	schema = talk_say(&talk, "{\"execute\": \"query-qmp-schema\"}");
	for (const struct qmp_command *c = qmp_commands; c->name; c++)
		described(schema, c->name, "command");
	for (const struct qmp_event_type *e = qmp_events; e->name; e++)
		described(schema, e->name, "event");
	for (const struct qmp_type *t = qmp_types; t->name; t++) {
		described(schema, t->name, t->values ? "enum" : "object");
		for (const struct qmp_member *m = t->members; m && m->name; m++)
			if (*m->type == '[')
				described(schema, m->type, "array");
	}
	described(schema, "[CommandInfo]", "array");
	described(schema, "Empty", "object");
	described(schema, "str", "builtin");
	assert_non_null(strstr(schema, "{\"name\": \"device_del\", \"meta-type\": \"command\", "
				       "\"arg-type\": \"DeviceDel\", \"ret-type\": \"Empty\", "
				       "\"allow-oob\": false}"));
	assert_non_null(
		strstr(schema, "{\"name\": \"force\", \"type\": \"bool\", \"default\": null}"));
}

static const struct json *parse(const char *text)
{
	const struct json *out = NULL;
	assert_int_equal(json_parse(&arena, text, strlen(text), &out, NULL), 0);
	return out;
}

static void test_check_value(void **state)
{
	static const struct {
		const char *type, *value;
		bool fits;
	} cases[] = {
		{ "str", "\"x\"", true },
		{ "str", "1", false },
		{ "int", "1", true },
		{ "int", "1.0", false },
		{ "int", "9223372036854775808", false },
		{ "int", "\"1\"", false },
		{ "bool", "true", true },
		{ "bool", "\"on\"", false },
		{ "any", "[{}]", true },
		{ "[str]", "[]", true },
		{ "[str]", "[\"a\", \"b\"]", true },
		{ "[str]", "[\"a\", 1]", false },
		{ "[str]", "{}", false },
		{ "RunState", "\"paused\"", true },
		{ "RunState", "\"resting\"", false },
		{ "RunState", "1", false },
		{ "FdName", "{\"fdname\": \"x\"}", true },
		{ "FdName", "{}", false },
		{ "FdName", "{\"fdname\": 1}", false },
		{ "FdName", "{\"fdname\": \"x\", \"y\": 1}", false },
		{ "FdName", "[]", false },
		{ "Missing", "1", false },
	};
	(void)state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };
		int ret = qmp_check_value(cases[i].type, parse(cases[i].value), "p", &err);
		if ((ret == 0) != cases[i].fits)
			fail_msg("%s as %s: %s", cases[i].value, cases[i].type, err.text);
		if (ret)
			assert_int_equal(ret, -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_exist),
		cmocka_unit_test(test_commands_are_there),
		cmocka_unit_test(test_replies_fit),
		cmocka_unit_test(test_query_pci),
		cmocka_unit_test(test_query_memdev),
		cmocka_unit_test(test_query_vfio),
		cmocka_unit_test(test_query_main_loop),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_introspection),
		cmocka_unit_test(test_check_value),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
