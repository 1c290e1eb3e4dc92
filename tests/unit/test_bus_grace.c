/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_bus_grace.c - grace periods under load: readers hammer the map while regions come and go,
 * and what was removed is freed the moment its grace period is over. TSan and ASan are the judges.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/bus.h>

#define READERS 4
#define ROUNDS 3000
#define REGIONS 8
#define ALIVE 0xa11feu

struct device {
	_Atomic unsigned bad;
	unsigned magic; /* plain: freed memory or a race shows here */
};

struct run {
	struct bus bus;
	struct loop loop;
	_Atomic bool stop;
	_Atomic unsigned bad;
	_Atomic unsigned long accesses;
};

struct vcpu {
	struct run *run;
	struct bus_reader reader;
	struct io_request request;
	pthread_t thread;
	unsigned seed;
};

static enum io_status access_device(void *opaque, struct io_access *access)
{
	struct device *device = opaque;

	access->data = device->magic;
	return IO_DONE;
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *v = opaque;

	while (!atomic_load(&v->run->stop)) {
		struct io_access access = { .size = 4, .request = &v->request };
		uint64_t addr = (uint64_t)(rand_r(&v->seed) % (REGIONS * 2)) * 0x1000;

		bus_dispatch(&v->run->bus, &v->reader, BUS_MMIO, addr, &access);
		if (access.data != ALIVE && access.data != UINT32_MAX)
			atomic_fetch_add(&v->run->bad, 1);
		atomic_fetch_add(&v->run->accesses, 1);
	}
	return NULL;
}

static void start(struct run *run, struct vcpu *v)
{
	for (unsigned i = 0; i < READERS; i++) {
		v[i] = (struct vcpu){ .run = run, .seed = i, .request = { .done = 1 } };
		assert_int_equal(bus_add_reader(&run->bus, &v[i].reader), 0);
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&v[i].thread, NULL, vcpu_main, &v[i]), 0);
}

static void stop(struct run *run, struct vcpu *v)
{
	atomic_store(&run->stop, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(v[i].thread, NULL);
}

static struct device *device_new(void)
{
	struct device *device = calloc(1, sizeof(*device));

	assert_non_null(device);
	device->magic = ALIVE;
	return device;
}

static void grace_wait(struct bus *bus)
{
	uint64_t grace = bus_grace(bus);

	while (!bus_grace_over(bus, grace))
		sched_yield();
}

static void toggle(struct bus *bus, struct device **device, unsigned slot)
{
	uint64_t base = (uint64_t)slot * 0x2000;
	struct device *old = *device;

	if (!old) {
		struct bus_region r = {
			.base = base, .size = 0x1000, .fn = access_device, .opaque = device_new()
		};

		assert_int_equal(bus_add(bus, BUS_MMIO, &r), 0);
		bus_publish(bus);
		*device = r.opaque;
		return;
	}
	assert_int_equal(bus_del(bus, BUS_MMIO, base), 0);
	grace_wait(bus);
	old->magic = 0xdead;
	free(old);
	*device = NULL;
}

static void test_removed_devices_are_not_used(void **state)
{
	static struct run run;
	static struct vcpu v[READERS];
	struct device *devices[REGIONS] = { 0 };

	(void)state;
	memset(&run, 0, sizeof(run));
	assert_int_equal(bus_init(&run.bus), 0);
	srand(7);
	start(&run, v);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned slot = (unsigned)rand() % REGIONS;

		toggle(&run.bus, &devices[slot], slot);
	}
	/* On a busy machine the readers may not have had their turn yet. */
	while (atomic_load(&run.accesses) < 1000)
		sched_yield();
	stop(&run, v);
	assert_int_equal(atomic_load(&run.bad), 0);
	for (unsigned i = 0; i < REGIONS; i++)
		free(devices[i]);
	bus_release(&run.bus);
}

/* --- a reader that is inside holds a grace period up, and nobody else --- */

struct gate {
	_Atomic bool inside, open;
	struct bus bus;
	struct bus_reader reader, other;
	uint64_t seen; /* of the region that answered */
};

