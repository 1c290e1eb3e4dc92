/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_vcpu.h - the kernel's side of a vCPU: creation, running it, what it stopped for, reset.
 *
 * Layer: L1, includes base only; the module is that of kvm.h. kvm_x86.h has what it
 *        starts with (struct kvm_entry) and what else depends on the architecture.
 * Who:   creation: main, before the threads. Everything else: the vCPU's own thread, because KVM
 *        makes any other wait until it is outside KVM_RUN.
 * Errors: negative errno; those with a struct err also say what is missing on this host.
 */
#ifndef PORTCULLIS_KVM_VCPU_H
#define PORTCULLIS_KVM_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/kvm_x86.h>
#include <portcullis/role.h>

struct err;
struct kvm_vm;
struct kvm_run;
struct kvm_vcpu {
	int fd; /* owned */
	unsigned index;
	struct kvm_run *run;
	size_t run_size;
	bool io_pending; /* the last exit was a port or memory access that KVM has yet to finish */
	struct kvm_vcpu_arch arch;
};

struct kvm_topology {
	unsigned cpus, sockets, cores, threads; /* cpus == sockets * cores * threads */
};

/* Creates the vCPU, identifies it to the guest (topology), saves its initial state. */
int kvm_vcpu_init(struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned index,
	const struct kvm_topology *topology, struct err *err);
void kvm_vcpu_release(struct kvm_vcpu *vcpu);

/*
 * Before a reset: of an access (io_pending) KVM holds a half-done instruction, and would finish it
 * in the next KVM_RUN, on top of new registers, in memory that has a new kernel. It is finished
 * now, whatever it reads; the guest executes no other instruction.
 */
void kvm_vcpu_finish_access(struct kvm_vcpu *vcpu) ON_VCPU;
/*
 * Back to the state at creation; index 0 then gets entry's registers and is runnable, the others
 * wait to be started by it (INIT-SIPI). Also called before the first run. No access is pending.
 */
int kvm_vcpu_reset(struct kvm_vcpu *vcpu, const struct kvm_entry *entry) ON_VCPU;

enum kvm_exit_kind {
	KVM_EXITED_IO,
	KVM_EXITED_MMIO,
	KVM_EXITED_SHUTDOWN, /* triple fault */
	KVM_EXITED_INTERRUPTED,
	KVM_EXITED_RESET,
	KVM_EXITED_POWEROFF,
	KVM_EXITED_ERROR,
	KVM_EXITED_OTHER, /* harmless, run again */
};
struct kvm_exit {
	enum kvm_exit_kind kind;
	uint64_t addr; /* IO: port; MMIO: GPA */
	uint8_t size;
	bool write;
	uint32_t count;	 /* IO: string repetitions, else 1 */
	void *data;	 /* size * count bytes inside the run page, in and out */
	int error;	 /* KVM_EXITED_ERROR: errno or 0 */
	uint32_t reason; /* KVM's exit reason or hardware code */
};
/* KVM_RUN once. Fills data in place; the next call completes the access. */
void kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *exit) ON_VCPU;
/*
 * Before the first KVM_RUN after a pause (not after creation or reset: there is nothing to
 * forgive): the guest's watchdogs do not take the time it stood still for a processor that hangs.
 * Only a guest that uses kvmclock can be told so; its clock runs on as the host's does.
 */
void kvm_vcpu_resumed(struct kvm_vcpu *vcpu) ON_VCPU;
/* Signal-safe, any thread: the next KVM_RUN returns at once (on = true) until cleared. */
void kvm_vcpu_immediate_exit(struct kvm_vcpu *vcpu, bool on);
/* Text for a fatal exit: reason and registers. */
const char *kvm_vcpu_describe(
	struct kvm_vcpu *vcpu, const struct kvm_exit *exit, char *buf, size_t size) ON_VCPU;

#endif
