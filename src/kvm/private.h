/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.h - what the files of src/kvm share, and what they ask of the architecture's directory
 * below (kvm_arch_*, Linux's way of naming it). Nobody else includes it (unit tests excepted).
 *
 * Layer: L1.
 */
#ifndef PORTCULLIS_KVM_PRIVATE_H
#define PORTCULLIS_KVM_PRIVATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/kvm.h>
#include <portcullis/kvm_vcpu.h>

/* --- dev_kvm.c --- */
/* Opens the KVM device; the error says who may open it and how to become one of them. */
int kvm_dev_open(const char *path, struct err *err);
/* -EOPNOTSUPP naming every capability that is needed and missing. fd: /dev/kvm. */
int kvm_dev_check(int fd, struct err *err);
/* KVM_CHECK_EXTENSION: 0 when unknown. */
int kvm_check_extension(int fd, int cap);

/* --- routes.c --- */
/* pins: the interrupt controllers' own routes, which stay. */
int kvm_routes_init(struct kvm_vm *vm, const struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES]);

/* --- exit.c --- */
/* Pure: what *run says about the last KVM_RUN that returned 0. */
void kvm_exit_decode(struct kvm_run *run, size_t run_size, struct kvm_exit *exit);

/* --- the architecture --- */
struct kvm_needed_cap {
	int cap;
	const char *name;
};
#define KVM_NEEDED_CAP(cap)                                                                        \
	{                                                                                          \
		cap, #cap                                                                          \
	}
/* What it needs of KVM beyond what every machine does; a name of NULL ends the list. */
extern const struct kvm_needed_cap kvm_arch_needed_caps[];
/* There is no KVM device: why, and how to get one. */
void kvm_arch_hint_missing(struct err *err);
/* After KVM_CREATE_VM: limits, interrupt controllers, routes. What it got is the VM's. */
int kvm_arch_vm_init(struct kvm_vm *vm, struct err *err) ON_MAIN;
void kvm_arch_vm_release(struct kvm_vm *vm);
/* Before any vCPU: may there be these, and what KVM must be told for it. */
int kvm_arch_prepare_vcpus(
	struct kvm_vm *vm, const struct kvm_topology *topology, struct err *err) ON_MAIN;
/* What KVM_CREATE_VCPU takes. */
uint32_t kvm_arch_vcpu_id(const struct kvm_topology *topology, unsigned index);
/* Identification, clock, and its state as created, for kvm_vcpu_reset(). */
int kvm_arch_vcpu_init(struct kvm_vcpu *vcpu, struct kvm_vm *vm,
	const struct kvm_topology *topology, struct err *err);
void kvm_arch_vcpu_release(struct kvm_vcpu *vcpu);
/* Appends the registers, as text; nothing when they cannot be read. */
void kvm_arch_describe_registers(struct kvm_vcpu *vcpu, char *buf, size_t size) ON_VCPU;

#endif
