/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chardev.c - moves bytes between a serial port and the outside, never waiting for either.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/closer.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/scm.h>
#include <portcullis/serial.h>

#include "chardev_private.h"

/* Then the loop's other work has its turn: a file's disk may make each write wait. */
#define TURN_BYTES 65536
#define TURN_MS 2
#define TURN_PAUSE_MS 1
#define MAY_BLOCK_BYTES 512
#define RETRY_MS 1000
#define LAST_WORDS_MS 200

#define KEY_ESCAPE 0x01 /* Ctrl-A */

static const char help[] = "\r\nCtrl-A X  end the virtual machine\r\n"
			   "Ctrl-A A  send Ctrl-A\r\nCtrl-A H  this help\r\n";

static void watch_set(struct chardev *c, struct watch *w, uint32_t events)
{
	int ret = 0;

	if (w->lfd.fd < 0 || w->always_ready || w->events == events)
		return;
	if (events == 0)
		loop_fd_del(c->loop, &w->lfd); /* epoll would go on telling of a hang-up */
	else if (w->events == 0)
		ret = loop_fd_add(c->loop, &w->lfd, events);
	else
		ret = loop_fd_mod(c->loop, &w->lfd, events);
	w->always_ready = ret == -EPERM;
	w->events = ret < 0 ? 0 : events;
	if (ret < 0 && ret != -EPERM)
		loop_timer_set(c->loop, &c->again, RETRY_MS);
}

static void watch_close(struct chardev *c, struct watch *w)
{
	watch_set(c, w, 0);
	closer_closep(c->closer, &w->lfd.fd);
	w->always_ready = false;
}

static bool is_server(const struct chardev *c)
{
	return c->kind == CHARDEV_UNIX_SERVER;
}

/* The peer is gone; a server takes the next one. What it sent still goes to the guest. */
static void client_gone(struct chardev *c)
{
	if (is_server(c) && c->in.lfd.fd >= 0) /* its own: nobody else has this connection */
		(void)shutdown(c->in.lfd.fd, SHUT_RDWR);
	watch_close(c, &c->in);
	watch_close(c, &c->out);
	c->out_pos = c->out_len = 0;
	if (is_server(c))
		watch_set(c, &c->listen, EPOLLIN);
}

static bool is_socket(const struct chardev *c)
{
	return is_server(c) || c->kind == CHARDEV_UNIX_CLIENT;
}

static void write_failed(struct chardev *c, int error)
{
	c->out_pos = c->out_len = 0;
	/*
	 * The peer hears nothing more. What it has sent is the guest's, until the next one comes.
	 */
	if (is_socket(c)) {
		watch_close(c, &c->out);
		if (is_server(c))
			watch_set(c, &c->listen, EPOLLIN);
		return;
	}
	if (!c->out_failed)
		log_warn("serial output to '%s' is lost: %s", c->path ? c->path : "stdout",
			strerrorname_np(error) ? strerrorname_np(error) : "error");
	c->out_failed = true;
	/* A full disk may have room again; a reader that is gone stays so. */
	if (error != ENOSPC && error != EDQUOT)
		watch_close(c, &c->out);
}

enum turn {
	TURN_DONE, /* nothing left, or the loop will tell when to go on */
	TURN_MORE,
};

/* One write of what is in the buffer. */
static enum turn write_some(struct chardev *c)
{
	size_t left = c->out_len - c->out_pos;
	ssize_t n;

