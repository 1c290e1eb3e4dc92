/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_kvm.h - stands in for src/kvm where a test links this file: VMs, vCPUs, memslots, GSIs and
 * irqfds are counted. What vCPUs do is fake_vcpu.h's.
 */
#ifndef TESTS_FAKE_KVM_H
#define TESTS_FAKE_KVM_H

#include <portcullis/kvm.h>
#include <portcullis/kvm_vcpu.h>

#define FAKE_KVM_SLOTS 64
#define FAKE_KVM_VCPUS 64

struct fake_kvm {
	bool slot[FAKE_KVM_SLOTS], gsi[KVM_GSI_MAX];
	unsigned slots, slot_limit, gsis, messages;
	int irqfds, vfio_fds, vms, vcpus;
	unsigned calls, fail_at; /* the n-th that may fail does; 0: none */
};
extern struct fake_kvm fake_kvm;
void fake_kvm_clear(void);

#endif
