/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - a vCPU's state as created, and the way back to it.
 *
 * ioctls issued on the vCPU's own thread and fd, for its seccomp filter; keep this list whole:
 *   kvm_state_restore()   KVM_SET_NESTED_STATE KVM_SET_SREGS KVM_SET_REGS KVM_SET_XSAVE
 * KVM_SET_XCRS KVM_SET_DEBUGREGS KVM_SET_LAPIC KVM_SET_MSRS KVM_SET_VCPU_EVENTS KVM_SET_MP_STATE
 *   kvm_vcpu_run(), kvm_vcpu_reset()   KVM_RUN
 *   kvm_vcpu_resumed()   KVM_KVMCLOCK_CTRL
 *   kvm_vcpu_mce()   KVM_GET_SREGS KVM_GET_MSRS KVM_X86_SET_MCE
 *   kvm_vcpu_describe()   KVM_GET_REGS KVM_GET_SREGS
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "x86.h"

#define MSR_LIST_ROOM 1024

/*
 * MSRs that are not put back, first and last number:
 * - clocks: the TSCs of the vCPUs run in step, and writing one of them is how they fall out of it;
 * - what KVM_SET_SREGS and KVM_SET_LAPIC carry;
 * - what a guest cannot change (newer kernels refuse to have it written once a vCPU has run);
 * - Hyper-V's: not offered in CPUID, and touching them makes KVM set up its emulation.
 */
static const struct {
	uint32_t first, last;
} msr_kept[] = {
	{ 0x10, 0x10 },		    /* IA32_TIME_STAMP_COUNTER */
	{ 0x1b, 0x1b },		    /* IA32_APIC_BASE */
	{ 0x3b, 0x3b },		    /* IA32_TSC_ADJUST */
	{ 0x8b, 0x8b },		    /* IA32_BIOS_SIGN_ID */
	{ 0xcf, 0xcf },		    /* IA32_CORE_CAPABILITIES */
	{ 0x10a, 0x10a },	    /* IA32_ARCH_CAPABILITIES */
	{ 0x345, 0x345 },	    /* IA32_PERF_CAPABILITIES */
	{ 0x480, 0x4ff },	    /* VMX capabilities */
	{ 0x6e0, 0x6e0 },	    /* IA32_TSC_DEADLINE */
	{ 0x800, 0x8ff },	    /* x2APIC */
	{ 0x40000000, 0x400001ff }, /* Hyper-V */
	{ 0xc0000080, 0xc0000080 }, /* EFER */
	{ 0xc0000100, 0xc0000101 }, /* FS and GS base */
	{ 0xc0000104, 0xc0000104 }, /* AMD TSC ratio */
};

/* MSRs that KVM keeps but does not list. */
static const struct {
	uint32_t first, last;
} msr_unlisted[] = {
	{ 0x200, 0x20f },				      /* variable MTRRs */
	{ 0x250, 0x250 },				      /* fixed MTRRs */
	{ 0x258, 0x259 }, { 0x268, 0x26f }, { 0x277, 0x277 }, /* PAT */
	{ 0x2ff, 0x2ff },				      /* MTRRdefType */
	{ 0x400, 0x427 },				      /* machine check banks (mce.c) */
};

#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_FAST_STRINGS 1ull
#define MISC_ENABLE_MWAIT (1ull << 18)
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLED_WRITE_BACK 0x806ull

static bool msr_is_kept(uint32_t msr)
{
	for (unsigned i = 0; i < sizeof(msr_kept) / sizeof(msr_kept[0]); i++) {
		if (msr >= msr_kept[i].first && msr <= msr_kept[i].last)
			return true;
	}
	return false;
}

/* struct kvm_msrs with room for one. */
struct one_msr {
	uint32_t nmsrs, pad;
	struct kvm_msr_entry entry;
};

