/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c - who is told what: events to the one who subscribed, answers to those who asked.
 *
 * State first, then tell: whoever is told may call back in at once (plug.h).
 */
#include "plug.h"

#define TELL_AGAIN_MS 1000

void machine_emit(struct machine *m, const struct machine_event *event)
{
	if (m->on_event)
		m->on_event(m->on_event_opaque, event);
}

void machine_on_event(
	struct machine *m, void (*fn)(void *, const struct machine_event *), void *opaque)
{
	m->on_event = fn;
	m->on_event_opaque = opaque;
}

bool told_lately(uint64_t *told_ms)
{
	const uint64_t now = loop_now_ms();

	if (*told_ms && now - *told_ms < TELL_AGAIN_MS)
		return true;
	*told_ms = now;
	return false;
}

void ops_push(struct machine_op **ops, struct machine_op *op)
{
	while (*ops)
		ops = &(*ops)->next;
	op->next = NULL;
	*ops = op;
}

void ops_done(struct machine_op **ops, const struct err *err)
{
	struct machine_op *op = *ops, *next;

	*ops = NULL;
	for (; op; op = next) {
		next = op->next; /* done() may free it */
		op->done(op, err);
	}
}
