/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_debug_exit.c - isa-debug-exit: what a guest's write does, and where the device may lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "../../src/machine/state.h"

struct bench {
	struct machine m;
	struct config config;
	struct config_device device[2];
	struct bus_reader reader;
	struct err err;
	unsigned events;
	bool guest;
	char reason[32];
};

static void on_event(void *opaque, const struct machine_event *event)
{
	struct bench *b = opaque;

	assert_int_equal(event->kind, MACHINE_SHUTDOWN);
	b->events++;
	b->guest = event->guest;
	strcpy(b->reason, event->reason);
}

static enum io_status nobody(void *opaque, struct io_access *access)
{
	(void)opaque;
	(void)access;
	return IO_DONE;
}

static int set_up(void **state)
{
	struct bus_region rtc = { .base = 0x70, .size = 2, .fn = nobody, .name = "rtc" };
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(loop_init(&b->m.loop), 0);
	assert_int_equal(bus_init(&b->m.bus), 0);
	bus_add_reader(&b->m.bus, &b->reader);
	assert_int_equal(bus_add(&b->m.bus, BUS_PIO, &rtc), 0);
	b->m.config = &b->config;
	b->m.windows.io_start = 0x1000;
	b->config.devices = b->device;
	machine_on_event(&b->m, on_event, b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < b->config.n_devices; i++) {
		props_free(&debug_exit_type, b->device[i].options, NULL);
	}
	bus_release(&b->m.bus);
	loop_release(&b->m.loop);
	free(b);
	return 0;
}

/* One more device, as the command line gives it. */
static int add(struct bench *b, const char *options)
{
	void *object = calloc(1, debug_exit_type.size);

	assert_int_equal(props_init(&debug_exit_type, object), 0);
	b->device[b->config.n_devices++] =
		(struct config_device){ .type = &debug_exit_type, .options = object };
	return props_parse(&debug_exit_type, object, options, &b->err);
}

static uint64_t access_port(struct bench *b, uint64_t port, uint8_t size, bool write, uint64_t data)
{
	struct io_access a = { .size = size, .write = write, .data = data };

	bus_dispatch(&b->m.bus, &b->reader, BUS_PIO, port, &a);
	return a.data;
}

static void test_exit(void **state)
{
	struct bench *b = *state;

	assert_int_equal(add(b, "iobase=0xf4,iosize=4"), 0);
	assert_int_equal(debug_exits_init(&b->m, &b->err), 0);
	assert_int_equal(access_port(b, 0xf4, 4, false, 0), 0);
	access_port(b, 0xf3, 1, true, 1);
	access_port(b, 0xf8, 1, true, 1);
	assert_int_equal(b->events, 0);
	assert_false(b->m.loop.stop);
	atomic_store(&b->m.gate.open, GATE_OPEN);
	access_port(b, 0xf4, 4, true, 0x11);
	assert_true(b->m.loop.stop);
	assert_int_equal(
		gate_state(atomic_load(&b->m.gate.open)), GATE_CLOSED); /* no vCPU goes on */
	assert_int_equal(machine_exit_status(&b->m), 0x23);
	assert_int_equal(b->events, 1);
	assert_true(b->guest);
	assert_string_equal(b->reason, "guest-shutdown");
	access_port(b, 0xf4, 4, true, 0x12); /* another vCPU; the first counts */
	assert_int_equal(machine_exit_status(&b->m), 0x23);
	assert_int_equal(b->events, 1);
}

/* A parent sees eight bits; success is 1. */
static void test_status(void **state)
{
	static const struct {
		uint64_t port, value;
		uint8_t size;
		int status;
	} cases[] = { { 0x501, 0, 1, 1 }, { 0x502, 0, 1, 1 }, { 0x501, 0x7f, 1, 0xff },
		{ 0x501, 0x80, 1, 1 }, { 0x501, 0xffff, 2, 0xff }, { 0x501, 0x1003, 2, 7 } };
	struct bench *b = *state;

	assert_int_equal(add(b, "id=x"), 0);
	assert_int_equal(debug_exits_init(&b->m, &b->err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		b->m.ending = false;
		access_port(b, cases[i].port, cases[i].size, true, cases[i].value);
		assert_int_equal(machine_exit_status(&b->m), cases[i].status);
	}
}

static void test_places(void **state)
{
	static const struct {
		const char *options, *says;
	} bad[] = {
		{ "iobase=0x71,iosize=1", "ports 0x71-0x71 are those of 'rtc'" },
		{ "iobase=0x6d,iosize=4", "'rtc'" },
		{ "iobase=0xffe,iosize=4", "'PCI devices'" },
		{ "iobase=0xffff,iosize=4", "'PCI devices'" },
		{ "iobase=0x503,iosize=4", "'isa-debug-exit'" },
	};
	struct bench *b = *state;

	assert_int_equal(add(b, "iobase=0x500,iosize=4"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int ret;

		assert_int_equal(add(b, bad[i].options), 0);
		ret = debug_exits_init(&b->m, &b->err);
		if (ret != -EBUSY || !strstr(b->err.text, bad[i].says))
			fail_msg("%s: %d '%s'", bad[i].options, ret, b->err.text);
		assert_int_equal(bus_del(&b->m.bus, BUS_PIO, 0x500), 0);
		free(b->device[--b->config.n_devices].options);
	}
	free(b->device[--b->config.n_devices].options);
	assert_int_equal(add(b, "iobase=0x72,iosize=4"), 0); /* right beside another */
	assert_int_equal(debug_exits_init(&b->m, &b->err), 0);
	free(b->device[--b->config.n_devices].options);
	assert_int_equal(add(b, "iobase=0xf4,iosize=5"), -ERANGE);
	free(b->device[--b->config.n_devices].options);
	assert_int_equal(add(b, "iobase=0xf4,iosize=0"), -ERANGE);
	free(b->device[--b->config.n_devices].options);
	assert_int_equal(add(b, "iobase=0x10000"), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_status, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("debug_exit", tests, NULL, NULL);
}
