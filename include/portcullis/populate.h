/* SPDX-License-Identifier: Apache-2.0 */
/*
 * populate.h - giving guest RAM its pages, by as many threads as there are: zeroing them is what
 * takes time, and one processor zeroes a TiB in minutes.
 *
 * Layer: L1. Threads are threads/'s (populator.c); nothing here makes any.
 * Order: main: populate_add() for each range, populate_begin() (or, at any time, populate_end()).
 *        A thread: populate_wait(), then populate_step() until it is false.
 * Pieces are handed out one after the other, each to whoever comes for it first. What is in memory
 * already stays as it is.
 */
#ifndef PORTCULLIS_POPULATE_H
#define PORTCULLIS_POPULATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/memory.h>

/* The most threads that QEMU lets memory be populated by. */
#define POPULATE_THREADS_MAX 16
/*
 * A piece, unless a page of the backing is larger: what is under way is waited for at a signal, and
 * by whoever changes the address space. No huge page lies in two pieces.
 */
#define POPULATE_PIECE (64ull << 20)

struct populate_range {
	uint8_t *hva;
	uint64_t size, page_size; /* bytes */
	uint64_t pieces;
};

/* Starts zeroed. */
struct populate {
	struct populate_range range[RAM_SEGMENTS_MAX];
	unsigned n;
	uint64_t size, pieces;	/* of all ranges; bytes */
	_Atomic uint32_t state; /* futex word: POPULATE_* */
	_Atomic uint64_t next;	/* the piece that nobody has taken yet */
	_Atomic uint64_t done;	/* bytes */
	_Atomic int error;	/* the first that came; 0 or -errno */
	const void *failed;	/* and where; after threads have ended */
};
enum { POPULATE_IDLE, POPULATE_BEGUN, POPULATE_ENDED };

/*
 * A number of threads for size bytes: wanted (0: any), but not more than processors that this
 * process may use, than POPULATE_THREADS_MAX, or than pieces. 1 at least.
 */
unsigned populate_threads(uint64_t size, unsigned wanted);
/* hva is a multiple of page_size, the backing's, as is size. Before populate_begin(). -E2BIG. */
int populate_add(struct populate *populate, void *hva, uint64_t size, uint64_t page_size);
/* Whoever waits, or is to come, goes to work. */
void populate_begin(struct populate *populate);
/* No piece is begun any more, also if none ever was. */
void populate_end(struct populate *populate);

/* Sleeps until there is something to do; false: there will not be. */
bool populate_wait(struct populate *populate);
/*
 * Populates one piece, by MADV_POPULATE_WRITE (Linux 5.14), or else by touching every page, which
 * may be a SIGBUS. False: nothing is left, or it failed somewhere, or was ended.
 */
bool populate_step(struct populate *populate);
/* What is at hva was not populated: code (an errno, positive) is why. Ends it for everybody. */
void populate_fail(struct populate *populate, const void *hva, int code);

#endif
