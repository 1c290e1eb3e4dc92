/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_kvm.h - stands in for src/kvm where a test links this file: VMs, vCPUs, memslots, GSIs and
 * irqfds are counted. What vCPUs do is fake_vcpu.h's.
 */
#ifndef TESTS_FAKE_KVM_H
#define TESTS_FAKE_KVM_H

#include <stdatomic.h>

#include <portcullis/kvm.h>
#include <portcullis/kvm_vcpu.h>

#define FAKE_KVM_MEMSLOTS 64
#define FAKE_KVM_VCPUS 64

struct fake_memslot {
	uint64_t gpa, size;
	void *hva;
};

/* Main's, and what workers ask for as well: that is atomic. */
struct fake_kvm {
	bool memslot[FAKE_KVM_MEMSLOTS];
	struct fake_memslot at[FAKE_KVM_MEMSLOTS]; /* of those */
	unsigned memslots, memslot_limit;
	int vms, vcpus;
	int idle_asked, idle_answer, idle_with_vcpus; /* kvm_vm_idle_in_guest() */
	uint8_t phys_bits;
	uint64_t dma_hole_start, dma_hole_end; /* AMD's; 0, 0: none */
	atomic_bool gsi[KVM_GSI_MAX];
	atomic_uint gsis, messages, route_changes;
	atomic_int irqfds, vfio_fds;
	atomic_uint calls;
	unsigned fail_at; /* the n-th that may fail does; 0: none */
};
extern struct fake_kvm fake_kvm;
void fake_kvm_clear(void);

#endif
