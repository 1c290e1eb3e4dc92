/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.c - a 16550A as the guest sees it (NS16550A data sheet, table II for the registers).
 * Sending takes no time: a byte written is a byte in the ring to the outside, and the transmitter
 * is "busy" only while that ring has no room for a whole FIFO, because drivers write a FIFO's worth
 * after one look at LSR.
 */
#include <portcullis/serial.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "serial_private.h"

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR, REGS };

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

#define FCR_CLEAR_RX 0x02
#define FCR_STORED 0xc9 /* trigger level, DMA mode, enable */

#define LCR_DLAB 0x80

#define MCR_DTR 0x01
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
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

static bool serial_fifo_on(const struct serial *s)
{
	return s->fcr & FCR_ENABLE;
}

/* Received bytes that interrupt at once; fewer of them time out, which here is at once too. */
static unsigned rx_trigger(const struct serial *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	return serial_fifo_on(s) ? trigger[s->fcr >> 6] : 1;
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

void serial_update_irq(struct serial *s, struct serial_effects *e)
{
	bool level = cause(s) != IIR_NONE;

	if (level && !s->irq_level)
		e->irq = true;
	s->irq_level = level;
}

void serial_want_input(struct serial *s, struct serial_effects *e)
{
	if (!s->input_wanted || s->input_posted || !serial_input_room(s))
		return;
	s->input_posted = true;
	e->input = true;
}

void serial_finish(struct serial *s, const struct serial_effects *e)
{
	pthread_mutex_unlock(&s->lock);
	if (e->irq)
		sys_eventfd_signal(s->irq_fd);
	if (e->output)
		loop_post(s->main, &s->output_ready);
	if (e->input)
		loop_post(s->main, &s->input_room);
}

void serial_rx_push(struct serial *s, uint8_t byte)
{
	if (s->rx_count == serial_rx_size(s)) {
		s->line_errors |= LSR_OE;
		return;
	}
	s->rx[(s->rx_head + s->rx_count++) % SERIAL_FIFO] = byte;
}

static void rx_clear(struct serial *s, struct serial_effects *e)
{
	s->rx_count = 0;
	serial_want_input(s, e);
}

static uint8_t read_data(struct serial *s, struct serial_effects *e)
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
		serial_want_input(s, e);
	return byte;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t iir = cause(s);

	if (iir == IIR_THRI)
		s->thr_irq_pending = false;
	return iir | (serial_fifo_on(s) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *s, struct serial_effects *e)
{
	uint8_t lsr = s->line_errors;

	s->line_errors = 0;
	if (s->rx_count)
		lsr |= LSR_DR;
	if (serial_tx_empty(s))
		lsr |= LSR_THRE | LSR_TEMT;
	if (lsr == (LSR_THRE | LSR_TEMT) && s->polls < POLLS_LISTENING &&
		++s->polls == POLLS_LISTENING)
		serial_want_input(s, e);
	return lsr;
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t msr = s->msr;

	s->msr &= (uint8_t)~MSR_DELTA;
	return msr;
}

static uint8_t read_reg(struct serial *s, unsigned reg, struct serial_effects *e)
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

static void write_data(struct serial *s, uint8_t byte, struct serial_effects *e)
{
	if (s->lcr & LCR_DLAB) {
		s->dll = byte;
		return;
	}
	s->polls = 0;
	if (s->mcr & MCR_LOOP) {
		serial_rx_push(s, byte);
	} else if (s->tx_count < SERIAL_RING) {
		/* A guest that writes without looking at LSR loses what does not fit. */
		s->tx[(s->tx_head + s->tx_count++) % SERIAL_RING] = byte;
		if (s->tx_count == 1 && !s->output_posted)
			s->output_posted = e->output = true;
	}
	s->thr_irq_pending = serial_tx_empty(s);
}

static void write_ier(struct serial *s, uint8_t value, struct serial_effects *e)
{
	bool enabled = ~s->ier & value & IER_THRI;

	if (s->lcr & LCR_DLAB) {
		s->dlm = value;
		return;
	}
	s->ier = value & IER_MASK;
	/* Enabling it while the transmitter is empty interrupts at once; Linux tests that. */
	if (enabled)
		s->thr_irq_pending = serial_tx_empty(s);
	else if (!(value & IER_THRI))
		s->thr_irq_pending = false;
	if (value & IER_RDI)
		serial_want_input(s, e);
}

static void write_fcr(struct serial *s, uint8_t value, struct serial_effects *e)
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

static void write_mcr(struct serial *s, uint8_t value, struct serial_effects *e)
{
	uint8_t lines, changed;

	s->mcr = value & MCR_MASK;
	lines = modem_lines(s);
	changed = s->msr ^ lines;
	s->msr = (uint8_t)((s->msr & MSR_DELTA) | lines | (changed & MSR_CTS ? MSR_DCTS : 0) |
			   (changed & MSR_DSR ? MSR_DDSR : 0) |
			   (changed & ~lines & MSR_RI ? MSR_TERI : 0) |
			   (changed & MSR_DCD ? MSR_DDCD : 0));
	if (s->mcr & MCR_LOOP)
		return;
	s->polls = 0;
	if (s->mcr & MCR_RTS)
		s->rts_seen = true;
	serial_want_input(s, e);
}

static void write_reg(struct serial *s, unsigned reg, uint8_t value, struct serial_effects *e)
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
	struct serial_effects e = { false, false, false };
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
		serial_update_irq(s, &e);
	}
	serial_finish(s, &e);
	access->data = data;
	return IO_DONE;
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
	serial_host_init(s);
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

/*
 * Output that waits stays: it is the old kernel's last words. Input waits for the new one to
 * listen.
 */
void serial_reset(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	set_power_on_state(s);
	pthread_mutex_unlock(&s->lock);
}
