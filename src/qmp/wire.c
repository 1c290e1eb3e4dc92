/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - one connected client. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <portcullis/closer.h>
#include <portcullis/log.h>
#include <portcullis/scm.h>

#include "wire.h"

#define AGAIN_MS 1
#define FULL_MS 100

bool wire_alive(const struct wire *w)
{
	return !w->dead;
}

bool wire_left(const struct wire *w)
{
	return w->left;
}

bool wire_idle(const struct wire *w)
{
	return w->nesting == 0;
}

static int watch(struct wire *w, bool on)
{
	int ret = 0;

	if (on && w->watched)
		return loop_fd_mod(w->loop, &w->lfd, w->events);
	if (on)
		ret = loop_fd_add(w->loop, &w->lfd, w->events);
	else if (w->watched)
		loop_fd_del(w->loop, &w->lfd);
	w->watched = on && !ret;
	return ret;
}

static void close_socket(struct wire *w)
{
	(void)watch(w, false);
	closer_hang_up(w->session.context->closer, &w->lfd.fd);
}

void wire_die(struct wire *w)
{
	if (!wire_alive(w))
		return;
	w->dead = true;
	session_close(&w->session);
	loop_timer_cancel(w->loop, &w->again);
	if (w->more_posted)
		(void)loop_take_back(w->loop, &w->more);
	close_socket(w);
	w->on_death(w);
}

static bool may_handle(const struct wire *w)
{
	return wire_alive(w) && !session_busy(&w->session) && w->out_len <= WIRE_OUTPUT_LOW;
}

/* All that was read is handled: the next piece may come, with its file descriptors. */
static bool may_receive(const struct wire *w)
{
	return wire_alive(w) && !w->eof && w->in_pos == w->in_len &&
	       !closer_full(w->session.context->closer);
}

static void update_events(struct wire *w)
{
	uint32_t events = 0;
	bool on;

	if (!wire_alive(w) || w->lfd.fd < 0)
		return;
	if (may_handle(w) && may_receive(w))
		events |= EPOLLIN;
	if (w->out_len)
		events |= EPOLLOUT;
	if (closer_full(w->session.context->closer))
		loop_timer_set(w->loop, &w->again, FULL_MS); /* nobody else would tell */
	on = events || !w->left; /* epoll would go on telling that the peer has left */
	if (events == w->events && on == w->watched)
		return;
	w->events = events;
	if (watch(w, on) < 0)
		wire_die(w);
}

/* --- output --- */

static void drop_output(struct wire *w)
{
	free(w->out);
	w->out = NULL;
	w->out_pos = w->out_len = w->out_room = 0;
}

/* Nobody will hear an answer. What was asked is done all the same. */
static void peer_left(struct wire *w)
{
	w->left = true;
	drop_output(w);
}

static void flush(struct wire *w)
{
	while (wire_alive(w) && w->out_len) {
		ssize_t n = send(
			w->lfd.fd, w->out + w->out_pos, w->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			peer_left(w);
			return;
		}
		w->out_pos += (size_t)n;
		w->out_len -= (size_t)n;
	}
	w->out_pos = 0;
	/* A long reply must not cost memory for the rest of the client's life. */
	if (!w->out_len && w->out_room > WIRE_OUTPUT_LOW)
		drop_output(w);
}

static bool make_room(struct wire *w, size_t len)
{
	size_t room = w->out_room ? w->out_room : WIRE_INPUT;
	char *grown;

	if (len > WIRE_OUTPUT_MAX - w->out_len)
		return false;
	if (w->out_pos) {
		memmove(w->out, w->out + w->out_pos, w->out_len);
		w->out_pos = 0;
	}
	while (room - w->out_len < len)
		room *= 2;
	if (room == w->out_room)
		return true;
	grown = realloc(w->out, room);
	if (!grown)
		return false;
	w->out = grown;
	w->out_room = room;
	return true;
}

static void wire_send(struct qmp_session *session, const char *data, size_t len)
{
	struct wire *w = (struct wire *)session;

	if (!wire_alive(w) || w->left)
		return;
	if (!make_room(w, len)) {
		log_warn("QMP client disconnected: it does not read what it is sent");
		wire_die(w);
		return;
	}
	memcpy(w->out + w->out_pos + w->out_len, data, len);
	w->out_len += len;
	flush(w);
	update_events(w);
}

/* --- input --- */

/* Line ends behind a message are nothing that a client could be waited for. */
static void skip_space(struct wire *w)
{
	while (!w->frame.in_message && w->in_pos < w->in_len && frame_is_space(w->in[w->in_pos]))
		w->in_pos++;
}

