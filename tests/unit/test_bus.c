/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bus.c - the address maps: regions, gaps, splitting, deferring; compared with a naive model.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/bus.h>

#include "../../src/bus/snapshot.h"

/* A device that remembers the last access and answers offset-dependent bytes. */
struct device {
	unsigned calls;
	struct io_access last;
	uint64_t tag;
};

static enum io_status answer(void *opaque, struct io_access *access)
{
	struct device *device = opaque;

	device->calls++;
	device->last = *access;
	if (!access->write) {
		access->data = 0;
		for (unsigned i = 0; i < access->size; i++)
			access->data |= ((device->tag + access->offset + i) & 0xff) << (8 * i);
		/* Rubbish above the size must not reach the guest. */
		if (access->size < 8)
			access->data |= ~0ull << (8 * access->size);
	}
	return IO_DONE;
}

static struct bus_region region(uint64_t base, uint64_t size, struct device *device)
{
	return (struct bus_region){
		.base = base, .size = size, .fn = answer, .opaque = device, .name = "test"
	};
}

static int add(struct bus *bus, uint64_t base, uint64_t size, struct device *device)
{
	struct bus_region r = region(base, size, device);

	return bus_add(bus, BUS_MMIO, &r);
}

static struct io_access mmio(struct bus *bus, struct bus_reader *reader, uint64_t addr,
	uint8_t size, bool write, uint64_t data)
{
	struct io_access access = { .size = size, .write = write, .data = data };

	bus_dispatch(bus, reader, BUS_MMIO, addr, &access);
	return access;
}

static void test_add_refuses_overlap_and_nonsense(void **state)
{
	struct device d = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(add(&bus, 0x1000, 0x1000, &d), 0);
	assert_int_equal(add(&bus, 0x1fff, 1, &d), -EBUSY);
	assert_int_equal(add(&bus, 0xfff, 2, &d), -EBUSY);
	assert_int_equal(add(&bus, 0, 0x10000, &d), -EBUSY);
	assert_int_equal(add(&bus, 0x1000, 0x1000, &d), -EBUSY);
	assert_int_equal(add(&bus, 0x2000, 1, &d), 0);
	assert_int_equal(add(&bus, 0xfff, 1, &d), 0);
	assert_int_equal(add(&bus, 0x5000, 0, &d), -EINVAL);
	assert_int_equal(add(&bus, UINT64_MAX, 2, &d), -EINVAL);
	/* The very last byte is an address like any other. */
	assert_int_equal(add(&bus, UINT64_MAX, 1, &d), 0);
	assert_int_equal(bus_del(&bus, BUS_MMIO, 0x1001), -ENOENT);
	assert_int_equal(bus_del(&bus, BUS_PIO, 0x1000), -ENOENT);
	assert_int_equal(bus_del(&bus, BUS_MMIO, 0x1000), 0);
	assert_int_equal(bus_del(&bus, BUS_MMIO, 0x1000), -ENOENT);
	assert_int_equal(add(&bus, 0x1800, 0x100, &d), 0);
	bus_release(&bus);
}

static void test_changes_are_seen_after_publish(void **state)
{
	struct device d = { .tag = 0x10 };
	struct bus_reader reader = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(bus_add_reader(&bus, &reader), 0);
	assert_int_equal(add(&bus, 0x1000, 0x10, &d), 0);
	assert_int_equal(mmio(&bus, &reader, 0x1004, 1, false, 0).data, 0xff);
	bus_publish(&bus);
	assert_int_equal(mmio(&bus, &reader, 0x1004, 1, false, 0).data, 0x14);
	assert_int_equal(bus_del(&bus, BUS_MMIO, 0x1000), 0);
	assert_int_equal(mmio(&bus, &reader, 0x1004, 1, false, 0).data, 0x14);
	bus_publish(&bus);
	assert_int_equal(mmio(&bus, &reader, 0x1004, 1, false, 0).data, 0xff);
	assert_int_equal(atomic_load(&reader.inside), 0);
	bus_release(&bus);
}

static void test_gap_reads_ones_of_its_size(void **state)
{
	struct device d = { 0 };
	struct bus_reader reader = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(mmio(&bus, &reader, 0x1234, 1, false, 5).data, 0xff);
	assert_int_equal(mmio(&bus, &reader, 0x1234, 2, false, 5).data, 0xffff);
	assert_int_equal(mmio(&bus, &reader, 0x1234, 4, false, 5).data, 0xffffffff);
	assert_true(mmio(&bus, &reader, 0x1234, 8, false, 5).data == UINT64_MAX);
	assert_int_equal(mmio(&bus, &reader, 0x1234, 3, false, 5).data, 0xffffff);
	/* No such size: not a crash. */
	assert_int_equal(add(&bus, 0x5000, 64, &d), 0);
	bus_publish(&bus);
	assert_true(mmio(&bus, &reader, 0x5000, 16, false, 5).data == UINT64_MAX);
	assert_true(mmio(&bus, &reader, 0x5000, 0, false, 5).data == UINT64_MAX);
	assert_int_equal(d.calls, 0);
	(void)mmio(&bus, &reader, UINT64_MAX, 8, false, 5);
	bus_release(&bus);
}

