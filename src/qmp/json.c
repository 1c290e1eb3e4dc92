/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - text to tree; the only file that knows yajl, and of yajl only its events.
 *
 * yajl does not check whether its allocator gave it memory. It is therefore fed from the arena,
 * with JSON_RESERVE bytes set aside that our own values never take: more than it can ask for while
 * it reads one message within the caps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include <portcullis/err.h>

#include "json.h"

#define JSON_RESERVE (512u * 1024u)
#define ALIGN 16u

struct parse {
	struct json_arena *arena;
	unsigned depth, values;
	struct json *open[JSON_DEPTH_MAX]; /* containers we are inside of */
	struct json *last[JSON_DEPTH_MAX]; /* their last child */
	const char *key;
	struct json *root;
	int code; /* why we told yajl to stop: errno and text */
	const char *why;
};

int json_arena_init(struct json_arena *arena)
{
	*arena = (struct json_arena){ .base = malloc(JSON_ARENA_SIZE), .size = JSON_ARENA_SIZE };
	return arena->base ? 0 : -ENOMEM;
}

void json_arena_release(struct json_arena *arena)
{
	if (!arena)
		return;
	free(arena->base);
	*arena = (struct json_arena){ 0 };
}

static void *take(struct json_arena *arena, size_t size, size_t keep)
{
	size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);

	if (need < size || need > arena->size - arena->used ||
		arena->size - arena->used - need < keep)
		return NULL;
	arena->used += need;
	return arena->base + arena->used - need;
}

/* yajl's allocations carry their size in front, for realloc. */
static void *yajl_take(void *opaque, size_t size)
{
	size_t *block = take(opaque, size + ALIGN, 0);

	if (!block)
		return NULL;
	*block = size;
	return (char *)block + ALIGN;
}

static void *yajl_resize(void *opaque, void *old, size_t size)
{
	size_t old_size = old ? *(size_t *)((char *)old - ALIGN) : 0;
	void *grown;

	if (old && size <= old_size)
		return old;
	grown = yajl_take(opaque, size);
	if (grown && old)
		memcpy(grown, old, old_size);
	return grown;
}

static void yajl_leave(void *opaque, void *block)
{
	(void)opaque;
	(void)block;
}

static int stop(struct parse *p, int code, const char *why)
{
	p->code = code;
	p->why = why;
	return 0;
}

static const char *copy(struct parse *p, const char *text, size_t len)
{
	char *out;

	if (memchr(text, '\0', len)) {
		stop(p, EINVAL, "a string must not contain U+0000");
		return NULL;
	}
	out = take(p->arena, len + 1, JSON_RESERVE);
	if (!out) {
		stop(p, E2BIG, "it is too large");
		return NULL;
	}
	memcpy(out, text, len);
	out[len] = '\0';
	/* yajl lets overlong forms, surrogates and what lies above U+10FFFF pass. */
	if (!json_utf8_valid(out)) {
		stop(p, EINVAL, "invalid UTF-8 sequence in string");
		return NULL;
	}
	return out;
}

/* Hangs a new value where it belongs; NULL: stop() was called. */
static struct json *add(struct parse *p, enum json_kind kind)
{
	struct json *value = NULL, **link;

	if (p->values < JSON_VALUES_MAX)
		value = take(p->arena, sizeof(*value), JSON_RESERVE);
	if (!value) {
		stop(p, E2BIG, "it has too many values");
		return NULL;
	}
	p->values++;
	*value = (struct json){ .kind = kind, .key = p->key };
	p->key = NULL;
	if (!p->depth) {
		p->root = value;
		return value;
	}
	link = p->last[p->depth - 1] ? &p->last[p->depth - 1]->next : &p->open[p->depth - 1]->first;
	*link = value;
	p->last[p->depth - 1] = value;
	return value;
}

static int on_null(void *opaque)
{
	return add(opaque, JSON_NULL) != NULL;
}

