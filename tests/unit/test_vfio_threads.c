/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_threads.c - config space of one device from several threads: a vCPU writes it, main
 * moves BARs, the worker maps them. TSan is the judge.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/pci_regs.h>

#include "fake_vfio_device.h"

#define ROUNDS 2000

static struct fake_rig rig;
static _Atomic bool over;

FAKE_RIG_START(nvme, fake_card_nvme, "rp1")

/* The line's dword, which has the pin in it, and the power state, of which the worker is told. */
static void *vcpu_main(void *opaque)
{
	(void)opaque;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct io_request request = { .done = 1 };
		struct io_access access = { .offset = PCI_INTERRUPT_LINE,
			.size = 4,
			.data = i,
			.write = true,
			.request = &request };

		if (i & 1)
			access = (struct io_access){ .offset = rig.dev->firewall.pm + PCI_PM_CTRL,
				.size = 2,
				.data = i & 2 ? 3 : 0,
				.write = true,
				.request = &request };
		if (pci_function_write(&rig.dev->fn, (unsigned)access.offset, access.size,
			    &access) == IO_DEFER) {
			io_post(&request);
			io_wait(&request);
		}
	}
	over = true;
	return NULL;
}

static void *worker_main(void *opaque)
{
	(void)opaque;
	while (!over)
		loop_step(&rig.machine.worker, 1);
	return NULL;
}

static void test_main_moves_bars_meanwhile(void **state)
{
	pthread_t vcpu, worker;

	(void)state;
	assert_int_equal(pthread_create(&worker, NULL, worker_main, NULL), 0);
	assert_int_equal(pthread_create(&vcpu, NULL, vcpu_main, NULL), 0);
	for (unsigned i = 0; !over; i++) {
		loop_step(&rig.machine.main, 0);
		vfio_bar_moved(&rig.dev->fn, 0, 0xd0000000 + 0x10000 * (i & 7), true);
	}
	pthread_join(vcpu, NULL);
	pthread_join(worker, NULL);
	assert_string_equal(rig.machine.violation, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate_setup_teardown(
			test_main_moves_bars_meanwhile, nvme, fake_rig_stop, &rig),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