	if (c->out.lfd.fd < 0) {
		c->out_pos = c->out_len;
		return TURN_MORE;
	}
	if (c->out_may_block && !c->out.events && !c->out.always_ready) {
		watch_set(c, &c->out, EPOLLOUT);
		if (!c->out.always_ready)
			return TURN_DONE;
	}
	if (c->out_may_block && left > MAY_BLOCK_BYTES)
		left = MAY_BLOCK_BYTES;
	if (c->out_is_socket)
		n = send(c->out.lfd.fd, c->out_buf + c->out_pos, left, MSG_DONTWAIT);
	else
		n = write(c->out.lfd.fd, c->out_buf + c->out_pos, left);
	if (n < 0 && errno == EINTR)
		return TURN_MORE;
	if (n < 0 && errno == EAGAIN) {
		watch_set(c, &c->out, EPOLLOUT);
		return TURN_DONE;
	}
	if (n < 0) {
		write_failed(c, errno);
		return TURN_MORE;
	}
	c->out_pos += (size_t)n;
	if (c->out_may_block && !c->out.always_ready)
		return TURN_DONE; /* room for more is epoll's to say */
	return TURN_MORE;
}

/* From the serial port's ring to the outside, until one of them has no more. True: the ring. */
static bool pump_out(struct chardev *c)
{
	uint64_t start = loop_now_ms();
	size_t turn = 0;

	while (turn < TURN_BYTES && loop_now_ms() - start < TURN_MS) {
		if (c->out_pos == c->out_len) {
			c->out_pos = 0;
			c->out_len = serial_take_output(c->serial, c->out_buf, sizeof(c->out_buf));
			turn += c->out_len;
		}
		if (c->out_len == 0) {
			watch_set(c, &c->out, 0);
			return true;
		}
		if (write_some(c) == TURN_DONE)
			return false;
	}
	loop_timer_set(c->loop, &c->again, TURN_PAUSE_MS);
	return false;
}

static void show_help(struct chardev *c)
{
	/* Best effort: a terminal that is stopped shows no help. */
	if (c->out.lfd.fd >= 0 && write(c->out.lfd.fd, help, sizeof(help) - 1) < 0)
		return;
}

/* Takes our own keys out of buf; returns what is left for the guest. */
static size_t take_keys(struct chardev *c, uint8_t *buf, size_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < size; i++) {
		uint8_t key = buf[i];

		if (!c->escape && key != KEY_ESCAPE) {
			buf[kept++] = key;
			continue;
		}
		c->escape = !c->escape;
		if (c->escape)
			continue;
		if (key == KEY_ESCAPE || key == 'a' || key == 'A')
			buf[kept++] = KEY_ESCAPE;
		else if ((key == 'x' || key == 'X') && c->on_quit)
			c->on_quit(c->opaque);
		else if (key == 'h' || key == 'H' || key == '?')
			show_help(c);
	}
	return kept;
}

/* A client may send fds along, which nobody asked for. */
static ssize_t read_socket(struct chardev *c)
{
	struct scm_fds fds;
	ssize_t n;

	if (closer_full(c->closer))
		return -EAGAIN;
	n = scm_receive(c->in.lfd.fd, c->in_buf, sizeof(c->in_buf), &fds);
	for (unsigned i = 0; i < fds.n; i++)
		closer_close(c->closer, fds.fd[i]);
	return n;
}

static ssize_t read_input(struct chardev *c)
{
	ssize_t n;

	if (is_socket(c))
		return read_socket(c);
	n = read(c->in.lfd.fd, c->in_buf, sizeof(c->in_buf));
	return n < 0 ? -errno : n;
}

/* False: there is nothing to read now, or will ever be. */
static bool read_some(struct chardev *c)
{
	ssize_t n = read_input(c);

	if (n == -EINTR || n == -EAGAIN)
		return false;
	if (n <= 0) {
		if (is_socket(c))
			client_gone(c);
		else
			watch_close(c, &c->in); /* end of input is no reason to end */
		return false;
	}
	c->in_pos = 0;
	c->in_len = c->terminal ? take_keys(c, c->in_buf, (size_t)n) : (size_t)n;
	return true;
}

/* From the buffer to the guest. True: all of it. */
static bool feed(struct chardev *c)
{
	if (c->in_pos < c->in_len)
		c->in_pos += serial_feed(c->serial, c->in_buf + c->in_pos, c->in_len - c->in_pos);
	return c->in_pos == c->in_len;
}

