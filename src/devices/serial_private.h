/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial_private.h - what the two faces of the serial port share: serial.c is the guest's
 * (registers), serial_host.c main's (bytes out and in).
 *
 * Layer: L3. All of this with the port's lock held, serial_finish() lets go of it.
 */
#ifndef PORTCULLIS_SERIAL_PRIVATE_H
#define PORTCULLIS_SERIAL_PRIVATE_H

#include <portcullis/serial.h>

#define IER_RDI 0x01
#define IER_THRI 0x02
#define FCR_ENABLE 0x01
#define MCR_RTS 0x02
#define MCR_LOOP 0x10

/*
 * Reads of LSR in a row that mean "waiting for input". A driver that sends looks once or twice per
 * byte; one that waits does nothing else.
 */
#define POLLS_LISTENING 16

/* What is to be done once the lock is let go: it is a leaf lock, and loops have their own. */
struct serial_effects {
	bool irq, output, input;
};

/* Bytes that the receiver holds. */
static inline unsigned serial_rx_size(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static inline bool serial_tx_empty(const struct serial *s)
{
	return s->mcr & MCR_LOOP || SERIAL_RING - s->tx_count >= SERIAL_FIFO;
}

/* Does somebody in the guest wait for input? See struct serial. */
static inline bool serial_listening(const struct serial *s)
{
	if (s->mcr & MCR_LOOP)
		return false;
	return s->mcr & MCR_RTS || (!s->rts_seen && s->ier & IER_RDI) ||
	       s->polls == POLLS_LISTENING;
}

/* Bytes that may be put into the receiver now. */
static inline unsigned serial_input_room(const struct serial *s)
{
	return serial_listening(s) ? serial_rx_size(s) - s->rx_count : 0;
}

/* Notes an edge when the pending interrupts have become some. */
void serial_update_irq(struct serial *s, struct serial_effects *e);
/* There may be room for input now: main is to hear of it, if it waits for that and would get on. */
void serial_want_input(struct serial *s, struct serial_effects *e);
/* A received byte; without room it is lost and an overrun. */
void serial_rx_push(struct serial *s, uint8_t byte);
/* Unlocks, then does what e says. */
void serial_finish(struct serial *s, const struct serial_effects *e);
/* serial_host.c: the mails' and the timer's functions. */
void serial_host_init(struct serial *s);

#endif
