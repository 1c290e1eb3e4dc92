/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rtc.c - the MC146818 on a clock of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <time.h>

#include <portcullis/devices.h>
#include <portcullis/sys.h>

#define NS 1000000000ll
#define REG_A 10
#define REG_B 11
#define REG_C 12
#define REG_D 13

static int64_t clock_ns; /* what rtc.now() says */

static int64_t fake_now(void)
{
	return clock_ns;
}

struct bench {
	struct loop loop;
	struct rtc rtc;
	int irq_fd;
	uint64_t armed_after; /* when the timer was set at the earliest, as the loop counts */
};

/* Tuesday, 29 February 2028, 23:59:58 UTC: everything rolls over in two seconds. */
#define LEAP_EVE 1835481598ll

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	clock_ns = LEAP_EVE * NS;
	assert_int_equal(loop_init(&b->loop), 0);
	b->irq_fd = sys_eventfd();
	assert_int_equal(rtc_init(&b->rtc, b->irq_fd, &b->loop), 0);
	b->rtc.now = fake_now;
	rtc_reset(&b->rtc);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	rtc_release(&b->rtc);
	rtc_release(&b->rtc);
	sys_close(b->irq_fd);
	loop_release(&b->loop);
	free(b);
	return 0;
}

static void port(struct bench *b, uint64_t offset, bool write, uint64_t *data)
{
	struct io_access a = { .offset = offset, .size = 1, .write = write, .data = *data };

	assert_int_equal(rtc_access(&b->rtc, &a), IO_DONE);
	*data = a.data;
}

static uint8_t rd(struct bench *b, uint8_t index)
{
	uint64_t data = index;

	port(b, 0, true, &data);
	data = 0;
	port(b, 1, false, &data);
	return (uint8_t)data;
}

static void wr(struct bench *b, uint8_t index, uint8_t value)
{
	uint64_t data = index;

	port(b, 0, true, &data);
	data = value;
	port(b, 1, true, &data);
}

static bool irq(struct bench *b)
{
	return sys_eventfd_drain(b->irq_fd);
}

/* second, minute, hour, weekday, day, month, year, century */
static void check_time(struct bench *b, const uint8_t want[8])
{
	static const uint8_t reg[8] = { 0, 2, 4, 6, 7, 8, 9, RTC_CENTURY };

	for (unsigned i = 0; i < 8; i++) {
		if (rd(b, reg[i]) != want[i])
			fail_msg("register %u is 0x%02x, not 0x%02x", reg[i], rd(b, reg[i]),
				want[i]);
	}
}

static void test_reading(void **state)
{
	struct bench *b = *state;

	check_time(b, (uint8_t[]){ 0x58, 0x59, 0x23, 3, 0x29, 0x02, 0x28, 0x20 });
	clock_ns += 2 * NS;
	check_time(b, (uint8_t[]){ 0, 0, 0, 4, 1, 0x03, 0x28, 0x20 });
	wr(b, REG_B, 0x06); /* binary */
	clock_ns = (LEAP_EVE - 1) * NS;
	check_time(b, (uint8_t[]){ 57, 59, 23, 3, 29, 2, 28, 20 });
	wr(b, REG_B, 0x04); /* 12 hours */
	assert_int_equal(rd(b, 4), 0x80 | 11);
	clock_ns += 3 * NS;
	assert_int_equal(rd(b, 4), 12); /* midnight */
	clock_ns += 12 * 3600 * NS;
	assert_int_equal(rd(b, 4), 0x80 | 12); /* noon */
	wr(b, REG_B, 0x00);
	clock_ns += 3600 * NS;
	assert_int_equal(rd(b, 4), 0x81);
	assert_int_equal(rd(b, REG_D), 0x80);
}