static void test_whole_access_reaches_the_device_once(void **state)
{
	struct device d = { .tag = 0x20 };
	struct bus_reader reader = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(add(&bus, 0x1000, 0x10, &d), 0);
	bus_publish(&bus);
	assert_int_equal(mmio(&bus, &reader, 0x100c, 4, false, 0).data, 0x2f2e2d2c);
	assert_int_equal(d.calls, 1);
	assert_int_equal(d.last.offset, 0xc);
	(void)mmio(&bus, &reader, 0x1001, 2, true, 0xbeef);
	assert_int_equal(d.calls, 2);
	assert_int_equal(d.last.data, 0xbeef);
	assert_int_equal(d.last.size, 2);
	/* Odd sizes come in bytes. */
	assert_int_equal(mmio(&bus, &reader, 0x1000, 3, false, 0).data, 0x222120);
	assert_int_equal(d.calls, 5);
	bus_release(&bus);
}

static void test_straddling_access_is_split(void **state)
{
	struct device low = { .tag = 0x10 }, high = { .tag = 0x80 };
	struct bus_reader reader = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(add(&bus, 0x1000, 2, &low), 0);
	assert_int_equal(add(&bus, 0x1003, 2, &high), 0);
	bus_publish(&bus);
	/* low 1, gap, high 0, high 1 */
	assert_int_equal(mmio(&bus, &reader, 0x1001, 4, false, 0).data, 0x8180ff11);
	assert_int_equal(mmio(&bus, &reader, 0xfff, 2, false, 0).data, 0x10ff);
	(void)mmio(&bus, &reader, 0x1001, 4, true, 0x44332211);
	assert_int_equal(low.last.data, 0x11);
	assert_int_equal(low.last.size, 1);
	assert_int_equal(high.last.data, 0x44);
	assert_int_equal(high.last.offset, 1);
	bus_release(&bus);
}

