/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - one client's side of the protocol, without its socket. (private to src/qmp and tests)
 *
 * Layer: L5, main only. Messages come in by session_message(), replies and events leave by send().
 * Order: a session's commands are answered in their order. While one is held (device_add,
 * device_del) session_busy() is true and the owner feeds nothing; resume() says when that is over.
 */
#ifndef PORTCULLIS_QMP_SESSION_H
#define PORTCULLIS_QMP_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <portcullis/machine.h>

#include "fds.h"
#include "json.h"

struct err;
struct qmp_command;

#define QMP_REPLY_MAX (2u * 1024u * 1024u)

/* What all sessions share. */
struct qmp_context {
	struct machine *machine;
	struct closer *closer;	 /* of what clients hand over; the machine's */
	struct json_arena arena; /* of the message being handled */
	bool handling;		 /* a message: none other may be, not even from a nested loop */
	struct fdsets fdsets;
	struct qmp_session *sessions;
};

/* A command whose answer comes later. It outlives its session. */
struct qmp_call {
	struct machine_op op;
	struct qmp_session *session; /* NULL: the client is gone */
	const struct qmp_command *command;
	char *id; /* JSON text, owned; NULL: none */
};

struct qmp_session {
	struct qmp_session *next;
	struct qmp_context *context;
	void (*send)(struct qmp_session *session, const char *data, size_t len);
	void (*resume)(struct qmp_session *session);
	bool negotiated;
	struct qmp_call *held;
	struct named_fds fds;
};

/* A command being handled. */
struct qmp_request {
	struct qmp_session *session;
	struct qmp_context *context;
	const struct qmp_command *command;
	const struct json *args; /* object or NULL; checked against the command's type */
	const struct json *id;
	struct json_writer *out; /* a value goes there with key QMP_RETURN */
	void (*after)(
		struct qmp_context *context); /* set by the command: after its reply was sent */
};
#define QMP_RETURN "return"
#define QMP_LATER 1

int qmp_context_init(struct qmp_context *context);
void qmp_context_release(struct qmp_context *context);

/* send and resume are set by the caller before. Sends the greeting. */
void session_open(struct qmp_session *session, struct qmp_context *context);
void session_close(struct qmp_session *session);
bool session_busy(const struct qmp_session *session);
void session_message(struct qmp_session *session, const char *text, size_t len) ON_MAIN;
/* What came was no message. */
void session_bad_input(struct qmp_session *session, const char *why);
/* To every session that has negotiated. data may write members of the event's data. */
void qmp_send_event(struct qmp_context *context, const char *name,
	void (*data)(struct json_writer *w, const void *opaque), const void *opaque);

/* For commands: the reply is held; return QMP_LATER. NULL: no memory. */
struct machine_op *qmp_hold(struct qmp_request *request);

/* events.c: what machine_on_event() calls; opaque is the context. */
void qmp_on_machine_event(void *opaque, const struct machine_event *event);

#endif
