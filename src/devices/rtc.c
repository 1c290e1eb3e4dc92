/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtc.c - an MC146818 clock (data sheet of that name; Linux rtc_cmos is the main user).
 *
 * Time is not counted but computed: host wall clock plus an offset that the guest changes by
 * setting the clock. So are the flags of register C: whoever looks catches up from the last look.
 * Only enabled interrupts need a timer, which is main's; vCPUs ask for it by mail.
 */
#include <portcullis/devices.h>

#include <string.h>

#include <portcullis/sys.h>

#define NS 1000000000ll
#define NS_PER_MS 1000000ll

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	MONTHDAY,
	MONTH,
	YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
};

#define A_UIP 0x80
#define A_DIVIDER 0x70
#define A_DIVIDER_ON 0x20
#define A_RATE 0x0f
#define B_SET 0x80
#define B_INTERRUPTS 0x70 /* periodic, alarm, update: the same bits as in register C */
#define B_SQUARE_WAVE 0x08
#define B_BINARY 0x04
#define B_24H 0x02
#define C_IRQ 0x80
#define C_PERIODIC 0x40
#define C_ALARM 0x20
#define C_UPDATE 0x10
#define D_VALID 0x80
#define HOUR_PM 0x80
#define ALARM_ANY 0xc0 /* this and above in an alarm register: every value */

/* The update cycle's warning: long enough to read all registers. */
#define UIP_NS 244000ll
#define NEVER INT64_MAX
/* Look again at least this often. */
#define TIMER_MAX_MS 3600000ll
#define YEAR_MIN 1970
#define YEAR_MAX 2199

struct date {
	int64_t year;
	unsigned month, day; /* from 1 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Gregorian calendar in 400-year eras that begin on 1 March, so that the odd day comes last. */
static int64_t days_of_date(struct date d)
{
	int64_t y = d.year - (d.month <= 2), era = floor_div(y, 400);
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * ((int64_t)d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static struct date date_of_days(int64_t days)
{
	int64_t z = days + 719468, era = floor_div(z, 146097), of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;
	struct date d = {
		.month = (unsigned)(m < 10 ? m + 3 : m - 9),
		.day = (unsigned)(of_year - (153 * m + 2) / 5 + 1),
	};

	d.year = y + era * 400 + (d.month <= 2);
	return d;
}

static int64_t host_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * NS + t.tv_nsec;
}

/*
 * Within what can be calculated with, whatever the guest set and the host's clock has done since.
 */
#define NOW_MAX (INT64_MAX - 2 * 86400 * NS)

static int64_t guest_at(const struct rtc *rtc, int64_t host)
{
	int64_t now;

	if (__builtin_add_overflow(host, rtc->offset_ns, &now) || now > NOW_MAX)
		return NOW_MAX;
	return now;
}

static int64_t guest_now(const struct rtc *rtc)
{
	return guest_at(rtc, rtc->now());
}

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->cmos[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 15u);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->cmos[REG_B] & B_24H)
		return encode(rtc, hour);
	return encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[REG_B] & B_24H)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* The time registers as they stand at ns. */
static void latch(struct rtc *rtc, int64_t ns)
{
	int64_t seconds = floor_div(ns, NS), days = floor_div(seconds, 86400);
	unsigned of_day = (unsigned)(seconds - days * 86400);
	struct date d = date_of_days(days);
	uint8_t *c = rtc->cmos;

	c[SECONDS] = encode(rtc, of_day % 60);
	c[MINUTES] = encode(rtc, of_day / 60 % 60);
	c[HOURS] = encode_hour(rtc, of_day / 3600);
	c[WEEKDAY] = encode(rtc, (unsigned)(days + 4 - floor_div(days + 4, 7) * 7) + 1);
	c[MONTHDAY] = encode(rtc, d.day);
	c[MONTH] = encode(rtc, d.month);
	c[YEAR] = encode(rtc, (unsigned)(d.year % 100 + 100) % 100);
	c[RTC_CENTURY] = encode(rtc, (unsigned)(d.year / 100) % 100);
}

