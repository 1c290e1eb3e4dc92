/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ged.c - the event register: what is raised is read once, and every raise pulses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <portcullis/devices.h>
#include <portcullis/sys.h>

static uint64_t in(struct ged *g, uint64_t offset, uint8_t size)
{
	struct io_access a = { .offset = offset, .size = size, .data = 0xdead };

	assert_int_equal(ged_access(g, &a), IO_DONE);
	return a.data;
}

static void test_events(void **state)
{
	struct ged g;
	int fd = sys_eventfd();
	struct io_access w = { .size = 4, .write = true, .data = 0xffffffff };

	(void)state;
	ged_init(&g, fd);
	assert_int_equal(in(&g, 0, 4), 0);
	ged_raise(&g, GED_POWER_BUTTON);
	assert_true(sys_eventfd_drain(fd));
	ged_raise(&g, GED_PCI_HOTPLUG);
	assert_true(sys_eventfd_drain(fd));
	ged_raise(&g, GED_PCI_HOTPLUG); /* again: the edge may have been lost */
	assert_true(sys_eventfd_drain(fd));
	ged_raise(&g, 0);
	assert_true(sys_eventfd_drain(fd));
	assert_int_equal(ged_access(&g, &w), IO_DONE); /* writes do nothing */
	assert_int_equal(in(&g, 4, 4), 0);	       /* nor does what lies behind */
	assert_int_equal(in(&g, 0, 4), GED_POWER_BUTTON | GED_PCI_HOTPLUG);
	assert_int_equal(in(&g, 0, 4), 0);
	ged_raise(&g, 0); /* nothing waits: no pulse */
	assert_false(sys_eventfd_drain(fd));
	sys_close(fd);
}

static void test_narrow_reads(void **state)
{
	struct ged g;
	int fd = sys_eventfd();

	(void)state;
	ged_init(&g, fd);
	ged_raise(&g, 0x81020304);
	assert_int_equal(in(&g, 1, 1), 0x03);
	assert_int_equal(in(&g, 0, 2), 0x0004); /* the byte that was read is gone */
	assert_int_equal(in(&g, 3, 4), 0x81);
	assert_int_equal(in(&g, 0, 8), 0x00020000);
	ged_raise(&g, 1);
	ged_reset(&g);
	assert_int_equal(in(&g, 0, 4), 0);
	sys_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_narrow_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
