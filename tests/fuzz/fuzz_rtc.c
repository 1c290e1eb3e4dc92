/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_rtc.c - any sequence of accesses to the clock while time goes on, main runs and the machine
 * is reset.
 *
 * Input: three bytes per step: kind, then an index and a value, or an amount of time. Asserted: a
 * step leaves at most one piece of mail, main is done with it after one step of its loop, and its
 * timer is never set so that it would come round at once, for ever.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

static void step(struct rtc *rtc, const uint8_t *step)
{
	/* From nanoseconds to decades. */
	int64_t jump = (int64_t)step[2] << (step[1] % 53);

	switch (step[0] % 6) {
	case 0:
		(void)port(rtc, 0, true, step[1]);
		must(port(rtc, 1, false, 0) <= 0xff);
		break;
	case 1:
	case 2:
		(void)port(rtc, 0, true, step[1]);
		(void)port(rtc, 1, true, step[2]);
		break;
	case 3:
		now_ns += step[0] & 0x80 ? -jump : jump;
		now_ns = now_ns < 0 ? 0 : now_ns > CLOCK_MAX ? CLOCK_MAX : now_ns;
		break;
	case 4:
		loop_step(rtc->main, 0);
		must(rtc->main->count == 0);
		break;
	case 5:
		rtc_reset(rtc);
		break;
	}
	if (rtc->timer.armed)
		must(rtc->timer.at_ms >= loop_now_ms() || rtc->main->timers == &rtc->timer);
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
