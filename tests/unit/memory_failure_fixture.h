/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_failure_fixture.h - uncorrectable errors in guest memory: the signal, the vCPU's thread and
 * main are the real ones; KVM and the broken memory are not.
 */
#ifndef MEMORY_FAILURE_FIXTURE_H
#define MEMORY_FAILURE_FIXTURE_H

#include "fake_vcpu.h"
#include "log_capture.h"
#include "says.h"

#define PAGE 4096u
#define BAD_GPA 0x5000u

/* A rig with one vCPU's thread, before the first cont, and a captured log. */
#define MEMORY_TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)
int memory_setup(void **state);
int memory_teardown(void **state);

/* Each test gets at memory here first; cmocka puts handlers of its own before it. */
void *hva(uint64_t gpa);
/* RAM in a file that ends too soon: at BAD_GPA. */
void shorten(struct machine_rig *rig, char *directory);
/* As the kernel does for a page that KVM_RUN ran into. */
void send_sigbus(int code, void *addr);

extern _Atomic int times; /* the guest meets it so often, and then does something else */
extern void *_Atomic met;
void meets_it(struct kvm_vcpu *vcpu, struct kvm_exit *exit);
void start(struct machine_rig *rig, void (*guest)(struct kvm_vcpu *, struct kvm_exit *),
	int how_often, void *where);
void run(struct machine_rig *rig);

unsigned events(const struct machine_rig *rig, enum machine_event_kind kind);
/* Waits for the event, which is this. */
void expect_failure(
	struct machine_rig *rig, const char *recipient, const char *action, bool required);

#endif