static enum io_status linger(void *opaque, struct io_access *access)
{
	struct gate *gate = opaque;

	atomic_store(&gate->inside, true);
	while (!atomic_load(&gate->open))
		sched_yield();
	access->data = 1;
	return IO_DONE;
}

static void *linger_main(void *opaque)
{
	struct gate *gate = opaque;
	struct io_access access = { .size = 1 };

	bus_dispatch(&gate->bus, &gate->reader, BUS_MMIO, 0, &access);
	gate->seen = access.data;
	return NULL;
}

static enum io_status answer(void *opaque, struct io_access *access)
{
	access->data = *(const unsigned *)opaque;
	return IO_DONE;
}

static void gate_init(struct gate *gate, io_fn fn, void *opaque)
{
	struct bus_region r = { .base = 0, .size = 1, .fn = fn, .opaque = opaque };

	memset(gate, 0, sizeof(*gate));
	assert_int_equal(bus_init(&gate->bus), 0);
	assert_int_equal(bus_add_reader(&gate->bus, &gate->reader), 0);
	assert_int_equal(bus_add_reader(&gate->bus, &gate->other), 0);
	assert_int_equal(bus_add(&gate->bus, BUS_MMIO, &r), 0);
	bus_publish(&gate->bus);
}

static void test_grace_lasts_until_who_is_inside_has_left(void **state)
{
	static struct gate gate;
	uint64_t before, grace;
	pthread_t reader;

	(void)state;
	gate_init(&gate, linger, &gate);
	before = bus_grace(&gate.bus);
	assert_true(bus_grace_over(&gate.bus, before));
	assert_int_equal(pthread_create(&reader, NULL, linger_main, &gate), 0);
	while (!atomic_load(&gate.inside))
		sched_yield();
	/* It came after that one began. */
	assert_true(bus_grace_over(&gate.bus, before));
	/* Nothing was changed: what was removed may not have been on the map itself. */
	grace = bus_grace(&gate.bus);
	assert_false(bus_grace_over(&gate.bus, grace));
	assert_true(bus_grace_over(&gate.bus, 0));
	atomic_store(&gate.open, true);
	pthread_join(reader, NULL);
	assert_true(bus_grace_over(&gate.bus, grace));
	bus_release(&gate.bus);
}

/* The kernel holds one vCPU: main goes on changing the map, another vCPU goes on using it. */
static void test_publishing_goes_on_while_a_reader_is_held(void **state)
{
	static struct gate gate;
	unsigned value[2] = { 7, 8 };
	pthread_t reader;

	(void)state;
	gate_init(&gate, linger, &gate);
	assert_int_equal(pthread_create(&reader, NULL, linger_main, &gate), 0);
	while (!atomic_load(&gate.inside))
		sched_yield();
	for (unsigned i = 0; i < 1000; i++) {
		struct bus_region r = {
			.base = 0, .size = 1, .fn = answer, .opaque = &value[i & 1]
		};
		struct io_access access = { .size = 1 };

		assert_int_equal(bus_del(&gate.bus, BUS_MMIO, 0), 0);
		assert_int_equal(bus_add(&gate.bus, BUS_MMIO, &r), 0);
		if (i == 500) /* also larger ones */
			assert_int_equal(bus_reserve(&gate.bus, 4 * gate.bus.room), 0);
		bus_publish(&gate.bus);
		bus_dispatch(&gate.bus, &gate.other, BUS_MMIO, 0, &access);
		assert_int_equal(access.data, value[i & 1]);
	}
	atomic_store(&gate.open, true);
	pthread_join(reader, NULL);
	assert_int_equal(gate.seen, 1);
	bus_release(&gate.bus);
}

/* --- a deferred access is in its owner's mailbox before the reader is out --- */

struct locked_owner {
	struct gate gate;
	struct loop loop;
	struct io_request request;
};

static void finish_locked(struct io_request *request)
{
	io_complete(request);
}

static enum io_status post_to_locked(void *opaque, struct io_access *access)
{
	struct locked_owner *owner = opaque;

	atomic_store(&owner->gate.inside, true);
	return io_defer(access, &owner->loop, finish_locked, NULL, 0);
}

