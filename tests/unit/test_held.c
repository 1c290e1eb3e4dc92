/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_held.c - the kernel holds a vCPU in an access to a device, as it does while that is reset:
 * main goes on, and nothing is freed under the vCPU. Workers have threads, as in the product.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <linux/pci_regs.h>

#include <portcullis/q35.h>

#include "../../src/vfio/device.h"
#include "machine_rig.h"

#define SLOT_EJECT (0x800 + 8 * PCI_DEVFN(1, 0) + 3)

/* One vCPU and what it does. */
static struct held {
	struct machine_rig *rig;
	struct vcpu *vcpu;
	pthread_t thread;
	uint64_t addr; /* of the access */
	bool write;
	uint64_t data;
	_Atomic bool hold, inside;
} held;
static __thread bool on_vcpu;
static ssize_t (*real_pread)(struct vfio_device_io *, void *, size_t, uint64_t);

static ssize_t slow_pread(struct vfio_device_io *io, void *buf, size_t len, uint64_t at)
{
	if (!on_vcpu)
		return real_pread(io, buf, len, at);
	atomic_store(&held.inside, true);
	while (atomic_load(&held.hold))
		sched_yield();
	memset(buf, 0x5a, len);
	return (ssize_t)len;
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *v = held.vcpu;
	struct io_access access = {
		.size = held.write ? 1 : 2, .write = held.write, .data = 1, .request = &v->request
	};

	(void)opaque;
	on_vcpu = true;
	atomic_store(&v->state, VCPU_RUNNING);
	bus_dispatch(&held.rig->m->bus, &v->reader, BUS_MMIO, held.addr, &access);
	held.data = access.data;
	atomic_store(&v->state, VCPU_PARKED);
	return NULL;
}

static void *worker_main(void *opaque)
{
	loop_run(&((struct worker *)opaque)->loop);
	return NULL;
}

static void workers_start(struct machine *m)
{
	for (unsigned i = 0; i < m->n_workers; i++)
		assert_int_equal(
			pthread_create(&m->workers[i].thread, NULL, worker_main, &m->workers[i]),
			0);
}

static void workers_join(struct machine *m)
{
	for (unsigned i = 0; i < m->n_workers; i++) {
		loop_end(&m->workers[i].loop);
		pthread_join(m->workers[i].thread, NULL);
	}
}