static void test_spaces_are_apart(void **state)
{
	struct device d = { .tag = 0x40 };
	struct bus_reader reader = { 0 };
	struct bus_region r = region(0x60, 4, &d);
	struct io_access access = { .size = 1 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(bus_add(&bus, BUS_PIO, &r), 0);
	bus_publish(&bus);
	assert_int_equal(mmio(&bus, &reader, 0x60, 1, false, 0).data, 0xff);
	bus_dispatch(&bus, &reader, BUS_PIO, 0x61, &access);
	assert_int_equal(access.data, 0x41);
	bus_release(&bus);
}

/* --- deferring --- */

struct owner {
	struct loop loop;
	pthread_t thread;
	struct bus_reader *reader;
	bool was_outside;
	unsigned finished;
};

static void finish(struct io_request *request)
{
	struct owner *owner = request->opaque;

	/* The vCPU leaves the map without waiting for us: a grace period can never hang on it. */
	while (atomic_load(&owner->reader->inside))
		;
	owner->was_outside = true;
	owner->finished++;
	request->data = request->write ? 0 : 0x1122334455667788 + request->arg;
	io_complete(request);
}

static enum io_status deferring(void *opaque, struct io_access *access)
{
	struct owner *owner = opaque;

	return io_defer(access, &owner->loop, finish, owner, 1);
}

static void *owner_thread(void *opaque)
{
	struct owner *owner = opaque;

	loop_run(&owner->loop);
	return NULL;
}

static void stop_loop(struct mail *mail);
struct stop {
	struct mail mail;
	struct loop *loop;
};
static void stop_loop(struct mail *mail)
{
	((struct stop *)mail)->loop->stop = true;
}

static void test_deferred_access_is_finished_outside_the_map(void **state)
{
	struct owner owner = { .was_outside = false };
	struct bus_reader reader = { 0 };
	struct io_request request = { .done = 1 };
	struct bus_region r = { .base = 0x1000, .size = 8, .fn = deferring, .opaque = &owner };
	struct io_access access = { .size = 4, .request = &request };
	struct stop stop = { .mail.run = stop_loop, .loop = &owner.loop };
	struct bus bus;

	(void)state;
	assert_int_equal(loop_init(&owner.loop), 0);
	owner.reader = &reader;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(bus_add_reader(&bus, &reader), 0);
	assert_int_equal(bus_add(&bus, BUS_MMIO, &r), 0);
	bus_publish(&bus);
	assert_int_equal(pthread_create(&owner.thread, NULL, owner_thread, &owner), 0);
	bus_dispatch(&bus, &reader, BUS_MMIO, 0x1000, &access);
	assert_int_equal(access.data, 0x55667789); /* masked to four bytes */
	assert_int_equal(atomic_load(&request.done), 1);
	/* Straddling the end of the region: each byte is deferred by itself. */
	access = (struct io_access){ .size = 2, .request = &request };
	bus_dispatch(&bus, &reader, BUS_MMIO, 0x1007, &access);
	assert_int_equal(access.data, 0xff89);
	loop_post(&owner.loop, &stop.mail);
	pthread_join(owner.thread, NULL);
	assert_true(owner.was_outside);
	assert_int_equal(owner.finished, 2);
	bus_release(&bus);
	loop_release(&owner.loop);
}

static void test_without_a_request_it_is_finished_at_once(void **state)
{
	struct bus_reader reader = { 0 };
	struct owner owner = { .reader = &reader };
	struct io_access access = { .size = 8 };

	(void)state;
	assert_int_equal(deferring(&owner, &access), IO_DONE);
	assert_true(access.data == 0x1122334455667789);
	assert_int_equal(owner.finished, 1);
}

/* --- against a model --- */

#define MODEL 512
#define ROUNDS 20000

static void check_model(const struct bus *bus, void *const *model)
{
	const struct bus_snapshot *snapshot =
		bus->slots[bus_slot_of(atomic_load(&bus->current))].snapshot;

	for (uint64_t at = 0; at < MODEL; at++) {
		const struct bus_region *r = bus_lookup(snapshot, BUS_MMIO, at);
		size_t n = 0;

		assert_ptr_equal(r ? r->opaque : NULL, model[at]);
		for (uint64_t i = at; i < MODEL && i < at + 16; i++)
			n += model[i] && (i == at || model[i] != model[i - 1]);
		assert_int_equal(bus_count(bus, BUS_MMIO, at, 16), n);
	}
}

/* One random step; -1 stands for any refusal. */
static void model_step(struct bus *bus, void **model, uintptr_t id)
{
	uint64_t base = (uint64_t)rand() % MODEL, size = (uint64_t)rand() % 12;
	bool fits = size > 0, starts;

	if (rand() % 3) {
		for (uint64_t i = 0; i < size; i++)
			fits &= base + i >= MODEL || !model[base + i];
		if (base + size > MODEL)
			return;
		assert_int_equal(add(bus, base, size, (struct device *)id) == 0, fits);
		for (uint64_t i = 0; fits && i < size; i++)
			model[base + i] = (void *)id;
		return;
	}
	starts = model[base] && (base == 0 || model[base - 1] != model[base]);
	assert_int_equal(bus_del(bus, BUS_MMIO, base) == 0, starts);
	for (void *id_of = model[base]; starts && base < MODEL && model[base] == id_of; base++)
		model[base] = NULL;
}

static void test_random_edits_agree_with_a_naive_model(void **state)
{
	static void *model[MODEL];
	struct bus bus;

	(void)state;
	srand(1);
	memset(model, 0, sizeof(model));
	assert_int_equal(bus_init(&bus), 0);
	for (uintptr_t i = 1; i <= ROUNDS; i++) {
		model_step(&bus, model, i);
		if (i % 37)
			continue;
		bus_publish(&bus);
		check_model(&bus, (void *const *)model);
	}
	bus_release(&bus);
}

/* Memory for publishing is there as soon as a region is: many, in both spaces, and down again. */
static void test_publish_has_room_for_what_was_added(void **state)
{
	struct device d = { 0 };
	struct bus_reader reader = { 0 };
	struct bus bus;

	(void)state;
	assert_int_equal(bus_init(&bus), 0);
	assert_int_equal(bus_reserve(&bus, SIZE_MAX), -ENOMEM);
	assert_int_equal(bus_reserve(&bus, 100), 0);
	assert_true(bus.room >= 100);
	for (uint64_t i = 0; i < 1000; i++) {
		struct bus_region r = region(i * 2, 1, &d);

		assert_int_equal(add(&bus, i * 16, 8, &d), 0);
		assert_int_equal(bus_add(&bus, BUS_PIO, &r), 0);
		if (i % 7 == 0)
			bus_publish(&bus);
		for (unsigned k = 0; k < bus.n_slots; k++) {
			const struct bus_slot *slot = &bus.slots[k];

			assert_true((slot->larger ? slot->larger : slot->snapshot)->room >= i + 1);
		}
	}
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(bus_del(&bus, BUS_MMIO, i * 16), 0);
		bus_publish(&bus);
		assert_int_equal(mmio(&bus, &reader, i * 16, 1, false, 0).data, 0xff);
		if (i < 999)
			assert_int_equal(mmio(&bus, &reader, i * 16 + 16, 1, false, 0).data, 0);
	}
	bus_release(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_refuses_overlap_and_nonsense),
		cmocka_unit_test(test_changes_are_seen_after_publish),
		cmocka_unit_test(test_gap_reads_ones_of_its_size),
		cmocka_unit_test(test_whole_access_reaches_the_device_once),
		cmocka_unit_test(test_straddling_access_is_split),
		cmocka_unit_test(test_spaces_are_apart),
		cmocka_unit_test(test_deferred_access_is_finished_outside_the_map),
		cmocka_unit_test(test_without_a_request_it_is_finished_at_once),
		cmocka_unit_test(test_random_edits_agree_with_a_naive_model),
		cmocka_unit_test(test_publish_has_room_for_what_was_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