/* Every day of 300 years against libc. */
static void test_calendar(void **state)
{
	struct bench *b = *state;

	wr(b, REG_B, 0x06);
	for (int64_t day = -365; day < 110000; day += 1) {
		time_t t = (time_t)(day * 86400 + 4711);
		struct tm tm;

		clock_ns = day * 86400 * NS + 4711 * NS;
		if (day > 106000)
			break; /* 2^63 ns are near */
		gmtime_r(&t, &tm);
		check_time(
			b, (uint8_t[]){ (uint8_t)tm.tm_sec, (uint8_t)tm.tm_min, (uint8_t)tm.tm_hour,
				   (uint8_t)(tm.tm_wday + 1), (uint8_t)tm.tm_mday,
				   (uint8_t)(tm.tm_mon + 1), (uint8_t)(tm.tm_year % 100),
				   (uint8_t)((tm.tm_year + 1900) / 100) });
	}
}

/* As Linux's mc146818_set_time(): SET, divider reset, values, back. */
static void set_time(struct bench *b, const uint8_t v[7])
{
	static const uint8_t reg[7] = { 0, 2, 4, 7, 8, 9, RTC_CENTURY };
	uint8_t control = rd(b, REG_B), freq = rd(b, REG_A);

	wr(b, REG_B, control | 0x80);
	wr(b, REG_A, freq | 0x70);
	for (unsigned i = 0; i < 7; i++)
		wr(b, reg[i], v[i]);
	wr(b, REG_B, control);
	wr(b, REG_A, freq);
}

static void test_setting(void **state)
{
	struct bench *b = *state;

	set_time(b, (uint8_t[]){ 0x30, 0x15, 0x08, 0x17, 0x06, 0x99, 0x19 });
	check_time(b, (uint8_t[]){ 0x30, 0x15, 0x08, 5, 0x17, 0x06, 0x99, 0x19 });
	clock_ns += NS / 2 - 1;
	assert_int_equal(rd(b, 0), 0x30);
	clock_ns += 1; /* half a second after setting comes the next second */
	assert_int_equal(rd(b, 0), 0x31);
	clock_ns += 365 * 86400 * NS;
	check_time(b, (uint8_t[]){ 0x31, 0x15, 0x08, 6, 0x16, 0x06, 0x00, 0x20 });
	/* One register without SET counts at once. */
	wr(b, 4, 0x21);
	assert_int_equal(rd(b, 4), 0x21);
	assert_int_equal(rd(b, 2), 0x15);
	/* A reset of the machine does not turn the clock. */
	rtc_reset(&b->rtc);
	check_time(b, (uint8_t[]){ 0x31, 0x15, 0x21, 6, 0x16, 0x06, 0x00, 0x20 });
}

/* While SET, the clock stands. */
static void test_stopped(void **state)
{
	struct bench *b = *state;

	wr(b, REG_B, 0x82 | 0x10);
	assert_int_equal(rd(b, REG_B), 0x82); /* SET clears UIE */
	clock_ns += 100 * NS + NS - 1000;
	check_time(b, (uint8_t[]){ 0x58, 0x59, 0x23, 3, 0x29, 0x02, 0x28, 0x20 });
	assert_int_equal(rd(b, REG_A) & 0x80, 0);
	assert_int_equal(rd(b, REG_C) & 0x10, 0);
	wr(b, REG_B, 0x02);
	assert_int_equal(rd(b, 0), 0x58);
	/* Reset in the middle of setting: it runs again. */
	wr(b, REG_B, 0x82);
	rtc_reset(&b->rtc);
	clock_ns += 2 * NS;
	assert_int_equal(rd(b, 0), 0x00);
}

/* Any bytes at all in the time registers give some time, and nothing worse. */
static void test_nonsense(void **state)
{
	struct bench *b = *state;

	for (unsigned mode = 0; mode < 4; mode++) {
		for (unsigned v = 0; v < 256; v++) {
			uint8_t x = (uint8_t)v;

			wr(b, REG_B, (uint8_t)(mode << 1));
			set_time(b, (uint8_t[]){ x, x, x, x, x, x, x });
			wr(b, 1, x);
			wr(b, 3, x);
			wr(b, 5, x);
			wr(b, REG_B, (uint8_t)(mode << 1 | 0x70));
			loop_step(&b->loop, 0);
			clock_ns += 12345678901;
			rd(b, REG_C);
			wr(b, REG_B, 0x06);
			assert_true(rd(b, 8) >= 1 && rd(b, 8) <= 12);
			assert_true(rd(b, RTC_CENTURY) >= 19 && rd(b, RTC_CENTURY) <= 22);
		}
	}
}

