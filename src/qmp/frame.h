/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.h - where one message ends and the next begins in a stream of bytes. (private to src/qmp)
 *
 * Layer: L5, pure. A message is a JSON value: an object or array up to its closing bracket, or any
 * other run of characters up to white space. Line ends mean nothing. A message that cannot become
 * JSON any more (bracket that closes another kind, control character in a string) is given up at
 * that byte, so that what follows is heard; one that is too long or too deep is skipped to its end.
 * A byte 0xff outside of a message is ignored, inside one it throws away what came before (what
 * QMP clients send to get back into step).
 */
#ifndef PORTCULLIS_QMP_FRAME_H
#define PORTCULLIS_QMP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

enum frame_status {
	FRAME_MORE,    /* all bytes taken, no message complete */
	FRAME_MESSAGE, /* buf[0..used) is one */
	FRAME_BAD,     /* why says what was wrong with what was skipped */
};

struct frame {
	char *buf; /* owned, JSON_MESSAGE_MAX bytes */
	size_t used;
	unsigned depth;
	uint64_t objects; /* bit n: the n-th open bracket is '{' */
	uint64_t skip_depth;
	char quote; /* of the string we are in: " or ', else NUL */
	bool in_message, escaped;
	const char *skipping; /* NULL, or why */
	const char *why;
};

int frame_init(struct frame *frame); /* -ENOMEM */
void frame_release(struct frame *frame);
/* Between messages it means nothing. */
bool frame_is_space(char c);
/* Takes bytes up to the end of the next message; returns how many. */
size_t frame_feed(struct frame *frame, const char *data, size_t len, enum frame_status *status);

#endif