/* The clock goes on from the time registers: half a second later it is the next second. */
static void commit(struct rtc *rtc)
{
	const uint8_t *c = rtc->cmos;
	struct date d = {
		.year = decode(rtc, c[RTC_CENTURY]) * 100 + decode(rtc, c[YEAR]),
		.month = decode(rtc, c[MONTH]),
		.day = decode(rtc, c[MONTHDAY]),
	};
	int64_t of_day = decode_hour(rtc, c[HOURS]) * 3600 + decode(rtc, c[MINUTES]) * 60 +
			 decode(rtc, c[SECONDS]);

	/* Odd months and days are counted on from the year; the year alone could overflow. */
	d.year = d.year < YEAR_MIN ? YEAR_MIN : d.year > YEAR_MAX ? YEAR_MAX : d.year;
	rtc->offset_ns = (days_of_date(d) * 86400 + of_day) * NS + NS / 2 - rtc->now();
	rtc->checked_ns = guest_now(rtc);
}

/* Nanoseconds between periodic flags, 0: none. */
static int64_t period_ns(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[REG_A] & A_RATE;

	if (rate == 0 || (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_ON)
		return 0;
	if (rate < 3) /* with a 32 kHz crystal these two mean 256 and 128 Hz */
		rate += 7;
	return NS * (1 << (rate - 1)) / 32768;
}

/* One field of the alarm: the value it waits for, or any. */
struct alarm_field {
	unsigned range, want; /* of values; want >= range: it never comes */
	bool any;
};

/* How many units from now on until the field matches: 0, or at the latest once around. */
static unsigned until(const struct alarm_field *f, unsigned now)
{
	return f->any ? 0 : (f->want + f->range - now) % f->range;
}

/*
 * The first second after `after` (seconds since 1970) at which the alarm goes off. Each round goes
 * straight to where one more field matches: from the hour down, and after midnight once more.
 */
#define ALARM_ROUNDS 8
static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
	const uint8_t *c = rtc->cmos;
	const struct alarm_field hour = { 24, decode_hour(rtc, c[HOURS_ALARM]),
		c[HOURS_ALARM] >= ALARM_ANY };
	const struct alarm_field minute = { 60, decode(rtc, c[MINUTES_ALARM]),
		c[MINUTES_ALARM] >= ALARM_ANY };
	const struct alarm_field second = { 60, decode(rtc, c[SECONDS_ALARM]),
		c[SECONDS_ALARM] >= ALARM_ANY };
	const struct alarm_field *const all[] = { &hour, &minute, &second };
	int64_t t = after + 1;

	for (unsigned i = 0; i < 3; i++)
		if (!all[i]->any && all[i]->want >= all[i]->range)
			return NEVER;
	for (unsigned round = 0; round < ALARM_ROUNDS; round++) {
		unsigned of_day = (unsigned)(t - floor_div(t, 86400) * 86400), wait;

		if ((wait = until(&hour, of_day / 3600)))
			t += 3600 * (int64_t)wait - of_day % 3600;
		else if ((wait = until(&minute, of_day / 60 % 60)))
			t += 60 * (int64_t)wait - of_day % 60;
		else if ((wait = until(&second, of_day % 60)))
			t += wait;
		else
			return t;
	}
	return NEVER;
}

/* Raises what enabled flags ask for; true: pulse. */
static bool update_irq(struct rtc *rtc)
{
	uint8_t *c = rtc->cmos;

	if (!(c[REG_B] & c[REG_C] & B_INTERRUPTS) || c[REG_C] & C_IRQ)
		return false;
	c[REG_C] |= C_IRQ;
	return true;
}

/* Sets the flags of all that happened since the last time. True: pulse. */
static bool catch_up(struct rtc *rtc)
{
	int64_t now = guest_now(rtc), last = rtc->checked_ns, period = period_ns(rtc);
	int64_t second = floor_div(now, NS), last_second = floor_div(last, NS);
	uint8_t flags = 0;

	rtc->checked_ns = now;
	if (now <= last) /* the host's clock was set back */
		return false;
	if (period && floor_div(now, period) != floor_div(last, period))
		flags |= C_PERIODIC;
	if (!(rtc->cmos[REG_B] & B_SET) && second != last_second) {
		flags |= C_UPDATE;
		if (next_alarm(rtc, last_second) <= second)
			flags |= C_ALARM;
	}
	rtc->cmos[REG_C] |= flags;
	return update_irq(rtc);
}

