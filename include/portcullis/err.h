/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - an error as a value: what failed, on which object, errno, and what to do about it.
 *
 * Layer: L0, includes nothing of ours. Any thread; the caller owns the struct; no allocation.
 * Use:   functions that can fail return 0 or a negative errno. Those that know facts worth telling
 *        (which device, which driver, how many bytes) also take a `struct err *` (may be NULL) and
 *        fill it with err_set(). The text is printed once, by cli or qmp, never by the function.
 * Text:  lower case, no full stop, subject in 'quotes'; the remedy is a sentence of its own.
 */
#ifndef PORTCULLIS_ERR_H
#define PORTCULLIS_ERR_H

#define ERR_TEXT_MAX 1024
#define ERR_HINT_MAX 512

struct err {
	int code;		 /* positive errno, 0 = no error */
	char text[ERR_TEXT_MAX]; /* what failed, on which object */
	char hint[ERR_HINT_MAX]; /* what to do about it, may be empty */
};

/* Sets text (printf style), clears the hint. Returns -code. err may be NULL. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Same, and appends ": " and strerror(code), also to a text that is too long. Returns -code. */
int err_set_errno(struct err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " before the text already there. Returns -err->code. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends to the text (lists); what does not fit ends in "...". */
void err_append(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sets what the user should do. */
void err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Of an error about making path: when it is that its directory does not exist (ENOENT), the hint
 * says so. At the start; looks at the directory.
 */
void err_hint_directory(struct err *err, const char *path);

/* "text (hint)" in one line, as the terminal and QMP's desc show it. Returns buf. */
const char *err_format(const struct err *err, char *buf, unsigned long size);

#endif