static void test_update_in_progress(void **state)
{
	struct bench *b = *state;

	assert_int_equal(rd(b, REG_A), 0x26);
	clock_ns += NS - 244001;
	assert_int_equal(rd(b, REG_A), 0x26);
	clock_ns += 1;
	assert_int_equal(rd(b, REG_A), 0xa6);
	clock_ns += 244000;
	assert_int_equal(rd(b, REG_A), 0x26);
	wr(b, REG_A, 0xff);
	assert_int_equal(rd(b, REG_A), 0x7f);
}

/*
 * Milliseconds that a timer was armed for: between these, however long we were not run meanwhile.
 */
struct delay {
	int64_t least, most;
};

/* Lets main arm its timer, moves the clock, and lets the timer go off. What it was armed for. */
static struct delay fire(struct bench *b, int64_t ns)
{
	struct delay d = { -1, -1 };

	if (b->loop.count)
		b->armed_after = loop_now_ms();
	loop_step(&b->loop, 0);
	if (b->rtc.timer.armed) {
		d.least = (int64_t)b->rtc.timer.at_ms - (int64_t)loop_now_ms() - 1;
		d.most = (int64_t)b->rtc.timer.at_ms - (int64_t)b->armed_after;
	}
	clock_ns += ns;
	b->armed_after = loop_now_ms();
	if (b->rtc.timer.armed)
		b->rtc.timer.fn(b->rtc.timer.opaque);
	return d;
}

/* A timer is set to the next whole millisecond. */
static bool near(struct delay d, int64_t want)
{
	return d.least - 1 <= want && want <= d.most;
}

static void test_update_interrupt(void **state)
{
	struct bench *b = *state;

	clock_ns += NS / 2;
	loop_step(&b->loop, 0);
	assert_false(b->rtc.timer.armed); /* nothing enabled, nothing to do */
	wr(b, REG_B, 0x12);
	assert_true(near(fire(b, NS / 2), 500));
	assert_true(irq(b));
	assert_true(near(fire(b, NS), 1000));
	assert_false(irq(b));			     /* not acknowledged: the line is still up */
	assert_int_equal(rd(b, REG_C) & 0xd0, 0xd0); /* the periodic flag is set too, as ever */
	assert_int_equal(rd(b, REG_C), 0);
	fire(b, NS);
	assert_true(irq(b));
	rd(b, REG_C);
	wr(b, REG_B, 0x02);
	fire(b, 5 * NS);
	assert_false(b->rtc.timer.armed);
	assert_false(irq(b));
	/* The flag was set meanwhile; enabling now interrupts at once. */
	wr(b, REG_B, 0x12);
	assert_true(irq(b));
	assert_int_equal(rd(b, REG_C) & 0x90, 0x90);
}

static void set_alarm(struct bench *b, uint8_t hour, uint8_t minute, uint8_t second)
{
	wr(b, 5, hour);
	wr(b, 3, minute);
	wr(b, 1, second);
	rd(b, REG_C);
	wr(b, REG_B, 0x22);
}

