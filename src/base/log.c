/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c - one line, one write, and nobody waits for whoever reads it.
 *
 * Where messages go is a fact of the process (as stderr is), so it is the one piece of process-wide
 * state here: a few atomics, set before threads start, and what could not be written.
 */
#include <portcullis/log.h>
#include <portcullis/sys.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1200
/* To the start of the line, and what stands in it goes (ECMA-48: EL). */
#define WIPE "\r\033[K"

/* How a line is written without waiting. */
enum manner {
	ASK,  /* poll() first: writes of others may come between, and a terminal takes part of it */
	TRY,  /* O_NONBLOCK, or a file */
	SEND, /* a socket */
};

static atomic_int log_to = STDERR_FILENO;
static atomic_bool log_stamped; /* a file of our own: with the time, without our name */
static atomic_int log_manner = ASK;
static atomic_int log_max = LOG_LEVEL_INFO;
static atomic_uint log_lost;  /* lines since the last one that was written */
static atomic_bool log_shows; /* the terminal's last line is log_progress()'s */

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error: ",
	[LOG_LEVEL_WARN] = "warning: ",
	[LOG_LEVEL_INFO] = "",
	[LOG_LEVEL_DEBUG] = "debug: ",
};

/* own: opened by us. Whoever shares another's description may clear its O_NONBLOCK at any time. */
static enum manner manner_of(int fd, bool own)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ASK;
	if (S_ISSOCK(st.st_mode))
		return SEND;
	return S_ISREG(st.st_mode) || (own && fcntl(fd, F_GETFL) & O_NONBLOCK) ? TRY : ASK;
}

static void set(int fd, bool own, bool stamped, enum log_level level)
{
	atomic_store(&log_to, fd);
	atomic_store(&log_stamped, stamped);
	atomic_store(&log_manner, (int)manner_of(fd, own));
	atomic_store(&log_max, (int)level);
}

void log_setup(int fd, enum log_level level)
{
	const bool own = fd != STDERR_FILENO;

	set(fd, own, own, level);
}

/*
 * O_NONBLOCK belongs to the open file description, which we share with the shell and others: it is
 * set on one of our own. A regular file is left as it is, for its position is shared on purpose.
 */
void log_setup_stderr(int fd, enum log_level level)
{
	char path[32];
	struct stat st;
	int own = -1;

	if (fstat(fd, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		own = sys_open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
	}
	set(own >= 0 ? own : fd, own >= 0, false, level);
}

bool log_is_stderr(void)
{
	return !atomic_load(&log_stamped);
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

void log_sanitize(char *text, const char *keep)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' || *text == 0x7f) && !strchr(keep, *text))
			*text = '?';
}

/* True: all of it, or it cannot be written at all, which is no reason to stop a guest. */
static bool write_now(int fd, const char *text, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	switch ((enum manner)atomic_load(&log_manner)) {
	case SEND:
		n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case ASK:
		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
			return false;
		n = write(fd, text, len);
		break;
	default:
		n = write(fd, text, len);
		break;
	}
	return n < 0 ? errno != EAGAIN : (size_t)n == len;
}

/* The reader of a pipe or a terminal may have stopped: a line is lost then, and counted. */
static void put(const char *text, size_t len)
{
	char both[LINE_MAX_BYTES + 80];
	unsigned lost = atomic_exchange(&log_lost, 0);
	int n = snprintf(both, sizeof(both), "%s", atomic_exchange(&log_shows, false) ? WIPE : "");

	if (lost)
		n += snprintf(both + n, sizeof(both) - (size_t)n,
			"portcullis: warning: %u messages were lost before this one\n", lost);
	memcpy(both + n, text, len);
	if (!write_now(atomic_load(&log_to), both, (size_t)n + len))
		atomic_fetch_add(&log_lost, lost + 1);
}

__attribute__((format(printf, 2, 0))) static void line(
	enum log_level level, const char *fmt, va_list args)
{
	char buf[LINE_MAX_BYTES];
	struct timespec now;
	int used;
	size_t len;

	if ((int)level > atomic_load(&log_max))
		return;
	if (log_is_stderr()) {
		used = snprintf(buf, sizeof(buf), "portcullis: %s", level_names[level]);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		used = stamp(buf, sizeof(buf), &now);
		used += snprintf(buf + used, sizeof(buf) - (size_t)used, "%s", level_names[level]);
	}
	vsnprintf(buf + used, sizeof(buf) - 1 - (size_t)used, fmt, args);
	log_sanitize(buf, "");
	len = strlen(buf);
	buf[len++] = '\n';
	put(buf, len);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line(level, fmt, args);
	va_end(args);
}

void log_progress(const char *text)
{
	char buf[LINE_MAX_BYTES];
	const int fd = atomic_load(&log_to);
	const bool shows = atomic_exchange(&log_shows, text != NULL);

	if (!log_is_stderr() || !isatty(fd) || !(text || shows)) {
		atomic_store(&log_shows, false);
		return;
	}
	snprintf(buf, sizeof(buf), WIPE "%s%s", text ? "portcullis: " : "", text ? text : "");
	(void)write_now(fd, buf, strlen(buf)); /* the next one will do */
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
