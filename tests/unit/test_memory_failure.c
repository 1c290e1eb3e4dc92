/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_memory_failure.c - uncorrectable errors in guest memory: the signal, the vCPU's thread and
 * main are the real ones; KVM and the broken memory are not.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "fake_vcpu.h"
#include "log_capture.h"
#include "says.h"

#define PAGE 4096u
#define BAD_GPA 0x5000u

static struct machine_rig *the_rig;

/* Each test gets at memory here first; cmocka puts handlers of its own before it. */
static void *hva(uint64_t gpa)
{
	void *at = ram_hva(&the_rig->m->ram, gpa, 1);

	sigbus_init();
	assert_non_null(at);
	return at;
}

static int setup(void **state)
{
	struct machine_rig *rig;

	rig_setup_acpi(state);
	rig = the_rig = *state;
	rig->m->config->no_reboot = true; /* one that the guest asks for ends it */
	sigbus_is_main(rig->m);
	fake_vcpu_start(rig);
	log_capture_start();
	return 0;
}

static int teardown(void **state)
{
	log_capture_stop();
	fake_vcpu_stop(*state);
	sigbus_is_main(NULL);
	return rig_teardown(state);
}

static void run(struct machine_rig *rig)
{
	assert_int_equal(machine_run(rig->m, NULL), 0);
}

/* As the kernel does for a page that KVM_RUN ran into. */
static void send_sigbus(int code, void *addr)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = code };

	info.si_addr = addr;
	assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info), 0);
}

/* --- guests --- */

static _Atomic int times; /* the guest meets it so often, and then does something else */
static void *_Atomic met;

static void meets_it(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	(void)vcpu, (void)exit;
	if (atomic_load(&times) <= 0) {
		usleep(1000);
		return;
	}
	atomic_fetch_sub(&times, 1);
	send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
}

/* KVM_RUN itself fails, too; older and other kernels do. */
static void meets_it_and_fails(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	if (atomic_load(&times) > 0)
		*exit = (struct kvm_exit){ .kind = KVM_EXITED_ERROR, .error = 14 };
	meets_it(vcpu, exit);
}

/* One page that it needs, and in the same KVM_RUN and the next one others that it does not. */
static void meets_more(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	(void)vcpu, (void)exit;
	if (atomic_load(&times) == 2) {
		send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
		send_sigbus(BUS_MCEERR_AO, (char *)atomic_load(&met) + PAGE);
	} else if (atomic_load(&times) == 1) {
		send_sigbus(BUS_MCEERR_AO, (char *)atomic_load(&met) + 2 * PAGE);
	} else {
		usleep(1000);
		return;
	}
	atomic_fetch_sub(&times, 1);
}

/* In the middle of a port access of two parts. */
static void meets_it_in_an_access(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	static uint32_t data;

	vcpu->io_pending = false;
	if (atomic_load(&times) <= 0) {
		usleep(1000);
		return;
	}
	*exit = (struct kvm_exit){ .kind = KVM_EXITED_IO,
		.addr = 0x80,
		.size = 4,
		.write = true,
		.count = 1,
		.data = &data };
	vcpu->io_pending = true;
	if (atomic_fetch_sub(&times, 1) == 2)
		send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
}

static void start(struct machine_rig *rig, void (*guest)(struct kvm_vcpu *, struct kvm_exit *),
	int how_often, void *where)
{
	fake_vcpu.guest = guest;
	atomic_store(&met, where);
	atomic_store(&times, how_often);
	run(rig);
}

static unsigned events(const struct machine_rig *rig, enum machine_event_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->n_events && i < RIG_EVENTS; i++)
		n += rig->event[i].kind == kind;
	return n;
}

static void expect_failure(
	struct machine_rig *rig, const char *recipient, const char *action, bool required)
{
	for (unsigned i = 0; i < 10000 && !events(rig, MACHINE_MEMORY_FAILURE); i++)
		loop_step(&rig->m->loop, 1);
	for (unsigned i = 0; i < rig->n_events; i++) {
		const struct rig_event *e = &rig->event[i];

		if (e->kind != MACHINE_MEMORY_FAILURE)
			continue;
		assert_string_equal(e->recipient, recipient);
		assert_string_equal(e->action, action);
		assert_int_equal(e->required, required);
		assert_int_equal(e->recursive, fake_vcpu.recursive);
		return;
	}
	fail_msg("no MEMORY_FAILURE");
}

/* --- a vCPU meets it --- */

static void the_guest_is_told(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it, 1, (char *)hva(BAD_GPA) + 8);
	fake_vcpu_wait("RrQr");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA + 8);
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(rig->m->memory.page[0], BAD_GPA);
	assert_int_equal(log_captured_lines(), 1);
	assert_says(log_captured(), "0x5000 has an uncorrectable error: the guest is told");
}

/* Before main hears of the first: each outcome is told of its own page. */
static void two_before_main(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_more, 2, hva(BAD_GPA));
	fake_vcpu_wait("RrQrOr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(events(rig, MACHINE_MEMORY_FAILURE), 2);
	assert_int_equal(rig->m->memory.n_pages, 2);
	assert_int_equal(rig->m->memory.page[0], BAD_GPA);
	assert_int_equal(rig->m->memory.page[1], BAD_GPA + 2 * PAGE);
}

