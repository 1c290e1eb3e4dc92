/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - a 16550A (NS16550A data sheet, table II for the registers). Sending takes no time: a
 * byte written is a byte in the ring to the outside, and the transmitter is "busy" only while that
 * ring has no room for a whole FIFO, because drivers write a FIFO's worth after one look at LSR.
 */
#include <portcullis/devices.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REGS };

#define IER_RDI 0x01
#define IER_THRI 0x02
#define IER_RLSI 0x04
#define IER_MSI 0x08
#define IER_MASK 0x0f

#define IIR_MSI 0x00
#define IIR_NONE 0x01
#define IIR_THRI 0x02
#define IIR_RDI 0x04
#define IIR_RLSI 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_STORED 0xc9 /* trigger level, DMA mode, enable */

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_MASK 0x1f

#define LSR_DR 0x01
#define LSR_OE 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40

#define MSR_DELTA 0x0f
#define MSR_DCTS 0x01
#define MSR_DDSR 0x02
#define MSR_TERI 0x04
#define MSR_DDCD 0x08
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_RI 0x40
#define MSR_DCD 0x80
#define MSR_CONNECTED (MSR_DCD | MSR_DSR | MSR_CTS)

/* How long a byte may lie in the ring while the guest goes on printing. */
#define OUTPUT_LOOK_MS 4

/* A driver that sends looks at LSR once or twice per byte; one that waits for input does nothing else. */
#define POLLS_LISTENING 16

/* What has to be done once the lock is let go: it is a leaf lock, and loops have one of their own. */
struct effects {
	bool irq, output, input;
};

static bool fifo_on(const struct serial *s)
{
	return s->fcr & FCR_ENABLE;
}

static unsigned rx_size(const struct serial *s)
{
	return fifo_on(s) ? SERIAL_FIFO : 1;
}

static bool tx_empty(const struct serial *s)
{
	return s->mcr & MCR_LOOP || SERIAL_RING - s->tx_count >= SERIAL_FIFO;
}

/* Received bytes that make an interrupt at once; fewer of them time out, which here is at once too. */
static unsigned rx_trigger(const struct serial *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	return fifo_on(s) ? trigger[s->fcr >> 6] : 1;
}

/* The pending interrupt of highest priority. */
static uint8_t cause(const struct serial *s)
{
	if (s->ier & IER_RLSI && s->line_errors)
		return IIR_RLSI;
	if (s->ier & IER_RDI && s->rx_count)
		return s->rx_count >= rx_trigger(s) ? IIR_RDI : IIR_TIMEOUT;
	if (s->ier & IER_THRI && s->thr_irq_pending)
		return IIR_THRI;
	if (s->ier & IER_MSI && s->msr & MSR_DELTA)
		return IIR_MSI;
	return IIR_NONE;
}

static void update_irq(struct serial *s, struct effects *e)
{
	bool level = cause(s) != IIR_NONE;

	if (level && !s->irq_level)
		e->irq = true;
	s->irq_level = level;
}

static void want_input(struct serial *s, struct effects *e)
{
	if (!s->input_wanted || s->input_posted)
		return;
	s->input_posted = true;
	e->input = true;
}

static void finish(struct serial *s, const struct effects *e)
{
	pthread_mutex_unlock(&s->lock);
	if (e->irq)
		sys_eventfd_signal(s->irq_fd);
	if (e->output)
		loop_post(s->main, &s->output_ready);
	if (e->input)
		loop_post(s->main, &s->input_room);
}

static void rx_push(struct serial *s, uint8_t byte)
{
	if (s->rx_count == rx_size(s)) {
		s->line_errors |= LSR_OE;
		return;
	}
	s->rx[(s->rx_head + s->rx_count++) % SERIAL_FIFO] = byte;
}

static void rx_clear(struct serial *s, struct effects *e)
{
	s->rx_count = 0;
	want_input(s, e);
}

