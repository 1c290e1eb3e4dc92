/* SPDX-License-Identifier: Apache-2.0 */
/* memory_failure_fixture.c - see memory_failure_fixture.h. */
#include "memory_failure_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/thread.h>

static struct machine_rig *the_rig;

_Atomic int times;
void *_Atomic met;

void *hva(uint64_t gpa)
{
	void *at = ram_hva(&the_rig->m->ram, gpa, 1);

	sigbus_init();
	assert_non_null(at);
	return at;
}

int memory_setup(void **state)
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

int memory_teardown(void **state)
{
	log_capture_stop();
	fake_vcpu_stop(*state);
	sigbus_is_main(NULL);
	return rig_teardown(state);
}

void run(struct machine_rig *rig)
{
	assert_int_equal(machine_run(rig->m, NULL), 0);
}

void send_sigbus(int code, void *addr)
{
	siginfo_t info = { .si_signo = SIGBUS, .si_code = code };

	info.si_addr = addr;
	assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGBUS, &info), 0);
}

void meets_it(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	(void)vcpu, (void)exit;
	if (atomic_load(&times) <= 0) {
		usleep(1000);
		return;
	}
	atomic_fetch_sub(&times, 1);
	send_sigbus(BUS_MCEERR_AR, atomic_load(&met));
}

void start(struct machine_rig *rig, void (*guest)(struct kvm_vcpu *, struct kvm_exit *),
	int how_often, void *where)
{
	fake_vcpu.guest = guest;
	atomic_store(&met, where);
	atomic_store(&times, how_often);
	run(rig);
}

unsigned events(const struct machine_rig *rig, enum machine_event_kind kind)
{
	unsigned n = 0;

	for (unsigned i = 0; i < rig->n_events && i < RIG_EVENTS; i++)
		n += rig->event[i].kind == kind;
	return n;
}

void expect_failure(
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

void shorten(struct machine_rig *rig, char *directory)
{
	struct ram_options options = { .path = mkdtemp(directory) };
	const struct ram_layout layout = rig->m->ram.layout;

	vfio_context_set_ram(rig->m->vfio, NULL);
	ram_release(&rig->m->ram);
	assert_int_equal(ram_init(&rig->m->ram, &layout, &options, 1, NULL), 0);
	assert_int_equal(ftruncate(rig->m->ram.backend[0].fd, BAD_GPA), 0);
	rmdir(directory);
	rig->m->config->mem_path = strdup(directory);
}
