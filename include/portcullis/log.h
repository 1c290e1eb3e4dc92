/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - the program's own messages: one line each, to stderr or the -D file.
 *
 * Layer: L0. Any thread; formats into a stack buffer and issues one write(2) or send(2), no lock,
 *        no malloc, no stdio, no localtime (seccomp filters allow no more).
 * Wait:  nobody waits for whoever reads the log: a line that it does not take at once is lost, and
 *        the next one that is written says how many were. Two exceptions: the disk of a file, and a
 *        terminal that this process may not open anew (another user's, after su).
 * Guest: whatever a guest can trigger goes through log_guest(), which bounds the number of lines
 *        per site, so that no guest fills a disk. vCPU threads never log otherwise; the few other
 *        messages of what runs beside a guest are in a table of `make lint`, each with its reason.
 */
#ifndef PORTCULLIS_LOG_H
#define PORTCULLIS_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* A file to write to (borrowed, stderr at start); lines above the level are dropped. */
void log_setup(int fd, enum log_level level);
/* fd is what stderr is: written to by a description of our own, if it can be opened anew. */
void log_setup_stderr(int fd, enum log_level level);
bool log_is_stderr(void);
int log_fd(void);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * What is shown while something takes long, if messages go to a terminal: the last line of it,
 * which the next one, and any message, takes the place of. NULL: it goes. Main's.
 */
void log_progress(const char *text);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * What comes from a guest, a file name or a device must not steer the reader's terminal: control
 * characters become '?', but for those in keep.
 */
void log_sanitize(char *text, const char *keep);

#define LOG_GUEST_MAX 8 /* lines per site and process life */

void log_guest_limited(atomic_uint *count, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A warning caused by the guest; after LOG_GUEST_MAX lines this site is silent. */
#define log_guest(...)                                                                             \
	do {                                                                                       \
		static atomic_uint log_site_count_;                                                \
		log_guest_limited(&log_site_count_, __VA_ARGS__);                                  \
	} while (0)

#endif
