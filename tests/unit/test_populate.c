/* SPDX-License-Identifier: Apache-2.0 */
/* test_populate.c - RAM in pieces: each byte once, whoever does it, until somebody fails. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/populate.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PIECES_MAX 256
#define DEADLINE_MS 30000

struct piece {
	uintptr_t at;
	size_t size;
	pthread_t thread;
};

static struct {
	_Atomic unsigned n, n_threads; /* calls; threads that wait for each other in one */
	struct piece piece[PIECES_MAX];
	unsigned together; /* so many threads are to be in a call at the same time */
	unsigned fail_at;  /* from which call on; 0: none fails */
	int code;
	bool real;
	unsigned cpus;
} host;

int __real_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);

static __thread bool waited;

static void wait_for_others(void)
{
	if (waited || !host.together)
		return;
	waited = true;
	atomic_fetch_add(&host.n_threads, 1);
	for (unsigned i = 0; i < DEADLINE_MS && atomic_load(&host.n_threads) < host.together; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&host.n_threads), host.together);
}

int __wrap_madvise(void *at, size_t size, int advice)
{
	unsigned i;

	if (advice != MADV_POPULATE_WRITE)
		return __real_madvise(at, size, advice);
	i = atomic_fetch_add(&host.n, 1);
	assert_true(i < PIECES_MAX);
	host.piece[i] = (struct piece){ (uintptr_t)at, size, pthread_self() };
	wait_for_others();
	if (host.real)
		return __real_madvise(at, size, advice);
	if (!host.fail_at || i + 1 < host.fail_at)
		return 0;
	errno = host.code;
	return -1;
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	(void)size;
	CPU_ZERO(set);
	for (unsigned i = 0; i < host.cpus; i++)
		CPU_SET(i, set);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	return 0;
}

static void *work(void *populate)
{
	waited = false;
	if (populate_wait(populate))
		while (populate_step(populate))
			;
	return NULL;
}

static void work_together(struct populate *populate, unsigned threads)
{
	pthread_t thread[POPULATE_THREADS_MAX];

	for (unsigned i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, populate), 0);
	populate_begin(populate);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static int by_address(const void *a, const void *b)
{
	const struct piece *left = a, *right = b;

	return left->at < right->at ? -1 : left->at > right->at;
}

/* Pieces lie end to end from start on, and are cut at multiples of align. */
static unsigned check_range(unsigned i, uint64_t start, uint64_t size, uint64_t align)
{
	const uint64_t end = start + size;

	for (; start < end; start += host.piece[i++].size) {
		assert_true(i < host.n);
		assert_int_equal(host.piece[i].at, start);
		assert_true(host.piece[i].size > 0 && host.piece[i].size <= end - start);
		if (start + host.piece[i].size < end)
			assert_int_equal((start + host.piece[i].size) % align, 0);
	}
	assert_int_equal(start, end);
	return i;
}

/* Addresses that nobody has: they are told to madvise() alone. */
static void test_each_byte_once(void **state)
{
	static const struct {
		uint64_t start, size, page, align;
		unsigned pieces;
	} ranges[] = {
		{ 1 * GIB, 640 * KIB, 4 * KIB, 4 * KIB, 1 },
		{ 2 * GIB, 64 * MIB, 4 * KIB, 2 * MIB, 1 },
		{ 3 * GIB, 64 * MIB + 4 * KIB, 4 * KIB, 2 * MIB, 2 },
		{ 4 * GIB + MIB, 130 * MIB, 4 * KIB, 2 * MIB, 3 },
		{ 5 * GIB + 62 * MIB, 4 * MIB, 2 * MIB, 2 * MIB, 2 },
		{ 8 * GIB, 3 * GIB, GIB, GIB, 3 },
	};
	const unsigned n = sizeof(ranges) / sizeof(ranges[0]);

	(void)state;
	for (unsigned threads = 1; threads <= POPULATE_THREADS_MAX; threads += 5) {
		struct populate populate = { .n = 0 };
		unsigned done = 0, pieces = 0;
		uint64_t size = 0;

		setup(NULL);
		for (unsigned i = 0; i < n; i++) {
			/* (uintptr_t) to pointer: nothing looks at it */
			assert_int_equal(populate_add(&populate, (void *)ranges[i].start,
						 ranges[i].size, ranges[i].page),
				0);
			pieces += ranges[i].pieces;
			size += ranges[i].size;
		}
		assert_int_equal(populate_add(&populate, NULL, 0, 4 * KIB), 0);
		work_together(&populate, threads);
		qsort(host.piece, host.n, sizeof(host.piece[0]), by_address);
		for (unsigned i = 0; i < n; i++)
			done = check_range(done, ranges[i].start, ranges[i].size, ranges[i].align);
		assert_int_equal(done, host.n);
		assert_int_equal(host.n, pieces);
		assert_int_equal(populate.size, size);
		assert_int_equal(populate.done, size);
		assert_int_equal(populate.error, 0);
	}
}

