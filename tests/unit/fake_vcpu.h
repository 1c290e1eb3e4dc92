/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vcpu.h - stands in for a vCPU of KVM under the real threads/vcpu.c: what its thread asked of
 * it, one letter each, and a guest that the test writes.
 */
#ifndef TESTS_FAKE_VCPU_H
#define TESTS_FAKE_VCPU_H

#include <pthread.h>

#include <portcullis/mce.h>

#include "machine_rig.h"

#define FAKE_VCPU_CALLS 2048

struct fake_vcpu {
	pthread_mutex_t lock;
	/*
	 * R reset, C resumed, F an access finished, r run (a row of them is one); machine checks: Q
	 * required, O optional, S shared; ! one of them, or a reset, while KVM still had an access
	 * to finish
	 */
	char calls[FAKE_VCPU_CALLS];
	enum mce_fate fate; /* of machine checks */
	bool recursive, broadcast;
	_Atomic uint64_t gpa; /* of the last one */
	/* On the vCPU's thread, in its KVM_RUN: fills exit. NULL: the guest waits for a kick. */
	void (*guest)(struct kvm_vcpu *vcpu, struct kvm_exit *exit);
	/* On the vCPU's thread, at the start of its reset. */
	void (*on_reset)(struct kvm_vcpu *vcpu);
};
extern struct fake_vcpu fake_vcpu;

void fake_vcpu_clear(void);
/* The rig's machine gets one vCPU with its thread, as it is before the first cont; and its end. */
void fake_vcpu_start(struct machine_rig *rig);
void fake_vcpu_stop(struct machine_rig *rig);
/* stop, and what it takes until the vCPU waits at the gate. */
void fake_vcpu_pause(struct machine_rig *rig);
/* Waits until the calls end with these letters; fails the test after some seconds. */
void fake_vcpu_wait(const char *end);

#endif
