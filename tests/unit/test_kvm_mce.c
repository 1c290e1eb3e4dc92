/* SPDX-License-Identifier: Apache-2.0 */
/* test_kvm_mce.c - machine checks: what a guest is offered, what it is told, what it can take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/kvm/private.h"

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

static void what_is_offered(void **state)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[2];
	} c = { .head.nent = 2,
		.entry = { { .function = 0 },
			{ .function = 1, .eax = 0x800f12, .edx = 1u << 7 | 1u << 14 } } };
	const struct kvm_cpuid2 *cpuid = &c.head;

	(void)state;
	assert_int_equal(
		kvm_mce_capabilities(cpuid, SER_P | CTL_P | 1ull << 27, 32), SER_P | CTL_P | 10);
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P, 32), SER_P | 10);
	assert_int_equal(kvm_mce_capabilities(cpuid, CTL_P, 32), 0); /* no recovery */
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 8), 0);
	c.entry[1].edx = 1u << 7;
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 32), 0);
	c.entry[1].edx |= 1u << 14;
	c.entry[1].eax = 0x512;
	assert_int_equal(kvm_mce_capabilities(cpuid, SER_P | CTL_P, 32), 0);
}

static void vendors(void **state)
{
	static const struct {
		uint32_t ebx;
		bool amd;
	} rows[] = { { 0x756e6547, false }, { 0x68747541, true }, { 0x6f677948, true } };
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[1];
	} c = { .head.nent = 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_vcpu vcpu = { .fd = -1 };
		struct kvm_vm vm = { .cpuid = &c.head, .mcg_cap = SER_P | 10 };

		c.entry[0].ebx = rows[i].ebx;
		kvm_mce_set_up(&vcpu, &vm);
		assert_int_equal(kvm_vcpu_mce_broadcast(&vcpu), !rows[i].amd);
		assert_int_equal(vcpu.mcg_cap, 0); /* there is no KVM here to say yes */
	}
	c.head.nent = 0;
	assert_false(kvm_cpuid_is_amd(&c.head));
}

/* A host whose KVM cannot: told apart from a guest that cannot. */
static void impossible(void **state)
{
	struct kvm_vcpu vcpu = { .fd = -1 };
	bool recursive = true;

	(void)state;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_IMPOSSIBLE);
	assert_false(recursive);
	vcpu.mcg_cap = SER_P | 10;
	assert_int_equal(kvm_vcpu_mce(&vcpu, MCE_REQUIRED, PAGE, &recursive), MCE_IMPOSSIBLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_looks_like),
		cmocka_unit_test(whether_it_can_be_taken),
		cmocka_unit_test(what_is_offered),
		cmocka_unit_test(vendors),
		cmocka_unit_test(impossible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