static void post_more(struct wire *w)
{
	if (w->more_posted)
		return;
	w->more_posted = true;
	loop_post(w->loop, &w->more);
}

/* Nobody's unread answers bound what one that has left asks for: time does. */
static void handle_input(struct wire *w) ON_MAIN
{
	uint64_t start = loop_now_ms();

	while (may_handle(w) && w->in_pos < w->in_len) {
		enum frame_status status;

		if (loop_now_ms() - start >= WIRE_TURN_MS) {
			post_more(w);
			return;
		}
		w->in_pos +=
			frame_feed(&w->frame, w->in + w->in_pos, w->in_len - w->in_pos, &status);
		if (status == FRAME_MESSAGE)
			session_message(&w->session, w->frame.buf, w->frame.used);
		else if (status == FRAME_BAD)
			session_bad_input(&w->session, w->frame.why);
		skip_space(w);
	}
}

static void take_fds(struct wire *w, const struct scm_fds *fds)
{
	if (fds->n)
		named_fds_forget_received(&w->session.fds);
	for (unsigned i = 0; i < fds->n; i++)
		named_fds_received(&w->session.fds, fds->fd[i]);
}

/* True: something came. */
static bool receive(struct wire *w)
{
	struct scm_fds fds;
	ssize_t n;

	if (!may_receive(w))
		return false;
	n = scm_receive(w->lfd.fd, w->in, sizeof(w->in), &fds);
	if (n < 0) {
		if (n == -EINTR || n == -EAGAIN)
			return false;
		peer_left(w); /* ECONNRESET: it had not read all; what it sent came before that */
		n = 0;
	}
	take_fds(w, &fds);
	w->in_pos = 0;
	w->in_len = (size_t)n;
	w->eof = n == 0;
	skip_space(w);
	return n > 0;
}

/* A peer that has left, and a command that is held: is there anything to be done after it? */
static void look_behind(struct wire *w)
{
	if (w->left && session_busy(&w->session))
		while (receive(w))
			;
}

/*
 * After the peer's last byte: the rest of the replies is still delivered, where somebody may hear
 * them. A command that is held goes on without us.
 */
static void finish_if_done(struct wire *w)
{
	if (!wire_alive(w) || !w->eof)
		return;
	if (w->left && w->lfd.fd >= 0)
		close_socket(w);
	if (w->in_pos == w->in_len && (w->left || (!session_busy(&w->session) && !w->out_len)))
		wire_die(w);
}

static void go_on(struct wire *w) ON_MAIN
{
	/* A command may step the loop while it waits; no other is handled inside of it. */
	if (w->session.context->handling) {
		loop_timer_set(w->loop, &w->again, AGAIN_MS);
		return;
	}
	w->nesting++;
	handle_input(w);
	look_behind(w);
	finish_if_done(w);
	update_events(w);
	w->nesting--;
}

static void on_ready(void *opaque, uint32_t events)
{
	struct wire *w = opaque;

	role_enter_main();
	if (w->session.context->handling)
		return; /* told again */
	w->nesting++;
	if (events & EPOLLOUT)
		flush(w);
	if (events & (EPOLLHUP | EPOLLERR))
		peer_left(w);
	if (may_handle(w))
		(void)receive(w);
	go_on(w);
	w->nesting--;
}

static void go_on_later(void *opaque)
{
	role_enter_main();
	go_on(opaque);
}

static void go_on_more(struct mail *mail)
{
	struct wire *w = container_of(mail, struct wire, more);

	role_enter_main();
	w->more_posted = false;
	go_on(w);
}

static void wire_resume(struct qmp_session *session)
{
	struct wire *w = (struct wire *)session;

	role_enter_main();
	/* Not from inside handle_input(): its loop goes on by itself. */
	if (wire_alive(w) && wire_idle(w))
		go_on(w);
}

int wire_open(struct wire *w, struct qmp_context *context, struct loop *loop, int fd)
{
	int ret = frame_init(&w->frame);

	w->loop = loop;
	w->session.send = wire_send;
	w->session.resume = wire_resume;
	w->events = EPOLLIN;
	w->more = (struct mail){ .run = go_on_more };
	w->again = (struct loop_timer){ .fn = go_on_later, .opaque = w };
	w->lfd = (struct loop_fd){ .fd = fd, .fn = on_ready, .opaque = w };
	if (!ret)
		ret = watch(w, true);
	if (ret < 0) {
		frame_release(&w->frame);
		closer_hang_up(context->closer, &w->lfd.fd);
		return ret;
	}
	session_open(&w->session, context);
	return 0;
}

void wire_release(struct wire *w)
{
	frame_release(&w->frame);
	free(w->out);
	w->out = NULL;
}