bool kvm_msr_get(int fd, uint32_t msr, uint64_t *value)
{
	struct one_msr m = { .nmsrs = 1, .entry.index = msr };

	if (sys_ioctl(fd, KVM_GET_MSRS, &m) != 1)
		return false;
	*value = m.entry.data;
	return true;
}

bool kvm_msr_set(int fd, uint32_t msr, uint64_t value)
{
	struct one_msr m = { .nmsrs = 1, .entry.index = msr, .entry.data = value };

	return sys_ioctl(fd, KVM_SET_MSRS, &m) == 1;
}

static void msr_consider(struct kvm_msr_list *list, int fd, uint32_t msr)
{
	uint64_t value;

	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == msr)
			return;
	}
	if (list->nmsrs == MSR_LIST_ROOM || msr_is_kept(msr))
		return;
	if (kvm_msr_get(fd, msr, &value) && kvm_msr_set(fd, msr, value))
		list->indices[list->nmsrs++] = msr;
}

/* Which MSRs can be read and put back is found out by trying, on the first vCPU, once per VM. */
static int msr_find(struct kvm_vm *vm, int fd)
{
	size_t size = sizeof(struct kvm_msr_list) + MSR_LIST_ROOM * sizeof(uint32_t);
	struct kvm_msr_list *all = calloc(1, size), *list = calloc(1, size);
	long r = -ENOMEM;

	if (!all || !list)
		goto out;
	all->nmsrs = MSR_LIST_ROOM;
	r = sys_ioctl(vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, all);
	if (r < 0)
		goto out;
	for (uint32_t i = 0; i < all->nmsrs; i++)
		msr_consider(list, fd, all->indices[i]);
	for (unsigned i = 0; i < sizeof(msr_unlisted) / sizeof(msr_unlisted[0]); i++) {
		for (uint32_t m = msr_unlisted[i].first; m <= msr_unlisted[i].last; m++)
			msr_consider(list, fd, m);
	}
	vm->arch.msrs = list;
	list = NULL;
	r = 0;
out:
	free(list);
	free(all);
	return (int)r;
}

/*
 * What firmware would have set up: memory is write-back unless said otherwise (MTRRs off means
 * uncached, and makes Linux give up on PAT), string instructions are fast, and MWAIT is on where
 * there is one.
 */
static void msr_adjust(struct kvm_msr_entry *e, bool mwait)
{
	if (e->index == MSR_MTRR_DEF_TYPE)
		e->data = MTRR_ENABLED_WRITE_BACK;
	else if (e->index == MSR_MISC_ENABLE)
		e->data |= MISC_ENABLE_FAST_STRINGS | (mwait ? MISC_ENABLE_MWAIT : 0);
}

static int msr_save(struct kvm_vcpu *vcpu, struct kvm_vm *vm, struct kvm_vcpu_state *state)
{
	struct kvm_msrs *m;
	int ret = vm->arch.msrs ? 0 : msr_find(vm, vcpu->fd);

	if (ret < 0)
		return ret;
	m = calloc(1, sizeof(*m) + vm->arch.msrs->nmsrs * sizeof(m->entries[0]));
	if (!m)
		return -ENOMEM;
	state->msrs = m;
	for (uint32_t i = 0; i < vm->arch.msrs->nmsrs; i++) {
		struct kvm_msr_entry *e = &m->entries[m->nmsrs];

		e->index = vm->arch.msrs->indices[i];
		if (!kvm_msr_get(vcpu->fd, e->index, (uint64_t *)&e->data))
			continue;
		msr_adjust(e, vm->arch.host.mwait);
		m->nmsrs++;
	}
	return 0;
}

/*
 * KVM stops at the first MSR it refuses (because of what the guest did to the vCPU). The others
 * must not suffer: the rest is then set one by one.
 */
static void msr_restore(int fd, const struct kvm_msrs *msrs)
{
	long done = sys_ioctl(fd, KVM_SET_MSRS, (void *)(uintptr_t)msrs);

	for (uint32_t i = done < 0 ? 0 : (uint32_t)done; i < msrs->nmsrs; i++)
		(void)kvm_msr_set(fd, msrs->entries[i].index, msrs->entries[i].data);
}

