/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - building the text of an error without allocating. */
#include <portcullis/err.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* strerror() may allocate and read locale files, which no seccomp filter here allows. */
static const char *errno_text(int code)
{
	const char *text = strerrordesc_np(code);

	return text ? text : "unknown error";
}

static void mark_cut(char *buf, size_t size)
{
	memcpy(buf + size - 4, "...", 4);
}

/* Formats behind what buf holds already; text that does not fit ends in "...". */
__attribute__((format(printf, 3, 0))) static void append(
	char *buf, size_t size, const char *fmt, va_list args)
{
	size_t used = strlen(buf);
	int n = vsnprintf(buf + used, size - used, fmt, args);

	if (n >= 0 && (size_t)n >= size - used)
		mark_cut(buf, size);
}

/*
 * Arguments may point into err itself, so the new text is made beside it. tail: bytes that are kept
 * for what follows.
 */
__attribute__((format(printf, 4, 0))) static void set(
	struct err *err, int code, size_t tail, const char *fmt, va_list args)
{
	char text[ERR_TEXT_MAX] = "";

	append(text, sizeof(text) - tail, fmt, args);
	err->code = code;
	memcpy(err->text, text, sizeof(text));
	err->hint[0] = '\0';
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list args;

	if (err) {
		va_start(args, fmt);
		set(err, code, 0, fmt, args);
		va_end(args);
	}
	return -code;
}

int err_set_errno(struct err *err, int code, const char *fmt, ...)
{
	const char *reason = errno_text(code);
	va_list args;

	if (err) {
		va_start(args, fmt);
		set(err, code, strlen(": ") + strlen(reason), fmt, args);
		va_end(args);
		err_append(err, ": %s", reason);
	}
	return -code;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX] = "";
	size_t used, rest;
	va_list args;

	if (!err)
		return 0;
	va_start(args, fmt);
	append(text, sizeof(text), fmt, args);
	va_end(args);
	used = strlen(text);
	rest = (size_t)snprintf(text + used, sizeof(text) - used, ": %s", err->text);
	if (rest >= sizeof(text) - used)
		mark_cut(text, sizeof(text));
	memcpy(err->text, text, sizeof(text));
	return -err->code;
}

void err_append(struct err *err, const char *fmt, ...)
{
	va_list args;

	if (!err)
		return;
	va_start(args, fmt);
	append(err->text, sizeof(err->text), fmt, args);
	va_end(args);
}

void err_hint(struct err *err, const char *fmt, ...)
{
	char hint[ERR_HINT_MAX] = "";
	va_list args;

	if (!err)
		return;
	va_start(args, fmt);
	append(hint, sizeof(hint), fmt, args);
	va_end(args);
	memcpy(err->hint, hint, sizeof(hint));
}

void err_hint_directory(struct err *err, const char *path)
{
	const char *end = strrchr(path, '/');
	char dir[ERR_HINT_MAX / 3];
	size_t len;

	if (!err || err->code != ENOENT || !end)
		return;
	len = (size_t)(end - path);
	if (len >= sizeof(dir))
		return;
	memcpy(dir, path, len);
	dir[len] = '\0';
	if (len && access(dir, F_OK) < 0 && errno == ENOENT)
		err_hint(err, "'%s' does not exist: make it (mkdir -p %s), or name another path",
			dir, dir);
}

const char *err_format(const struct err *err, char *buf, unsigned long size)
{
	if (err->hint[0])
		snprintf(buf, size, "%s (%s)", err->text, err->hint);
	else
		snprintf(buf, size, "%s", err->text);
	return buf;
}