/* What waits to be told is not replaced by what comes after it. */
static void the_first_is_told(void **state)
{
	struct machine_rig *rig = *state;
	struct vcpu *v = rig->vcpu;

	vcpu_memory_error(v, false, hva(BAD_GPA));
	vcpu_memory_error(v, false, hva(2 * BAD_GPA));
	send_sigbus(BUS_MCEERR_AO, hva(3 * BAD_GPA));
	loop_step(&rig->m->loop, 100);
	expect_failure(rig, "guest", "ignore", false);
	rig->n_events = 0;
	run(rig);
	fake_vcpu_wait("Or");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA);
	expect_failure(rig, "guest", "inject", false);
	/* And then the next. */
	vcpu_memory_error(v, false, hva(2 * BAD_GPA));
	fake_vcpu_wait("OrOr");
	assert_int_equal(fake_vcpu.gpa, 2 * BAD_GPA);
}

/* EFAULT beside the signal is no internal error. */
static void the_error_is_the_signal(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it_and_fails, 1, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_false(rig->m->stopping);
}

/* A machine check in the middle of an instruction's accesses: it waits for their end. */
static void not_within_an_access(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it_in_an_access, 2, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	assert_int_equal(atomic_load(&times), 0);
	expect_failure(rig, "guest", "inject", true);
}

/* As often as it likes: neither the log nor the clients drown. */
static void again_and_again(void **state)
{
	struct machine_rig *rig = *state;

	start(rig, meets_it, 3000, hva(BAD_GPA));
	for (unsigned i = 0; i < 20000 && atomic_load(&times) > 0; i++)
		loop_step(&rig->m->loop, 1);
	assert_int_equal(atomic_load(&times), 0);
	loop_step(&rig->m->loop, 1);
	assert_in_range(events(rig, MACHINE_MEMORY_FAILURE), 1, 25); /* one a second */
	assert_int_equal(log_captured_lines(), 1);
	assert_int_equal(rig->m->memory.n_pages, 1);
}

/* Ever new pages: the list of them is bounded, and with it what is said of them. */
static void many_pages(void **state)
{
	struct machine_rig *rig = *state;

	run(rig);
	for (unsigned i = 0; i < 300; i++)
		assert_true(machine_sigbus(rig->m, BUS_MCEERR_AO, hva(i * PAGE)));
	for (unsigned i = 0; i < 300; i++) {
		assert_true(machine_sigbus(rig->m, BUS_MCEERR_AO, hva(i * PAGE)));
		loop_step(&rig->m->loop, 0);
	}
	fake_vcpu_wait("Or");
	loop_step(&rig->m->loop, 1);
	assert_int_equal(rig->m->memory.n_pages, MEMORY_PAGES);
	assert_in_range(log_captured_lines(), 1, MEMORY_PAGES);
}

static void the_guest_cannot_take_it(void **state)
{
	struct machine_rig *rig = *state;

	fake_vcpu.fate = MCE_SHUTDOWN;
	fake_vcpu.recursive = true;
	start(rig, meets_it, 1, hva(BAD_GPA));
	expect_failure(rig, "guest", "reset", true);
	while (!events(rig, MACHINE_SHUTDOWN))
		loop_step(&rig->m->loop, 1);
	assert_string_equal(rig->event[rig->n_events - 1].reason, "guest-reset");
	fake_vcpu_wait("RrQ"); /* and it did not run again */
}

static void expect_the_end(struct machine_rig *rig)
{
	expect_failure(rig, "hypervisor", "fatal", true);
	assert_int_equal(events(rig, MACHINE_SHUTDOWN), 1);
	assert_true(machine_ending(rig->m));
	assert_int_equal(rig->m->exit_status, 1);
	assert_says(log_captured(), "error: ");
	assert_says(log_captured(), "the machine ends");
}

static void kvm_cannot_tell(void **state)
{
	struct machine_rig *rig = *state;

	fake_vcpu.fate = MCE_IMPOSSIBLE;
	start(rig, meets_it, 1, hva(BAD_GPA));
	expect_the_end(rig);
	fake_vcpu_wait("RrQ");
}

static void not_the_guests_memory(void **state)
{
	struct machine_rig *rig = *state;

	(void)hva(0);
	start(rig, meets_it, 1, rig);
	expect_the_end(rig);
	fake_vcpu_wait("Rr");
}

/* Intel: every other vCPU takes part. */
static void broadcast(void **state)
{
	static struct vcpu two[2];
	struct machine_rig *rig = *state;

	fake_vcpu.broadcast = true;
	rig->vcpu->memory.asked = 0;
	memset(two, 0, sizeof(two));
	/* The one that runs is the second of three. */
	rig->m->vcpus = two;
	rig->m->n_vcpus = 2;
	start(rig, meets_it, 1, hva(BAD_GPA));
	fake_vcpu_wait("RrQr");
	expect_failure(rig, "guest", "inject", true);
	assert_int_equal(atomic_load(&two[0].memory.asked), MEMORY_ASK_SHARE);
	assert_int_equal(atomic_load(&two[1].memory.asked), MEMORY_ASK_SHARE);
	assert_int_equal(atomic_load(&rig->vcpu->memory.asked), 0);
	rig->m->vcpus = rig->vcpu;
	rig->m->n_vcpus = 1;
	atomic_fetch_or(&rig->vcpu->memory.asked, MEMORY_ASK_SHARE);
	fake_vcpu_wait("QrSr");
}

