/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_life.c - a device's life: every stage with every event, against a second reading of the
 * rules, which asks what each stage has instead of naming the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/machine/life.h"

/* What there is of a device in a stage. */
struct has {
	bool open, realized, bus, asked, harmless, gone;
};

static const struct has has[DEVICE_STAGES] = {
	[DEVICE_NEW] = { 0 },
	[DEVICE_ATTACHED] = { .open = true },
	[DEVICE_REALIZED] = { .open = true, .realized = true },
	[DEVICE_PLUGGED] = { .open = true, .realized = true, .bus = true },
	[DEVICE_REQUESTED] = { .open = true, .realized = true, .bus = true, .asked = true },
	[DEVICE_RELEASED] = { .open = true, .realized = true, .gone = true },
	[DEVICE_FENCED] = { .open = true, .realized = true, .gone = true, .harmless = true },
	[DEVICE_CLOSED] = { .gone = true, .harmless = true },
};

/* False: that cannot happen to what there is. */
static bool happens(struct has *h, enum life_event event)
{
	switch (event) {
	case LIFE_OPENED:
		if (h->open || h->gone)
			return false;
		h->open = true;
		return true;
	case LIFE_REALIZED:
		if (!h->open || h->realized)
			return false;
		h->realized = true;
		return true;
	case LIFE_PLACED: /* a cold plugged one is realized afterwards */
		if (!h->open || h->bus || h->gone)
			return false;
		h->bus = h->realized = true;
		return true;
	case LIFE_ASKED:
		if (!h->bus || h->asked)
			return false;
		h->asked = true;
		return true;
	case LIFE_KEPT:
		if (!h->asked)
			return false;
		h->asked = false;
		return true;
	case LIFE_TAKEN:
		if (!h->bus)
			return false;
		h->bus = h->asked = false;
		h->gone = true;
		return true;
	case LIFE_FENCED:
		if (!h->gone || h->harmless)
			return false;
		h->harmless = true;
		return true;
	case LIFE_CLOSED:
		if (!h->gone || !h->open)
			return false;
		*h = has[DEVICE_CLOSED];
		return true;
	case LIFE_ENDED:
		if (h->gone && !h->open)
			return false;
		*h = has[DEVICE_RELEASED];
		return true;
	default:
		fail();
		return false;
	}
}

static void every_pair(void **state)
{
	(void)state;
	for (unsigned s = 0; s < DEVICE_STAGES; s++) {
		for (unsigned e = 0; e < LIFE_EVENTS; e++) {
			enum device_stage stage = (enum device_stage)s;
			struct has h = has[s];
			bool want = happens(&h, (enum life_event)e);

			if (life_step(&stage, (enum life_event)e) != want)
				fail_msg("event %u in stage '%s'", e,
					life_stage_name((enum device_stage)s));
			if (!want)
				assert_int_equal(stage, s);
			else if (memcmp(&h, &has[stage], sizeof(h)) != 0)
				fail_msg("event %u in stage '%s' leads to '%s'", e,
					life_stage_name((enum device_stage)s),
					life_stage_name(stage));
		}
	}
}

/* From wherever it is, the end of the machine and its worker close it. */
static void always_an_end(void **state)
{
	(void)state;
	for (unsigned s = 0; s < DEVICE_CLOSED; s++) {
		enum device_stage stage = (enum device_stage)s;

		assert_true(life_step(&stage, LIFE_ENDED));
		assert_true(life_step(&stage, LIFE_CLOSED));
		assert_int_equal(stage, DEVICE_CLOSED);
		for (unsigned e = 0; e < LIFE_EVENTS; e++)
			assert_false(life_step(&stage, (enum life_event)e));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),
		cmocka_unit_test(always_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
