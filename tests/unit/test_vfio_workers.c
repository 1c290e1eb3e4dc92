/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_workers.c - workers that attach and map beside each other, and main reading meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <portcullis/err.h>
#include <portcullis/vfio_query.h>

#include "vfio_fixture.h"

#define DEV_A "0000:1a:00.0"
#define DEV_C "0000:1b:00.0"
#define DEV_B "0000:1c:00.0"
#define GIB (1ull << 30)

static struct vfio_fixture vfio;

static int setup(void **state)
{
	static const struct fixture_card cards[] = {
		{ DEV_A, 12, false },
		{ DEV_C, 13, false },
		{ DEV_B, 14, false },
	};
	static const uint64_t segments[][2] = { { 0, 3 * GIB } };

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 3, NULL);
	vfio_fixture_ram(&vfio, GIB, segments, 1);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	return 0;
}

static void count_mapping(const struct vfio_mapping *mapping, void *opaque)
{
	unsigned *count = opaque;

	(void)mapping;
	(*count)++;
}

struct reader {
	atomic_bool stop;
	atomic_uint rounds;
	uint64_t most;
};

static void ignore(const struct vfio_mapping *mapping, void *opaque)
{
	uint64_t *sum = opaque;

	*sum += mapping->size;
}

static void *read_all(void *opaque)
{
	struct reader *reader = opaque;

	while (!atomic_load(&reader->stop)) {
		uint64_t bytes = vfio_fixture_mapped_bytes(vfio.context), sum = 0;

		vfio_context_mappings(vfio.context, ignore, &sum);
		if (bytes > reader->most)
			reader->most = bytes;
		atomic_fetch_add(&reader->rounds, 1);
	}
	return NULL;
}

struct plugger {
	const char *bdf;
	struct err err;
	int ret;
};

static void *plug_cycles(void *opaque)
{
	struct plugger *plugger = opaque;

	role_enter_worker();
	for (int i = 0; i < 200 && plugger->ret == 0; i++) {
		struct dma_limits constraints;
		struct vfio_attachment *a = NULL;

		plugger->ret = vfio_fixture_attach(&vfio, plugger->bdf, &a, &plugger->err);
		if (plugger->ret == 0)
			plugger->ret = vfio_attachment_map_ram(a, &plugger->err);
		if (a)
			vfio_attachment_dma_limits(a, &constraints);
		vfio_detach(a);
	}
	return NULL;
}

/* main reads while two workers plug and unplug; TSan watches. */
static void test_threads(void **state)
{
	struct plugger plugger[2] = { { .bdf = DEV_A }, { .bdf = DEV_C } };
	struct reader reader = { 0 };
	pthread_t threads[3];

	(void)state;
	assert_int_equal(pthread_create(&threads[2], NULL, read_all, &reader), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, plug_cycles, &plugger[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	while (!atomic_load(&reader.rounds))
		;
	atomic_store(&reader.stop, true);
	pthread_join(threads[2], NULL);
	assert_int_equal(plugger[0].ret, 0);
	assert_int_equal(plugger[1].ret, 0);
	/* Both groups fit one container, so RAM is never mapped twice. */
	assert_true(reader.most <= vfio.ram.layout.size);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

/* A device whose guest moves its BAR without end, and has it taken away now and then. */
static void *move_cycles(void *opaque)
{
	struct plugger *plugger = opaque;
	struct pci_area area = { .size = GIB, .hva = (void *)0x7000000000 };

	role_enter_worker();
	for (uint64_t i = 0; i < 40 && plugger->ret == 0; i++) {
		struct vfio_attachment *a = NULL;

		plugger->ret = vfio_fixture_attach(&vfio, plugger->bdf, &a, &plugger->err);
		if (plugger->ret == 0)
			plugger->ret = vfio_attachment_map_ram(a, &plugger->err);
		for (uint64_t k = 0; a && k < 20; k++) {
			/* Where the other one is, half of the time. */
			(void)vfio_attachment_p2p_set(
				a, 0, (16 + (i + k) % 2) * GIB, &area, k % 5 != 4);
			(void)vfio_attachment_p2p_map(a);
		}
		if (a && i % 2)
			vfio_attachment_p2p_unmap(a);
		vfio_detach(a);
	}
	return NULL;
}

/* Three workers, each with its own device, and main that reads; no mapping is left over. */
static void test_peers(void **state)
{
	struct plugger plugger[3] = { { .bdf = DEV_A }, { .bdf = DEV_B }, { .bdf = DEV_C } };
	struct reader reader = { 0 };
	pthread_t threads[4];

	(void)state;
	assert_int_equal(pthread_create(&threads[3], NULL, read_all, &reader), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, move_cycles, &plugger[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&reader.stop, true);
	pthread_join(threads[3], NULL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(plugger[i].ret, 0);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 0);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

static pthread_mutex_t map_gate = PTHREAD_MUTEX_INITIALIZER;
static void wait_at_gate(struct fake_vfio_host *host)
{
	if (host->maps == 1) {
		pthread_mutex_lock(&map_gate);
		pthread_mutex_unlock(&map_gate);
	}
}

static void *map_slowly(void *opaque)
{
	struct plugger *plugger = opaque;
	struct vfio_attachment *a = NULL;

	role_enter_worker();
	plugger->ret = vfio_fixture_attach(&vfio, plugger->bdf, &a, &plugger->err);
	if (plugger->ret == 0)
		plugger->ret = vfio_attachment_map_ram(a, &plugger->err);
	vfio_detach(a);
	return NULL;
}

/* While a worker is stuck inside a map ioctl, main still gets its figures. */
static void test_main_never_waits(void **state)
{
	struct plugger plugger = { .bdf = DEV_A };
	unsigned seen = 0;
	pthread_t thread;

	(void)state;
	vfio.fake.on_map = wait_at_gate;
	pthread_mutex_lock(&map_gate);
	assert_int_equal(pthread_create(&thread, NULL, map_slowly, &plugger), 0);
	/* The second piece is entered before it is mapped. */
	while (seen < 2) {
		seen = 0;
		vfio_context_mappings(vfio.context, count_mapping, &seen);
	}
	pthread_mutex_unlock(&map_gate);
	pthread_join(thread, NULL);
	assert_int_equal(plugger.ret, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, vfio_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_threads),
		CASE(test_peers),
		CASE(test_main_never_waits),
	};

	return cmocka_run_group_tests_name("vfio_workers", tests, NULL, NULL);
}
