/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - one connected client: its socket, what came and what is to go. (private to src/qmp)
 *
 * Layer: L5, main only.
 * Input:  read in pieces of WIRE_INPUT bytes, and only while the client reads its replies and no
 *         command of its own is held. What was read and not yet handled waits in the piece, in
 *         turns of WIRE_TURN_MS: a hundred short commands can ask for a hundred long answers.
 * Output: queued up to WIRE_OUTPUT_MAX bytes; a client whose queue would grow beyond is
 *         disconnected.
 * Leaving: what a client has sent is carried out, in its order and behind a command that is held,
 *         also when it has closed its end or does not hear the answers any more (EPIPE,
 *         ECONNRESET). That much fits into the socket; then there is no end to wait for, and it
 *         dies.
 * Death:  wire_die() closes the socket at once and calls on_death(); the owner frees the client
 *         later, when no function of it is on the stack (wire_idle()).
 */
#ifndef PORTCULLIS_QMP_WIRE_H
#define PORTCULLIS_QMP_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include <portcullis/loop.h>
#include <portcullis/role.h>

#include "frame.h"
#include "session.h"

#define WIRE_INPUT 4096u
#define WIRE_TURN_MS 2	       /* of a client's commands; then others are served */
#define WIRE_OUTPUT_LOW 65536u /* more than that unread: no further command is taken */
#define WIRE_OUTPUT_MAX (4u * 1024u * 1024u)

struct wire {
	struct qmp_session session; /* first: callbacks cast back */
	struct wire *next;	    /* the owner's list */
	struct loop *loop;
	struct loop_fd lfd; /* fd owned, -1: closed */
	uint32_t events;    /* what the loop waits for now */
	bool watched;	    /* by the loop */
	struct frame frame;
	char in[WIRE_INPUT];
	size_t in_pos, in_len;
	char *out; /* owned */
	size_t out_pos, out_len, out_room;
	bool eof;  /* the peer sends no more */
	bool left; /* the peer hears nothing more */
	bool dead;
	unsigned nesting; /* functions of this client on the stack */
	struct mail more; /* to ourselves: there is input for another turn */
	bool more_posted;
	struct loop_timer again; /* when a message is being handled: look later */
	void (*on_death)(struct wire *wire);
};

/* Takes fd, on failure too. on_death must be set. The greeting is sent. */
int wire_open(struct wire *wire, struct qmp_context *context, struct loop *loop, int fd);
bool wire_alive(const struct wire *wire);
bool wire_idle(const struct wire *wire);
/* Alive, because of what it has sent, but nobody hears it. */
bool wire_left(const struct wire *wire);
void wire_die(struct wire *wire);
/* Of a dead and idle one; the memory is the caller's. */
void wire_release(struct wire *wire);

#endif