static uint8_t read_data(struct serial *s, struct effects *e)
{
	uint8_t byte;

	if (s->lcr & LCR_DLAB)
		return s->dll;
	byte = s->rx[s->rx_head];
	if (s->rx_count == 0)
		return byte; /* the last one, as the hardware's register would */
	s->rx_count--;
	if (s->rx_count)
		s->rx_head = (s->rx_head + 1) % SERIAL_FIFO;
	else
		want_input(s, e);
	return byte;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = cause(s);

	if (iir == IIR_THRI)
		s->thr_irq_pending = false;
	return iir | (fifo_on(s) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *s, struct effects *e)
{
	uint8_t lsr = s->line_errors;

	s->line_errors = 0;
	if (s->rx_count)
		lsr |= LSR_DR;
	if (tx_empty(s))
		lsr |= LSR_THRE | LSR_TEMT;
	if (lsr == (LSR_THRE | LSR_TEMT) && s->polls < POLLS_LISTENING && ++s->polls == POLLS_LISTENING)
		want_input(s, e);
	return lsr;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = s->msr;

	s->msr &= (uint8_t)~MSR_DELTA;
	return msr;
}

static uint8_t read_reg(struct serial *s, unsigned reg, struct effects *e)
{
	switch (reg) {
	case REG_DATA:
		return read_data(s, e);
	case REG_IER:
		return s->lcr & LCR_DLAB ? s->dlm : s->ier;
	case REG_IIR_FCR:
		return read_iir(s);
	case REG_LCR:
		return s->lcr;
	case REG_MCR:
		return s->mcr;
	case REG_LSR:
		return read_lsr(s, e);
	case REG_MSR:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void write_data(struct serial *s, uint8_t byte, struct effects *e)
{
	if (s->lcr & LCR_DLAB) {
		s->dll = byte;
		return;
	}
	s->polls = 0;
	if (s->mcr & MCR_LOOP) {
		rx_push(s, byte);
	} else if (s->tx_count < SERIAL_RING) {
		/* A guest that writes without looking at LSR loses what does not fit. */
		s->tx[(s->tx_head + s->tx_count++) % SERIAL_RING] = byte;
		if (s->tx_count == 1 && !s->output_posted)
			s->output_posted = e->output = true;
	}
	s->thr_irq_pending = tx_empty(s);
}

static void write_ier(struct serial *s, uint8_t value, struct effects *e)
{
	bool enabled = ~s->ier & value & IER_THRI;

	if (s->lcr & LCR_DLAB) {
		s->dlm = value;
		return;
	}
	s->ier = value & IER_MASK;
	/* Enabling it while the transmitter is empty interrupts at once; Linux tests that. */
	if (enabled)
		s->thr_irq_pending = tx_empty(s);
	else if (!(value & IER_THRI))
		s->thr_irq_pending = false;
	if (value & IER_RDI)
		want_input(s, e);
}

static void write_fcr(struct serial *s, uint8_t value, struct effects *e)
{
	if ((s->fcr ^ value) & FCR_ENABLE || value & FCR_CLEAR_RX)
		rx_clear(s, e);
	s->fcr = value & FCR_ENABLE ? value & FCR_STORED : 0;
}

/* The modem lines: our own outputs when looped back, else an always ready peer. */
static uint8_t modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_CONNECTED;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
		(s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_mcr(struct serial *s, uint8_t value, struct effects *e)
{
	uint8_t lines, changed;

	s->mcr = value & MCR_MASK;
	lines = modem_lines(s);
	changed = s->msr ^ lines;
	s->msr = (uint8_t)((s->msr & MSR_DELTA) | lines | (changed & MSR_CTS ? MSR_DCTS : 0) |
		(changed & MSR_DSR ? MSR_DDSR : 0) | (changed & ~lines & MSR_RI ? MSR_TERI : 0) |
		(changed & MSR_DCD ? MSR_DDCD : 0));
	if (s->mcr & MCR_LOOP)
		return;
	s->polls = 0;
	if (s->mcr & MCR_RTS)
		s->rts_seen = true;
	want_input(s, e);
}

static void write_reg(struct serial *s, unsigned reg, uint8_t value, struct effects *e)
{
	switch (reg) {
	case REG_DATA:
		write_data(s, value, e);
		break;
	case REG_IER:
		write_ier(s, value, e);
		break;
	case REG_IIR_FCR:
		write_fcr(s, value, e);
		break;
	case REG_LCR:
		s->lcr = value;
		break;
	case REG_MCR:
		write_mcr(s, value, e);
		break;
	case REG_SCR:
		s->scr = value;
		break;
	default: /* LSR and MSR: factory test only */
		break;
	}
}

/* An 8-bit device: a wider access is one per port. */
enum io_status serial_access(void *opaque, struct io_access *access)
{
	struct serial *s = opaque;
	struct effects e = { false, false, false };
	uint64_t data = access->write ? access->data : 0;

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < access->size; i++) {
		uint64_t reg = access->offset + i;

		if (reg >= REGS) {
			data |= access->write ? 0 : 0xffull << 8 * i;
			continue;
		}
		if (access->write)
			write_reg(s, (unsigned)reg, (uint8_t)(data >> 8 * i), &e);
		else
			data |= (uint64_t)read_reg(s, (unsigned)reg, &e) << 8 * i;
		update_irq(s, &e);
	}
	finish(s, &e);
	access->data = data;
	return IO_DONE;
}

size_t serial_take_output(struct serial *s, uint8_t *buf, size_t size)
{
	struct effects e = { false, false, false };
	size_t n, first;
	bool was_empty;

	pthread_mutex_lock(&s->lock);
	was_empty = tx_empty(s);
	n = size < s->tx_count ? size : s->tx_count;
	first = n < SERIAL_RING - s->tx_head ? n : SERIAL_RING - s->tx_head;
	memcpy(buf, s->tx + s->tx_head, first);
	memcpy(buf + first, s->tx, n - first);
	s->tx_head = (s->tx_head + n) % SERIAL_RING;
	s->tx_count -= n;
	if (!was_empty && tx_empty(s) && s->ier & IER_THRI)
		s->thr_irq_pending = true;
	update_irq(s, &e);
	finish(s, &e);
	return n;
}

static bool listening(const struct serial *s)
{
	if (s->mcr & MCR_LOOP)
		return false;
	return s->mcr & MCR_RTS || (!s->rts_seen && s->ier & IER_RDI) || s->polls == POLLS_LISTENING;
}

/* Bytes that may be put into the receiver now. */
static size_t input_room(const struct serial *s)
{
	return listening(s) ? rx_size(s) - s->rx_count : 0;
}

size_t serial_feed(struct serial *s, const uint8_t *buf, size_t size)
{
	struct effects e = { false, false, false };
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = input_room(s);
	if (n > size)
		n = size;
	for (size_t i = 0; i < n; i++)
		rx_push(s, buf[i]);
	s->input_wanted = n < size;
	/* New bytes pulse even if the line is up already: heals a guest that lost an edge. */
	update_irq(s, &e);
	if (n && s->irq_level)
		e.irq = true;
	finish(s, &e);
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
	look_for_output((struct serial *)((char *)mail - offsetof(struct serial, output_ready)));
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
	struct serial *s = (struct serial *)((char *)mail - offsetof(struct serial, input_room));

	pthread_mutex_lock(&s->lock);
	s->input_posted = false;
	pthread_mutex_unlock(&s->lock);
	if (s->on_input_room)
		s->on_input_room(s->opaque);
}

static void set_power_on_state(struct serial *s)
{
	s->ier = s->lcr = s->mcr = s->scr = s->fcr = s->dlm = 0;
	s->dll = 12; /* 9600 baud */
	s->msr = MSR_CONNECTED;
	s->line_errors = 0;
	s->thr_irq_pending = s->irq_level = s->rts_seen = false;
	s->rx_head = s->rx_count = 0;
	s->polls = 0;
}

int serial_init(struct serial *s, int irq_fd, struct loop *loop)
{
	memset(s, 0, sizeof(*s));
	s->tx = malloc(SERIAL_RING);
	if (!s->tx)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->irq_fd = irq_fd;
	s->main = loop;
	s->output_ready.run = run_output_ready;
	s->input_room.run = run_input_room;
	s->output_timer = (struct loop_timer){ .fn = run_output_timer, .opaque = s };
	set_power_on_state(s);
	return 0;
}

void serial_release(struct serial *s)
{
	if (!s->tx)
		return;
	loop_timer_cancel(s->main, &s->output_timer);
	free(s->tx);
	s->tx = NULL;
	pthread_mutex_destroy(&s->lock);
}

/* Output that waits stays: it is the old kernel's last words. */
void serial_reset(struct serial *s)
{
	struct effects e = { false, false, false };

	pthread_mutex_lock(&s->lock);
	set_power_on_state(s);
	want_input(s, &e);
	finish(s, &e);
}
