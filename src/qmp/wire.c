/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - one connected client. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "wire.h"

#define AGAIN_MS 1

bool wire_alive(const struct wire *w)
{
	return w->lfd.fd >= 0;
}

bool wire_idle(const struct wire *w)
{
	return w->nesting == 0;
}

void wire_die(struct wire *w)
{
	if (!wire_alive(w))
		return;
	session_close(&w->session);
	loop_timer_cancel(w->loop, &w->again);
	loop_fd_del(w->loop, &w->lfd);
	sys_closep(&w->lfd.fd);
	w->on_death(w);
}

static bool may_read(const struct wire *w)
{
	return wire_alive(w) && !session_busy(&w->session) && w->out_len <= WIRE_OUTPUT_LOW;
}

static void update_events(struct wire *w)
{
	uint32_t events = 0;

	if (!wire_alive(w))
		return;
	if (may_read(w) && !w->eof && w->in_pos == w->in_len)
		events |= EPOLLIN;
	if (w->out_len)
		events |= EPOLLOUT;
	if (events == w->events)
		return;
	w->events = events;
	if (loop_fd_mod(w->loop, &w->lfd, events) < 0)
		wire_die(w);
}

/* --- output --- */

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
			wire_die(w);
			return;
		}
		w->out_pos += (size_t)n;
		w->out_len -= (size_t)n;
	}
	w->out_pos = 0;
	/* A long reply must not cost memory for the rest of the client's life. */
	if (!w->out_len && w->out_room > WIRE_OUTPUT_LOW) {
		free(w->out);
		w->out = NULL;
		w->out_room = 0;
	}
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

	if (!wire_alive(w))
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

static void handle_input(struct wire *w) ON_MAIN
{
	while (may_read(w) && w->in_pos < w->in_len) {
		enum frame_status status;

		w->in_pos +=
			frame_feed(&w->frame, w->in + w->in_pos, w->in_len - w->in_pos, &status);
		if (status == FRAME_MESSAGE)
			session_message(&w->session, w->frame.buf, w->frame.used);
		else if (status == FRAME_BAD)
			session_bad_input(&w->session, w->frame.why);
	}
}

static void take_fds(struct wire *w, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		named_fds_forget_received(&w->session.fds);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			named_fds_received(&w->session.fds, fd);
		}
	}
}

static void receive(struct wire *w)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = w->in, .iov_len = sizeof(w->in) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(w->lfd.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0) {
		if (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)
			wire_die(w);
		return;
	}
	take_fds(w, &msg);
	w->in_pos = 0;
	w->in_len = (size_t)n;
	w->eof = n == 0;
}

/* After the peer's last byte: the rest of the replies is still delivered. */
static void finish_if_done(struct wire *w)
{
	if (wire_alive(w) && w->eof && w->in_pos == w->in_len && !session_busy(&w->session) &&
		!w->out_len)
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
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && may_read(w) && !w->eof &&
		w->in_pos == w->in_len)
		receive(w);
	else if (events & (EPOLLHUP | EPOLLERR))
		wire_die(w);
	go_on(w);
	w->nesting--;
}

static void go_on_later(void *opaque)
{
	role_enter_main();
	go_on(opaque);
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
	w->again = (struct loop_timer){ .fn = go_on_later, .opaque = w };
	w->lfd = (struct loop_fd){ .fd = fd, .fn = on_ready, .opaque = w };
	if (!ret)
		ret = loop_fd_add(loop, &w->lfd, w->events);
	if (ret < 0) {
		frame_release(&w->frame);
		sys_closep(&w->lfd.fd);
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
