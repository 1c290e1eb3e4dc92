/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mce.h - machine checks: how a guest hears that a page of its memory has an uncorrectable error.
 *
 * Layer: L1, the module of kvm.h.
 * Who:   the vCPU's own thread, outside KVM_RUN and with no access pending (kvm_vcpu.io_pending).
 * Spec:  Intel SDM vol. 3B ch. 15 (SRAR, SRAO: software recoverable errors, action required or
 *        optional), AMD APM vol. 2 ch. 9 (deferred errors). Banks and bits are QEMU's.
 * Intel: such an error is broadcast: every processor takes a machine check and the guest's kernel
 *        waits until all have. AMD: it is the processor's own.
 */
#ifndef PORTCULLIS_MCE_H
#define PORTCULLIS_MCE_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/role.h>

struct kvm_vcpu;

enum mce_kind {
	MCE_REQUIRED, /* the vCPU needs the page now: it cannot go on as if nothing were */
	MCE_OPTIONAL, /* the host found the error; nobody has used the page since */
	MCE_SHARE,    /* the error is another vCPU's, and broadcast */
};

enum mce_fate {
	MCE_INJECTED,
	MCE_IGNORED,	/* the guest does not listen now, and can go on without */
	MCE_SHUTDOWN,	/* it does not listen and cannot go on: a processor shuts down */
	MCE_IMPOSSIBLE, /* this host's KVM cannot tell the guest */
};

/*
 * Tells the guest of an error at gpa. *recursive: it was still busy with the machine check before.
 * MCE_SHUTDOWN leaves the vCPU as it was: it must not run again before a reset.
 */
enum mce_fate kvm_vcpu_mce(
	struct kvm_vcpu *vcpu, enum mce_kind kind, uint64_t gpa, bool *recursive) ON_VCPU;
/* Is an injected error to be shared with the other vCPUs? Any thread. */
bool kvm_vcpu_mce_broadcast(const struct kvm_vcpu *vcpu);

#endif
