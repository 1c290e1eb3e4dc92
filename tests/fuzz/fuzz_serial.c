/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_serial.c - any sequence of accesses to the serial port, bytes fed from outside and taken,
 * and resets.
 *
 * Input: two bytes per step: kind (low bits), port and size or amount; value.
 * Asserted: counts stay within their rings, what is fed is all taken or refused. The interrupt line
 * is what IIR says, and rises with a pulse. An access posts each piece of mail at most once, and
 * the one for input only where a byte would go in. Nothing waits for ever: output in the ring is
 * known to main, or to a slow sink that comes back by itself; input that waits has no room, or main
 * knows of it. What the guest receives is what was fed, in order, as long as it clears nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "../../src/devices/serial_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

enum { DATA, IIR = 2, LCR, MCR };
#define DLAB 0x80

struct bench {
	struct loop loop;
	struct serial serial;
	int irq_fd;
	bool slow;	      /* the sink takes nothing now */
	bool comes_back;      /* it was told of output then, and looks again when it is not slow */
	bool cleared;	      /* bytes that were received may have been dropped */
	uint8_t waiting;      /* bytes that the client has for the guest */
	uint8_t sent, expect; /* they count up */
};

static bool on_output(void *opaque)
{
	struct bench *b = opaque;
	uint8_t buf[4096];

	b->comes_back = b->slow;
	if (b->slow)
		return false;
	while (serial_take_output(&b->serial, buf, sizeof(buf)) > 0)
		;
	return true;
}

/* As much as fits; the rest goes on waiting. */
static void feed(struct bench *b)
{
	uint8_t bytes[256], n = b->waiting;
	size_t room = serial_input_room(&b->serial), fed;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)(b->sent + i);
	fed = serial_feed(&b->serial, bytes, n);
	must(fed == (n < room ? n : room));
	b->sent = (uint8_t)(b->sent + fed);
	b->waiting = (uint8_t)(n - fed);
}

static void on_input_room(void *opaque)
{
	feed(opaque);
}

static void check(struct bench *b)
{
	const struct serial *s = &b->serial;
	struct serial copy = *s;
	struct io_access iir = { .offset = IIR, .size = 1 };

	must(s->rx_count <= serial_rx_size(s) && s->rx_head < SERIAL_FIFO);
	must(s->tx_count <= SERIAL_RING && s->tx_head < SERIAL_RING);
	must(s->main->count <= 2);
	must(!s->tx_count || s->output_ready.queued || s->output_timer.armed || b->comes_back);
	must(!s->input_wanted || s->input_room.queued || s->rx_count || !serial_input_room(s));
	/* The copy posts and pulses nothing: reading IIR only ever takes the line down. */
	must(serial_access(&copy, &iir) == IO_DONE);
	must(s->irq_level == !(iir.data & 1));
}

static void guest_access(struct bench *b, unsigned offset, uint8_t size, bool write, uint32_t value)
{
	struct serial *s = &b->serial;
	struct io_access access = { .offset = offset, .size = size, .write = write, .data = value };
	bool receives = offset == DATA && !write && !(s->lcr & DLAB) && s->rx_count;
	bool was = s->irq_level, knew = s->input_posted, loops = s->mcr & MCR_LOOP;

	must(serial_access(s, &access) == IO_DONE);
	must(write || access.data >> 4 * size >> 4 * size == 0);
	must(!s->irq_level || was || sys_eventfd_drain(b->irq_fd));
	must(!s->input_posted || knew || size > 1 || serial_input_room(s));
	/* Loopback's own bytes are nobody's input; turning the FIFO on or off empties it. */
	b->cleared |= loops || s->mcr & MCR_LOOP || (write && offset <= IIR && offset + size > IIR);
	if (receives && !b->cleared)
		must((uint8_t)access.data == b->expect++);
	if (s->rx_count == 0) {
		b->cleared = false;
		b->expect = b->sent;
	}
}

/* A driver's burst; or, without the time it takes, all but a few bytes of the ring. */
static void print(struct bench *b, uint8_t n)
{
	struct serial *s = &b->serial;

	for (unsigned i = 0; i < (n & 31u); i++)
		guest_access(b, DATA, 1, true, i);
	if (n < 0x80 || !s->tx_count || s->lcr & DLAB || s->mcr & MCR_LOOP)
		return;
	s->tx_count = SERIAL_RING - (n & 31u);
	guest_access(b, DATA, 1, true, n);
}

/* later: its timer goes off, too. */
static void run_main(struct bench *b, bool later)
{
	struct loop_timer *timer = &b->serial.output_timer;

	if (b->comes_back && !b->slow)
		(void)on_output(b);
	loop_step(&b->loop, 0);
	must(b->loop.count == 0);
	if (later && timer->armed) {
		loop_timer_cancel(&b->loop, timer);
		timer->fn(timer->opaque);
	}
}

static void step(struct bench *b, uint8_t kind, uint8_t value)
{
	static const uint8_t sizes[] = { 1, 1, 2, 4 };
	uint8_t bytes[256], size = sizes[kind >> 6];

	switch (kind & 7) {
	case 0:
	case 1:
		guest_access(b, kind >> 3 & 7, size, true, value * 0x01010101u);
		break;
	case 2:
		guest_access(b, kind >> 3 & 7, size, false, 0);
		break;
	case 3:
		b->waiting = value;
		feed(b);
		break;
	case 4:
		must(serial_take_output(&b->serial, bytes, value) <= value);
		break;
	case 5:
		run_main(b, value & 1);
		break;
	case 6:
		b->slow = kind & 8;
		print(b, value);
		break;
	case 7:
		serial_reset(&b->serial);
		b->expect = b->sent;
		break;
	}
	/* What main did may have pulsed as well; a guest's own rise is looked at at once. */
	if ((kind & 7) >= 3 && b->serial.irq_level)
		(void)sys_eventfd_drain(b->irq_fd);
	check(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bench b = { .irq_fd = sys_eventfd() };

	must(b.irq_fd >= 0 && loop_init(&b.loop) == 0);
	must(serial_init(&b.serial, b.irq_fd, &b.loop) == 0);
	b.serial.opaque = &b;
	b.serial.on_input_room = on_input_room;
	b.serial.on_output = size & 1 ? on_output : NULL;
	for (; size >= 2; data += 2, size -= 2)
		step(&b, data[0], data[1]);
	serial_release(&b.serial);
	loop_release(&b.loop);
	sys_close(b.irq_fd);
	return 0;
}