static int save_fixed(int fd, struct kvm_vcpu_state *s, const struct kvm_vm *vm)
{
	const struct {
		unsigned long cmd;
		void *arg;
	} get[] = {
		{ KVM_GET_MP_STATE, &s->mp },
		{ KVM_GET_REGS, &s->regs },
		{ KVM_GET_SREGS, &s->sregs },
		{ KVM_GET_LAPIC, &s->lapic },
		{ KVM_GET_VCPU_EVENTS, &s->events },
		{ KVM_GET_DEBUGREGS, &s->debugregs },
		{ vm->arch.xsave_size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
			s->xsave },
	};

	for (unsigned i = 0; i < sizeof(get) / sizeof(get[0]); i++) {
		long r = sys_ioctl(fd, get[i].cmd, get[i].arg);

		if (r < 0)
			return (int)r;
	}
	if (vm->arch.has_xcrs && sys_ioctl(fd, KVM_GET_XCRS, &s->xcrs) >= 0)
		s->has_xcrs = s->xcrs.nr_xcrs > 0;
	return 0;
}

static int save_nested(int fd, struct kvm_vcpu_state *s, size_t size)
{
	long r;

	if (size == 0)
		return 0;
	s->nested = calloc(1, size);
	if (!s->nested)
		return -ENOMEM;
	s->nested->size = (uint32_t)size;
	r = sys_ioctl(fd, KVM_GET_NESTED_STATE, s->nested);
	if (r >= 0)
		return 0;
	free(s->nested); /* this guest's CPUID has neither VMX nor SVM */
	s->nested = NULL;
	return 0;
}

int kvm_state_save(struct kvm_vcpu *vcpu, struct kvm_vm *vm)
{
	struct kvm_vcpu_state *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	vcpu->arch.initial = s;
	s->xsave = calloc(1, vm->arch.xsave_size);
	if (!s->xsave)
		return -ENOMEM;
	ret = save_fixed(vcpu->fd, s, vm);
	if (ret == 0)
		ret = save_nested(vcpu->fd, s, vm->arch.nested_size);
	if (ret == 0)
		ret = msr_save(vcpu, vm, s);
	return ret;
}

void kvm_state_free(struct kvm_vcpu_state *state)
{
	if (!state)
		return;
	free(state->xsave);
	free(state->nested);
	free(state->msrs);
	free(state);
}

/*
 * Order: leave nested guest mode first (CR4 and EFER cannot be set under it); segments, CR and APIC
 * base before the LAPIC's page; MP state last, because events may change it.
 */
int kvm_state_restore(
	const struct kvm_vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	const struct kvm_vcpu_state *s = vcpu->arch.initial;
	const struct {
		unsigned long cmd;
		const void *arg; /* NULL: this host has no such state */
	} set[] = {
		{ KVM_SET_NESTED_STATE, s->nested },
		{ KVM_SET_SREGS, sregs },
		{ KVM_SET_REGS, regs },
		{ KVM_SET_XSAVE, s->xsave },
		{ KVM_SET_XCRS, s->has_xcrs ? &s->xcrs : NULL },
		{ KVM_SET_DEBUGREGS, &s->debugregs },
		{ KVM_SET_LAPIC, &s->lapic },
		{ KVM_SET_MSRS, s->msrs },
		{ KVM_SET_VCPU_EVENTS, &s->events },
		{ KVM_SET_MP_STATE, &s->mp },
	};

	for (unsigned i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		long r = 0;

		if (set[i].cmd == KVM_SET_MSRS)
			msr_restore(vcpu->fd, s->msrs);
		else if (set[i].arg)
			r = sys_ioctl(vcpu->fd, set[i].cmd, (void *)(uintptr_t)set[i].arg);
		if (r < 0)
			return (int)r;
	}
	return 0;
}
