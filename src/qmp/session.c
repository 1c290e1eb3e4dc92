/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - greeting, negotiation, requests to commands, replies and events to text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <portcullis/container_of.h>
#include <portcullis/err.h>
#include <portcullis/version.h>

#include "schema.h"
#include "session.h"

#define NEGOTIATION "qmp_capabilities"

int qmp_context_init(struct qmp_context *context)
{
	*context = (struct qmp_context){ 0 };
	fdsets_init(&context->fdsets);
	return json_arena_init(&context->arena);
}

void qmp_context_release(struct qmp_context *context)
{
	fdsets_release(&context->fdsets);
	json_arena_release(&context->arena);
}

static void flush(struct qmp_session *session, struct json_writer *w)
{
	json_put_newline(w);
	if (!w->failed)
		session->send(session, w->buf, w->used);
}

void session_open(struct qmp_session *session, struct qmp_context *context)
{
	struct json_writer w;

	session->context = context;
	session->negotiated = false;
	session->held = NULL;
	named_fds_init(&session->fds, context->closer);
	session->next = context->sessions;
	context->sessions = session;
	json_writer_init(&w, QMP_REPLY_MAX);
	json_begin_object(&w, NULL);
	json_begin_object(&w, "QMP");
	json_begin_object(&w, "version");
	json_begin_object(&w, "qemu");
	json_put_int(&w, "micro", PORTCULLIS_VERSION_MICRO);
	json_put_int(&w, "minor", PORTCULLIS_VERSION_MINOR);
	json_put_int(&w, "major", PORTCULLIS_VERSION_MAJOR);
	json_end_object(&w);
	json_put_string(&w, "package", "portcullis-" PORTCULLIS_VERSION);
	json_end_object(&w);
	json_begin_array(&w, "capabilities");
	json_end_array(&w);
	json_end_object(&w);
	json_end_object(&w);
	flush(session, &w);
	json_writer_release(&w);
}

void session_close(struct qmp_session *session)
{
	struct qmp_session **link = &session->context->sessions;

	while (*link && *link != session)
		link = &(*link)->next;
	if (*link)
		*link = session->next;
	if (session->held)
		session->held->session = NULL;
	session->held = NULL;
	named_fds_release(&session->fds);
}

bool session_busy(const struct qmp_session *session)
{
	return session->held != NULL;
}

static void put_error(struct json_writer *w, const char *class, const struct err *err)
{
	char desc[ERR_TEXT_MAX + ERR_HINT_MAX + 8];

	json_begin_object(w, "error");
	json_put_string(w, "class", class);
	json_put_string(w, "desc", err_format(err, desc, sizeof(desc)));
	json_end_object(w);
}

static const char *class_of(const struct qmp_command *command, const struct err *err)
{
	return command && command->enodev_class && err->code == ENODEV ? "DeviceNotFound"
								       : "GenericError";
}

static void send_error(struct qmp_session *session, const char *class, const struct err *err,
	const struct json *id)
{
	struct json_writer w;

	json_writer_init(&w, QMP_REPLY_MAX);
	json_begin_object(&w, NULL);
	put_error(&w, class, err);
	if (id)
		json_put_value(&w, "id", id);
	json_end_object(&w);
	flush(session, &w);
	json_writer_release(&w);
}

/* --- replies that come later --- */

static char *id_text(const struct json *id, int *ret)
{
	struct json_writer w;
	char *text;

	if (!id)
		return NULL;
	json_writer_init(&w, JSON_MESSAGE_MAX * 8);
	json_put_value(&w, NULL, id);
	text = w.failed ? NULL : strndup(w.buf, w.used);
	json_writer_release(&w);
	if (!text)
		*ret = -ENOMEM;
	return text;
}

static void call_done(struct machine_op *op, const struct err *err)
{
	struct qmp_call *call = container_of(op, struct qmp_call, op);
	struct qmp_session *session = call->session;
	struct json_writer w;

	if (session) {
		json_writer_init(&w, QMP_REPLY_MAX);
		json_begin_object(&w, NULL);
		if (err) {
			put_error(&w, class_of(call->command, err), err);
		} else {
			json_begin_object(&w, QMP_RETURN);
			json_end_object(&w);
		}
		if (call->id)
			json_put_raw(&w, "id", call->id);
		json_end_object(&w);
		session->held = NULL;
		flush(session, &w);
		json_writer_release(&w);
		session->resume(session);
	}
	free(call->id);
	free(call);
}

struct machine_op *qmp_hold(struct qmp_request *r)
{
	struct qmp_call *call = calloc(1, sizeof(*call));
	int ret = 0;

	if (!call)
		return NULL;
	call->id = id_text(r->id, &ret);
	if (ret < 0) {
		free(call);
		return NULL;
	}
	call->op.done = call_done;
	call->session = r->session;
	call->command = r->command;
	r->session->held = call;
	return &call->op;
}

/* --- requests --- */

