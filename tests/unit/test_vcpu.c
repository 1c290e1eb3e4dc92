/* SPDX-License-Identifier: Apache-2.0 */
/* test_vcpu.c - a vCPU's thread (threads/vcpu.c), the real one, on a vCPU that is none. */
#include <pthread.h>
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

#include <portcullis/thread.h>

#include "fake_vcpu.h"
#include "machine_rig.h"

static void on_kick(int signal)
{
	(void)signal;
}

/* The machine as it is before its first `cont`. */
static int setup(void **state)
{
	struct machine_rig *rig;
	struct vcpu *v;

	(void)signal(SIGUSR1, on_kick);
	fake_vcpu_clear();
	rig_setup_acpi(state);
	rig = *state;
	v = &rig->vcpu;
	v->machine = &rig->m;
	v->bus = &rig->m.bus;
	v->gate = &rig->m.gate;
	atomic_store(&v->request.done, 1);
	rig->m.vcpus = v;
	rig->m.n_vcpus = 1;
	rig->m.runstate = RUNSTATE_PRELAUNCH;
	assert_int_equal(bus_add_reader(&rig->m.bus, &v->reader), 0);
	vcpus_reset(&rig->m);
	assert_int_equal(pthread_create(&v->thread, NULL, vcpu_thread, v), 0);
	return 0;
}

static void pause_guest(struct machine_rig *rig)
{
	machine_pause(&rig->m, NULL);
	while (!vcpus_parked(&rig->m) || rig->m.stopping)
		loop_step(&rig->m.loop, 1);
}

static int teardown(void **state)
{
	struct machine_rig *rig = *state;

	pause_guest(rig);
	vcpus_end(&rig->m);
	pthread_join(rig->vcpu.thread, NULL);
	return rig_teardown(state);
}

/* KVM_KVMCLOCK_CTRL before the first KVM_RUN after each pause, and at no other time. */
static void a_pause_is_forgiven(void **state)
{
	struct machine_rig *rig = *state;

	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("Rr");
	pause_guest(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCr");
	pause_guest(rig);
	assert_int_equal(machine_run(&rig->m, NULL), 0);
	fake_vcpu_wait("RrCrCr");
	pause_guest(rig);
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
	pause_guest(rig);
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
