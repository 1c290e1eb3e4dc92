/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serial.h - a 16550A at eight ports (NS16550A data sheet).
 *
 * Layer: L3, includes base and bus.
 * Who, interrupts, cost: as in devices.h. Main is told (mail) of output once for as long as the
 * guest goes on printing, and of room for input only where at least one byte will go in.
 */
#ifndef PORTCULLIS_SERIAL_H
#define PORTCULLIS_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/loop.h>

#define SERIAL_RING 65536 /* bytes to the outside kept; when full the guest sees THR not empty */

#define SERIAL_FIFO 16

/*
 * Lines: DCD, DSR and CTS are always on. Input waits until somebody in the guest listens: RTS is
 * up; or received-data interrupts are on and RTS never was up; or the line status is read again and
 * again without anything being sent. So a driver that clears the FIFO when it probes or opens the
 * port clears nothing of ours.
 */
struct serial {
	pthread_mutex_t lock;
	int irq_fd;	   /* pulse when the interrupt condition rises */
	struct loop *main; /* told (mail) when output waits or input room appears */
	struct mail output_ready, input_room;
	struct loop_timer output_timer;	  /* main's: it looks by itself while bytes keep coming */
	bool output_posted, input_posted; /* main knows, or will look */
	/*
	 * main: drain with serial_take_output(). True: it returned 0; false: the sink is slow and
	 * will come back by itself. NULL: nobody is there, output is dropped.
	 */
	bool (*on_output)(void *opaque);
	void (*on_input_room)(void *opaque); /* main: more may be fed, after a short feed */
	void *opaque;
	uint8_t ier, lcr, mcr, msr, scr, fcr, dll, dlm;
	uint8_t line_errors; /* LSR's OE, PE, FE, BI; the other LSR bits are computed */
	bool thr_irq_pending, irq_level;
	bool input_wanted; /* the last feed was short */
	bool rts_seen;
	uint8_t polls; /* reads of LSR in a row that found nothing to do */
	uint8_t rx[SERIAL_FIFO];
	unsigned rx_head, rx_count;
	uint8_t *tx; /* SERIAL_RING bytes, owned */
	size_t tx_head, tx_count;
};

int serial_init(struct serial *serial, int irq_fd, struct loop *main);
void serial_release(struct serial *serial);
void serial_reset(struct serial *serial);
enum io_status serial_access(void *serial, struct io_access *access);
/* main: moves up to size bytes out; returns the count. */
size_t serial_take_output(struct serial *serial, uint8_t *buf, size_t size);
/*
 * main: feeds input; returns how many bytes fit. The rest is kept by the caller (never lost), and
 * on_input_room() tells when to try again.
 */
size_t serial_feed(struct serial *serial, const uint8_t *buf, size_t size);

#endif
