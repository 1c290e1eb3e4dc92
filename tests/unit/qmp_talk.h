/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_talk.h - a QMP client without a socket.
 *
 * Layer: tests.
 */
#ifndef PORTCULLIS_QMP_TALK_H
#define PORTCULLIS_QMP_TALK_H

#include <string.h>

#include "../../src/qmp/schema.h"
#include "../../src/qmp/session.h"

struct talk {
	struct qmp_session session; /* first */
	char out[1 << 20];
	size_t used;
	unsigned resumed;
};

static void talk_send(struct qmp_session *session, const char *data, size_t len)
{
	struct talk *talk = (struct talk *)session;

	if (len < sizeof(talk->out) - talk->used) {
		memcpy(talk->out + talk->used, data, len);
		talk->used += len;
	}
	talk->out[talk->used] = '\0';
}

static void talk_resume(struct qmp_session *session)
{
	((struct talk *)session)->resumed++;
}

static void talk_open(struct talk *talk, struct qmp_context *context)
{
	memset(talk, 0, sizeof(*talk));
	talk->session.send = talk_send;
	talk->session.resume = talk_resume;
	session_open(&talk->session, context);
}

/* What came since the last call, without the line end. */
static const char *talk_take(struct talk *talk)
{
	talk->out[talk->used] = '\0';
	if (talk->used >= 2 && !strcmp(talk->out + talk->used - 2, "\r\n"))
		talk->out[talk->used - 2] = '\0';
	talk->used = 0;
	return talk->out;
}

static const char *talk_say(struct talk *talk, const char *message)
{
	session_message(&talk->session, message, strlen(message));
	return talk_take(talk);
}

#endif