static void run_command(struct qmp_request *r)
{
	struct err err = { 0 };
	struct json_writer w;
	struct json_mark mark;
	int ret;

	json_writer_init(&w, QMP_REPLY_MAX);
	r->out = &w;
	json_begin_object(&w, NULL);
	mark = json_writer_mark(&w);
	ret = qmp_check_args(r->command, r->args, &err);
	if (!ret)
		ret = r->command->fn(r, &err);
	if (ret == QMP_LATER) {
		json_writer_release(&w);
		return;
	}
	if (!ret && w.failed)
		ret = err_set(&err, ENOMEM, "the reply of '%s' is too large", r->command->name);
	if (ret < 0) {
		json_writer_rewind(&w, mark);
		put_error(&w, class_of(r->command, &err), &err);
	} else if (!r->command->returns) {
		json_begin_object(&w, QMP_RETURN);
		json_end_object(&w);
	}
	if (r->id)
		json_put_value(&w, "id", r->id);
	json_end_object(&w);
	flush(r->session, &w);
	json_writer_release(&w);
	if (!ret && r->after)
		r->after(r->context);
}

/* No capability is offered, so none can be enabled. */
int qmp_cmd_capabilities(struct qmp_request *r, struct err *err)
{
	const struct json *enable = r->args ? json_get(r->args, "enable") : NULL;

	if (enable && enable->first)
		return err_set(
			err, EINVAL, "Capability '%s' is not available", enable->first->text);
	r->session->negotiated = true;
	return 0;
}

/* What QMP allows at the top of a request, with QEMU's words for what it does not. */
static int check_request(const struct json *request, struct err *err)
{
	const struct json *execute, *arguments;

	if (request->kind != JSON_OBJECT)
		return err_set(err, EINVAL, "QMP input must be a JSON object");
	for (const struct json *m = request->first; m; m = m->next)
		if (strcmp(m->key, "execute") != 0 && strcmp(m->key, "arguments") != 0 &&
			strcmp(m->key, "id") != 0)
			return err_set(err, EINVAL, "QMP input member '%s' is unexpected", m->key);
	execute = json_get(request, "execute");
	if (!execute)
		return err_set(err, EINVAL, "QMP input lacks member 'execute'");
	if (execute->kind != JSON_STRING)
		return err_set(err, EINVAL, "QMP input member 'execute' must be a string");
	arguments = json_get(request, "arguments");
	if (arguments && arguments->kind != JSON_OBJECT)
		return err_set(err, EINVAL, "QMP input member 'arguments' must be an object");
	return 0;
}

static int find_command(struct qmp_request *r, const char *name, struct err *err)
{
	bool negotiating = !strcmp(name, NEGOTIATION);

	if (!r->session->negotiated && !negotiating)
		return err_set(
			err, ENOENT, "Expecting capabilities negotiation with '" NEGOTIATION "'");
	if (r->session->negotiated && negotiating)
		return err_set(err, ENOENT,
			"Capabilities negotiation is already complete, command ignored");
	r->command = qmp_command_find(name);
	if (!r->command)
		return err_set(err, ENOENT, "The command %s has not been found", name);
	return 0;
}

static void handle_message(struct qmp_session *session, const char *text, size_t len) ON_MAIN
{
	struct qmp_request r = { .session = session, .context = session->context };
	const struct json *request;
	struct err err = { 0 };

	if (json_parse(&session->context->arena, text, len, &request, &err) < 0) {
		send_error(session, "GenericError", &err, NULL);
		return;
	}
	if (request->kind == JSON_OBJECT)
		r.id = json_get(request, "id");
	if (check_request(request, &err) < 0) {
		send_error(session, "GenericError", &err, r.id);
		return;
	}
	r.args = json_get(request, "arguments");
	if (find_command(&r, json_get(request, "execute")->text, &err) < 0) {
		send_error(session, "CommandNotFound", &err, r.id);
		return;
	}
	run_command(&r);
}

void session_message(struct qmp_session *session, const char *text, size_t len)
{
	struct qmp_context *context = session->context;

	context->handling = true;
	handle_message(session, text, len);
	context->handling = false;
}

void session_bad_input(struct qmp_session *session, const char *why)
{
	struct err err = { 0 };

	err_set(&err, EINVAL, "JSON parse error, %s", why);
	send_error(session, "GenericError", &err, NULL);
}

/* --- events --- */

void qmp_send_event(struct qmp_context *context, const char *name,
	void (*data)(struct json_writer *w, const void *opaque), const void *opaque)
{
	struct json_writer w;
	struct timespec now;
	struct qmp_session *session, *next;

	clock_gettime(CLOCK_REALTIME, &now);
	json_writer_init(&w, QMP_REPLY_MAX);
	json_begin_object(&w, NULL);
	json_put_string(&w, "event", name);
	if (data) {
		json_begin_object(&w, "data");
		data(&w, opaque);
		json_end_object(&w);
	}
	json_begin_object(&w, "timestamp");
	json_put_int(&w, "seconds", now.tv_sec);
	json_put_int(&w, "microseconds", now.tv_nsec / 1000);
	json_end_object(&w);
	json_end_object(&w);
	json_put_newline(&w);
	for (session = context->sessions; session && !w.failed; session = next) {
		next = session->next; /* send() may close the session */
		if (session->negotiated)
			session->send(session, w.buf, w.used);
	}
	json_writer_release(&w);
}