static void test_alarm(void **state)
{
	struct bench *b = *state;

	set_alarm(b, 0x00, 0x00, 0x05); /* seven seconds away, across midnight */
	assert_true(near(fire(b, 6 * NS), 7000));
	assert_false(irq(b));
	fire(b, NS);
	assert_true(irq(b));
	assert_int_equal(rd(b, REG_C) & 0xa0, 0xa0);
	/* The next one is a day away: the timer looks in between. */
	assert_true(near(fire(b, 0), 3600000));
	fire(b, 86399 * NS);
	assert_false(irq(b));
	fire(b, NS);
	assert_true(irq(b));
	rd(b, REG_C);
	set_alarm(b, 0xff, 0xff, 0x10); /* every minute */
	assert_true(near(fire(b, 5 * NS), 5000));
	assert_true(irq(b));
	rd(b, REG_C);
	assert_true(near(fire(b, 60 * NS), 60000));
	assert_true(irq(b));
	rd(b, REG_C);
	set_alarm(b, 0xc0, 0xc0, 0xc0); /* every second */
	assert_true(near(fire(b, NS), 1000));
	assert_true(irq(b));
	rd(b, REG_C);
	set_alarm(b, 0x77, 0x00, 0x00); /* never */
	fire(b, 0);
	assert_false(b->rtc.timer.armed);
	fire(b, 100000 * NS);
	assert_false(irq(b));
	assert_int_equal(rd(b, REG_C) & 0x20, 0);
}

/* An alarm that is polled, not enabled. */
static void test_alarm_flag(void **state)
{
	struct bench *b = *state;

	wr(b, 5, 0x23);
	wr(b, 3, 0x59);
	wr(b, 1, 0x59);
	rd(b, REG_C);
	assert_int_equal(rd(b, REG_C) & 0x20, 0);
	clock_ns += 10 * NS;
	assert_int_equal(rd(b, REG_C) & 0xa0, 0x20);
	assert_int_equal(rd(b, REG_C) & 0x20, 0);
	clock_ns -= 100 * NS; /* the host's clock is set back: no flag, no trouble */
	assert_int_equal(rd(b, REG_C), 0);
	assert_false(irq(b));
}

static void test_periodic(void **state)
{
	struct bench *b = *state;

	wr(b, REG_A, 0x2f); /* 2 Hz */
	rd(b, REG_C);
	wr(b, REG_B, 0x42);
	assert_true(near(fire(b, NS / 2), 500));
	assert_true(irq(b));
	assert_int_equal(rd(b, REG_C) & 0xc0, 0xc0);
	wr(b, REG_A, 0x21); /* 256 Hz */
	fire(b, NS / 512);
	assert_false(irq(b));
	fire(b, NS / 512 + 1);
	assert_true(irq(b));
	rd(b, REG_C);
	wr(b, REG_A, 0x20); /* none */
	fire(b, NS);
	assert_false(irq(b));
	wr(b, REG_A, 0x76); /* divider held */
	fire(b, NS);
	assert_false(b->rtc.timer.armed);
	assert_false(irq(b));
}

/* Main is told of what comes earlier than it would look, once, and of nothing else. */
static void test_mail(void **state)
{
	struct bench *b = *state;

	set_alarm(b, 0x00, 0x00, 0x07); /* in nine seconds */
	assert_int_equal(b->loop.count, 1);
	loop_step(&b->loop, 0);
	for (unsigned i = 0; i < 1000; i++) {
		set_alarm(b, 0x00, 0x00, 0x07);
		wr(b, REG_A, 0x26);
		clock_ns += NS / 1000;
	}
	assert_int_equal(b->loop.count, 0);
	wr(b, 1, 0x09); /* later: main finds out when it looks */
	wr(b, 1, 0x7f); /* never */
	wr(b, REG_B, 0x02);
	assert_int_equal(b->loop.count, 0);
	set_alarm(b, 0x00, 0x00, 0x09);
	fire(b, 8 * NS);
	assert_false(irq(b));
	assert_int_equal(b->loop.count, 0);
	assert_true(near(fire(b, 0), 2000));
	for (unsigned i = 8; i > 6; i--) { /* earlier: told once, as long as main has not run */
		wr(b, 1, (uint8_t)i);
		assert_int_equal(b->loop.count, 1);
	}
	loop_step(&b->loop, 0);
	assert_int_equal(b->loop.count, 0);
	clock_ns += 3600 * NS; /* the host's clock is set, and no timer went off */
	wr(b, 5, 0xff);
	wr(b, 3, 0xff);
	assert_int_equal(b->loop.count, 1);
}

