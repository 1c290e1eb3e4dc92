/* SPDX-License-Identifier: Apache-2.0 */
/* json_writer.c - values to text, in a buffer that grows up to its limit. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define FIRST_ROOM 512u
#define REPLACEMENT 0xfffd /* U+FFFD: here was no character */

void json_writer_init(struct json_writer *w, size_t limit)
{
	*w = (struct json_writer){ .limit = limit };
}

void json_writer_release(struct json_writer *w)
{
	if (!w)
		return;
	free(w->buf);
	*w = (struct json_writer){ 0 };
}

struct json_mark json_writer_mark(const struct json_writer *w)
{
	return (struct json_mark){ .used = w->used, .has_value = w->has_value };
}

void json_writer_rewind(struct json_writer *w, struct json_mark mark)
{
	w->used = mark.used;
	w->has_value = mark.has_value;
	w->failed = false;
}

static bool reserve(struct json_writer *w, size_t more)
{
	size_t room = w->room ? w->room : FIRST_ROOM;
	char *grown;

	if (w->failed || more > w->limit || w->used > w->limit - more) {
		w->failed = true;
		return false;
	}
	while (room - w->used < more)
		room *= 2;
	if (room == w->room)
		return true;
	grown = realloc(w->buf, room);
	if (!grown) {
		w->failed = true;
		return false;
	}
	w->buf = grown;
	w->room = room;
	return true;
}

static void put(struct json_writer *w, const char *text, size_t len)
{
	if (!reserve(w, len))
		return;
	memcpy(w->buf + w->used, text, len);
	w->used += len;
}

static void put_text(struct json_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

/* As QEMU writes them: capital digits, two surrogates for what does not fit into four of them. */
static void put_escaped(struct json_writer *w, uint32_t c)
{
	static const char *const known[] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"
	};
	char text[16];

	if (c < sizeof(known) / sizeof(known[0]) && known[c]) {
		put_text(w, known[c]);
		return;
	}
	if (c > 0xffff)
		snprintf(text, sizeof(text), "\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10),
			0xdc00 + ((c - 0x10000) & 0x3ff));
	else
		snprintf(text, sizeof(text), "\\u%04X", c);
	put_text(w, text);
}

static void put_quoted(struct json_writer *w, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;

	put(w, "\"", 1);
	while (*s) {
		size_t len = json_utf8_length(s);

		if (!len) {
			put_escaped(w, REPLACEMENT);
			len = 1;
		} else if (*s == '"' || *s == '\\') {
			put(w, "\\", 1);
			put(w, (const char *)s, 1);
		} else if (len > 1 || *s < 0x20 || *s == 0x7f) {
			put_escaped(w, json_utf8_character(s, len));
		} else {
			put(w, (const char *)s, 1);
		}
		s += len;
	}
	put(w, "\"", 1);
}

static void put_key(struct json_writer *w, const char *key)
{
	if (w->has_value)
		put(w, ", ", 2);
	w->has_value = true;
	if (!key)
		return;
	put_quoted(w, key);
	put(w, ": ", 2);
}

static void begin(struct json_writer *w, const char *key, const char *bracket)
{
	put_key(w, key);
	put_text(w, bracket);
	w->has_value = false;
}

static void end(struct json_writer *w, const char *bracket)
{
	put_text(w, bracket);
	w->has_value = true;
}

void json_begin_object(struct json_writer *w, const char *key)
{
	begin(w, key, "{");
}

void json_end_object(struct json_writer *w)
{
	end(w, "}");
}

void json_begin_array(struct json_writer *w, const char *key)
{
	begin(w, key, "[");
}

void json_end_array(struct json_writer *w)
{
	end(w, "]");
}

void json_put_string(struct json_writer *w, const char *key, const char *value)
{
	put_key(w, key);
	put_quoted(w, value);
}

void json_put_int(struct json_writer *w, const char *key, int64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, value);
	json_put_raw(w, key, text);
}

void json_put_uint(struct json_writer *w, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	json_put_raw(w, key, text);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	json_put_raw(w, key, value ? "true" : "false");
}

void json_put_null(struct json_writer *w, const char *key)
{
	json_put_raw(w, key, "null");
}

void json_put_raw(struct json_writer *w, const char *key, const char *text)
{
	put_key(w, key);
	put_text(w, text);
}

/* As deep as the parser lets a value be. */
void json_put_value(struct json_writer *w, const char *key, const struct json *value)
{
	switch (value->kind) {
	case JSON_NULL:
		json_put_null(w, key);
		return;
	case JSON_BOOL:
		json_put_bool(w, key, value->boolean);
		return;
	case JSON_INT:
	case JSON_NUMBER:
		json_put_raw(w, key, value->text);
		return;
	case JSON_STRING:
		json_put_string(w, key, value->text);
		return;
	case JSON_ARRAY:
	case JSON_OBJECT:
		begin(w, key, value->kind == JSON_ARRAY ? "[" : "{");
		for (const struct json *child = value->first; child; child = child->next)
			json_put_value(w, child->key, child);
		end(w, value->kind == JSON_ARRAY ? "]" : "}");
		return;
	}
}

void json_put_newline(struct json_writer *w)
{
	put(w, "\r\n", 2);
	w->has_value = false;
}
