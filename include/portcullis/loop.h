/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - an event loop with a mailbox: how threads ask each other for work.
 *
 * Layer: L0.
 * Who:   loop_post() may be called by any thread. Everything else only by the loop's own thread
 *        (or before that thread starts).
 * Mail:  a struct mail lives in the sender's object (no allocation); the receiver runs mail->run on
 *        its own thread, in posting order, and does not touch it again unless run() kept it. Mail
 *        is in one mailbox or in none: it is posted again only once its run() was called, or after
 *        loop_take_back(). Posting queued mail would cut the mailbox in two; it is refused, and
 *        builds with DEBUG_CHECKS (debug.h) stop there. Mail starts zeroed.
 * Timers: monotonic milliseconds, one shot, kept in a list inside the caller's objects.
 */
#ifndef PORTCULLIS_LOOP_H
#define PORTCULLIS_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/container_of.h>
#include <portcullis/loop_away.h>

struct mail {
	struct mail *next;
	void (*run)(struct mail *mail);
	bool queued; /* in a mailbox; under that loop's lock */
};

/* Called on the loop's thread with the epoll events that came. */
typedef void (*loop_fd_fn)(void *opaque, uint32_t events);

struct loop_fd {
	int fd; /* borrowed */
	loop_fd_fn fn;
	void *opaque;
};

struct loop_timer {
	struct loop_timer *next;
	uint64_t at_ms;
	void (*fn)(void *opaque);
	void *opaque;
	bool armed;
};

struct loop_frame;

struct loop {
	int epoll_fd;
	int wake_fd; /* eventfd */
	pthread_mutex_t lock;
	struct mail *head, **tail;
	unsigned count;
	struct loop_timer *timers; /* sorted by at_ms */
	struct loop_fd wake;
	struct loop_frame *frame; /* events being handled, innermost loop_step() first */
	bool stop;
	struct mail end;       /* loop_end()'s */
	struct loop_away away; /* measured when away.on is set, before the first step */
};

/* -errno, and then nothing is left behind. */
int loop_init(struct loop *loop);
/* Mail and timers that are still waiting are forgotten, not run. A zeroed loop is ignored. */
void loop_release(struct loop *loop);

/* Any thread. Wakes the loop only when the mailbox was empty. */
void loop_post(struct loop *loop, struct mail *mail);
/* Takes mail out of loop's mailbox, if it is there: its run() will not be called. True: it was. */
bool loop_take_back(struct loop *loop, struct mail *mail);

/*
 * lfd is the caller's, filled with fd/fn/opaque; stays in use until loop_fd_del(). -errno.
 * Level-triggered. A callback may delete any lfd, its own included, and free it at once.
 */
int loop_fd_add(struct loop *loop, struct loop_fd *lfd, uint32_t events);
int loop_fd_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events);
void loop_fd_del(struct loop *loop, struct loop_fd *lfd);

/* (Re)arms the timer; fn runs once, not before delay_ms from now. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
uint64_t loop_now_ms(void);

#define LOOP_MAIL_AT_ONCE 4

/*
 * Handles what is there, waiting at most timeout_ms (-1: until something comes): events, then at
 * most LOOP_MAIL_AT_ONCE pieces of mail, then timers. So a client waits for a few guest accesses to
 * be finished, however many vCPUs there are. A callback may call it again to wait for something of
 * its own; other callbacks then run inside it, and may find their fd already served when their turn
 * comes (fds are non-blocking).
 */
void loop_step(struct loop *loop, int timeout_ms);
/* loop_step() until loop->stop. */
void loop_run(struct loop *loop);
/* Any thread, once: loop_run() returns when it has handled the mail that is there. */
void loop_end(struct loop *loop);

#endif
