/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial_host.c - the serial port as main sees it: the ring of what the guest sent, the FIFO of
 * what it is to receive, and when main is told of either.
 */
#include <string.h>

#include <portcullis/sys.h>

#include "serial_private.h"

/* How long a byte may lie in the ring while the guest goes on printing. */
#define OUTPUT_LOOK_MS 4

size_t serial_take_output(struct serial *s, uint8_t *buf, size_t size)
{
	struct serial_effects e = { false, false, false };
	size_t n, first;
	bool was_empty;

	pthread_mutex_lock(&s->lock);
	was_empty = serial_tx_empty(s);
	n = size < s->tx_count ? size : s->tx_count;
	first = n < SERIAL_RING - s->tx_head ? n : SERIAL_RING - s->tx_head;
	memcpy(buf, s->tx + s->tx_head, first);
	memcpy(buf + first, s->tx, n - first);
	s->tx_head = (s->tx_head + n) % SERIAL_RING;
	s->tx_count -= n;
	if (!was_empty && serial_tx_empty(s) && s->ier & IER_THRI)
		s->thr_irq_pending = true;
	serial_update_irq(s, &e);
	serial_finish(s, &e);
	return n;
}

size_t serial_feed(struct serial *s, const uint8_t *buf, size_t size)
{
	struct serial_effects e = { false, false, false };
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = serial_input_room(s);
	if (n > size)
		n = size;
	for (size_t i = 0; i < n; i++)
		serial_rx_push(s, buf[i]);
	s->input_wanted = n < size;
	/* New bytes pulse even if the line is up already: heals a guest that lost an edge. */
	serial_update_irq(s, &e);
	if (n && s->irq_level)
		e.irq = true;
	serial_finish(s, &e);
	return n;
}

/* Nobody is connected. */
static void drop_output(struct serial *s)
{
	uint8_t drop[512];

	/* At most a ring's worth at a time: the guest may go on writing. */
	for (unsigned i = 0; i < SERIAL_RING / sizeof(drop); i++) {
		if (serial_take_output(s, drop, sizeof(drop)) == 0)
			return;
	}
}

/*
 * On main. A guest that prints does so byte by byte: if each of them woke us, both would do little
 * else. So when the ring was found empty we look again a little later, and only a guest that was
 * silent that long has to wake us.
 */
static void look_for_output(struct serial *s)
{
	bool drained = true;

	if (s->on_output)
		drained = s->on_output(s->opaque);
	else
		drop_output(s);
	pthread_mutex_lock(&s->lock);
	s->output_posted = drained;
	pthread_mutex_unlock(&s->lock);
	if (drained)
		loop_timer_set(s->main, &s->output_timer, OUTPUT_LOOK_MS);
}

static void run_output_ready(struct mail *mail)
{
	look_for_output(container_of(mail, struct serial, output_ready));
}

static void run_output_timer(void *opaque)
{
	struct serial *s = opaque;
	bool silent;

	pthread_mutex_lock(&s->lock);
	silent = s->tx_count == 0;
	if (silent)
		s->output_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (!silent)
		look_for_output(s);
}

static void run_input_room(struct mail *mail)
{
	struct serial *s = container_of(mail, struct serial, input_room);

	pthread_mutex_lock(&s->lock);
	s->input_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (s->on_input_room)
		s->on_input_room(s->opaque);
}

void serial_host_init(struct serial *s)
{
	s->output_ready.run = run_output_ready;
	s->input_room.run = run_input_room;
	s->output_timer = (struct loop_timer){ .fn = run_output_timer, .opaque = s };
}