/*
 * Nanoseconds from the host's time `host` until an enabled flag is set, NEVER if none is enabled.
 */
static int64_t next_event(const struct rtc *rtc, int64_t host)
{
	int64_t now = guest_at(rtc, host), period = period_ns(rtc), second = floor_div(now, NS);
	uint8_t enabled = rtc->cmos[REG_B];
	int64_t at = NEVER, alarm;

	if (enabled & C_PERIODIC && period)
		at = (floor_div(now, period) + 1) * period;
	if (enabled & B_SET)
		return at == NEVER ? NEVER : at - now;
	if (enabled & C_UPDATE && (second + 1) * NS < at)
		at = (second + 1) * NS;
	alarm = enabled & C_ALARM ? next_alarm(rtc, second) : NEVER;
	if (alarm != NEVER && alarm * NS < at)
		at = alarm * NS;
	return at == NEVER ? NEVER : at - now;
}

/* What a timer is set to, a little later than the event. Host clocks are set now and then. */
static int64_t timer_ms(int64_t wait)
{
	int64_t ms = wait / NS_PER_MS + 1;

	return ms < TIMER_MAX_MS ? ms : TIMER_MAX_MS;
}

/*
 * Is there something that main would look at too late? Not while the guest has an interrupt that it
 * has not acknowledged: until then there is no other. A time to look that is over although the
 * timer did not go off means that the host's clock was set, or that main is busy.
 */
static bool main_is_late(const struct rtc *rtc)
{
	int64_t host = rtc->now(), wait;

	if (rtc->cmos[REG_C] & C_IRQ)
		return false;
	wait = next_event(rtc, host);
	if (wait == NEVER || rtc->look_ns == NEVER)
		return wait != NEVER;
	return rtc->look_ns <= host || timer_ms(wait) < (rtc->look_ns - host) / NS_PER_MS;
}

/* On main: flags, pulse, and the timer for the next one. */
static void rearm(struct rtc *rtc)
{
	int64_t host, wait;
	bool pulse;

	pthread_mutex_lock(&rtc->lock);
	pulse = catch_up(rtc);
	host = rtc->now();
	/* A guest that does not acknowledge is waited for; one that is in time wakes nobody. */
	wait = rtc->cmos[REG_C] & C_IRQ && !pulse ? NEVER : next_event(rtc, host);
	rtc->look_ns = wait == NEVER ? NEVER : host + timer_ms(wait) * NS_PER_MS;
	pthread_mutex_unlock(&rtc->lock);
	if (pulse)
		sys_eventfd_signal(rtc->irq_fd);
	if (wait == NEVER)
		loop_timer_cancel(rtc->main, &rtc->timer);
	else
		loop_timer_set(rtc->main, &rtc->timer, (uint64_t)timer_ms(wait));
}

static void on_timer(void *opaque)
{
	rearm(opaque);
}

static void on_arm(struct mail *mail)
{
	struct rtc *rtc = container_of(mail, struct rtc, arm);

	/* Only here: when the timer goes off the mail may still be under way. */
	pthread_mutex_lock(&rtc->lock);
	rtc->arm_posted = false;
	pthread_mutex_unlock(&rtc->lock);
	rearm(rtc);
}

static bool is_time(uint8_t index)
{
	static const uint16_t bits = 1 << SECONDS | 1 << MINUTES | 1 << HOURS | 1 << WEEKDAY |
				     1 << MONTHDAY | 1 << MONTH | 1 << YEAR;

	return index == RTC_CENTURY || (index < REG_A && bits >> index & 1);
}

