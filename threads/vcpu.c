/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - a vCPU's thread: run the guest, dispatch its port and memory accesses, nothing else.
 * It starts and stops at the gate, and is assumed to be the guest's from its first instruction on:
 * its filter (seccomp/vcpu.c) leaves it KVM_RUN, its devices' config and BAR bytes, and waiting.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <portcullis/futex.h>
#include <portcullis/log.h>
#include <portcullis/thread.h>
#include <portcullis/vcpu.h>

/* How many vCPUs have yet to be reset before the first one starts; 0: go. */
static uint32_t waits_for_others(const struct vcpu *v)
{
	return v->kvm.index ? 0 : atomic_load(&v->gate->others);
}

/* What it completes may lie in memory with an error: the old guest need not hear of it. */
static void finish_access(struct vcpu *v) ON_VCPU
{
	volatile struct sigbus_note note = { 0 };

	sigbus_watch(&note);
	kvm_vcpu_finish_access(&v->kvm);
	sigbus_watch(NULL);
	if (note.code)
		vcpu_memory_met(v, note.addr);
	atomic_store(&v->finish, false);
}

/* Waits until the gate is open for this vCPU; false: the machine has ended. */
static bool gate_wait(struct vcpu *v) ON_VCPU
{
	for (;;) {
		uint32_t open = atomic_load(&v->gate->open);
		uint32_t others = waits_for_others(v);

		if (gate_state(open) == GATE_END)
			return false;
		if (atomic_load(&v->finish))
			finish_access(v);
		if (gate_state(open) == GATE_OPEN && others)
			futex_wait(&v->gate->others, others);
		else if (gate_state(open) == GATE_OPEN &&
			 (!atomic_load(&v->halted) || atomic_load(&v->needs_reset)))
			return true;
		else /* one that cannot go on waits for the gate to close and open with a reset */
			futex_wait(&v->gate->open, open);
	}
}

static void stop(struct vcpu *v, enum kvm_exit_kind kind, const char *why) ON_VCPU
{
	atomic_store(&v->halted, true);
	vcpu_report(v, (int)kind, why);
}

static uint64_t load(const void *data, uint8_t size)
{
	uint64_t value = 0;

	memcpy(&value, data, size);
	return value;
}

static bool gate_open(const struct vcpu *v)
{
	return gate_state(atomic_load(&v->gate->open)) == GATE_OPEN;
}

/*
 * Between two accesses of one exit (REP INS has up to a page of them): when the gate has closed the
 * rest waits until it opens again. False: that is void, after a reset or at the end.
 */
static bool may_go_on(struct vcpu *v) ON_VCPU
{
	if (gate_open(v))
		return true;
	while (!gate_open(v)) {
		atomic_store(&v->state, VCPU_PARKED);
		if (!gate_wait(v))
			return false;
		atomic_store(&v->state, VCPU_RUNNING);
	}
	if (atomic_load(&v->needs_reset)) {
		atomic_store(&v->halted, true);
		return false;
	}
	kvm_vcpu_resumed(&v->kvm);
	return true;
}

static void access_one(
	struct vcpu *v, const struct kvm_exit *exit, enum bus_space space, uint8_t *data) ON_VCPU
{
	struct io_access access = {
		.size = exit->size, .write = exit->write, .request = &v->request
	};

	if (exit->write)
		access.data = load(data, exit->size);
	bus_dispatch(v->bus, &v->reader, space, exit->addr, &access);
	if (!exit->write)
		memcpy(data, &access.data, exit->size);
}

/* KVM splits accesses that cross pages; sizes it cannot split come in bytes of up to eight. */
static void dispatch(struct vcpu *v, const struct kvm_exit *exit, enum bus_space space) ON_VCPU
{
	for (uint32_t i = 0; i < exit->count; i++) {
		if (i && !may_go_on(v))
			return;
		access_one(v, exit, space, exit->data + (size_t)i * exit->size);
	}
}

