/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_serial.c - the 16550A at register level, as drivers use it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <portcullis/serial.h>
#include <portcullis/sys.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

struct bench {
	struct loop loop;
	struct serial serial;
	int irq_fd;
	unsigned outputs, rooms; /* times that main was told */
	size_t taken;
};

/* A sink that is slow: it takes nothing now. */
static bool count_output(void *opaque)
{
	((struct bench *)opaque)->outputs++;
	return false;
}

static void count_room(void *opaque)
{
	((struct bench *)opaque)->rooms++;
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_int_equal(loop_init(&b->loop), 0);
	b->irq_fd = sys_eventfd();
	assert_int_equal(serial_init(&b->serial, b->irq_fd, &b->loop), 0);
	b->serial.on_output = count_output;
	b->serial.on_input_room = count_room;
	b->serial.opaque = b;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	serial_release(&b->serial);
	serial_release(&b->serial);
	sys_close(b->irq_fd);
	loop_release(&b->loop);
	free(b);
	return 0;
}

static uint64_t in_n(struct bench *b, uint64_t reg, uint8_t size)
{
	struct io_access a = { .offset = reg, .size = size };

	assert_int_equal(serial_access(&b->serial, &a), IO_DONE);
	return a.data;
}

static uint8_t in(struct bench *b, uint64_t reg)
{
	return (uint8_t)in_n(b, reg, 1);
}

static void out(struct bench *b, uint64_t reg, uint8_t value)
{
	struct io_access a = { .offset = reg, .size = 1, .write = true, .data = value };

	assert_int_equal(serial_access(&b->serial, &a), IO_DONE);
}

static bool irq(struct bench *b)
{
	return sys_eventfd_drain(b->irq_fd);
}

static size_t feed(struct bench *b, const char *text)
{
	return serial_feed(&b->serial, (const uint8_t *)text, strlen(text));
}

static size_t take(struct bench *b, void *buf, size_t size)
{
	return serial_take_output(&b->serial, buf, size);
}

static void test_power_on(void **state)
{
	struct bench *b = *state;

	assert_int_equal(in(b, IER), 0);
	assert_int_equal(in(b, IIR), 1);
	assert_int_equal(in(b, LSR), 0x60);
	assert_int_equal(in(b, MSR), 0xb0);
	assert_false(irq(b));
}

/* What Linux's autoconfig() asks of a port, step by step, and the answers that make a 16550A. */
static void test_linux_autoconfig(void **state)
{
	struct bench *b = *state;

	out(b, IER, 0);
	assert_int_equal(in(b, IER) & 0x0f, 0);
	out(b, IER, 0x0f);
	assert_int_equal(in(b, IER), 0x0f);
	out(b, IER, 0);
	irq(b); /* enabling THRI pulses, rightly */
	/* loopback: OUT2 and RTS come back as DCD and CTS */
	out(b, MCR, 0x10 | 0x08 | 0x02);
	assert_int_equal(in(b, MSR) & 0xf0, 0x90);
	out(b, MCR, 0);
	/* no EFR (0xbf in LCR shows none), scratch, FIFO bits */
	out(b, LCR, 0xbf);
	out(b, FCR, 0);
	out(b, LCR, 0);
	out(b, FCR, 1);
	assert_int_equal(in(b, IIR) & 0xc0, 0xc0);
	out(b, SCR, 0xa5);
	assert_int_equal(in(b, SCR), 0xa5);
	/* IER takes no more than four bits: not an XScale, no 16750's 64-byte mode */
	out(b, IER, 0xff);
	assert_int_equal(in(b, IER), 0x0f);
	out(b, FCR, 1 | 0x20);
	assert_int_equal(in(b, IIR) & 0x20, 0);
}

/* do_startup()'s two tests for broken transmitter interrupts. */
static void test_linux_thre_tests(void **state)
{
	struct bench *b = *state;

	out(b, IER, 2);
	assert_int_equal(in(b, IIR) & 0x0f, 2);
	out(b, IER, 0);
	out(b, IER, 2); /* enabled anew, it must interrupt anew although IIR was read */
	assert_int_equal(in(b, IIR) & 0x0f, 2);
	assert_int_equal(in(b, IIR) & 0x0f, 1);
	out(b, IER, 0);
	irq(b);
	out(b, IER, 2);
	assert_true(irq(b));
	assert_int_equal(in(b, LSR) & 0x40, 0x40);
	assert_int_equal(in(b, IIR) & 1, 0);
}

