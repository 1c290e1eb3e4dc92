/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - epoll, a mailbox and timers.
 *
 * A callback may remove any fd, cancel any timer, and even step the loop again while it waits for
 * something: the events that are still to be handled are therefore reachable from the loop (one
 * frame per loop_step() on the stack), and mail and timers are taken one at a time.
 */
#include <portcullis/loop.h>

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/debug.h>
#include <portcullis/sys.h>

#define EVENTS_AT_ONCE 32

struct loop_frame {
	struct epoll_event events[EVENTS_AT_ONCE];
	int count;
	struct loop_frame *outer;
};

static void on_wake(void *opaque, uint32_t events)
{
	struct loop *loop = opaque;

	(void)events;
	sys_eventfd_drain(loop->wake_fd);
}

int loop_init(struct loop *loop)
{
	int ret;

	*loop = (struct loop){ .epoll_fd = -1, .wake_fd = -1 };
	loop->tail = &loop->head;
	ret = -pthread_mutex_init(&loop->lock, NULL);
	if (ret < 0)
		return ret;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		ret = -errno;
		goto fail;
	}
	loop->wake_fd = sys_eventfd();
	if (loop->wake_fd < 0) {
		ret = loop->wake_fd;
		goto fail;
	}
	loop->wake = (struct loop_fd){ .fd = loop->wake_fd, .fn = on_wake, .opaque = loop };
	ret = loop_fd_add(loop, &loop->wake, EPOLLIN);
	if (ret < 0)
		goto fail;
	return 0;
fail:
	loop_release(loop);
	return ret;
}

void loop_release(struct loop *loop)
{
	if (!loop || !loop->tail) /* never initialised, or released already */
		return;
	sys_closep(&loop->wake_fd);
	sys_closep(&loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	loop->tail = NULL;
}

void loop_post(struct loop *loop, struct mail *mail)
{
	pthread_mutex_lock(&loop->lock);
	debug_check(!mail->queued, "mail is in one mailbox or in none");
	if (!mail->queued) {
		const bool was_empty = !loop->head;

		mail->next = NULL;
		mail->queued = true;
		*loop->tail = mail;
		loop->tail = &mail->next;
		loop->count++;
		/*
		 * Inside the lock: when the loop's thread ends because of this mail, the fd must
		 * still be there.
		 */
		if (was_empty)
			sys_eventfd_signal(loop->wake_fd);
	}
	pthread_mutex_unlock(&loop->lock);
}

bool loop_take_back(struct loop *loop, struct mail *mail)
{
	struct mail **at = &loop->head;

	pthread_mutex_lock(&loop->lock);
	while (*at && *at != mail)
		at = &(*at)->next;
	if (*at) {
		*at = mail->next;
		if (loop->tail == &mail->next)
			loop->tail = at;
		loop->count--;
		mail->queued = false;
	} else {
		mail = NULL;
	}
	pthread_mutex_unlock(&loop->lock);
	return mail;
}

static struct mail *take_mail(struct loop *loop)
{
	struct mail *mail;

	pthread_mutex_lock(&loop->lock);
	mail = loop->head;
	if (mail) {
		loop->head = mail->next;
		if (!loop->head)
			loop->tail = &loop->head;
		loop->count--;
		mail->queued = false;
	}
	pthread_mutex_unlock(&loop->lock);
	return mail;
}

/*
 * Only what is there now, and not all of much: neither mail that posts itself again nor the vCPUs
 * of a large guest, each with an access that costs as much as one can, may keep fds and timers
 * waiting.
 */
static void run_mail(struct loop *loop)
{
	struct mail *mail;
	unsigned left;

	pthread_mutex_lock(&loop->lock);
	left = loop->count < LOOP_MAIL_AT_ONCE ? loop->count : LOOP_MAIL_AT_ONCE;
	pthread_mutex_unlock(&loop->lock);
	while (left-- && (mail = take_mail(loop)))
		mail->run(mail);
}

static bool mail_waits(struct loop *loop)
{
	bool waits;

	pthread_mutex_lock(&loop->lock);
	waits = loop->head;
	pthread_mutex_unlock(&loop->lock);
	return waits;
}

static int control(struct loop *loop, int op, struct loop_fd *lfd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = lfd };

	return epoll_ctl(loop->epoll_fd, op, lfd->fd, &event) < 0 ? -errno : 0;
}

int loop_fd_add(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, lfd, events);
}

int loop_fd_mod(struct loop *loop, struct loop_fd *lfd, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, lfd, events);
}

void loop_fd_del(struct loop *loop, struct loop_fd *lfd)
{
	struct loop_frame *frame;

	(void)control(loop, EPOLL_CTL_DEL, lfd, 0);
	for (frame = loop->frame; frame; frame = frame->outer)
		for (int i = 0; i < frame->count; i++)
			if (frame->events[i].data.ptr == lfd)
				frame->events[i].data.ptr = NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t loop_now_ms(void)
{
	return now_ns() / 1000000u;
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer **at = &loop->timers;

	if (!timer->armed)
		return;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->next = NULL;
	timer->armed = false;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t delay_ms)
{
	struct loop_timer **at = &loop->timers;

	loop_timer_cancel(loop, timer);
	/* Rounded up, so that the timer is never early; saturating: for ever stays for ever. */
	if (__builtin_add_overflow((now_ns() + 999999u) / 1000000u, delay_ms, &timer->at_ms))
		timer->at_ms = UINT64_MAX;
	while (*at && (*at)->at_ms <= timer->at_ms)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	timer->armed = true;
}

static void run_timers(struct loop *loop)
{
	uint64_t now = loop_now_ms();

	while (loop->timers && loop->timers->at_ms <= now) {
		struct loop_timer *timer = loop->timers;

		loop_timer_cancel(loop, timer);
		timer->fn(timer->opaque);
	}
}

static int wait_ms(struct loop *loop, int timeout_ms)
{
	uint64_t now, left;

	/*
	 * Whoever posts to a box that is not empty wakes nobody, and the wake-up for what is in it
	 * may have been used up: by the step before, or by the one that we are called from.
	 */
	if (mail_waits(loop))
		return 0;
	if (!loop->timers)
		return timeout_ms;
	now = loop_now_ms();
	left = loop->timers->at_ms > now ? loop->timers->at_ms - now : 0;
	if (left > INT_MAX)
		left = INT_MAX;
	return timeout_ms >= 0 && (uint64_t)timeout_ms < left ? timeout_ms : (int)left;
}

void loop_step(struct loop *loop, int timeout_ms)
{
	struct loop_frame frame = { .outer = loop->frame };

	timeout_ms = wait_ms(loop, timeout_ms);
	loop_away_end(&loop->away);
	frame.count = epoll_wait(loop->epoll_fd, frame.events, EVENTS_AT_ONCE, timeout_ms);
	loop_away_begin(&loop->away);
	loop->frame = &frame;
	for (int i = 0; i < frame.count; i++) { /* -1 after a signal: nothing came */
		struct loop_fd *lfd = frame.events[i].data.ptr;

		if (lfd)
			lfd->fn(lfd->opaque, frame.events[i].events);
	}
	loop->frame = frame.outer;
	run_mail(loop);
	run_timers(loop);
}

void loop_run(struct loop *loop)
{
	while (!loop->stop)
		loop_step(loop, -1);
}

static void end(struct mail *mail)
{
	container_of(mail, struct loop, end)->stop = true;
}

void loop_end(struct loop *loop)
{
	loop->end.run = end;
	loop_post(loop, &loop->end);
}
