/* SPDX-License-Identifier: Apache-2.0 */
/* test_kvm_mce.c - machine checks: what a guest is offered, what it is told, what it can take. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/kvm/x86/x86.h"

#define PAGE 0x12345000ull
#define SER_P (1ull << 24)
#define CTL_P (1ull << 8)
#define ALL UINT64_MAX
#define CR4_MCE 0x40

/* The registers, as the manuals and Linux's severity tables read them. */
static void what_it_looks_like(void **state)
{
	static const struct {
		bool amd;
		enum mce_kind kind;
		uint64_t status, mcg_status;
	} rows[] = {
		/* VAL UC EN MISCV ADDRV S AR, data load; RIPV EIPV MCIP */
		{ false, MCE_REQUIRED, 0xbd80000000000134, 7 },
		/* without AR, memory scrubbing; RIPV MCIP */
		{ false, MCE_OPTIONAL, 0xbd000000000000c0, 5 },
		/* VAL UC EN MISCV ADDRV Poison */
		{ true, MCE_REQUIRED, 0xbc00080000000000, 7 },
		/* no UC: Deferred Poison */
		{ true, MCE_OPTIONAL, 0x9c00180000000000, 5 },
	};
	struct kvm_x86_mce mce;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&mce, 0xee, sizeof(mce));
		kvm_mce_compose(rows[i].kind, rows[i].amd, PAGE, &mce);
		assert_int_equal(mce.status, rows[i].status);
		assert_int_equal(mce.mcg_status, rows[i].mcg_status);
		assert_int_equal(mce.addr, PAGE);
		assert_int_equal(mce.misc, 0x8c); /* a physical address, good to 2^12 */
		assert_int_equal(mce.bank, 9);
	}
	kvm_mce_compose(MCE_SHARE, false, PAGE, &mce);
	assert_int_equal(mce.status, 0xa000000000000000);
	assert_int_equal(mce.mcg_status, 5);
	assert_int_equal(mce.addr | mce.misc, 0);
	assert_int_equal(mce.bank, 1);
}

/* A guest that cannot take the exception: shut down if it must, left alone if it may. */
static void whether_it_can_be_taken(void **state)
{
	static const struct mce_state good = { CR4_MCE, 0, ALL, ALL };
	static const struct mce_state bad[] = {
		{ 0, 0, ALL, ALL },	    /* CR4.MCE is off */
		{ CR4_MCE, 4, ALL, ALL },   /* busy with the one before */
		{ CR4_MCE, 0, 0, ALL },	    /* reporting is off, for all banks */
		{ CR4_MCE, 0, ALL, ~2ull }, /* for this one */
	};

	(void)state;
	assert_int_equal(kvm_mce_fate(MCE_REQUIRED, &good, true), MCE_INJECTED);
	assert_int_equal(kvm_mce_fate(MCE_OPTIONAL, &good, true), MCE_INJECTED);
	assert_int_equal(kvm_mce_fate(MCE_SHARE, &good, true), MCE_INJECTED);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(kvm_mce_fate(MCE_REQUIRED, &bad[i], true), MCE_SHUTDOWN);
		assert_int_equal(kvm_mce_fate(MCE_OPTIONAL, &bad[i], true), MCE_IGNORED);
		assert_int_equal(kvm_mce_fate(MCE_SHARE, &bad[i], true), MCE_IGNORED);
		/* What is only logged disturbs nobody. */
		assert_int_equal(kvm_mce_fate(MCE_OPTIONAL, &bad[i], false), MCE_INJECTED);
	}
}

static struct kvm_cpuid2 *cpuid_new(void)
{
	return calloc(1, sizeof(struct kvm_cpuid2) + 2 * sizeof(struct kvm_cpuid_entry2));
}

static void what_is_offered(void **state)
{
	struct kvm_cpuid2 *cpuid = cpuid_new();

	(void)state;
	cpuid->nent = 2;
	cpuid->entries[1] = (struct kvm_cpuid_entry2){
		.function = 1, .eax = 0x800f12, .edx = 1u << 7 | 1u << 14
	};
	assert_int_equal(
		kvm_mce_capabilities(cpuid, SER_P | CTL_P | 1ull << 27, 32), SER_P | CTL_P | 10);
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P, 32), SER_P | 10);
	assert_int_equal(kvm_mce_capabilities(cpuid, CTL_P, 32), 0); /* no recovery */
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 8), 0);
	cpuid->entries[1].edx = 1u << 7;
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 32), 0);
	cpuid->entries[1].edx |= 1u << 14;
	cpuid->entries[1].eax = 0x512;
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 32), 0);
	free(cpuid);
}

static void vendors(void **state)
{
	static const struct {
		uint32_t ebx;
		bool amd;
	} rows[] = { { 0x756e6547, false }, { 0x68747541, true }, { 0x6f677948, true } };
	struct kvm_cpuid2 *cpuid = cpuid_new();

	(void)state;
	cpuid->nent = 1;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_vcpu vcpu = { .fd = -1 };
		struct kvm_vm vm = { .arch.cpuid = cpuid, .arch.mcg_cap = SER_P | 10 };

		cpuid->entries[0].ebx = rows[i].ebx;
		kvm_mce_set_up(&vcpu, &vm);
		assert_int_equal(kvm_vcpu_mce_broadcast(&vcpu), !rows[i].amd);
		assert_int_equal(vcpu.arch.mcg_cap, 0); /* there is no KVM here to say yes */
	}
	cpuid->nent = 0;
	assert_false(kvm_cpuid_is_amd(cpuid));
	free(cpuid);
}