static void test_divisor_latch(void **state)
{
	struct bench *b = *state;
	uint8_t byte;

	out(b, LCR, 0x83);
	out(b, DATA, 0x01);
	out(b, IER, 0x02);
	assert_int_equal(in(b, DATA), 0x01);
	assert_int_equal(in(b, IER), 0x02);
	out(b, LCR, 0x03);
	assert_int_equal(in(b, LCR), 0x03);
	assert_int_equal(in(b, IER), 0);
	assert_int_equal(take(b, &byte, 1), 0); /* nothing was sent */
}

static void test_loopback(void **state)
{
	struct bench *b = *state;
	uint8_t byte;

	out(b, FCR, 1);
	out(b, MCR, 0x10);
	assert_int_equal(in(b, MSR), 0x0b); /* DCD, DSR, CTS fell: three deltas */
	assert_int_equal(in(b, MSR), 0);
	out(b, MCR, 0x10 | 0x04);
	assert_int_equal(in(b, MSR), 0x40); /* RI: only its falling edge counts */
	out(b, MCR, 0x10);
	assert_int_equal(in(b, MSR), 0x04);
	out(b, DATA, 'L');
	assert_int_equal(in(b, LSR), 0x61);
	assert_int_equal(feed(b, "x"), 0); /* the outside is disconnected */
	assert_int_equal(in(b, DATA), 'L');
	assert_int_equal(take(b, &byte, 1), 0);
	out(b, MCR, 0);
	assert_int_equal(in(b, MSR) & 0xf0, 0xb0);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 0); /* connected again, but nobody listens yet */
	out(b, MCR, 2);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 1);
}

static void test_overrun(void **state)
{
	struct bench *b = *state;

	out(b, IER, 4);
	out(b, FCR, 1);
	out(b, MCR, 0x10);
	for (unsigned i = 0; i < 18; i++)
		out(b, DATA, (uint8_t)i);
	assert_true(irq(b));
	assert_int_equal(in(b, IIR) & 0x0f, 6);
	assert_int_equal(in(b, LSR), 0x63);
	assert_int_equal(in(b, LSR), 0x61); /* reading clears it */
	assert_int_equal(in(b, IIR) & 0x0f, 1);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(b, DATA), i);
	assert_int_equal(in(b, LSR), 0x60);
	/* without FIFO there is room for one */
	out(b, FCR, 0);
	out(b, DATA, 'a');
	out(b, DATA, 'b');
	assert_int_equal(in(b, LSR), 0x63);
	assert_int_equal(in(b, DATA), 'a');
}

static void test_priorities(void **state)
{
	struct bench *b = *state;

	out(b, FCR, 1 | 0x40); /* trigger at four bytes */
	out(b, MCR, 0x10);
	in(b, MSR);
	out(b, IER, 0x0f);
	out(b, MCR, 0x12); /* CTS changes */
	for (unsigned i = 0; i < 17; i++)
		out(b, DATA, 'x');
	assert_int_equal(in(b, IIR), 0xc6);
	in(b, LSR);
	assert_int_equal(in(b, IIR), 0xc4);
	for (unsigned i = 0; i < 13; i++)
		in(b, DATA);
	assert_int_equal(in(b, IIR), 0xcc); /* below the trigger: timeout */
	for (unsigned i = 0; i < 3; i++)
		in(b, DATA);
	assert_int_equal(in(b, IIR), 0xc2);
	assert_int_equal(in(b, IIR), 0xc0);
	assert_int_equal(in(b, IIR), 0xc0); /* reading IIR clears THRE only */
	in(b, MSR);
	assert_int_equal(in(b, IIR), 0xc1);
}

