/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vcpu.h - stands in for a vCPU of KVM under the real threads/vcpu.c: what its thread asked of
 * it, one letter each, and a guest that the test writes.
 */
#ifndef TESTS_FAKE_VCPU_H
#define TESTS_FAKE_VCPU_H

#include <pthread.h>

#include <portcullis/kvm_vcpu.h>

#define FAKE_VCPU_CALLS 256

struct fake_vcpu {
	pthread_mutex_t lock;
	char calls[FAKE_VCPU_CALLS]; /* R reset, C resumed, r run (a row of them is one) */
	/* On the vCPU's thread, in its KVM_RUN: fills exit. NULL: the guest waits for a kick. */
	void (*guest)(struct kvm_vcpu *vcpu, struct kvm_exit *exit);
};
extern struct fake_vcpu fake_vcpu;

void fake_vcpu_clear(void);
/* Waits until the calls end with these letters; fails the test after some seconds. */
void fake_vcpu_wait(const char *end);

#endif
