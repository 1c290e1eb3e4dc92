/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mce.c - machine checks: which ones the guest is offered, what they look like, and whether it can
 * take one.
 *
 * KVM_X86_SET_MCE makes a vCPU that cannot take one triple fault by itself, and drops what the
 * guest has switched off without a word. So that is looked at before, and the caller knows.
 */
#include <errno.h>
#include <linux/kvm.h>

#include <portcullis/mce.h>
#include <portcullis/sys.h>

#include "x86.h"

/* What QEMU gives its guests. */
#define BANKS 10
#define BANK_MEMORY 9
#define BANK_SHARE 1

/* IA32_MCG_CAP */
#define MCG_CTL_P (1ull << 8)
#define MCG_SER_P (1ull << 24) /* software error recovery: without it an error is the end */

/* IA32_MCG_STATUS */
#define MCG_STATUS_RIPV (1ull << 0) /* the program may go on where it was interrupted */
#define MCG_STATUS_EIPV (1ull << 1) /* and there it ran into the error */
#define MCG_STATUS_MCIP (1ull << 2)

/* IA32_MCi_STATUS */
#define MCI_VAL (1ull << 63)
#define MCI_UC (1ull << 61)
#define MCI_EN (1ull << 60)
#define MCI_MISCV (1ull << 59)
#define MCI_ADDRV (1ull << 58)
#define MCI_S (1ull << 56)	  /* Intel: signalled by a machine check */
#define MCI_AR (1ull << 55)	  /* Intel: action required */
#define MCI_DEFERRED (1ull << 44) /* AMD: nobody has used the data */
#define MCI_POISON (1ull << 43)	  /* AMD: the address is that of bad data */
#define INTEL_DATA_LOAD 0x134ull
#define INTEL_SCRUB 0xc0ull

/* IA32_MCi_MISC: the address is physical, and good to a page. */
#define MISC_PHYSICAL_PAGE (2ull << 6 | 12)

#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_BANK_CTL(bank) (0x400 + 4 * (bank))

#define CR4_MCE (1ull << 6)

uint64_t kvm_mce_capabilities(const struct kvm_cpuid2 *cpuid, uint64_t supported, int banks)
{
	const uint32_t needed = 1u << 7 | 1u << 14; /* MCE, MCA */

	if (!(supported & MCG_SER_P) || banks < BANKS)
		return 0;
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1 && (e->edx & needed) == needed && (e->eax >> 8 & 0xf) >= 6)
			return (supported & (MCG_CTL_P | MCG_SER_P)) | BANKS;
	}
	return 0;
}

void kvm_mce_read_host(struct kvm_vm *vm)
{
	int banks = kvm_check_extension(vm->kvm_fd, KVM_CAP_MCE);
	uint64_t supported = 0;

	vm->arch.mcg_cap = 0;
	if (banks && sys_ioctl(vm->kvm_fd, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported) >= 0)
		vm->arch.mcg_cap = kvm_mce_capabilities(vm->arch.cpuid, supported, banks);
}

void kvm_mce_set_up(struct kvm_vcpu *vcpu, const struct kvm_vm *vm)
{
	uint64_t cap = vm->arch.mcg_cap;

	vcpu->arch.mcg_cap = 0;
	vcpu->arch.amd = kvm_cpuid_is_amd(vm->arch.cpuid);
	if (cap && sys_ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap) >= 0)
		vcpu->arch.mcg_cap = cap;
}

bool kvm_vcpu_mce_broadcast(const struct kvm_vcpu *vcpu)
{
	return !vcpu->arch.amd;
}

static void compose_intel(enum mce_kind kind, struct kvm_x86_mce *mce)
{
	mce->status |= MCI_UC | MCI_S;
	if (kind == MCE_REQUIRED)
		mce->status |= MCI_AR | INTEL_DATA_LOAD;
	else
		mce->status |= INTEL_SCRUB;
}

static void compose_amd(enum mce_kind kind, struct kvm_x86_mce *mce)
{
	/* A deferred error is no exception: the guest finds it when it polls its banks. */
	mce->status |= MCI_POISON | (kind == MCE_REQUIRED ? MCI_UC : MCI_DEFERRED);
}

void kvm_mce_compose(enum mce_kind kind, bool amd, uint64_t gpa, struct kvm_x86_mce *mce)
{
	*mce = (struct kvm_x86_mce){ .mcg_status = MCG_STATUS_MCIP | MCG_STATUS_RIPV };
	if (kind == MCE_SHARE) {
		mce->bank = BANK_SHARE;
		mce->status = MCI_VAL | MCI_UC;
		return;
	}
	mce->bank = BANK_MEMORY;
	mce->status = MCI_VAL | MCI_EN | MCI_MISCV | MCI_ADDRV;
	mce->addr = gpa;
	mce->misc = MISC_PHYSICAL_PAGE;
	if (kind == MCE_REQUIRED)
		mce->mcg_status |= MCG_STATUS_EIPV;
	if (amd)
		compose_amd(kind, mce);
	else
		compose_intel(kind, mce);
}

enum mce_fate kvm_mce_fate(enum mce_kind kind, const struct mce_state *state, bool exception)
{
	const bool listens = state->mcg_ctl == UINT64_MAX && state->bank_ctl == UINT64_MAX;
	const bool busy = state->mcg_status & MCG_STATUS_MCIP;

	/* Logged only, or an exception that comes in time and finds a handler. */
	if (!exception || (listens && !busy && state->cr4 & CR4_MCE))
		return MCE_INJECTED;
	return kind == MCE_REQUIRED ? MCE_SHUTDOWN : MCE_IGNORED;
}

/* 0, or -errno. */
static int read_state(const struct kvm_vcpu *vcpu, unsigned bank, struct mce_state *out) ON_VCPU
{
	struct {
		uint32_t nmsrs, pad;
		struct kvm_msr_entry entry[3];
	} m = { .entry = { { .index = MSR_MCG_STATUS }, { .index = MSR_BANK_CTL(bank) },
			{ .index = MSR_MCG_CTL } } };
	struct kvm_sregs sregs;
	long r = sys_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);

	if (r < 0)
		return (int)r;
	m.nmsrs = vcpu->arch.mcg_cap & MCG_CTL_P ? 3 : 2;
	r = sys_ioctl(vcpu->fd, KVM_GET_MSRS, &m);
	if (r != (long)m.nmsrs)
		return r < 0 ? (int)r : -EIO;
	*out = (struct mce_state){
		.cr4 = sregs.cr4,
		.mcg_status = m.entry[0].data,
		.bank_ctl = m.entry[1].data,
		.mcg_ctl = m.nmsrs == 3 ? m.entry[2].data : UINT64_MAX,
	};
	return 0;
}

enum mce_fate kvm_vcpu_mce(struct kvm_vcpu *vcpu, enum mce_kind kind, uint64_t gpa, bool *recursive)
{
	struct kvm_x86_mce mce;
	struct mce_state state = { 0 };
	enum mce_fate fate;

	*recursive = false;
	kvm_mce_compose(kind, vcpu->arch.amd, gpa, &mce);
	if (!vcpu->arch.mcg_cap || read_state(vcpu, mce.bank, &state) < 0)
		return MCE_IMPOSSIBLE;
	*recursive = state.mcg_status & MCG_STATUS_MCIP;
	fate = kvm_mce_fate(kind, &state, mce.status & MCI_UC);
	if (fate == MCE_INJECTED && sys_ioctl(vcpu->fd, KVM_X86_SET_MCE, &mce) < 0)
		return MCE_IMPOSSIBLE;
	return fate;
}