static int on_bool(void *opaque, int boolean)
{
	struct json *value = add(opaque, JSON_BOOL);

	if (value)
		value->boolean = boolean;
	return value != NULL;
}

static int on_number(void *opaque, const char *text, size_t len)
{
	struct json *value = add(opaque, JSON_NUMBER);
	char *end;

	if (!value)
		return 0;
	value->text = copy(opaque, text, len);
	if (!value->text)
		return 0;
	errno = 0;
	value->integer = strtoll(value->text, &end, 10);
	if (!errno && !*end)
		value->kind = JSON_INT;
	return 1;
}

static int on_string(void *opaque, const unsigned char *text, size_t len)
{
	struct json *value = add(opaque, JSON_STRING);

	if (!value)
		return 0;
	value->text = copy(opaque, (const char *)text, len);
	return value->text != NULL;
}

static int on_key(void *opaque, const unsigned char *text, size_t len)
{
	struct parse *p = opaque;

	p->key = copy(p, (const char *)text, len);
	if (!p->key)
		return 0;
	if (json_get(p->open[p->depth - 1], p->key))
		return stop(p, EINVAL, "a key is given twice");
	return 1;
}

static int begin(struct parse *p, enum json_kind kind)
{
	struct json *value;

	if (p->depth == JSON_DEPTH_MAX)
		return stop(p, E2BIG, "it is nested too deeply");
	value = add(p, kind);
	if (!value)
		return 0;
	p->open[p->depth] = value;
	p->last[p->depth] = NULL;
	p->depth++;
	return 1;
}

static int on_begin_object(void *opaque)
{
	return begin(opaque, JSON_OBJECT);
}

static int on_begin_array(void *opaque)
{
	return begin(opaque, JSON_ARRAY);
}

static int on_end(void *opaque)
{
	struct parse *p = opaque;

	p->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_begin_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_begin_array,
	.yajl_end_array = on_end,
};

static int syntax_error(yajl_handle yajl, struct err *err)
{
	/* One line without position: "lexical error: invalid char in json text.\n". */
	const char *text = (const char *)yajl_get_error(yajl, 0, NULL, 0);
	const char *kind_end = strstr(text, "error: ");

	if (kind_end)
		text = kind_end + strlen("error: ");
	return err_set(err, EINVAL, "JSON parse error, %.*s", (int)strcspn(text, "\n."), text);
}

int json_parse(struct json_arena *arena, const char *text, size_t len, const struct json **out,
	struct err *err)
{
	struct parse p = { .arena = arena };
	yajl_alloc_funcs memory = {
		.malloc = yajl_take, .realloc = yajl_resize, .free = yajl_leave, .ctx = arena
	};
	yajl_handle yajl;
	yajl_status status;

	arena->used = 0;
	if (len > JSON_MESSAGE_MAX)
		return err_set(err, E2BIG, "JSON parse error, it is too large");
	/* yajl would make '?' of them, and an id would come back as another one. */
	if (!json_surrogates_paired(text, len))
		return err_set(
			err, EINVAL, "JSON parse error, half a surrogate pair is not a character");
	if (memchr(text, '\'', len)) {
		char *plain = take(arena, 2 * len, JSON_RESERVE);

		if (!plain)
			return err_set(err, E2BIG, "JSON parse error, it is too large");
		len = json_plain_quotes(text, len, plain);
		text = plain;
	}
	yajl = yajl_alloc(&callbacks, &memory, &p);
	status = yajl_parse(yajl, (const unsigned char *)text, len);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(yajl);
	if (status == yajl_status_client_canceled)
		return err_set(err, p.code, "JSON parse error, %s", p.why);
	if (status != yajl_status_ok)
		return syntax_error(yajl, err);
	*out = p.root;
	return 0;
}

const struct json *json_get(const struct json *object, const char *key)
{
	for (const struct json *member = object->first; member; member = member->next)
		if (member->key && !strcmp(member->key, key))
			return member;
	return NULL;
}