static void test_edges(void **state)
{
	struct bench *b = *state;

	out(b, FCR, 1);
	out(b, MCR, 2);
	assert_int_equal(feed(b, "ab"), 2);
	assert_false(irq(b)); /* not enabled */
	out(b, IER, 1);
	assert_true(irq(b));
	in(b, DATA);
	assert_false(irq(b)); /* still up: no new edge */
	assert_int_equal(feed(b, "c"), 1);
	assert_true(irq(b)); /* new bytes always pulse */
	in(b, DATA);
	in(b, DATA);
	assert_int_equal(in(b, IIR) & 1, 1);
	assert_int_equal(feed(b, "d"), 1);
	assert_true(irq(b));
	out(b, FCR, 1 | 2); /* cleared: down again */
	assert_int_equal(in(b, IIR) & 1, 1);
	assert_int_equal(feed(b, "e"), 1);
	assert_true(irq(b));
}

static void test_wide_access(void **state)
{
	struct bench *b = *state;
	struct io_access a = { .offset = LCR, .size = 2, .write = true, .data = 0x0203 };

	serial_access(&b->serial, &a);
	assert_int_equal(in(b, LCR), 3);
	assert_int_equal(in(b, MCR), 2);
	assert_int_equal(in_n(b, LCR, 2), 0x0203);
	assert_int_equal(in_n(b, SCR, 4), 0xffffff00);
	assert_int_equal(in_n(b, UINT64_MAX - 1, 1), 0xff);
}

/* The ring fills: the transmitter looks busy in time for the driver's 16-byte bursts. */
static void test_back_pressure(void **state)
{
	struct bench *b = *state;
	uint8_t buf[100];
	size_t sent = 0, got = 0, n;

	out(b, FCR, 1);
	out(b, IER, 2);
	while (in(b, LSR) & 0x20) {
		for (unsigned i = 0; i < 16; i++)
			out(b, DATA, (uint8_t)(sent++ * 7));
	}
	assert_true(sent > SERIAL_RING - 16 && sent <= SERIAL_RING);
	assert_int_equal(in(b, LSR), 0);
	assert_int_equal(in(b, IIR) & 1, 1);
	irq(b);
	out(b, IER, 0);
	out(b, IER, 2); /* no interrupt now: the transmitter is not empty */
	assert_false(irq(b));
	loop_step(&b->loop, 0);
	assert_int_equal(b->outputs, 1);
	/* Room again: the guest is told by an interrupt. */
	n = take(b, buf, 8);
	assert_int_equal(n, 8);
	got += n;
	assert_false(irq(b));
	n = take(b, buf + n, 8);
	got += n;
	assert_true(irq(b));
	assert_int_equal(in(b, IIR) & 0x0f, 2);
	for (size_t i = 0; i < got; i++)
		assert_int_equal(buf[i], (uint8_t)(i * 7));
	while ((n = take(b, buf, sizeof(buf)))) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], (uint8_t)((got + i) * 7));
		got += n;
	}
	assert_int_equal(got, sent);
	/* A guest that never looks at LSR loses bytes, and nothing else happens. */
	for (unsigned i = 0; i < SERIAL_RING + 100; i++)
		out(b, DATA, 'z');
	for (got = 0; (n = take(b, buf, sizeof(buf))); got += n)
		;
	assert_int_equal(got, SERIAL_RING);
}

/* Main is woken once for a burst, and again for the next after silence. */
static void test_output_mail(void **state)
{
	struct bench *b = *state;
	uint8_t buf[10];

	out(b, DATA, 'a');
	out(b, DATA, 'b');
	loop_step(&b->loop, 0);
	assert_int_equal(b->outputs, 1);
	assert_int_equal(take(b, buf, 10), 2);
	out(b, DATA, 'c');
	loop_step(&b->loop, 0);
	assert_int_equal(b->outputs, 2);
	assert_int_equal(take(b, buf, 10), 1);
	b->serial.on_output = NULL; /* nobody: dropped, so that the guest never waits */
	for (unsigned i = 0; i < SERIAL_RING; i++)
		out(b, DATA, 'd');
	assert_int_equal(in(b, LSR), 0);
	for (unsigned i = 0; i < 100 && !in(b, LSR); i++)
		loop_step(&b->loop, 10);
	assert_int_equal(in(b, LSR), 0x60);
	assert_int_equal(take(b, buf, 10), 0);
	/* While main looks by itself no mail is posted; what comes then is seen too. */
	out(b, DATA, 'e');
	for (unsigned i = 0; i < 100 && b->serial.tx_count; i++)
		loop_step(&b->loop, 10);
	assert_int_equal(b->serial.tx_count, 0);
	for (unsigned i = 0; i < 100 && b->serial.output_posted; i++)
		loop_step(&b->loop, 10);
	assert_false(b->serial.output_posted);
	assert_false(b->serial.output_timer.armed); /* silence costs nothing */
}