/* Who asks for 1024 interrupts a second and never looks gets one, and main its rest. */
static void test_unacknowledged(void **state)
{
	struct bench *b = *state;

	wr(b, REG_A, 0x26);
	rd(b, REG_C);
	wr(b, REG_B, 0x42);
	fire(b, NS / 1024 + 1);
	assert_true(irq(b));
	assert_true(b->rtc.timer.armed);
	fire(b, NS / 1024 + 1);
	assert_false(irq(b));
	assert_false(b->rtc.timer.armed);
	for (unsigned i = 0; i < 100; i++) {
		wr(b, REG_B, 0x42);
		wr(b, REG_A, 0x26);
		clock_ns += NS / 100;
	}
	assert_int_equal(b->loop.count, 0);
	/* It acknowledges after all: they go on. */
	assert_int_equal(rd(b, REG_C) & 0xc0, 0xc0);
	assert_int_equal(b->loop.count, 1);
	fire(b, NS / 1024 + 1);
	assert_true(irq(b));
	/* In time: the timer that is set already serves. */
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(rd(b, REG_C) & 0xc0, 0xc0);
		assert_int_equal(b->loop.count, 0);
		fire(b, NS / 1024 + 1);
		assert_true(irq(b));
	}
}

/*
 * Main's timer goes off while the mail that says "look again" is under way: it is not sent twice.
 */
static void test_timer_before_mail(void **state)
{
	struct bench *b = *state;

	wr(b, REG_B, 0x12);
	assert_int_equal(b->loop.count, 1);
	b->rtc.timer.fn(b->rtc.timer.opaque);
	wr(b, REG_A, 0x26);
	wr(b, REG_B,
		0x52); /* sooner than the timer: debug builds stop at mail that is posted twice */
	assert_int_equal(b->loop.count, 1);
	loop_step(&b->loop, 0);
	assert_int_equal(b->loop.count, 0);
}

/*
 * As far from now as a guest and the host's clock together get it: what is computed is still a
 * time.
 */
static void test_far_future(void **state)
{
	struct bench *b = *state;

	set_time(b, (uint8_t[]){ 0x00, 0x00, 0x00, 0x31, 0x12, 0x99, 0x21 });
	wr(b, 1, 0xff);
	wr(b, 3, 0xff);
	wr(b, 5, 0xff);
	clock_ns += 200ll * 365 * 86400 * NS;
	wr(b, REG_B, 0x72);
	rd(b, REG_C);
	fire(b, NS);
	assert_true(b->rtc.timer.armed);
	assert_true(b->rtc.look_ns > clock_ns - 2 * NS && b->rtc.look_ns < clock_ns + 2 * NS);
	wr(b, REG_B, 0x02);
	set_time(b, (uint8_t[]){ 0x00, 0x00, 0x00, 0x01, 0x01, 0x70, 0x19 });
	clock_ns -= 200ll * 365 * 86400 * NS;
	wr(b, REG_B, 0x72);
	rd(b, REG_C);
	fire(b, NS);
	assert_true(b->rtc.timer.armed);
}

static void test_memory(void **state)
{
	struct bench *b = *state;
	uint64_t data = 0;

	for (uint8_t i = 14; i < 128; i++) {
		if (i != RTC_CENTURY)
			wr(b, i, i ^ 0x55);
	}
	rtc_reset(&b->rtc);
	for (uint8_t i = 14; i < 128; i++) {
		if (i != RTC_CENTURY)
			assert_int_equal(rd(b, i), i ^ 0x55);
	}
	wr(b, REG_D, 0);
	assert_int_equal(rd(b, REG_D), 0x80);
	assert_int_equal(rd(b, 0x80 | 14), 14 ^ 0x55); /* bit 7 masks NMIs */
	port(b, 0, false, &data);
	assert_int_equal(data, 0xff);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reading),
		T(test_calendar),
		T(test_setting),
		T(test_stopped),
		T(test_nonsense),
		T(test_update_in_progress),
		T(test_update_interrupt),
		T(test_alarm),
		T(test_alarm_flag),
		T(test_periodic),
		T(test_mail),
		T(test_unacknowledged),
		T(test_timer_before_mail),
		T(test_far_future),
		T(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