/* --- the calls, on a KVM that is none --- */

#define FD 77

static struct {
	uint64_t cr4, mcg_status, mcg_ctl, bank9_ctl;
	uint64_t supported, set_up;
	struct kvm_x86_mce mce; /* injected; status 0: nothing */
	unsigned long refused;	/* this command fails */
} kvm;

long __real_sys_ioctl(int fd, unsigned long cmd, void *arg);
long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg);

static long get_msrs(struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		struct kvm_msr_entry *e = &msrs->entries[i];

		if (e->index == 0x17a)
			e->data = kvm.mcg_status;
		else if (e->index == 0x17b)
			e->data = kvm.mcg_ctl;
		else if (e->index == 0x424)
			e->data = kvm.bank9_ctl;
		else
			return i;
	}
	return msrs->nmsrs;
}

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	if (fd != FD)
		return __real_sys_ioctl(fd, cmd, arg);
	if (cmd == kvm.refused)
		return -EINVAL;
	switch (cmd) {
	case KVM_X86_SETUP_MCE:
		kvm.set_up = *(uint64_t *)arg;
		return 0;
	case KVM_GET_SREGS:
		((struct kvm_sregs *)arg)->cr4 = kvm.cr4;
		return 0;
	case KVM_GET_MSRS:
		return get_msrs(arg);
	case KVM_X86_SET_MCE:
		kvm.mce = *(struct kvm_x86_mce *)arg;
		return 0;
	}
	return -ENOTTY;
}

/* A vCPU of AMD's or Intel's, in a good mood. */
static struct kvm_vcpu new_vcpu(bool amd)
{
	struct kvm_cpuid2 *cpuid = cpuid_new();
	struct kvm_vm vm = { .arch.cpuid = cpuid, .arch.mcg_cap = SER_P | CTL_P | 10 };
	struct kvm_vcpu vcpu = { .fd = FD };

	memset(&kvm, 0, sizeof(kvm));
	kvm.cr4 = CR4_MCE;
	kvm.mcg_ctl = kvm.bank9_ctl = ALL;
	cpuid->nent = 1;
	cpuid->entries[0].ebx = amd ? 0x68747541 : 0x756e6547;
	kvm_mce_set_up(&vcpu, &vm);
	assert_int_equal(kvm.set_up, vm.arch.mcg_cap);
	assert_int_equal(vcpu.arch.mcg_cap, vm.arch.mcg_cap);
	free(cpuid);
	return vcpu;
}

static void injected(void **state)
{
	struct kvm_vcpu vcpu = new_vcpu(false);
	bool recursive = true;

	(void)state;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_INJECTED);
	assert_false(recursive);
	assert_int_equal(kvm.mce.status, 0xbd80000000000134);
	assert_int_equal(kvm.mce.addr, PAGE);
	vcpu = new_vcpu(true);
	kvm.cr4 = 0; /* a deferred error is only written down */
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_OPTIONAL, PAGE, &recursive), MCE_INJECTED);
	assert_int_equal(kvm.mce.status, 0x9c00180000000000);
}

/* KVM would drop it, or triple fault: it is not even asked. */
static void not_injected(void **state)
{
	struct kvm_vcpu vcpu = new_vcpu(false);
	bool recursive = false;

	(void)state;
	kvm.mcg_status = 4;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_SHUTDOWN);
	assert_true(recursive);
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_OPTIONAL, PAGE, &recursive), MCE_IGNORED);
	kvm.mcg_status = 0;
	kvm.bank9_ctl = 1;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_SHUTDOWN);
	assert_false(recursive);
	assert_int_equal(kvm.mce.status, 0);
}

static void kvm_says_no(void **state)
{
	static const unsigned long calls[] = { KVM_GET_SREGS, KVM_GET_MSRS, KVM_X86_SET_MCE };
	struct kvm_vcpu vcpu = new_vcpu(true);
	bool recursive;

	(void)state;
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		kvm.refused = calls[i];
		assert_int_equal(
			kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_IMPOSSIBLE);
	}
}

/* A host whose KVM cannot: told apart from a guest that cannot. */
static void impossible(void **state)
{
	struct kvm_vcpu vcpu = { .fd = -1 };
	bool recursive = true;

	(void)state;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_IMPOSSIBLE);
	assert_false(recursive);
	vcpu.arch.mcg_cap = SER_P | 10;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_IMPOSSIBLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_looks_like),
		cmocka_unit_test(whether_it_can_be_taken),
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(vendors),
		cmocka_unit_test(injected),
		cmocka_unit_test(not_injected),
		cmocka_unit_test(kvm_says_no),
		cmocka_unit_test(impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
