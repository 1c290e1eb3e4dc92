/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_qmp.c - bytes from an enemy on a control socket: framing, parsing, commands, replies.
 *
 * Byte 0 chooses the size of the pieces the rest arrives in. Every message and every piece of
 * garbage gets one answer, every answer is one line of JSON, and what is held is answered by the
 * machine.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/qmp_fixture.h"

#include "../../src/qmp/frame.h"
#include "../../src/qmp/schema.h"

struct peer {
	struct qmp_session session; /* first */
	unsigned answers;
};

static struct json_arena check_arena;

static void must(bool what)
{
	if (!what)
		abort();
}

static void on_send(struct qmp_session *session, const char *data, size_t len)
{
	const struct json *out;

	must(len >= 2 && data[len - 2] == '\r' && data[len - 1] == '\n');
	must(!memchr(data, '\n', len - 1));
	for (size_t i = 0; i < len - 2; i++)
		must(data[i] >= ' ' && data[i] < 0x7f);
	/* The parser's caps are for peers; of our own replies only the schema is longer. */
	if (len < JSON_MESSAGE_MAX / 4)
		must(json_parse(&check_arena, data, len - 2, &out, NULL) == 0);
	((struct peer *)session)->answers++;
}

static void on_resume(struct qmp_session *session)
{
	(void)session;
}

static void handle(struct machine *machine, struct peer *peer, const struct frame *frame,
	enum frame_status status)
{
	unsigned before = peer->answers;

	role_enter_main();
	if (status == FRAME_MORE)
		return;
	if (status == FRAME_MESSAGE)
		session_message(&peer->session, frame->buf, frame->used);
	else
		session_bad_input(&peer->session, frame->why);
	if (session_busy(&peer->session))
		machine_answer(machine, before % 2 ? EBUSY : 0);
	machine->calls[0] = '\0';
	must(peer->answers == before + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct machine machine;
	struct qmp_context context;
	struct peer peer = { .session = { .send = on_send, .resume = on_resume } };
	struct frame frame;
	size_t piece = size ? 1 + data[0] : 1;

	if (!check_arena.base)
		must(json_arena_init(&check_arena) == 0);
	machine_setup(&machine);
	must(qmp_context_init(&context) == 0 && frame_init(&frame) == 0);
	context.machine = &machine;
	session_open(&peer.session, &context);
	peer.session.negotiated = piece % 8 != 0;
	for (size_t pos = 1; pos < size;) {
		size_t n = size - pos < piece ? size - pos : piece;
		enum frame_status status;

		pos += frame_feed(&frame, (const char *)data + pos, n, &status);
		handle(&machine, &peer, &frame, status);
	}
	session_close(&peer.session);
	frame_release(&frame);
	qmp_context_release(&context);
	machine_teardown(&machine);
	return 0;
}