/* --- the host finds it --- */

static void found_by_the_host(void **state)
{
	struct machine_rig *rig = *state;

	run(rig);
	fake_vcpu_wait("Rr");
	send_sigbus(BUS_MCEERR_AO, hva(BAD_GPA)); /* main is this thread */
	expect_failure(rig, "guest", "inject", false);
	fake_vcpu_wait("RrOr");
	assert_int_equal(fake_vcpu.gpa, BAD_GPA);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
}

static void found_while_it_stands(void **state)
{
	struct machine_rig *rig = *state;

	send_sigbus(BUS_MCEERR_AO, hva(BAD_GPA));
	loop_step(&rig->m->loop, 100);
	assert_int_equal(events(rig, MACHINE_MEMORY_FAILURE), 0);
	run(rig);
	expect_failure(rig, "guest", "inject", false);
	fake_vcpu_wait("Or");
	fake_vcpu_pause(rig);
	/* What it was to be told does not outlive a reset. */
	send_sigbus(BUS_MCEERR_AO, hva(2 * BAD_GPA));
	loop_step(&rig->m->loop, 100);
	vcpus_reset(rig->m);
	run(rig);
	fake_vcpu_wait("OrRr");
}

static void found_elsewhere(void **state)
{
	struct machine_rig *rig = *state;

	(void)hva(0);
	run(rig);
	send_sigbus(BUS_MCEERR_AO, rig);
	expect_failure(rig, "hypervisor", "ignore", false);
	assert_int_equal(machine_runstate(rig->m), RUNSTATE_RUNNING);
	assert_int_equal(rig->m->memory.n_pages, 0);
	fake_vcpu_wait("Rr");
}

/* --- the guest starts anew --- */

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
	memory_failures_follow(rig->m, then);
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
	memory_failures_follow(rig->m, then);
	assert_true(then_called); /* nothing to do */
	assert_true(machine_sigbus(rig->m, BUS_MCEERR_AR, hva(BAD_GPA)));
	assert_int_equal(memory_failures_check(rig->m, NULL), 0);
	then_called = false;
	memory_failures_follow(rig->m, then);
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
	memory_failures_follow(rig->m, then);
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
		any |= passthrough_card(d)->fn.bar[i].place.on_bus;
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
	memory_failures_follow(rig->m, then);
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
	memory_failures_follow(rig->m, then);
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

/* RAM in a file that ends too soon. */
static void shorten(struct machine_rig *rig, char *directory)
{
	struct ram_options options = { .path = mkdtemp(directory) };
	const struct ram_layout layout = rig->m->ram.layout;

	vfio_context_set_ram(rig->m->vfio, NULL);
	ram_release(&rig->m->ram);
	assert_int_equal(ram_init(&rig->m->ram, &layout, &options, NULL), 0);
	assert_int_equal(ftruncate(rig->m->ram.fd, BAD_GPA), 0);
	rmdir(directory);
	rig->m->config->mem_path = strdup(directory);
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

/* --- whoever else --- */

/* A child that does what, with a log of its own; its status. */
static int dies(void (*what)(void *), void *arg)
{
	const struct rlimit none = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &none);
		sigbus_is_main(NULL);
		what(arg);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void touch(void *at)
{
	*(volatile char *)at = 1;
}

static void be_told(void *at)
{
	send_sigbus(BUS_MCEERR_AO, at);
	kill(getpid(), SIGBUS);
}

static void death_with_a_word(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	struct machine_rig *rig = *state;
	int status;

	shorten(rig, directory);
	status = dies(touch, hva(BAD_GPA));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	assert_says(log_captured(), "error: bus error at 0x");
	assert_says(log_captured(), "a truncated file, or huge pages that ran out; the process");
	/* What nobody has met kills nobody, nor does what somebody sends. */
	status = dies(be_told, rig);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(log_captured_lines(), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_guest_is_told),
		TEST(two_before_main),
		TEST(the_first_is_told),
		TEST(the_error_is_the_signal),
		TEST(not_within_an_access),
		TEST(again_and_again),
		TEST(many_pages),
		TEST(the_guest_cannot_take_it),
		TEST(kvm_cannot_tell),
		TEST(not_the_guests_memory),
		TEST(broadcast),
		TEST(found_by_the_host),
		TEST(found_while_it_stands),
		TEST(found_elsewhere),
		TEST(replaced_at_a_reset),
		TEST(dma_follows),
		TEST(plugged_while_dma_follows),
		TEST(not_of_a_device_that_goes),
		TEST(met_by_main),
		TEST(beyond_the_files_end),
		TEST(met_while_loading),
		TEST(mended_while_loading),
		TEST(death_with_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
