/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86.h - what the files of src/kvm/x86 share. Nobody else includes it (unit tests excepted).
 *
 * Layer: L1.
 */
#ifndef PORTCULLIS_KVM_X86_PRIVATE_H
#define PORTCULLIS_KVM_X86_PRIVATE_H

#include <portcullis/kvm_x86.h>
#include <portcullis/mce.h>

#include "../private.h"

/* --- cpuid.c, pure but for kvm_cpuid_read() --- */
/* CPUID leaves that are the processor's own in the guest (host.c reads, cpuid.c shows them). */
#define LEAF_MWAIT 5
#define LEAF_BRAND 0x80000002 /* and the two after it */
#define LEAF_L1 0x80000005
#define LEAF_CACHES 0x8000001d

#define KVM_CPUID_ROOM (13 + KVM_HOST_CACHES + 1) /* entries that kvm_cpuid_build() may add */
/* KVM_GET_SUPPORTED_CPUID in a buffer as large as it takes. */
int kvm_cpuid_read(int kvm_fd, struct kvm_cpuid2 **out);
/* supported -> what this vCPU's guest sees. out has room for supported->nent + KVM_CPUID_ROOM. */
void kvm_cpuid_build(const struct kvm_cpuid2 *supported, const struct kvm_host *host,
	const struct kvm_topology *topology, unsigned index, bool tsc_deadline,
	struct kvm_cpuid2 *out);
bool kvm_cpuid_is_amd(const struct kvm_cpuid2 *cpuid);
/* Before kvm_cpuid_read(), and before any vCPU: what cannot be had is not in CPUID then. */
void kvm_cpuid_request_tiles(void);
/* Does the host's IOMMU leave addresses untranslated? end inclusive. */
bool kvm_cpuid_dma_hole(const struct kvm_cpuid2 *cpuid, uint64_t *start, uint64_t *end);
/* Guest-physical address width, 36 when the leaf is missing. */
uint8_t kvm_cpuid_phys_bits(const struct kvm_cpuid2 *cpuid);

/* --- host.c --- */
/* Executes CPUID. */
void kvm_host_read(struct kvm_host *host, bool amd);
/* The vCPU's microcode has the host's revision. */
void kvm_host_microcode(const struct kvm_vcpu *vcpu, const struct kvm_vm *vm);

/* --- irqchip.c --- */
/* The in-kernel PICs, IOAPIC, LAPICs and PIT, routed, and as firmware leaves them. */
int kvm_irqchip_create(struct kvm_vm *vm, struct err *err) ON_MAIN;
/*
 * Pure: a PIC as firmware leaves it: programmed, every line shut. Linux on a hardware-reduced
 * machine never looks at the PICs; what they latch of lines that also reach the IOAPIC would come
 * to it as an exception (vector 7: a spurious interrupt) once it turns interrupts on.
 */
void kvm_pic_power_on(struct kvm_pic_state *pic, bool slave);
/* Pure: KVM's own default: GSI n is IOAPIC pin n and, below 16, PIC line n. */
void kvm_pin_routes(struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES]);

/* --- state.c --- */
/* All but MSRs is as large as the struct; xsave, nested, msrs follow the VM's sizes. */
struct kvm_vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_xcrs xcrs;
	bool has_xcrs;
	struct kvm_xsave *xsave;
	struct kvm_nested_state *nested; /* NULL: KVM has no nested state */
	struct kvm_msrs *msrs;
};
int kvm_state_save(struct kvm_vcpu *vcpu, struct kvm_vm *vm);
/* fd: a vCPU, or /dev/kvm for what the host has. False: KVM does not know it, or not the value. */
bool kvm_msr_get(int fd, uint32_t msr, uint64_t *value);
bool kvm_msr_set(int fd, uint32_t msr, uint64_t value);
void kvm_state_free(struct kvm_vcpu_state *state);
/* The state at creation, with regs and sregs in place of the saved ones. */
int kvm_state_restore(const struct kvm_vcpu *vcpu, const struct kvm_regs *regs,
	const struct kvm_sregs *sregs) ON_VCPU;

/* --- entry.c --- */
/* Pure: turns the registers at creation into those a kernel is entered with. */
void kvm_entry_registers(
	const struct kvm_entry *entry, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* --- mce.c, pure but for the first two --- */
/* What this host can offer its guests, from its CPUID on: vm->arch.mcg_cap. */
void kvm_mce_read_host(struct kvm_vm *vm);
/* Before the vCPU's state is saved: the machine checks it has. */
void kvm_mce_set_up(struct kvm_vcpu *vcpu, const struct kvm_vm *vm);
/* IA32_MCG_CAP for the guest, 0: no machine checks. supported, banks: KVM's. */
uint64_t kvm_mce_capabilities(const struct kvm_cpuid2 *cpuid, uint64_t supported, int banks);
void kvm_mce_compose(enum mce_kind kind, bool amd, uint64_t gpa, struct kvm_x86_mce *mce);
/* What the guest has made of its registers. */
struct mce_state {
	uint64_t cr4, mcg_status, mcg_ctl, bank_ctl;
};
/* exception: it raises #MC, and is not only logged. */
enum mce_fate kvm_mce_fate(enum mce_kind kind, const struct mce_state *state, bool exception);

#endif