/* More is read only when the guest has all that was read before. */
static void pump_in(struct chardev *c)
{
	for (size_t turn = 0; turn < TURN_BYTES; turn += sizeof(c->in_buf)) {
		if (!feed(c)) {
			watch_set(c, &c->in, 0);
			return;
		}
		if (is_socket(c) && closer_full(c->closer)) {
			watch_set(c, &c->in, 0);
			loop_timer_set(c->loop, &c->again, RETRY_MS);
			return;
		}
		watch_set(c, &c->in, EPOLLIN);
		if (!c->in.always_ready || !read_some(c))
			return;
	}
	loop_timer_set(c->loop, &c->again, TURN_PAUSE_MS);
}

static void on_in(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;

	(void)events; /* a hang-up reads as end of file */
	if (feed(c))
		(void)read_some(c);
	pump_in(c);
}

static void on_out(void *opaque, uint32_t events)
{
	(void)events;
	(void)pump_out(opaque);
}

static void on_listen(void *opaque, uint32_t events)
{
	struct chardev *c = opaque;
	int fd = accept4(c->listen.lfd.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0) {
		watch_close(c, &c->in);
		fd = chardev_attach(c, fd);
	} else {
		fd = -errno;
	}
	if (fd == -EAGAIN || fd == -EINTR || fd == -ECONNABORTED)
		return;
	watch_set(c, &c->listen, 0);
	if (fd < 0) {
		loop_timer_set(c->loop, &c->again, RETRY_MS);
		return;
	}
	(void)pump_out(c);
	pump_in(c);
}

static void on_again(void *opaque)
{
	struct chardev *c = opaque;

	if (is_server(c) && c->in.lfd.fd < 0)
		watch_set(c, &c->listen, EPOLLIN);
	(void)pump_out(c);
	pump_in(c);
}

static bool on_output(void *opaque)
{
	return pump_out(opaque);
}

static void on_input_room(void *opaque)
{
	pump_in(opaque);
}

static void watch_init(struct watch *w, loop_fd_fn fn, struct chardev *c)
{
	w->lfd = (struct loop_fd){ .fd = -1, .fn = fn, .opaque = c };
}

int chardev_new(struct chardev **out, const struct chardev_options *options, struct serial *serial,
	struct loop *loop, void (*on_quit)(void *opaque), void *opaque, struct err *err)
{
	struct chardev *c = calloc(1, sizeof(*c));
	int ret;

	if (!c)
		return err_set_errno(err, ENOMEM, "serial port");
	c->serial = serial;
	c->loop = loop;
	c->closer = options->closer;
	c->kind = options->kind;
	c->path = options->path;
	c->on_quit = on_quit;
	c->opaque = opaque;
	c->again = (struct loop_timer){ .fn = on_again, .opaque = c };
	watch_init(&c->in, on_in, c);
	watch_init(&c->out, on_out, c);
	watch_init(&c->listen, on_listen, c);
	ret = chardev_open(c, options, err);
	if (ret < 0) {
		chardev_close(c);
		free(c);
		return ret;
	}
	serial->on_output = on_output;
	serial->on_input_room = on_input_room;
	serial->opaque = c;
	on_again(c);
	*out = c;
	return 0;
}

/* The guest's last words: the reader gets a moment to take them. */
static void drain(struct chardev *c)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	for (unsigned i = 0; i < LAST_WORDS_MS && c->out.lfd.fd >= 0; i++) {
		if (pump_out(c))
			return;
		nanosleep(&tick, NULL);
	}
}

void chardev_free(struct chardev *c)
{
	if (!c)
		return;
	drain(c);
	c->serial->on_output = NULL;
	c->serial->on_input_room = NULL;
	loop_timer_cancel(c->loop, &c->again);
	watch_set(c, &c->in, 0);
	watch_set(c, &c->out, 0);
	watch_set(c, &c->listen, 0);
	chardev_close(c);
	free(c);
}
