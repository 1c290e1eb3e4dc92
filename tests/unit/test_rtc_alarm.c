/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rtc_alarm.c - when the alarm goes off next, against counting the seconds of a day. The clock
 * is compiled into this program: it takes ALARM_ROUNDS steps at most, so that is what they find.
 */
#include "../../src/devices/rtc.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool field_matches(uint8_t reg, unsigned want, unsigned now)
{
	return reg >= ALARM_ANY || want == now;
}

/* As a data sheet says it: compare once a second. */
static int64_t counted_alarm(const struct rtc *rtc, int64_t after)
{
	const uint8_t *c = rtc->cmos;

	for (int64_t t = after + 1; t <= after + 86400; t++) {
		unsigned of_day = (unsigned)(t % 86400);

		if (field_matches(
			    c[HOURS_ALARM], decode_hour(rtc, c[HOURS_ALARM]), of_day / 3600) &&
			field_matches(c[MINUTES_ALARM], decode(rtc, c[MINUTES_ALARM]),
				of_day / 60 % 60) &&
			field_matches(c[SECONDS_ALARM], decode(rtc, c[SECONDS_ALARM]), of_day % 60))
			return t;
	}
	return NEVER;
}

/* Mostly values that come, in the mode that is set; also any, and what never comes. */
static uint8_t alarm_byte(const struct rtc *rtc, bool hour)
{
	switch (rand() % 6) {
	case 0:
		return (uint8_t)(0xc0 | rand());
	case 1:
		return (uint8_t)rand();
	default:
		return hour ? encode_hour(rtc, (unsigned)rand() % 24)
			    : encode(rtc, (unsigned)rand() % 60);
	}
}

static void test_next_alarm_is_when_counting_says(void **state)
{
	struct rtc rtc = { .cmos = { 0 } };
	unsigned never = 0;

	(void)state;
	srand(8);
	for (unsigned i = 0; i < 3000; i++) {
		int64_t after = 1835481598 + rand() % 200000, expected;

		rtc.cmos[REG_B] = (uint8_t)(rand() & (B_BINARY | B_24H));
		rtc.cmos[HOURS_ALARM] = alarm_byte(&rtc, true);
		rtc.cmos[MINUTES_ALARM] = alarm_byte(&rtc, false);
		rtc.cmos[SECONDS_ALARM] = alarm_byte(&rtc, false);
		expected = counted_alarm(&rtc, after);
		never += expected == NEVER;
		assert_true(next_alarm(&rtc, after) == expected);
	}
	assert_in_range(never, 100, 2900);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_alarm_is_when_counting_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
