/* SPDX-License-Identifier: Apache-2.0 */
/* test_acpi_slots.c - the register page of ACPI hot plug, as the DSDT uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/acpi_slots.h>

#define PORT 0x10
#define REG(port, offset) (0x800u + 8u * (port) + (offset))

struct fixture {
	struct acpi_slots slots;
	struct loop loop;
	unsigned ejects;
	uint8_t port, functions;
};

static void on_eject(void *opaque, uint8_t port, uint8_t functions)
{
	struct fixture *f = opaque;

	f->ejects++;
	f->port = port;
	f->functions = functions;
}

static const struct acpi_slots_ops ops = { .eject = on_eject };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_init(&f->loop), 0);
	acpi_slots_init(&f->slots, &f->loop, &ops, f);
	acpi_slots_add_port(&f->slots, PORT, 0x123);
	acpi_slots_add_port(&f->slots, 255, 7);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	acpi_slots_release(&f->slots);
	loop_release(&f->loop);
	free(f);
	return 0;
}

static uint64_t rd(struct fixture *f, unsigned offset, uint8_t size)
{
	struct io_access access = { .offset = offset, .size = size };

	assert_int_equal(acpi_slots_access(&f->slots, &access), IO_DONE);
	return access.data;
}

static bool wr(struct fixture *f, unsigned offset, uint8_t size, uint64_t data)
{
	struct io_request request = { .done = 1 };
	struct io_access access = {
		.offset = offset, .size = size, .write = true, .data = data, .request = &request
	};

	if (acpi_slots_access(&f->slots, &access) == IO_DONE)
		return false;
	assert_int_equal(f->ejects, 0);
	io_post(&request);
	loop_step(&f->loop, 0);
	assert_int_equal(atomic_load(&request.done), 1);
	return true;
}

static void test_identity(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rd(f, REG(PORT, 4), 4), 0x10123);
	assert_int_equal(rd(f, REG(255, 4), 4), 0x10007);
	assert_int_equal(rd(f, REG(PORT + 1, 4), 4), 0);
	assert_int_equal(rd(f, REG(PORT, 4), 1), 0x23);
	assert_int_equal(rd(f, 0, 4), 0xffffffff);
	assert_int_equal(rd(f, 4, 4), 0);
	assert_int_equal(rd(f, 0x7ff, 1), 0);
}

static void test_insertion(void **state)
{
	struct fixture *f = *state;

	assert_false(acpi_slots_pending(&f->slots));
	acpi_slots_set_present(&f->slots, PORT, 0x03, true);
	assert_true(acpi_slots_pending(&f->slots));
	assert_int_equal(rd(f, 0, 4), PORT);
	assert_int_equal(rd(f, REG(PORT, 0), 1), 0x03);
	assert_int_equal(rd(f, REG(PORT, 2), 1), 0x03);
	assert_int_equal(rd(f, REG(PORT, 0), 4), 0x00030003);
	assert_false(wr(f, REG(PORT, 0), 1, 0x01));
	assert_int_equal(rd(f, REG(PORT, 0), 1), 0x02);
	assert_true(acpi_slots_pending(&f->slots));
	assert_false(wr(f, REG(PORT, 0), 1, 0x02));
	assert_int_equal(rd(f, 0, 4), 0xffffffff);
	assert_false(acpi_slots_pending(&f->slots));
	/* Only what is new is news. */
	acpi_slots_set_present(&f->slots, PORT, 0x07, true);
	assert_int_equal(rd(f, REG(PORT, 0), 1), 0x04);
	/* Gone before the guest looked. */
	acpi_slots_set_present(&f->slots, PORT, 0, true);
	assert_int_equal(rd(f, REG(PORT, 0), 1), 0);
	assert_int_equal(rd(f, REG(PORT, 2), 1), 0);
}

static void test_cold_plugged_is_no_news(void **state)
{
	struct fixture *f = *state;

	acpi_slots_set_present(&f->slots, PORT, 0x01, false);
	assert_false(acpi_slots_pending(&f->slots));
	assert_int_equal(rd(f, REG(PORT, 2), 1), 0x01);
}

static void test_eject(void **state)
{
	struct fixture *f = *state;

	acpi_slots_set_present(&f->slots, PORT, 0x03, false);
	acpi_slots_request_eject(&f->slots, PORT, 0xff);
	assert_int_equal(rd(f, 0, 4), PORT);
	assert_int_equal(rd(f, REG(PORT, 1), 1), 0x03);
	assert_false(wr(f, REG(PORT, 1), 1, 0x03));
	assert_int_equal(rd(f, REG(PORT, 1), 1), 0);
	assert_true(wr(f, REG(PORT, 3), 1, 0x02));
	assert_int_equal(f->ejects, 1);
	assert_int_equal(f->port, PORT);
	assert_int_equal(f->functions, 0x02);
	assert_int_equal(rd(f, REG(PORT, 3), 1), 0);
	/* It is main's to say what is present. */
	assert_int_equal(rd(f, REG(PORT, 2), 1), 0x03);
}

static void test_eject_can_be_taken_back(void **state)
{
	struct fixture *f = *state;

	acpi_slots_set_present(&f->slots, PORT, 0x01, false);
	acpi_slots_request_eject(&f->slots, PORT, 0x01);
	acpi_slots_cancel_eject(&f->slots, PORT);
	assert_int_equal(rd(f, REG(PORT, 1), 1), 0);
	assert_false(acpi_slots_pending(&f->slots));
}

static void test_lowest_port_comes_first(void **state)
{
	struct fixture *f = *state;

	acpi_slots_set_present(&f->slots, 255, 1, true);
	assert_int_equal(rd(f, 0, 4), 255);
	acpi_slots_set_present(&f->slots, PORT, 1, true);
	assert_int_equal(rd(f, 0, 4), PORT);
	(void)wr(f, REG(PORT, 0), 1, 0xff);
	assert_int_equal(rd(f, 0, 4), 255);
}

static void test_nonsense_is_harmless(void **state)
{
	struct fixture *f = *state;

	assert_false(wr(f, REG(PORT, 3), 1, 0));
	assert_false(wr(f, REG(PORT, 0), 4, 0xffffffff));
	assert_false(wr(f, REG(PORT, 0), 8, UINT64_MAX));
	assert_false(wr(f, REG(PORT, 2), 2, 0xffff));
	assert_false(wr(f, REG(PORT, 4), 2, 0xffff));
	assert_false(wr(f, REG(PORT + 1, 3), 1, 0xff)); /* no such port */
	assert_false(wr(f, REG(PORT + 1, 4), 4, 0xff));
	assert_false(wr(f, 0, 4, 0));
	assert_false(wr(f, ACPI_SLOTS_SIZE - 1, 8, 0));
	(void)rd(f, ACPI_SLOTS_SIZE - 1, 8);
	assert_int_equal(f->ejects, 0);
	assert_int_equal(rd(f, REG(PORT, 4), 4), 0x10123);
}

static void test_reset_forgets_what_was_asked(void **state)
{
	struct fixture *f = *state;

	acpi_slots_set_present(&f->slots, PORT, 0x03, true);
	acpi_slots_request_eject(&f->slots, PORT, 0x01);
	acpi_slots_reset(&f->slots);
	assert_false(acpi_slots_pending(&f->slots));
	assert_int_equal(rd(f, REG(PORT, 2), 1), 0x03);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_identity),
		T(test_insertion),
		T(test_cold_plugged_is_no_news),
		T(test_eject),
		T(test_eject_can_be_taken_back),
		T(test_lowest_port_comes_first),
		T(test_nonsense_is_harmless),
		T(test_reset_forgets_what_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
