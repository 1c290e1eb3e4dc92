/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - JSON in and out, with caps on everything a peer decides. (private to src/qmp and tests)
 *
 * Layer: L5, includes base only. One thread at a time per arena or writer.
 * In:    a message becomes a tree of struct json inside an arena of fixed size; nothing is freed
 * but the arena as a whole, and nothing can grow beyond it. Strings may be in single quotes. Out:
 * struct json_writer appends to a buffer with a limit; running into it is remembered, and told once
 * at the end.
 */
#ifndef PORTCULLIS_QMP_JSON_H
#define PORTCULLIS_QMP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define JSON_DEPTH_MAX 64
#define JSON_VALUES_MAX 2048		/* per message */
#define JSON_MESSAGE_MAX 65536		/* bytes per message */
#define JSON_ARENA_SIZE (1024u * 1024u) /* enough for any message within the caps above */

enum json_kind {
	JSON_NULL,
	JSON_BOOL,
	JSON_INT,    /* fits int64_t */
	JSON_NUMBER, /* any other number: only its text is kept */
	JSON_STRING, /* valid UTF-8 without U+0000 */
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json {
	enum json_kind kind;
	bool boolean;
	int64_t integer;
	const char *text; /* STRING: the string; INT, NUMBER: as received. NUL-terminated */
	const char *key;  /* of an object's member */
	struct json *first, *next;
};

struct json_arena {
	char *base; /* owned */
	size_t size, used;
};

int json_arena_init(struct json_arena *arena);
void json_arena_release(struct json_arena *arena);

/*
 * Parses one value; what the arena held before is gone. -EINVAL: not JSON, a key given twice, a
 * string that is not text (UTF-8, U+0000, half a surrogate pair); -E2BIG: deeper, longer or with
 * more values than the caps allow.
 */
int json_parse(struct json_arena *arena, const char *text, size_t len, const struct json **out,
	struct err *err);
/* Member of an object, NULL if there is none. */
const struct json *json_get(const struct json *object, const char *key);

/* Length of the UTF-8 sequence at s (shortest form, no surrogates, RFC 3629), 0 if it is none. */
size_t json_utf8_length(const unsigned char *s);
bool json_utf8_valid(const char *text);
/* The character that a sequence of that length stands for. */
uint32_t json_utf8_character(const unsigned char *s, size_t len);
/* Is every \uD800..\uDFFF in this JSON text half of a pair? */
bool json_surrogates_paired(const char *text, size_t len);
/*
 * QEMU's JSON also has strings in single quotes, and \' in both kinds. Puts the same text in plain
 * JSON into out, which has room for twice len bytes; returns how many it took.
 */
size_t json_plain_quotes(const char *text, size_t len, char *out);

struct json_writer {
	char *buf; /* owned */
	size_t used, room, limit;
	bool failed;	/* no memory, or over the limit: buf is not to be used */
	bool has_value; /* the next one needs a comma */
};

void json_writer_init(struct json_writer *w, size_t limit);
void json_writer_release(struct json_writer *w);
/* Forgets what was written after the first used bytes (a value returned by json_writer_mark). */
struct json_mark {
	size_t used;
	bool has_value;
};
struct json_mark json_writer_mark(const struct json_writer *w);
void json_writer_rewind(struct json_writer *w, struct json_mark mark);

/*
 * key is NULL for elements of arrays and for the top. What is written is ASCII: other characters
 * are \uXXXX, as QEMU writes them, and each byte that is not UTF-8 is U+FFFD.
 */
void json_begin_object(struct json_writer *w, const char *key);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w, const char *key);
void json_end_array(struct json_writer *w);
void json_put_string(struct json_writer *w, const char *key, const char *value);
void json_put_int(struct json_writer *w, const char *key, int64_t value);
void json_put_uint(struct json_writer *w, const char *key, uint64_t value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);
/* A value that was parsed. */
void json_put_value(struct json_writer *w, const char *key, const struct json *value);
/* Text that is JSON already. */
void json_put_raw(struct json_writer *w, const char *key, const char *text);
/* Bytes between messages: not JSON. */
void json_put_newline(struct json_writer *w);

#endif
