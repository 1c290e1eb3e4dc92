/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory_failure_load.c - uncorrectable errors while the guest is loaded, or starts anew. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "memory_failure_fixture.h"

static bool then_called;
static struct err then_err;

static void then(struct machine *m, const struct err *err)
{
	(void)m;
	then_called = true;
	then_err = err ? *err : (struct err){ 0 };
}

static void replaced_at_a_reset(void **state)
{
	struct machine_rig *rig = *state;

	memset(hva(BAD_GPA), 0x77, PAGE);
	start(rig, meets_it, 1, hva(BAD_GPA));
	expect_failure(rig, "guest", "inject", true);
	fake_vcpu_pause(rig);
	memory_failures_mend(rig->m);
	assert_int_equal(*(uint8_t *)hva(BAD_GPA), 0);
	assert_int_equal(rig->m->memory.n_pages, 0);
	assert_says(log_captured(), "1 pages of guest memory with uncorrectable errors");
	/* Nobody's DMA goes anywhere. */
	memory_failures_remap_dma(rig->m, then);
	assert_true(then_called);
}

/* The device's DMA goes to the fresh page before the guest runs. */
static void dma_follows(void **state)
{
	struct machine_rig *rig = *state;
	unsigned long maps;
	struct rig_op op;

	fake_vcpu_pause(rig);
	rig_add(rig, &op, "id=d,host=0000:01:00.0,bus=rp1,addr=0");
	rig_settle(rig);
	assert_true(op.done && !op.err.code);
	maps = rig->host.maps;
	memory_failures_remap_dma(rig->m, then);
	assert_true(then_called); /* nothing to do */
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	assert_int_equal(memory_failures_check(rig->m, NULL), 0);
	then_called = false;
	memory_failures_remap_dma(rig->m, then);
	assert_false(then_called); /* the worker's work */
	rig_settle(rig);
	assert_true(then_called);
	assert_int_equal(then_err.code, 0);
	assert_int_equal(rig->host.maps, maps + 1);
	/* Not so: the machine does not go on. */
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	rig->host.fail_at = rig->host.calls + 1;
	rig->host.fail_errno = ENOMEM;
	then_called = false;
	memory_failures_remap_dma(rig->m, then);
	rig_settle(rig);
	assert_true(then_called);
	assert_int_equal(then_err.code, ENOMEM);
	assert_says(then_err.text, "cannot map guest memory");
	rig->host.fail_at = 0;
	rig_del(rig, &op, "d", true);
	rig_settle(rig);
}

static bool bars_on_bus(const struct device *d)
{
	bool any = false;

	for (unsigned i = 0; i < PCI_BARS; i++)
		any |= passthrough_card(d)->fn.place[i].on_bus;
	return any;
}

/* One that arrives meanwhile has addresses when the guest starts, like all others. */
static void plugged_while_dma_follows(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op, op2;

	run(rig);
	fake_vcpu_pause(rig);
	rig_add(rig, &op, "id=d,host=0000:01:00.0,bus=rp1,addr=0.1");
	rig_settle(rig);
	assert_true(op.done && !op.err.code);
	assert_false(bars_on_bus(device_find(rig->m, "d"))); /* a running guest's business */
	rig_add(rig, &op2, "id=e,host=0000:02:00.0,bus=rp1,addr=0,multifunction=on");
	while (device_find(rig->m, "e")->life.stage != DEVICE_ATTACHED)
		rig_step(rig);
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	then_called = false;
	memory_failures_remap_dma(rig->m, then);
	assert_false(then_called);
	rig_settle(rig);
	assert_true(then_called && op2.done && !op2.err.code);
	assert_true(bars_on_bus(device_find(rig->m, "e")));
	rig_del(rig, &op, "d", true);
	rig_settle(rig);
	assert_true(op.done);
}

/* A device that is being closed has no part in it: it is freed after that. */
static void not_of_a_device_that_goes(void **state)
{
	struct machine_rig *rig = *state;
	struct device *d;
	struct rig_op op;

	rig_add(rig, &op, "id=d,host=0000:01:00.0,bus=rp1,addr=0");
	d = device_find(rig->m, "d");
	assert_non_null(d);
	while (d->life.stage != DEVICE_ATTACHED)
		rig_step(rig);
	rig->host.fail_at = rig->host.calls + 1;
	rig->host.fail_errno = ENOMEM;
	while (d->life.work != LIFE_CLOSING)
		rig_step(rig);
	assert_true(d->job.running);
	rig->host.fail_at = 0;
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	then_called = false;
	memory_failures_remap_dma(rig->m, then);
	assert_true(then_called);
	rig_settle(rig);
	assert_true(op.done && op.err.code);
	assert_null(device_find(rig->m, "d"));
}