static void handle(struct vcpu *v, struct kvm_exit *exit) ON_VCPU
{
	char why[sizeof(v->why)];

	switch (exit->kind) {
	case KVM_EXITED_IO:
		dispatch(v, exit, BUS_PIO);
		break;
	case KVM_EXITED_MMIO:
		dispatch(v, exit, BUS_MMIO);
		break;
	case KVM_EXITED_SHUTDOWN:
		stop(v, exit->kind, "triple fault: the guest is reset");
		break;
	case KVM_EXITED_RESET:
	case KVM_EXITED_POWEROFF:
		stop(v, exit->kind, "");
		break;
	case KVM_EXITED_ERROR:
		stop(v, exit->kind, kvm_vcpu_describe(&v->kvm, exit, why, sizeof(why)));
		break;
	case KVM_EXITED_INTERRUPTED:
		/*
		 * Whoever wants it to stop has closed the gate, or asked for something, before
		 * it interrupted KVM_RUN: that is looked at before the next one.
		 */
		kvm_vcpu_immediate_exit(&v->kvm, false);
		break;
	case KVM_EXITED_OTHER:
		break;
	}
}

struct step {
	struct boot_load *load;
	bool more;
};

static void load_step(void *opaque)
{
	struct step *step = opaque;

	step->more = boot_load_step(step->load);
}

/* False: there is nothing left to load, or it cannot be (halted). */
static bool load_more(struct vcpu *v) ON_VCPU
{
	struct step step = { .load = &v->gate->load };
	struct sigbus_note note;

	if (sigbus_try(load_step, &step, &note))
		return step.more;
	if (vcpu_load_fault(v, note.code, note.addr))
		return true; /* the same step again */
	atomic_store(&v->halted, true);
	return false;
}

/*
 * After a reset. The kernel is copied here and not by main, whom nobody may hold up; when the gate
 * closes meanwhile (false), the rest is copied when it opens again.
 */
static bool start(struct vcpu *v) ON_VCPU
{
	atomic_store(&v->halted, false);
	while (v->kvm.index == 0 && load_more(v))
		if (!gate_open(v))
			return false;
	atomic_store(&v->needs_reset, false);
	if (atomic_load(&v->halted))
		return true;
	if (kvm_vcpu_reset(&v->kvm, v->kvm.index ? NULL : &v->gate->entry))
		stop(v, KVM_EXITED_ERROR, "its registers cannot be reset");
	if (v->kvm.index && atomic_fetch_sub(&v->gate->others, 1) == 1)
		futex_wake_all(&v->gate->others);
	return true;
}

static bool pass_gate(struct vcpu *v) ON_VCPU
{
	if (!gate_open(v))
		return false;
	if (atomic_load(&v->needs_reset))
		return !waits_for_others(v) && start(v);
	kvm_vcpu_resumed(&v->kvm);
	return true;
}

/* KVM_RUN once. It may meet an error in memory, and then SIGBUS says where. */
static void run_guest(struct vcpu *v, struct kvm_exit *exit) ON_VCPU
{
	volatile struct sigbus_note note = { 0 };

	sigbus_watch(&note);
	kvm_vcpu_run(&v->kvm, exit);
	sigbus_watch(NULL);
	if (note.code) {
		vcpu_memory_error(v, note.code == BUS_MCEERR_AR, note.addr);
		if (exit->kind == KVM_EXITED_ERROR) /* EFAULT or EHWPOISON, and that was it */
			exit->kind = KVM_EXITED_INTERRUPTED;
	}
}

/* From one opening of the gate to the next closing. */
static void run(struct vcpu *v) ON_VCPU
{
	struct kvm_exit exit;

	/*
	 * immediate_exit is cleared before the gate is looked at again: whoever closes the gate
	 * sets it afterwards, so either we see the closed gate or KVM_RUN returns at once.
	 */
	kvm_vcpu_immediate_exit(&v->kvm, false);
	atomic_store(&v->state, VCPU_RUNNING);
	if (pass_gate(v))
		while (gate_open(v) && !atomic_load(&v->halted)) {
			if (atomic_load(&v->memory.asked) && vcpu_memory_tell(v))
				continue;
			run_guest(v, &exit);
			handle(v, &exit);
		}
	atomic_store(&v->state, VCPU_PARKED);
}

void *vcpu_thread(void *opaque)
{
	struct vcpu *v = opaque;

	role_begin(ROLE_VCPU);
	role_enter_vcpu();
	while (gate_wait(v))
		run(v);
	atomic_store(&v->state, VCPU_ENDED);
	return NULL;
}
