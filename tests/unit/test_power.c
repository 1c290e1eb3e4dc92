/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_power.c - the registers that end or reset a machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <portcullis/devices.h>

struct bench {
	struct loop loop;
	struct power power;
	unsigned count[2];
};

static void on_event(void *opaque, enum power_event event)
{
	((struct bench *)opaque)->count[event]++;
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(loop_init(&b->loop), 0);
	power_init(&b->power, &b->loop, on_event, b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	loop_release(&b->loop);
	free(b);
	return 0;
}

static void out(struct bench *b, io_fn fn, uint64_t offset, uint64_t data)
{
	struct io_access a = { .offset = offset, .size = 1, .write = true, .data = data };

	assert_int_equal(fn(&b->power, &a), IO_DONE);
}

static uint64_t in(struct bench *b, io_fn fn, uint64_t offset)
{
	struct io_access a = { .offset = offset, .size = 1 };

	assert_int_equal(fn(&b->power, &a), IO_DONE);
	return a.data;
}

/* Events of each kind that main hears of. */
static void heard(struct bench *b, unsigned off, unsigned reset)
{
	loop_step(&b->loop, 0);
	assert_int_equal(b->count[POWER_OFF], off);
	assert_int_equal(b->count[POWER_RESET], reset);
	b->count[POWER_OFF] = b->count[POWER_RESET] = 0;
}

static void test_sleep(void **state)
{
	struct bench *b = *state;

	out(b, power_sleep_access, 0, 0x14); /* type without enable */
	out(b, power_sleep_access, 1, 0x34); /* the status register */
	out(b, power_sleep_access, 1, 0x80);
	heard(b, 0, 0);
	assert_int_equal(in(b, power_sleep_access, 0), 0);
	assert_int_equal(in(b, power_sleep_access, 1), 0);
	out(b, power_sleep_access, 0, 0x34); /* S5 */
	heard(b, 1, 0);
}

static void test_reset_register(void **state)
{
	struct bench *b = *state;

	out(b, power_reset_access, 0, 0x02); /* which kind, but not yet */
	heard(b, 0, 0);
	assert_int_equal(in(b, power_reset_access, 0), 0x02);
	out(b, power_reset_access, 0, 0x06);
	heard(b, 0, 1);
	assert_int_equal(in(b, power_reset_access, 0), 0x02);
	out(b, power_reset_access, 0, 0xe);
	heard(b, 0, 1);
}

static void test_keyboard(void **state)
{
	struct bench *b = *state;

	assert_int_equal(in(b, power_keyboard_access, 4), 0); /* ready for a command */
	out(b, power_keyboard_access, 4, 0xd1);
	out(b, power_keyboard_access, 0, 0xfe); /* data, not a command */
	heard(b, 0, 0);
	out(b, power_keyboard_access, 4, 0xfe);
	heard(b, 0, 1);
}

/* The first event counts, however often the guest writes; afterwards the next one does. */
static void test_flood(void **state)
{
	struct bench *b = *state;

	out(b, power_reset_access, 0, 0x06);
	for (unsigned i = 0; i < 1000; i++) {
		out(b, power_sleep_access, 0, 0x34);
		out(b, power_keyboard_access, 4, 0xfe);
	}
	heard(b, 0, 1);
	heard(b, 0, 0);
	out(b, power_sleep_access, 0, 0x34);
	heard(b, 1, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sleep),
		T(test_reset_register),
		T(test_keyboard),
		T(test_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
