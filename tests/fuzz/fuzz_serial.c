/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_serial.c - any sequence of accesses to the serial port, bytes fed from outside and taken,
 * and resets.
 *
 * Input: two bytes per step: kind (low bits) and port or amount, value. Asserted: an access leaves
 * main at most the two pieces of mail there are, counts stay within their rings, what is fed is all
 * taken or refused, and main's mail is done after one step of its loop.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/devices.h>
#include <portcullis/sys.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static bool slow; /* the sink does not take what it is offered */

static bool on_output(void *opaque)
{
	uint8_t buf[4096];

	if (slow)
		return false;
	while (serial_take_output(opaque, buf, sizeof(buf)) > 0)
		;
	return true;
}

static void on_input_room(void *opaque)
{
	(void)opaque;
}

static void check(const struct serial *s)
{
	must(s->rx_count <= SERIAL_FIFO && s->rx_head < SERIAL_FIFO);
	must(s->tx_count <= SERIAL_RING && s->tx_head < SERIAL_RING);
	must(s->main->count <= 2);
}

static void access_port(struct serial *s, unsigned offset, bool write, uint8_t value)
{
	struct io_access access = { .offset = offset, .size = 1, .write = write, .data = value };

	must(serial_access(s, &access) == IO_DONE);
	must(write || access.data <= 0xff);
}

/* A guest that prints without end: what is kept of it is bounded. */
static void print(struct serial *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		access_port(s, 0, true, (uint8_t)i);
}

static void step(struct serial *s, uint8_t kind, uint8_t value)
{
	uint8_t bytes[256];

	switch (kind & 7) {
	case 0:
	case 1:
		access_port(s, kind >> 3 & 7, true, value);
		break;
	case 2:
		access_port(s, kind >> 3 & 7, false, 0);
		break;
	case 3:
		memset(bytes, value, sizeof(bytes));
		must(serial_feed(s, bytes, value) <= value);
		break;
	case 4:
		must(serial_take_output(s, bytes, value) <= value);
		break;
	case 5:
		loop_step(s->main, 0);
		must(s->main->count == 0);
		break;
	case 6:
		slow = kind & 8;
		print(s, value * 16u);
		break;
	case 7:
		serial_reset(s);
		break;
	}
	check(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop loop;
	struct serial serial;
	int fd = sys_eventfd();

	must(fd >= 0 && loop_init(&loop) == 0 && serial_init(&serial, fd, &loop) == 0);
	slow = false;
	if (size & 1) {
		serial.on_output = on_output;
		serial.on_input_room = on_input_room;
		serial.opaque = &serial;
	}
	for (; size >= 2; data += 2, size -= 2)
		step(&serial, data[0], data[1]);
	serial_release(&serial);
	loop_release(&loop);
	sys_close(fd);
	return 0;
}