/* A card with nothing mapped, as it is when the guest has not looked at it. */
static int setup(void **state)
{
	static struct vfio_device_io_ops ops;
	struct machine_rig *rig;
	struct rig_op add;
	struct device *d;

	(void)signal(SIGUSR1, SIG_IGN);
	rig_setup_acpi(state);
	rig = *state;
	memset(&held, 0, sizeof(held));
	held.rig = rig;
	held.vcpu = rig->vcpu;
	rig_add(rig, &add, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
	rig_settle(rig);
	assert_string_equal(add.err.text, "");
	d = device_find(rig->m, "d0");
	ops = *passthrough_card(d)->io->ops;
	real_pread = ops.pread;
	ops.pread = slow_pread;
	passthrough_card(d)->io->ops = &ops;
	held.addr =
		GPA_ECAM + ((uint64_t)rig->m->ports->root.function.config[PCI_SECONDARY_BUS] << 20);
	workers_start(rig->m);
	return 0;
}

static int teardown(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	if (device_find(rig->m, "d0"))
		rig_del(rig, &del, "d0", true);
	while (rig->m->devices)
		loop_step(&rig->m->loop, -1);
	workers_join(rig->m);
	for (unsigned i = 0; i < rig->m->n_workers; i++)
		rig->m->workers[i].loop.stop = false;
	return rig_teardown(state);
}

/* The vCPU reads a live register, and is held in it. */
static void hold(void)
{
	held.addr += PCI_STATUS;
	atomic_store(&held.hold, true);
	assert_int_equal(pthread_create(&held.thread, NULL, vcpu_main, NULL), 0);
	held.vcpu->thread = held.thread;
	while (!atomic_load(&held.inside))
		sched_yield();
}

static void let_go(void)
{
	atomic_store(&held.hold, false);
	pthread_join(held.thread, NULL);
	assert_int_not_equal(held.data, 0xffff); /* it was there to the last */
}

/* Main's part of another vCPU's write, which ejects the card. */
static void eject(struct machine *m)
{
	struct io_request request = { .done = 1 };
	struct io_access access = {
		.offset = SLOT_EJECT, .size = 1, .data = 1, .write = true, .request = &request
	};

	assert_int_equal(acpi_slots_access(&m->acpi_slots, &access), IO_DEFER);
	io_post(&request);
	while (!atomic_load(&request.done))
		loop_step(&m->loop, -1);
}

static void an_ejected_card_stays_until_the_vcpu_has_left_it(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;

	hold();
	eject(m); /* returns: main does not wait */
	for (unsigned i = 0; i < 50; i++)
		loop_step(&m->loop, 1);
	assert_non_null(device_find(m, "d0"));
	assert_int_equal(device_find(m, "d0")->life.stage, DEVICE_FENCED);
	let_go();
	while (device_find(m, "d0"))
		loop_step(&m->loop, -1);
}

static void done(struct machine_op *op, const struct err *err)
{
	assert_null(err);
	((struct rig_op *)op)->done = true;
}

static void stop_and_cont_go_on(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;
	struct rig_op stop = { .op.done = done };

	hold();
	machine_pause(m, &stop.op);
	assert_true(stop.done); /* nothing of the guest is executed */
	assert_int_equal(machine_runstate(m), RUNSTATE_PAUSED);
	assert_false(vcpus_parked(m));
	assert_int_equal(machine_run(m, NULL), 0);
	assert_int_equal(machine_runstate(m), RUNSTATE_RUNNING);
	let_go();
}

static void a_reset_waits_for_it_and_main_does_not(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;

	hold();
	machine_reset(m, SHUTDOWN_HOST_RESET);
	for (unsigned i = 0; i < 20; i++)
		loop_step(&m->loop, 1);
	assert_true(m->resetting);
	assert_false(device_find(m, "d0")->reset_job.running);
	let_go();
	while (m->resetting)
		loop_step(&m->loop, -1);
}

/* --- the end --- */

struct note {
	struct mail mail;
	struct machine *machine;
	struct loop_timer timer;
	enum device_stage stage; /* of the device, when the vCPU is let go */
};

static void on_abandon(struct mail *mail)
{
	machine_abandon(((struct note *)mail)->machine, "test");
}

static void on_let_go(void *opaque)
{
	struct note *note = opaque;

	note->stage = device_find(note->machine, "d0")->life.stage;
	atomic_store(&held.hold, false);
}

static void the_end_waits_for_it_while_main_serves_others(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;
	struct note note = { .timer = { .fn = on_let_go, .opaque = &note }, .machine = m };

	hold();
	loop_timer_set(&m->loop, &note.timer, 30);
	assert_true(machine_end(m));
	assert_int_equal(note.stage, DEVICE_PLUGGED);
	assert_int_equal(device_find(m, "d0")->life.stage, DEVICE_CLOSED);
	pthread_join(held.thread, NULL);
	device_free(m->devices);
}

static void the_end_can_be_ended(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;
	struct note note = { .mail.run = on_abandon, .machine = m };

	hold();
	loop_post(&m->loop, &note.mail);
	assert_false(machine_end(m));
	assert_int_equal(
		device_find(m, "d0")->life.stage, DEVICE_PLUGGED); /* not closed under it */
	let_go();
	m->abandoned = false;
	assert_true(machine_end(m));
	device_free(m->devices);
}

/* A vCPU that waits for main is finished with, though the loop was stopped before main saw it. */
static void the_end_completes_what_was_deferred(void **state)
{
	struct machine *m = ((struct machine_rig *)*state)->m;
	struct io_request *request = &held.vcpu->request;
	struct bus_region region = { .base = 0xf0000000,
		.size = 0x1000,
		.fn = acpi_slots_access,
		.opaque = &m->acpi_slots };

	assert_int_equal(bus_add(&m->bus, BUS_MMIO, &region), 0);
	bus_publish(&m->bus);
	held.addr = region.base + SLOT_EJECT;
	held.write = true;
	assert_int_equal(pthread_create(&held.thread, NULL, vcpu_main, NULL), 0);
	held.vcpu->thread = held.thread;
	while (atomic_load(&request->done))
		sched_yield();
	machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	assert_true(machine_end(m));
	pthread_join(held.thread, NULL);
	/* It came too late for the card, which is closed with all others. */
	assert_int_equal(device_find(m, "d0")->life.stage, DEVICE_CLOSED);
	device_free(m->devices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_ejected_card_stays_until_the_vcpu_has_left_it, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_and_cont_go_on, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_reset_waits_for_it_and_main_does_not, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_end_waits_for_it_while_main_serves_others, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_can_be_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_end_completes_what_was_deferred, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
