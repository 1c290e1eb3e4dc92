/* SPDX-License-Identifier: Apache-2.0 */
/* populate.c - which piece of RAM is populated next, and how. */
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <portcullis/futex.h>
#include <portcullis/populate.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* Those that this process may run on, not those there are. */
static unsigned processors(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	online = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t has room for */
	return online > 0 ? (unsigned)online : 1;
}

unsigned populate_threads(uint64_t size, unsigned wanted)
{
	const uint64_t pieces = (size + POPULATE_PIECE - 1) / POPULATE_PIECE;
	const unsigned limit[] = { processors(), POPULATE_THREADS_MAX,
		pieces < POPULATE_THREADS_MAX ? (unsigned)pieces : POPULATE_THREADS_MAX };
	unsigned threads = wanted ? wanted : POPULATE_THREADS_MAX;

	for (unsigned i = 0; i < sizeof(limit) / sizeof(limit[0]); i++)
		if (threads > limit[i])
			threads = limit[i];
	return threads ? threads : 1;
}

static uint64_t piece_size(const struct populate_range *range)
{
	return range->page_size > POPULATE_PIECE ? range->page_size : POPULATE_PIECE;
}

/* Cut at multiples of the piece's size, so that huge pages stay whole. */
static uint64_t pieces_of(const struct populate_range *range)
{
	const uint64_t piece = piece_size(range);
	const uint64_t first = (uintptr_t)range->hva / piece;

	return ((uintptr_t)range->hva + range->size - 1) / piece - first + 1;
}

int populate_add(struct populate *populate, void *hva, uint64_t size, uint64_t page_size)
{
	struct populate_range *range = &populate->range[populate->n];

	if (!size)
		return 0;
	if (populate->n == sizeof(populate->range) / sizeof(populate->range[0]))
		return -E2BIG;
	*range = (struct populate_range){ .hva = hva, .size = size, .page_size = page_size };
	range->pieces = pieces_of(range);
	populate->pieces += range->pieces;
	populate->size += size;
	populate->n++;
	return 0;
}

static void set_state(struct populate *populate, uint32_t state)
{
	atomic_store(&populate->state, state);
	futex_wake_all(&populate->state);
}

void populate_begin(struct populate *populate)
{
	set_state(populate, POPULATE_BEGUN);
}

void populate_end(struct populate *populate)
{
	set_state(populate, POPULATE_ENDED);
}

bool populate_wait(struct populate *populate)
{
	uint32_t state;

	while ((state = atomic_load(&populate->state)) == POPULATE_IDLE)
		futex_wait(&populate->state, POPULATE_IDLE);
	return state == POPULATE_BEGUN;
}

void populate_fail(struct populate *populate, const void *hva, int code)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&populate->error, &none, -code))
		populate->failed = hva;
	populate_end(populate);
}

/* Where piece number i is; its size in bytes. */
static uint64_t find(const struct populate *populate, uint64_t i, uint8_t **hva, uint64_t *page)
{
	const struct populate_range *range = populate->range;
	uintptr_t start, end, last;
	uint64_t piece;

	while (i >= range->pieces)
		i -= range++->pieces;
	piece = piece_size(range);
	last = (uintptr_t)range->hva + range->size;
	start = ((uintptr_t)range->hva / piece + i) * piece;
	end = start + piece < last ? start + piece : last;
	if (!i)
		start = (uintptr_t)range->hva;
	*hva = range->hva + (start - (uintptr_t)range->hva);
	*page = range->page_size;
	return end - start;
}

/* Written as it is: memory may have come with something in it. */
static void touch(uint8_t *hva, uint64_t size, uint64_t page)
{
	for (uint64_t at = 0; at < size; at += page)
		(void)__atomic_fetch_or(hva + at, 0, __ATOMIC_RELAXED);
}

static int populate_piece(uint8_t *hva, uint64_t size, uint64_t page)
{
	if (madvise(hva, size, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	touch(hva, size, page);
	return 0;
}

bool populate_step(struct populate *populate)
{
	uint64_t i, size, page;
	uint8_t *hva;
	int code;

	if (atomic_load(&populate->state) != POPULATE_BEGUN)
		return false;
	i = atomic_fetch_add(&populate->next, 1);
	if (i >= populate->pieces)
		return false;
	size = find(populate, i, &hva, &page);
	code = populate_piece(hva, size, page);
	if (code) {
		populate_fail(populate, hva, code);
		return false;
	}
	atomic_fetch_add(&populate->done, size);
	return true;
}
