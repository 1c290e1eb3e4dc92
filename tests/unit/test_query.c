/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_query.c - query-vfio and query-vfio-mappings of a machine with real devices on fake cards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <linux/pci_regs.h>

#include <portcullis/machine_query.h>
#include <portcullis/machine_vfio.h>

#include "../../src/qmp/schema.h"
#include "machine_rig.h"

static struct machine_rig rig;
static struct json_arena arena;

static int setup(void **state)
{
	(void)state;
	role_enter_main();
	rig_init(&rig, false);
	return json_arena_init(&arena);
}

static int teardown(void **state)
{
	(void)state;
	json_arena_release(&arena);
	rig_release(&rig);
	return 0;
}

static const struct json *ask(int (*command)(struct qmp_request *, struct err *))
{
	static struct json_writer w;
	struct qmp_context context = { .machine = rig.m };
	struct qmp_request request = { .context = &context, .out = &w };
	const struct json *reply;
	struct err err = { 0 };

	json_writer_init(&w, 1 << 20);
	json_begin_object(&w, NULL);
	assert_int_equal(command(&request, &err), 0);
	json_end_object(&w);
	assert_false(w.failed);
	if (json_parse(&arena, w.buf, w.used, &reply, &err))
		fail_msg("%s", err.text);
	json_writer_release(&w);
	return json_get(reply, QMP_RETURN);
}

static int64_t number(const struct json *object, const char *key)
{
	const struct json *value = json_get(object, key);

	assert_non_null(value);
	return value->integer;
}

static void plug(void)
{
	struct rig_op add;

	rig_add(&rig, &add, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
	rig_settle(&rig);
	assert_true(add.done);
	assert_string_equal(add.err.text, "");
}

static void unplug(void)
{
	struct rig_op del;

	rig_del(&rig, &del, "d0", true);
	rig_settle(&rig);
	assert_true(del.done);
}

static void access_bar(uint64_t offset)
{
	struct io_access access = { .offset = offset, .size = 4 };

	vfio_bar_access(vfio_bar_opaque(&passthrough_card(rig.m->devices)->fn, 0), &access);
}

static void map_bar0(uint32_t addr)
{
	struct pci_function *fn = vfio_pci_function(passthrough_card(rig.m->devices));

	pci_config_apply(fn, PCI_BASE_ADDRESS_0, 4, addr);
	pci_config_apply(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_update_mappings(fn);
}

static void test_device(void **state)
{
	const struct json *row, *bar, *area, *traps;

	(void)state;
	plug();
	access_bar(0x2000);
	access_bar(0x2004);
	access_bar(0x3000);
	row = ask(qmp_cmd_query_vfio)->first;
	assert_string_equal(json_get(row, "id")->text, "d0");
	assert_string_equal(json_get(row, "stage")->text, "plugged");
	assert_string_equal(json_get(row, "host")->text, "0000:01:00.0");
	assert_int_equal(number(row, "group"), 1);
	assert_int_equal(number(row, "mapped-bytes"), rig.m->ram.layout.size);
	bar = json_get(row, "bars")->first;
	assert_int_equal(number(bar, "bar"), 0);
	assert_string_equal(json_get(bar, "kind")->text, "mem64");
	assert_int_equal(number(bar, "size"), 0x8000);
	area = json_get(bar, "areas")->first;
	assert_string_equal(json_get(area, "access")->text, "mapped");
	area = area->next;
	assert_string_equal(json_get(area, "access")->text, "trapped");
	assert_int_equal(number(area, "offset"), 0x2000);
	assert_int_equal(number(area, "size"), 0x2000);
	assert_null(area->next->next);
	traps = json_get(bar, "traps")->first;
	assert_int_equal(number(traps, "offset"), 0x2000);
	assert_int_equal(number(traps, "count"), 2);
	assert_int_equal(number(traps->next, "offset"), 0x3000);
	assert_int_equal(number(bar, "trapped"), 3);
	/* An nvme has one BAR; the upper half of it is none. */
	assert_null(bar->next);
	assert_null(json_get(bar, "address"));
	map_bar0(0xd0000000);
	bar = json_get(ask(qmp_cmd_query_vfio)->first, "bars")->first;
	assert_int_equal(number(bar, "address"), 0xd0000000);
	assert_int_equal(number(bar, "memslots"), 2);
	unplug();
	assert_null(ask(qmp_cmd_query_vfio)->first);
}

/* Every moment of a life can be looked at. */
static void test_stages(void **state)
{
	struct rig_op add, del;
	unsigned stages = 0;
	char last[32] = "";

	(void)state;
	rig_add(&rig, &add, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
	for (unsigned i = 0; i < 40; i++) {
		const struct json *row = ask(qmp_cmd_query_vfio)->first;
		const char *stage = row ? json_get(row, "stage")->text : "none";

		if (strcmp(stage, last))
			stages++;
		snprintf(last, sizeof(last), "%s", stage);
		if (i == 20)
			rig_del(&rig, &del, "d0", true);
		rig_step(&rig);
	}
	assert_true(add.done && del.done);
	assert_string_equal(last, "none");
	assert_true(stages > 3);
}

static void test_mappings(void **state)
{
	const struct json *map;

	(void)state;
	assert_null(ask(qmp_cmd_query_vfio_mappings)->first);
	plug();
	map = ask(qmp_cmd_query_vfio_mappings)->first;
	assert_int_equal(number(map, "iova"), 0);
	assert_int_equal(number(map, "size"), rig.m->ram.layout.size);
	assert_true(json_get(map, "ram")->boolean);
	assert_null(json_get(map, "host"));
	assert_null(map->next);
	unplug();
	assert_null(ask(qmp_cmd_query_vfio_mappings)->first);
}

/* The value of a member of the limit called so. */
static int64_t limit(const char *name, const char *member)
{
	const struct json *row = ask(qmp_cmd_query_vfio_limits)->first;

	while (row && strcmp(json_get(row, "name")->text, name) != 0)
		row = row->next;
	assert_non_null(row);
	return number(row, member);
}

static void test_limits(void **state)
{
	static const char *const names[] = { "memslots", "interrupt-routes", "workers" };
	int64_t before[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		before[i] = limit(names[i], "used");
	assert_int_equal(before[2], 0);
	plug();
	map_bar0(0xd0000000);
	for (unsigned i = 0; i < 3; i++)
		assert_true(limit(names[i], "used") > before[i]);
	assert_int_equal(limit("workers", "max"), rig.m->n_workers);
	unplug();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(limit(names[i], "used"), before[i]);
}

/* Asking anew begins anew. */
static void test_main_loop(void **state)
{
	struct loop_away away;
	(void)state;

	rig.m->loop.away.on = true;
	loop_step(&rig.m->loop, 0);
	loop_step(&rig.m->loop, 0);
	away = machine_query_main_loop(rig.m, false);
	assert_true(away.steps > 0);
	assert_true(away.longest_ns > 0);
	away = machine_query_main_loop(rig.m, true);
	assert_true(away.steps > 0);
	away = machine_query_main_loop(rig.m, false);
	assert_int_equal(away.steps, 0);
	assert_int_equal(away.longest_ns, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_device),
		CASE(test_stages),
		CASE(test_mappings),
		CASE(test_limits),
		CASE(test_main_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
