/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - a stream of bytes into messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

#define RESYNC ((char)0xff)

int frame_init(struct frame *f)
{
	*f = (struct frame){ .buf = malloc(JSON_MESSAGE_MAX) };
	return f->buf ? 0 : -ENOMEM;
}

void frame_release(struct frame *f)
{
	if (!f)
		return;
	free(f->buf);
	*f = (struct frame){ 0 };
}

static void restart(struct frame *f)
{
	f->depth = 0;
	f->skip_depth = 0;
	f->in_message = f->escaped = false;
	f->quote = '\0';
	f->skipping = NULL;
}

bool frame_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct frame *f, const char *why)
{
	if (f->skipping)
		return;
	f->skipping = why;
	f->skip_depth = f->depth;
}

static enum frame_status finish(struct frame *f)
{
	const char *why = f->skipping;

	restart(f);
	f->why = why;
	return why ? FRAME_BAD : FRAME_MESSAGE;
}

static enum frame_status give_up(struct frame *f, const char *why)
{
	restart(f);
	f->why = why;
	return FRAME_BAD;
}

static enum frame_status in_string(struct frame *f, char c)
{
	if ((unsigned char)c < ' ')
		return give_up(f, "control character in a string");
	if (f->escaped)
		f->escaped = false;
	else if (c == '\\')
		f->escaped = true;
	else if (c == f->quote)
		f->quote = '\0';
	return FRAME_MORE;
}

static void open_bracket(struct frame *f, bool object)
{
	if (f->skipping) {
		f->skip_depth++;
		return;
	}
	if (f->depth == JSON_DEPTH_MAX) {
		skip(f, "it is nested too deeply");
		f->skip_depth++;
		return;
	}
	f->objects = (f->objects & ~(1ull << f->depth)) | (uint64_t)object << f->depth;
	f->depth++;
}

/* While skipping, only the number of brackets is known. */
static enum frame_status close_bracket(struct frame *f, bool object)
{
	if (f->skipping) {
		if (f->skip_depth > 1) {
			f->skip_depth--;
			return FRAME_MORE;
		}
		return finish(f);
	}
	if (!f->depth || (f->objects >> (f->depth - 1) & 1) != object)
		return give_up(f, "unexpected closing bracket");
	return --f->depth ? FRAME_MORE : finish(f);
}

static enum frame_status structure(struct frame *f, char c)
{
	switch (c) {
	case '"':
	case '\'':
		f->quote = c;
		return FRAME_MORE;
	case '{':
	case '[':
		open_bracket(f, c == '{');
		return FRAME_MORE;
	case '}':
	case ']':
		return close_bracket(f, c == '}');
	default:
		return FRAME_MORE;
	}
}

static void store(struct frame *f, char c)
{
	if (f->skipping)
		return;
	if (f->used == JSON_MESSAGE_MAX)
		skip(f, "it is too large");
	else
		f->buf[f->used++] = c;
}

/* A word or string at the top: complete when depth is 0 and white space or a bracket comes. */
static bool ends_word(const struct frame *f, char c)
{
	return f->in_message && !f->quote && !f->depth && !f->skip_depth &&
	       (frame_is_space(c) || c == '{' || c == '[');
}

size_t frame_feed(struct frame *f, const char *data, size_t len, enum frame_status *status)
{
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c == RESYNC) {
			restart(f);
			continue;
		}
		if (ends_word(f, c)) {
			*status = finish(f);
			return i;
		}
		if (!f->in_message) {
			if (frame_is_space(c))
				continue;
			f->in_message = true;
			f->used = 0;
		}
		store(f, c);
		*status = f->quote ? in_string(f, c) : structure(f, c);
		if (*status != FRAME_MORE)
			return i + 1;
	}
	*status = FRAME_MORE;
	return len;
}
