/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rtc.c - any sequence of accesses to the clock while time goes on, main runs and the machine
 * is reset.
 *
 * Input: three bytes per step: kind, then an index and a value, or an amount of time. Asserted: an
 * access leaves at most one piece of mail, and none when the same was written before and main has
 * looked; main is done with it after one step of its loop; no interrupt is lost: when main has
 * looked at the times it wanted to, every enabled flag that was set a while ago has pulsed.
 */
#include <stdint.h>
#include <stdlib.h>

#include <portcullis/devices.h>
#include <portcullis/sys.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

#define CLOCK_MAX 4000000000000000000 /* of a host's clock: the year 2096 */

static int64_t now_ns;

static int64_t fake_now(void)
{
	return now_ns;
}

static uint64_t port(struct rtc *rtc, unsigned offset, bool write, uint8_t value)
{
	struct io_access access = { .offset = offset, .size = 1, .write = write, .data = value };

	must(rtc_access(rtc, &access) == IO_DONE);
	must(rtc->main->count <= 1);
	return access.data;
}

#define NS_PER_MS 1000000ll
#define NS (1000 * NS_PER_MS)
#define LATE_NS (2 * NS_PER_MS) /* a timer has whole milliseconds, and is set to the next */

/* What main does by itself in the meantime: it looks when it wanted to. */
static void let_main_look(struct rtc *rtc)
{
	loop_step(rtc->main, 0);
	must(rtc->main->count == 0);
	must(rtc->timer.armed == (rtc->look_ns != INT64_MAX));
	if (rtc->timer.armed && now_ns >= rtc->look_ns)
		rtc->timer.fn(rtc->timer.opaque);
}

/*
 * Register C as a guest that looked a while ago would have found it, without disturbing anything.
 */
static void check_nothing_lost(const struct rtc *rtc)
{
	struct rtc copy = *rtc;
	uint8_t flags;
	int64_t guest;

	/* Beyond what can be calculated with, the guest's clock stands. */
	if (now_ns < LATE_NS || __builtin_add_overflow(now_ns - LATE_NS, copy.offset_ns, &guest) ||
		guest <= copy.checked_ns)
		return;
	copy.arm_posted = true; /* its mail is the original's */
	now_ns -= LATE_NS;
	(void)port(&copy, 0, true, 12);
	flags = (uint8_t)port(&copy, 1, false, 0);
	now_ns += LATE_NS;
	must(!(flags & rtc->cmos[11] & 0x70) || rtc->cmos[12] & 0x80);
}

/* Time goes on, main looking all the while. */
static void pass(struct rtc *rtc, int64_t ns)
{
	if (rtc->timer.armed && rtc->look_ns > now_ns && rtc->look_ns - now_ns < ns) {
		ns -= rtc->look_ns - now_ns;
		now_ns = rtc->look_ns;
		let_main_look(rtc);
	}
	now_ns = ns > CLOCK_MAX - now_ns ? CLOCK_MAX : now_ns + ns;
	let_main_look(rtc);
	check_nothing_lost(rtc);
}

/* The host's clock is set; a timer of main's goes off nevertheless, when it always would have. */
static void set_clock(struct rtc *rtc, int64_t ns)
{
	now_ns = ns > CLOCK_MAX - now_ns ? CLOCK_MAX : now_ns + ns < 0 ? 0 : now_ns + ns;
	if (rtc->timer.armed)
		rtc->timer.fn(rtc->timer.opaque);
	let_main_look(rtc);
	check_nothing_lost(rtc);
}

/* Written again and again, with main looking after the first time, it is no news. */
static void write_again(struct rtc *rtc, uint8_t index)
{
	uint8_t value = rtc->cmos[index];

	for (unsigned i = 0; i < 3; i++) {
		(void)port(rtc, 0, true, index);
		(void)port(rtc, 1, true, value);
		must(i == 0 || rtc->main->count == 0);
		let_main_look(rtc);
	}
}

/* Mostly the registers that do something. */
static uint8_t register_of(uint8_t byte)
{
	return byte & 0x80 ? byte : byte % 14;
}

/* From nanoseconds to decades. */
static int64_t time_of(const uint8_t *step)
{
	static const int64_t unit[] = { 1, 1000, NS_PER_MS, 10 * NS_PER_MS, 500 * NS_PER_MS,
		60 * NS, 3600 * NS, 86400 * NS, 365 * 86400 * NS };

	return step[2] * unit[step[1] % (sizeof(unit) / sizeof(unit[0]))];
}

static void step(struct rtc *rtc, const uint8_t *step)
{
	static const uint8_t again[] = { 1, 3, 5, 10, 11, 12 };

	switch (step[0] % 8) {
	case 0:
		(void)port(rtc, 0, true, register_of(step[1]));
		must(port(rtc, 1, false, 0) <= 0xff);
		break;
	case 1:
	case 2:
		(void)port(rtc, 0, true, register_of(step[1]));
		(void)port(rtc, 1, true, step[2]);
		break;
	case 3:
		pass(rtc, time_of(step));
		break;
	case 4: /* before the mail that may be under way; early, as far as we know */
		if (rtc->timer.armed)
			rtc->timer.fn(rtc->timer.opaque);
		break;
	case 5:
		set_clock(rtc, step[0] & 0x80 ? -time_of(step) : time_of(step));
		break;
	case 6: /* an alarm or control register: those of time are the clock itself */
		write_again(rtc, again[step[1] % sizeof(again)]);
		break;
	case 7:
		rtc_reset(rtc);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop loop;
	struct rtc rtc;
	int fd = sys_eventfd();

	must(fd >= 0 && loop_init(&loop) == 0 && rtc_init(&rtc, fd, &loop) == 0);
	now_ns = 1835481598000000000;
	rtc.now = fake_now;
	rtc_reset(&rtc);
	for (; size >= 3; data += 3, size -= 3)
		step(&rtc, data);
	rtc_release(&rtc);
	loop_release(&loop);
	sys_close(fd);
	return 0;
}