/* A sink that takes all there is; while it returns, the guest prints on. */
static bool drain_then_more(void *opaque)
{
	struct bench *b = opaque;
	uint8_t buf[10];
	size_t n;

	b->outputs++;
	while ((n = take(b, buf, sizeof(buf))))
		b->taken += n;
	if (b->outputs == 1)
		out(b, DATA, 'y');
	return true;
}

static void test_output_race(void **state)
{
	struct bench *b = *state;

	b->serial.on_output = drain_then_more;
	out(b, DATA, 'x');
	for (unsigned i = 0; i < 100 && b->taken < 2; i++)
		loop_step(&b->loop, 10);
	assert_int_equal(b->taken, 2);
	for (unsigned i = 0; i < 100 && b->serial.output_timer.armed; i++)
		loop_step(&b->loop, 10);
	out(b, DATA, 'z');
	for (unsigned i = 0; i < 100 && b->taken < 3; i++)
		loop_step(&b->loop, 10);
	assert_int_equal(b->taken, 3);
}

static void test_input_room(void **state)
{
	struct bench *b = *state;

	out(b, FCR, 1);
	out(b, MCR, 2);
	assert_int_equal(feed(b, "0123456789abcdefghij"), 16);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(b, DATA), "0123456789abcdef"[i]);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 1);
	in(b, DATA);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 1);
	/* Everything fits: nobody waits for room. */
	assert_int_equal(feed(b, "ghij"), 4);
	for (unsigned i = 0; i < 4; i++)
		in(b, DATA);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 1);
	/* Without FIFO: one at a time. */
	out(b, FCR, 0);
	assert_int_equal(feed(b, "xy"), 1);
	out(b, FCR, 1); /* switching it clears it, and there is room */
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 2);
}

/* Times that main was told of room, since the last time. */
static unsigned told(struct bench *b)
{
	unsigned n;

	loop_step(&b->loop, 0);
	n = b->rooms;
	b->rooms = 0;
	return n;
}

/* Input waits until somebody listens: probing and opening the port clears none of it. */
static void test_listening(void **state)
{
	struct bench *b = *state;

	assert_int_equal(feed(b, "q"), 0);
	out(b, MCR, 0x12); /* RTS in loopback goes nowhere */
	out(b, MCR, 0x00);
	assert_int_equal(feed(b, "q"), 0);
	told(b);
	/* a driver that prints is not one that listens */
	for (unsigned i = 0; i < 100; i++) {
		in(b, LSR);
		in(b, LSR);
		out(b, DATA, 'x');
	}
	assert_int_equal(told(b), 0);
	/* one that polls is */
	for (unsigned i = 0; i < 15; i++)
		in(b, LSR);
	assert_int_equal(told(b), 0);
	assert_int_equal(feed(b, "q"), 0);
	in(b, LSR);
	assert_int_equal(told(b), 1);
	assert_int_equal(feed(b, "q"), 1);
	assert_int_equal(in(b, DATA), 'q');
	out(b, DATA, 'q'); /* its echo: it has to wait again */
	assert_int_equal(feed(b, "r"), 0);
	/* interrupts without ever a look at RTS */
	out(b, IER, 1);
	assert_int_equal(told(b), 1);
	assert_int_equal(feed(b, "r"), 1);
	assert_int_equal(in(b, DATA), 'r');
}

