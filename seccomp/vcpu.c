/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - all that a vCPU's thread may ask of the kernel: threads/vcpu.c says what it does with
 * it.
 *
 * No memory is mapped, nothing is opened, no VFIO or memslot call is made: an access that needs one
 * is deferred to the thread that owns it. The thread is taken to be the guest's from its first
 * instruction on.
 */
#include <asm/unistd.h>
#include <linux/kvm.h>

#include <portcullis/sys.h>

#include "rules.h"

#define VCPU_IOCTL(cmd, reason)                                                                    \
	RULE(ioctl, reason, ARG_FD(0, POLICY_FD_OWN), ARG_NAMED(1, cmd, #cmd))

static const struct sc_rule rules_vcpu[] = {
	VCPU_IOCTL(KVM_RUN, "running the guest"),
	VCPU_IOCTL(KVM_KVMCLOCK_CTRL, "after a pause: the guest's watchdogs forgive it"),
	RULE(pread64, "trapped BAR pages and config space of a passed-through device",
		ARG_BITS(0, FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE)),
	RULE(pwrite64, "trapped BAR pages and config space of a passed-through device",
		ARG_BITS(0, FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE)),
	VCPU_IOCTL(KVM_SET_REGS, "reset: general registers"),
	VCPU_IOCTL(KVM_SET_SREGS, "reset: segments and control registers"),
	VCPU_IOCTL(KVM_SET_NESTED_STATE, "reset: out of a guest of the guest"),
	VCPU_IOCTL(KVM_SET_XSAVE, "reset: extended state"),
	VCPU_IOCTL(KVM_SET_XCRS, "reset: extended control registers"),
	VCPU_IOCTL(KVM_SET_DEBUGREGS, "reset: debug registers"),
	VCPU_IOCTL(KVM_SET_LAPIC, "reset: local APIC"),
	VCPU_IOCTL(KVM_SET_MP_STATE, "reset: runnable or waiting for INIT"),
	VCPU_IOCTL(KVM_SET_VCPU_EVENTS, "reset: no pending exception or interrupt"),
	VCPU_IOCTL(KVM_SET_MSRS, "reset: model-specific registers"),
	VCPU_IOCTL(KVM_GET_REGS, "the report of a fatal exit"),
	VCPU_IOCTL(KVM_GET_SREGS, "the report of a fatal exit; may it take a machine check"),
	VCPU_IOCTL(KVM_GET_MSRS, "may the guest take a machine check"),
	VCPU_IOCTL(KVM_X86_SET_MCE, "its memory has an uncorrectable error: a machine check"),
	RULES_END,
};

static const struct sc_rule *const parts[] = { rules_vcpu, rules_common, NULL };

const struct policy policy_vcpu = { .role = "vcpu", .parts = parts };
