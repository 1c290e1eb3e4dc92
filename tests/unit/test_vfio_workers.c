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
#include <string.h>

#include <cmocka.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>
#include <portcullis/vfio_query.h>

#include "../../src/vfio/context.h"
#include "fake_vfio_host.h"

#define DEV_A "0000:1a:00.0"
#define DEV_C "0000:1b:00.0"
#define DEV_B "0000:1c:00.0"
#define GIB (1ull << 30)

static struct fake_vfio_host fake; /* too large for the stack */
static struct vfio_context *context;
static struct ram ram;

static int setup(void **state)
{
	struct vfio_env env;

	(void)state;
	role_enter_worker();
	assert_int_equal(sys_fd_limit(), 0);
	fake_vfio_host_init(&fake);
	fake_vfio_device(&fake, DEV_A, 12, "vfio-pci");
	fake_vfio_device(&fake, DEV_C, 13, "vfio-pci");
	fake_vfio_device(&fake, DEV_B, 14, "vfio-pci");
	env = fake_vfio_env(&fake);
	assert_int_equal(vfio_context_new(&context, &env), 0);
	memset(&ram, 0, sizeof(ram));
	ram.page_size = GIB; /* what it is pinned in pieces of */
	ram.layout.count = 1;
	ram.layout.segment[0] =
		(struct ram_segment){ .size = 3 * GIB, .hva = (uint8_t *)0x100000000000 };
	ram.layout.size = 3 * GIB;
	vfio_context_set_ram(context, &ram);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vfio_context_free(context);
	assert_string_equal(fake.violation, "");
	assert_true(fake_vfio_idle(&fake));
	fake_vfio_host_release(&fake);
	return 0;
}

static int attach_to(const char *bdf, struct vfio_attachment **out, struct err *e)
{
	struct vfio_pci_options options = { .addr = -1 };

	role_enter_worker();
	if (parse_bdf(bdf, &options.host) < 0)
		return -EINVAL;
	options.host.set = true;
	return vfio_attach(context, &options, out, e);
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
		uint64_t bytes = vfio_context_mapped_bytes(context), sum = 0;

		vfio_context_mappings(context, ignore, &sum);
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
		struct vfio_constraints constraints;
		struct vfio_attachment *a = NULL;

		plugger->ret = attach_to(plugger->bdf, &a, &plugger->err);
		if (plugger->ret == 0)
			plugger->ret = vfio_attachment_map_ram(a, &plugger->err);
		if (a)
			vfio_attachment_constraints(a, &constraints);
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
	assert_true(reader.most <= ram.layout.size);
	assert_int_equal(vfio_context_mapped_bytes(context), 0);
}

/* A device whose guest moves its BAR without end, and has it taken away now and then. */
static void *move_cycles(void *opaque)
{
	struct plugger *plugger = opaque;
	struct vfio_area area = { .size = GIB, .hva = (void *)0x7000000000 };

	role_enter_worker();
	for (uint64_t i = 0; i < 40 && plugger->ret == 0; i++) {
		struct vfio_attachment *a = NULL;

		plugger->ret = attach_to(plugger->bdf, &a, &plugger->err);
		if (plugger->ret == 0)
			plugger->ret = vfio_attachment_map_ram(a, &plugger->err);
		for (uint64_t k = 0; a && k < 20; k++) {
			/* Where the other one is, half of the time. */
			(void)vfio_attachment_show_bar(
				a, 0, (16 + (i + k) % 2) * GIB, &area, k % 5 != 4);
			(void)vfio_attachment_step(a);
		}
		if (a && i % 2)
			vfio_attachment_hide_bars(a);
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
	assert_int_equal(fake_vfio_total_maps(&fake), 0);
	assert_int_equal(vfio_context_mapped_bytes(context), 0);
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
	plugger->ret = attach_to(plugger->bdf, &a, &plugger->err);
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
	fake.on_map = wait_at_gate;
	pthread_mutex_lock(&map_gate);
	assert_int_equal(pthread_create(&thread, NULL, map_slowly, &plugger), 0);
	while (vfio_context_mapped_bytes(context) < GIB)
		;
	/* The second piece is entered before it is mapped. */
	while (seen < 2) {
		seen = 0;
		vfio_context_mappings(context, count_mapping, &seen);
	}
	assert_int_equal(vfio_context_mapped_bytes(context), GIB);
	pthread_mutex_unlock(&map_gate);
	pthread_join(thread, NULL);
	assert_int_equal(plugger.ret, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_main_never_waits, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfio_workers", tests, NULL, NULL);
}