static void test_rts(void **state)
{
	struct bench *b = *state;

	out(b, IER, 1);
	out(b, MCR, 0x0b);
	assert_int_equal(feed(b, "s"), 1);
	assert_int_equal(in(b, DATA), 's');
	out(b, MCR, 0x09); /* the driver is full */
	assert_int_equal(feed(b, "t"), 0);
	out(b, FCR, 1);
	out(b, FCR, 7);
	told(b);
	out(b, MCR, 0x0b);
	assert_int_equal(told(b), 1);
	assert_int_equal(feed(b, "t"), 1);
	assert_int_equal(in(b, DATA), 't');
}

/* Main is told where it can get on, not as often as a guest turns its knobs. */
static void test_told_in_vain(void **state)
{
	struct bench *b = *state;

	assert_int_equal(feed(b, "q"), 0);
	for (unsigned i = 0; i < 100; i++) {
		out(b, FCR, 3);
		out(b, FCR, 0);
		out(b, MCR, 0x10);
		out(b, MCR, 0x01);
		(void)in(b, DATA);
		assert_int_equal(told(b), 0);
	}
	out(b, MCR, 2);
	assert_int_equal(told(b), 1);
	assert_int_equal(feed(b, "qr"), 1);
	for (unsigned i = 0; i < 100; i++) { /* there is no room */
		out(b, MCR, 0);
		out(b, MCR, 2);
		out(b, IER, 1);
		assert_int_equal(told(b), 0);
	}
	assert_int_equal(in(b, DATA), 'q');
	assert_int_equal(told(b), 1);
	assert_int_equal(feed(b, "r"), 1);
}

static void test_reset(void **state)
{
	struct bench *b = *state;
	uint8_t buf[10];

	out(b, FCR, 1);
	out(b, IER, 1);
	out(b, MCR, 2);
	out(b, MCR, 0);
	out(b, LCR, 0x83);
	out(b, LCR, 0x03);
	out(b, DATA, '!');
	assert_int_equal(feed(b, "abc"), 0); /* RTS is down */
	irq(b);
	serial_reset(&b->serial);
	test_power_on(state);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 0);
	out(b, IER, 1);
	loop_step(&b->loop, 0);
	assert_int_equal(b->rooms, 1);
	assert_int_equal(feed(b, "a"), 1);     /* that RTS was up is forgotten */
	assert_int_equal(take(b, buf, 10), 1); /* last words are not */
	assert_int_equal(buf[0], '!');
}

/* Whatever a guest does: the port stays within its bounds, and afterwards it still works. */
static void test_random(void **state)
{
	struct bench *b = *state;
	uint8_t buf[64];
	uint64_t dice = 1;

	for (unsigned i = 0; i < 300000; i++) {
		struct io_access a = { 0 };

		dice = dice * 6364136223846793005ull + 1442695040888963407ull;
		a.offset = dice >> 33 & 15;
		a.size = (uint8_t)(1u << (dice >> 37 & 3));
		a.write = dice >> 40 & 1;
		a.data = dice >> 41;
		if ((dice >> 50 & 63) == 0)
			loop_step(&b->loop, 0);
		else if ((dice >> 50 & 63) < 4)
			take(b, buf, dice >> 56 & 63);
		else if ((dice >> 50 & 63) < 8)
			serial_feed(&b->serial, buf, dice >> 56 & 63);
		else
			serial_access(&b->serial, &a);
		assert_true(b->serial.rx_count <= SERIAL_FIFO && b->serial.rx_head < SERIAL_FIFO);
		assert_true(b->serial.tx_count <= SERIAL_RING && b->serial.tx_head < SERIAL_RING);
		assert_int_equal(b->serial.irq_level, !(b->serial.ier == 0) && b->serial.irq_level);
	}
	out(b, LCR, 0);
	out(b, MCR, 2);
	out(b, FCR, 3);
	in(b, LSR);
	assert_int_equal(feed(b, "k"), 1);
	assert_int_equal(in(b, DATA), 'k');
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_power_on),
		T(test_linux_autoconfig),
		T(test_linux_thre_tests),
		T(test_divisor_latch),
		T(test_loopback),
		T(test_overrun),
		T(test_priorities),
		T(test_edges),
		T(test_wide_access),
		T(test_back_pressure),
		T(test_output_mail),
		T(test_output_race),
		T(test_input_room),
		T(test_listening),
		T(test_rts),
		T(test_told_in_vain),
		T(test_reset),
		T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