static uint8_t read_reg(struct rtc *rtc, uint8_t index)
{
	bool stopped = rtc->cmos[REG_B] & B_SET;
	int64_t now = guest_now(rtc);
	uint8_t value;

	if (index == REG_A)
		return rtc->cmos[REG_A] |
		       (!stopped && now - floor_div(now, NS) * NS >= NS - UIP_NS ? A_UIP : 0);
	if (index == REG_C) {
		(void)catch_up(rtc); /* no pulse: what it finds is seen and cleared in one go */
		value = rtc->cmos[REG_C];
		rtc->cmos[REG_C] = 0;
		return value;
	}
	if (is_time(index) && !stopped)
		latch(rtc, now);
	return rtc->cmos[index];
}

static void write_b(struct rtc *rtc, uint8_t value)
{
	uint8_t old = rtc->cmos[REG_B];

	if (value & B_SET)
		value &= (uint8_t)~C_UPDATE; /* data sheet: SET clears UIE */
	rtc->cmos[REG_B] = value;
	if (value & ~old & B_SET)
		latch(rtc, guest_now(rtc));
	else if (~value & old & B_SET)
		commit(rtc);
}

static void write_reg(struct rtc *rtc, uint8_t index, uint8_t value)
{
	switch (index) {
	case REG_A:
		rtc->cmos[REG_A] = value & (uint8_t)~A_UIP;
		return;
	case REG_B:
		write_b(rtc, value);
		return;
	case REG_C:
	case REG_D:
		return;
	}
	if (is_time(index) && !(rtc->cmos[REG_B] & B_SET)) {
		latch(rtc, guest_now(rtc));
		rtc->cmos[index] = value;
		commit(rtc);
		return;
	}
	rtc->cmos[index] = value;
}

/* Port 0: index (bit 7 would mask NMIs); port 1: data. */
enum io_status rtc_access(void *opaque, struct io_access *access)
{
	struct rtc *rtc = opaque;
	bool pulse = false, arm;

	pthread_mutex_lock(&rtc->lock);
	if (access->offset == 0 && access->write) {
		rtc->index = access->data & 0x7f;
	} else if (access->offset == 0) {
		access->data = 0xff; /* the index cannot be read back */
	} else if (access->write) {
		/* What happened until now is judged by the old settings. */
		pulse = catch_up(rtc);
		write_reg(rtc, rtc->index, (uint8_t)access->data);
		pulse |= update_irq(rtc);
	} else {
		access->data = read_reg(rtc, rtc->index);
	}
	arm = access->offset && !rtc->arm_posted && main_is_late(rtc);
	rtc->arm_posted |= arm;
	pthread_mutex_unlock(&rtc->lock);
	if (pulse)
		sys_eventfd_signal(rtc->irq_fd);
	if (arm)
		loop_post(rtc->main, &rtc->arm);
	return IO_DONE;
}

int rtc_init(struct rtc *rtc, int irq_fd, struct loop *loop)
{
	memset(rtc, 0, sizeof(*rtc));
	pthread_mutex_init(&rtc->lock, NULL);
	rtc->irq_fd = irq_fd;
	rtc->main = loop;
	rtc->now = host_now;
	rtc->timer = (struct loop_timer){ .fn = on_timer, .opaque = rtc };
	rtc->arm.run = on_arm;
	rtc->look_ns = NEVER;
	rtc->cmos[REG_D] = D_VALID;
	rtc_reset(rtc);
	return 0;
}

void rtc_release(struct rtc *rtc)
{
	if (!rtc->main)
		return;
	loop_timer_cancel(rtc->main, &rtc->timer);
	pthread_mutex_destroy(&rtc->lock);
	rtc->main = NULL;
}

/* The clock has a battery: time, alarm and memory stay. The rest is as firmware leaves it. */
void rtc_reset(struct rtc *rtc)
{
	pthread_mutex_lock(&rtc->lock);
	rtc->index = 0;
	if (rtc->cmos[REG_B] & B_SET)
		commit(rtc);
	rtc->cmos[REG_A] = A_DIVIDER_ON | 6; /* 32 kHz crystal, 1024 Hz */
	rtc->cmos[REG_B] = B_24H;
	rtc->cmos[REG_C] = 0;
	rtc->checked_ns = guest_now(rtc);
	rtc->look_ns = NEVER;
	pthread_mutex_unlock(&rtc->lock);
	loop_timer_cancel(rtc->main, &rtc->timer);
}