/* Main's own writing: it goes on with fresh memory; whether that will do is asked afterwards. */
static void met_by_main(void **state)
{
	struct machine_rig *rig = *state;
	struct err err = { 0 };

	assert_int_equal(memory_failures_check(rig->m, &err), 0);
	memset(hva(BAD_GPA), 0x77, PAGE);
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, (char *)hva(BAD_GPA) + 100));
	assert_int_equal(*(uint8_t *)hva(BAD_GPA), 0);
	assert_int_equal(memory_failures_check(rig->m, &err), 0);
	assert_int_equal(memory_failures_check(rig->m, &err), 0);
	expect_failure(rig, "hypervisor", "ignore", true);
	/* Nothing that fresh memory would mend. */
	assert_false(machine_sigbus(rig->m, BUS_MCEERR_AR, rig));
	assert_false(machine_sigbus(rig->m, BUS_ADRALN, hva(BAD_GPA)));
	/* Nor for ever. */
	while (rig->m->ram.n_replaced < RAM_REPLACED_MAX)
		assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	assert_false(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
}

static void beyond_the_files_end(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	struct machine_rig *rig = *state;
	struct err err = { 0 };

	shorten(rig, directory);
	*(volatile char *)hva(BAD_GPA - 1) = 1;
	*(volatile char *)hva(BAD_GPA) = 1; /* SIGBUS */
	*(volatile char *)hva(BAD_GPA + PAGE) = 1;
	assert_int_equal(rig->m->memory.faults, 2);
	assert_int_equal(memory_failures_check(rig->m, &err), -EIO);
	assert_says(err.text, "the host cannot provide guest memory at 0x");
	assert_says(err.text, "the file in '/tmp/portcullis-test-");
	assert_int_equal(events(rig, MACHINE_MEMORY_FAILURE), 0);
}

/* vCPU 0 copies the kernel. */
static void met_while_loading(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	static const uint8_t kernel[3 * PAGE] = { 1, 2, 3 };
	struct machine_rig *rig = *state;
	struct boot_load *load = &rig->m->gate.load;

	shorten(rig, directory);
	*load = (struct boot_load){ .count = 1,
		.copy = { { .to = hva(BAD_GPA - PAGE),
			.from = kernel,
			.file_size = sizeof(kernel),
			.size = sizeof(kernel) } } };
	run(rig);
	while (!machine_ending(rig->m))
		loop_step(&rig->m->loop, 1);
	assert_int_equal(rig->m->exit_status, 1);
	assert_says(log_captured(), "error: cannot load the guest: the host cannot provide");
	assert_string_equal(fake_vcpu.calls, ""); /* it never ran */
}

/* The same with a hardware error: fresh memory will do, as soon as DMA goes there. */
static void *asks_for_memory(void *opaque)
{
	struct machine_rig *rig = opaque;

	return vcpu_load_fault(rig->vcpu, BUS_MCEERR_AR, atomic_load(&met)) ? opaque : NULL;
}

static void mended_while_loading(void **state)
{
	struct machine_rig *rig = *state;
	unsigned long maps;
	struct rig_op op;
	pthread_t thread;
	void *mended;

	rig_add(rig, &op, "id=d,host=0000:01:00.0,bus=rp1,addr=0");
	rig_settle(rig);
	maps = rig->host.maps;
	*(uint8_t *)hva(BAD_GPA) = 0x77;
	atomic_store(&met, hva(BAD_GPA));
	assert_int_equal(pthread_create(&thread, NULL, asks_for_memory, rig), 0);
	while (!rig->m->memory.load_fault)
		loop_step(&rig->m->loop, 1);
	usleep(2000);
	assert_false(atomic_load(&rig->vcpu->request.done)); /* the worker has its part yet to do */
	rig_settle(rig);
	pthread_join(thread, &mended);
	assert_ptr_equal(mended, rig);
	assert_int_equal(rig->host.maps, maps + 1);
	assert_int_equal(*(uint8_t *)hva(BAD_GPA), 0);
	expect_failure(rig, "hypervisor", "ignore", true);
	assert_false(machine_ending(rig->m));
	rig_del(rig, &op, "d", true);
	rig_settle(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		MEMORY_TEST(replaced_at_a_reset),
		MEMORY_TEST(dma_follows),
		MEMORY_TEST(plugged_while_dma_follows),
		MEMORY_TEST(not_of_a_device_that_goes),
		MEMORY_TEST(met_by_main),
		MEMORY_TEST(beyond_the_files_end),
		MEMORY_TEST(met_while_loading),
		MEMORY_TEST(mended_while_loading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