static void test_too_many_ranges(void **state)
{
	struct populate populate = { .n = 0 };

	(void)state;
	for (unsigned i = 0; i < RAM_SEGMENTS_MAX; i++)
		assert_int_equal(populate_add(&populate, (void *)((i + 1) * GIB), MIB, 4 * KIB), 0);
	assert_int_equal(populate_add(&populate, (void *)GIB, MIB, 4 * KIB), -E2BIG);
	work_together(&populate, 2);
	assert_int_equal(host.n, RAM_SEGMENTS_MAX);
}

/* Each of them is at work while all the others are. */
static void test_at_the_same_time(void **state)
{
	struct populate populate = { .n = 0 };

	(void)state;
	host.together = 8;
	assert_int_equal(populate_add(&populate, (void *)GIB, 2 * GIB, 4 * KIB), 0);
	work_together(&populate, 8);
	assert_int_equal(host.n, 32);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < i; j++)
			assert_false(pthread_equal(host.piece[i].thread, host.piece[j].thread));
}

static void test_the_first_error_ends_it(void **state)
{
	struct populate populate = { .n = 0 };

	(void)state;
	host.fail_at = 10;
	host.code = ENOMEM;
	assert_int_equal(populate_add(&populate, (void *)GIB, 8 * GIB, 4 * KIB), 0);
	work_together(&populate, 4);
	assert_int_equal(populate.error, -ENOMEM);
	assert_in_range(host.n, 10, 10 + 3);
	assert_int_equal(populate.done, 9 * POPULATE_PIECE);
	populate_fail(&populate, NULL, EFAULT);
	assert_int_equal(populate.error, -ENOMEM);
	assert_ptr_equal(populate.failed, (void *)(GIB + 9 * POPULATE_PIECE));
	assert_false(populate_wait(&populate));
	assert_false(populate_step(&populate));
}

static void test_told_to_end(void **state)
{
	struct populate populate = { .n = 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(populate_add(&populate, (void *)GIB, GIB, 4 * KIB), 0);
	assert_false(populate_step(&populate)); /* not begun yet */
	assert_int_equal(pthread_create(&thread, NULL, work, &populate), 0);
	populate_end(&populate);
	pthread_join(thread, NULL);
	assert_int_equal(host.n, 0);
	assert_int_equal(populate.error, 0);
}

static unsigned resident(void *map, size_t size)
{
	unsigned char vec[4096];
	unsigned n = 0;

	assert_true(size / 4096 <= sizeof(vec));
	assert_int_equal(mincore(map, size, vec), 0);
	for (unsigned i = 0; i < size / 4096; i++)
		n += vec[i] & 1;
	return n;
}

/* real: by the kernel, if it can; or as on one that cannot. */
static void pages_are_there(bool real)
{
	const size_t size = 8 * MIB;
	struct populate populate = { .n = 0 };
	uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	(void)__real_madvise(map, size, MADV_NOHUGEPAGE);
	map[0] = map[4095] = 7;
	map[MIB] = 9;
	assert_int_equal(resident(map, size), 2);
	host.real = real;
	host.fail_at = 1;
	host.code = EINVAL;
	assert_int_equal(populate_add(&populate, map, size, 4 * KIB), 0);
	work_together(&populate, 2);
	assert_int_equal(populate.error, 0);
	assert_int_equal(populate.done, size);
	assert_int_equal(resident(map, size), size / 4096);
	assert_int_equal(map[0], 7);
	assert_int_equal(map[4095], 7);
	assert_int_equal(map[MIB], 9);
	munmap(map, size);
}

static void test_pages_are_there(void **state)
{
	(void)state;
	pages_are_there(true);
	pages_are_there(false);
}

static void test_how_many_threads(void **state)
{
	static const struct {
		uint64_t size;
		unsigned wanted, cpus, threads;
	} cases[] = {
		{ 1024 * GIB, 0, 64, 16 },
		{ 1024 * GIB, 0, 12, 12 },
		{ 1024 * GIB, 1, 64, 1 },
		{ 1024 * GIB, 8, 64, 8 },
		{ 1024 * GIB, 64, 64, 16 },
		{ 1024 * GIB, 64, 2, 2 },
		{ 1024 * GIB, 64, 0, 1 },
		{ 1024 * GIB, 0, 0, 1 },
		{ 128 * MIB, 0, 64, 2 },
		{ 128 * MIB, 64, 64, 2 },
		{ 129 * MIB, 64, 64, 3 },
		{ 4 * KIB, 64, 64, 1 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		host.cpus = cases[i].cpus;
		assert_int_equal(
			populate_threads(cases[i].size, cases[i].wanted), cases[i].threads);
	}
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_each_byte_once),
		CASE(test_too_many_ranges),
		CASE(test_at_the_same_time),
		CASE(test_the_first_error_ends_it),
		CASE(test_told_to_end),
		CASE(test_pages_are_there),
		CASE(test_how_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
