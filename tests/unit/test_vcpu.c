/* SPDX-License-Identifier: Apache-2.0 */
/* test_vcpu.c - a vCPU's thread (threads/vcpu.c), the real one, on a vCPU that is none. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vcpu.h"

static int setup(void **state)
{
	rig_setup_acpi(state);
	fake_vcpu_start(*state);
	return 0;
}

static int teardown(void **state)
{
	fake_vcpu_stop(*state);
	return rig_teardown(state);
}

/* KVM_KVMCLOCK_CTRL before the first KVM_RUN after each pause, and at no other time. */
static void a_pause_is_forgiven(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	fake_vcpu_pause(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCr");
	fake_vcpu_pause(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCr");
	fake_vcpu_pause(rig);
	vcpus_reset(&rig->m); /* what stood still is not there any more */
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCrRr");
}

/* Memory that nobody can write before the test lets go of it: a step of copying that takes long. */
static struct {
	uint8_t *at;
	_Atomic bool reached, let_go;
} slow;

static void on_fault(int signal)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	(void)signal;
	atomic_store(&slow.reached, true);
	while (!atomic_load(&slow.let_go))
		nanosleep(&tick, NULL);
	(void)mprotect(slow.at, 4096, PROT_READ | PROT_WRITE);
}

/* The first vCPU copies the kernel before it is reset to run it. Main goes on meanwhile, and a stop
 * takes one step. */
static void the_kernel_is_copied_first(void **state)
{
	static uint8_t kernel[3 * BOOT_STEP];
	struct machine_rig *rig = *state;
	struct boot_load *load = &rig->m.gate.load;
	uint8_t *to = mmap(
		NULL, sizeof(kernel), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(to != MAP_FAILED);
	memset(kernel, 0xcc, sizeof(kernel));
	*load = (struct boot_load){ .count = 1 };
	load->copy[0] = (struct boot_copy){ to, kernel, sizeof(kernel), sizeof(kernel) };
	slow.at = to + BOOT_STEP;
	assert_int_equal(mprotect(slow.at, 4096, PROT_NONE), 0);
	(void)signal(SIGSEGV, on_fault);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	for (unsigned i = 0; i < 20000 && !atomic_load(&slow.reached); i++)
		usleep(1000);
	assert_true(atomic_load(&slow.reached));
	machine_pause(&rig->m, NULL);
	for (unsigned i = 0; i < 5; i++)
		loop_step(&rig->m.loop, 1);
	assert_true(rig->m.stopping);
	atomic_store(&slow.let_go, true);
	fake_vcpu_pause(rig);
	(void)signal(SIGSEGV, SIG_DFL);
	assert_int_equal(load->done, 2 * BOOT_STEP);
	assert_string_equal(fake_vcpu.calls, "");
	assert_memory_equal(to, kernel, 2 * BOOT_STEP);
	assert_int_equal(to[2 * BOOT_STEP], 0);
	/* The rest, once. */
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	assert_int_equal(load->written, sizeof(kernel));
	assert_memory_equal(to, kernel, sizeof(kernel));
	munmap(to, sizeof(kernel));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pause_is_forgiven, setup, teardown),
		cmocka_unit_test_setup_teardown(the_kernel_is_copied_first, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