static void *post_main(void *opaque)
{
	struct locked_owner *owner = opaque;
	struct io_access access = { .size = 1, .write = true, .request = &owner->request };

	bus_dispatch(&owner->gate.bus, &owner->gate.reader, BUS_MMIO, 0, &access);
	return NULL;
}

/* The owner's mailbox is locked, so the reader cannot post: it is inside until it has. */
static void test_grace_lasts_until_the_post(void **state)
{
	static struct locked_owner owner;
	pthread_t reader;
	uint64_t grace;

	(void)state;
	memset(&owner, 0, sizeof(owner));
	assert_int_equal(loop_init(&owner.loop), 0);
	gate_init(&owner.gate, post_to_locked, &owner);
	pthread_mutex_lock(&owner.loop.lock);
	assert_int_equal(pthread_create(&reader, NULL, post_main, &owner), 0);
	while (!atomic_load(&owner.gate.inside))
		sched_yield();
	grace = bus_grace(&owner.gate.bus);
	/* Time for a reader that leaves too soon to show itself. */
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	assert_false(bus_grace_over(&owner.gate.bus, grace));
	pthread_mutex_unlock(&owner.loop.lock);
	while (!bus_grace_over(&owner.gate.bus, grace))
		sched_yield();
	assert_int_equal(owner.loop.count, 1);
	loop_step(&owner.loop, -1);
	pthread_join(reader, NULL);
	bus_release(&owner.gate.bus);
	loop_release(&owner.loop);
}

/* --- deferred accesses to objects that are removed --- */

struct object {
	struct run *run;
	unsigned magic;
	struct mail bury;
};

static void finish(struct io_request *request)
{
	struct object *object = request->opaque;

	if (object->magic != ALIVE)
		atomic_fetch_add(&object->run->bad, 1);
	request->data = ALIVE;
	io_complete(request);
}

static enum io_status defer(void *opaque, struct io_access *access)
{
	struct object *object = opaque;

	return io_defer(access, &object->run->loop, finish, object, 0);
}

static void bury(struct mail *mail)
{
	struct object *object = container_of(mail, struct object, bury);

	object->magic = 0xdead;
	free(object);
}

/* The rule of bus.h: a grace period, then free by mail to the owner of the requests. */
static void test_requests_come_before_the_funeral(void **state)
{
	static struct run run;
	static struct vcpu v[READERS];

	(void)state;
	memset(&run, 0, sizeof(run));
	assert_int_equal(loop_init(&run.loop), 0);
	assert_int_equal(bus_init(&run.bus), 0);
	start(&run, v);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct object *object = calloc(1, sizeof(*object));
		struct bus_region r = { .base = 0, .size = 0x10000, .fn = defer };

		assert_non_null(object);
		object->run = &run;
		object->magic = ALIVE;
		object->bury.run = bury;
		r.opaque = object;
		assert_int_equal(bus_add(&run.bus, BUS_MMIO, &r), 0);
		bus_publish(&run.bus);
		loop_step(&run.loop, i % 8 ? 0 : 1);
		assert_int_equal(bus_del(&run.bus, BUS_MMIO, 0), 0);
		grace_wait(&run.bus);
		loop_post(&run.loop, &object->bury);
	}
	atomic_store(&run.stop, true);
	loop_step(&run.loop, 0);
	for (unsigned i = 0; i < READERS; i++) {
		/* Whoever was deferred last still waits for us. */
		while (pthread_tryjoin_np(v[i].thread, NULL))
			loop_step(&run.loop, 1);
	}
	loop_step(&run.loop, 0);
	assert_int_equal(atomic_load(&run.bad), 0);
	bus_release(&run.bus);
	loop_release(&run.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removed_devices_are_not_used),
		cmocka_unit_test(test_grace_lasts_until_who_is_inside_has_left),
		cmocka_unit_test(test_publishing_goes_on_while_a_reader_is_held),
		cmocka_unit_test(test_grace_lasts_until_the_post),
		cmocka_unit_test(test_requests_come_before_the_funeral),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
