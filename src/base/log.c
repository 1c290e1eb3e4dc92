/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one line, one write(2), and nobody waits for whoever reads it.
 *
 * Where messages go is a fact of the process (as stderr is), so it is the one piece of process-wide
 * state here: two atomics, set before threads start, and what could not be written.
 */
#include <portcullis/log.h>

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1200

static atomic_int log_to = STDERR_FILENO;
static atomic_int log_max = LOG_LEVEL_INFO;
static atomic_uint log_lost; /* lines since the last one that was written */

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error: ",
	[LOG_LEVEL_WARN] = "warning: ",
	[LOG_LEVEL_INFO] = "",
	[LOG_LEVEL_DEBUG] = "debug: ",
};

void log_setup(int fd, enum log_level level)
{
	atomic_store(&log_to, fd);
	atomic_store(&log_max, (int)level);
}

int log_fd(void)
{
	return atomic_load(&log_to);
}

/*
 * UTC, by the proleptic Gregorian calendar. gmtime_r() is not used: the C library initialises the
 * time zone in it, which opens files that no thread's filter lets it open.
 */
static int stamp(char *buf, size_t size, const struct timespec *now)
{
	int64_t days, era, day_of_era, year_of_era, day_of_year, month, year;
	unsigned second;

	second = (unsigned)(now->tv_sec % 86400);
	days = now->tv_sec / 86400 + 719468; /* from 0000-03-01 */
	era = days / 146097;
	day_of_era = days % 146097;
	year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	month = (5 * day_of_year + 2) / 153; /* 0 is March */
	year = era * 400 + year_of_era + (month >= 10);
	return snprintf(buf, size, "%04d-%02d-%02dT%02u:%02u:%02u.%03uZ ", (int)year,
		(int)(month < 10 ? month + 3 : month - 9),
		(int)(day_of_year - (153 * month + 2) / 5 + 1), second / 3600, second / 60 % 60,
		second % 60, (unsigned)(now->tv_nsec / 1000000));
}

/* What comes from a guest, a file name or a device must not steer the reader's terminal. */
static void tame(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* The reader of a pipe or a terminal may have stopped: a line is lost then, and counted. */
static bool takes_a_line(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}

static void put(int fd, const char *text, size_t len)
{
	unsigned lost;
	char note[80];

	if (!takes_a_line(fd)) {
		atomic_fetch_add(&log_lost, 1);
		return;
	}
	lost = atomic_exchange(&log_lost, 0);
	if (lost) {
		int n = snprintf(note, sizeof(note),
			"portcullis: warning: %u messages were lost before this one\n", lost);

		if (write(fd, note, (size_t)n) < 0)
			return;
	}
	/* A log that cannot be written is no reason to stop a guest. */
	if (write(fd, text, len) < 0)
		return;
}

__attribute__((format(printf, 2, 0))) static void line(
	enum log_level level, const char *fmt, va_list args)
{
	char buf[LINE_MAX_BYTES];
	int fd = atomic_load(&log_to), used;
	struct timespec now;
	size_t len;

	if ((int)level > atomic_load(&log_max))
		return;
	if (fd == STDERR_FILENO) {
		used = snprintf(buf, sizeof(buf), "portcullis: %s", level_names[level]);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		used = stamp(buf, sizeof(buf), &now);
		used += snprintf(buf + used, sizeof(buf) - (size_t)used, "%s", level_names[level]);
	}
	vsnprintf(buf + used, sizeof(buf) - 1 - (size_t)used, fmt, args);
	tame(buf);
	len = strlen(buf);
	buf[len++] = '\n';
	put(fd, buf, len);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line(level, fmt, args);
	va_end(args);
}

void log_guest_limited(atomic_uint *count, const char *fmt, ...)
{
	unsigned seen = atomic_load_explicit(count, memory_order_relaxed);
	va_list args;

	/* Looked at first, so that the counter cannot be driven round to zero. */
	if (seen >= LOG_GUEST_MAX)
		return;
	seen = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	if (seen >= LOG_GUEST_MAX)
		return;
	va_start(args, fmt);
	line(LOG_LEVEL_WARN, fmt, args);
	va_end(args);
	if (seen == LOG_GUEST_MAX - 1)
		log_line(LOG_LEVEL_WARN, "no more messages of this kind will be shown");
}
