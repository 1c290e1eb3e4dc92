/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_cpuid.c - the guest's CPUID, from made-up tables of what KVM supports.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../src/kvm/x86/x86.h"

#define ROOM 64

static struct kvm_cpuid2 *table_new(void)
{
	return calloc(1, sizeof(struct kvm_cpuid2) + ROOM * sizeof(struct kvm_cpuid_entry2));
}

static void add(struct kvm_cpuid2 *c, uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx,
	uint32_t ecx, uint32_t edx)
{
	c->entries[c->nent++] = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .eax = eax, .ebx = ebx, .ecx = ecx, .edx = edx
	};
}

static const struct kvm_cpuid_entry2 *get(
	const struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < c->nent; i++) {
		if (c->entries[i].function != function || c->entries[i].index != index)
			continue;
		assert_null(found); /* no leaf twice */
		found = &c->entries[i];
	}
	return found;
}

/* What a host with its own topology would say; the guest must see none of it. */
static struct kvm_cpuid2 *intel(void)
{
	struct kvm_cpuid2 *c = table_new();

	add(c, 0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(c, 1, 0, 0x906ea, 0x17400800, 0x0effffff, 0xffffffff);
	add(c, 4, 0, 0x1c0fc121, 0x01c0003f, 0x3f, 0);
	add(c, 4, 2, 0x1c03c143, 0x00c0003f, 0x3ff, 0);
	add(c, 4, 3, 0x1c0fc163, 0x02c0003f, 0x3fff, 6);
	add(c, 4, 4, 0, 0, 0, 0);
	add(c, 5, 0, 0x40, 0x40, 3, 0x11142120);
	add(c, 7, 0, 0, 0xffffffff, 0xffffffff, 0xffffffff);
	add(c, 0xb, 0, 1, 2, 0x100, 0x17);
	add(c, 0xb, 1, 4, 12, 0x201, 0x17);
	add(c, 0x12, 0, 3, 0, 0, 0);
	add(c, 0x1f, 0, 1, 2, 0x100, 0x17);
	add(c, 0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d);
	add(c, 0x40000001, 0, 0x01007efb, 0, 0, 0);
	add(c, 0x80000008, 0, 0x3027, 0, 0, 0);
	return c;
}

static struct kvm_cpuid2 *amd(void)
{
	struct kvm_cpuid2 *c = table_new();

	add(c, 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
	add(c, 1, 0, 0x800f12, 0x05100800, 0x7ed8320b, 0x178bfbff);
	add(c, 0x80000001, 0, 0x800f12, 0, 0x75c237ff, 0x2fd3fbff);
	add(c, 0x80000007, 0, 0, 0, 0, 0x100);
	add(c, 0x80000008, 0, 0x3030, 0x1007, 0x703f, 0);
	add(c, 0x8000001d, 0, 0x4121, 0x1c0003f, 0x3f, 0);
	add(c, 0x8000001d, 3, 0x1c163, 0x3c0003f, 0x1fff, 1);
	add(c, 0x8000001d, 4, 0, 0, 0, 0);
	add(c, 0x8000001e, 0, 5, 0x102, 0x301, 0);
	return c;
}

/* The processors of the two tables above, as their own CPUID tells of them. */
static const struct kvm_host intel_host = { .package = 12 }, amd_host = { .package = 64 };

static struct kvm_cpuid2 *build_on(struct kvm_cpuid2 *supported, const struct kvm_host *host,
	unsigned sockets, unsigned cores, unsigned threads, unsigned index)
{
	const struct kvm_topology t = { sockets * cores * threads, sockets, cores, threads };
	struct kvm_cpuid2 *out = table_new();

	kvm_cpuid_build(supported, host, &t, index, true, out);
	assert_true(out->nent <= supported->nent + KVM_CPUID_ROOM);
	free(supported);
	return out;
}

static struct kvm_cpuid2 *build(struct kvm_cpuid2 *host, unsigned sockets, unsigned cores,
	unsigned threads, unsigned index, bool deadline)
{
	const struct kvm_topology t = { sockets * cores * threads, sockets, cores, threads };
	struct kvm_cpuid2 *out = table_new();

	kvm_cpuid_build(host, &(struct kvm_host){ 0 }, &t, index, deadline, out);
	assert_true(out->nent <= host->nent + KVM_CPUID_ROOM);
	free(host);
	return out;
}

static void test_apic_ids(void **state)
{
	const struct {
		unsigned sockets, cores, threads;
		uint32_t last; /* APIC id of the last vCPU */
	} rows[] = {
		{ 1, 1, 1, 0 },
		{ 64, 1, 1, 63 },
		{ 1, 64, 1, 63 },
		{ 2, 4, 2, 15 },
		{ 1, 3, 1, 2 },
		{ 1, 6, 2, 11 },
		{ 2, 3, 1, 6 },
		{ 2, 3, 2, 13 },
		{ 3, 3, 3, 42 },
		{ 5, 5, 2, 73 },
		{ 1, 256, 1, 255 },
		{ 1, 300, 1, 299 },
		{ 3, 100, 1, 355 },
		{ 2, 75, 2, 405 },
		{ 1, 4096, 1, 4095 },
	};

	(void)state;
	for (unsigned r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct kvm_topology t = { rows[r].sockets * rows[r].cores * rows[r].threads,
			rows[r].sockets, rows[r].cores, rows[r].threads };
		bool plain = !(t.cores & (t.cores - 1)) && !(t.threads & (t.threads - 1));

		for (unsigned i = 0; i < t.cpus; i++) {
			uint32_t id = kvm_apic_id(&t, i);

			assert_true(i == 0 ? id == 0 : id > kvm_apic_id(&t, i - 1));
			if (plain)
				assert_int_equal(id, i);
		}
		assert_int_equal(kvm_apic_id(&t, t.cpus - 1), rows[r].last);
	}
}

/* What is too much for the old leaves stays inside its fields; leaf 0xb has all of it. */
static void test_wide(void **state)
{
	struct kvm_cpuid2 *c = build(intel(), 1, 300, 1, 299, true);

	(void)state;
	assert_int_equal(get(c, 1, 0)->ebx >> 24, 299 & 0xff);
	assert_int_equal(get(c, 1, 0)->ebx >> 16 & 0xff, 255);
	assert_int_equal(get(c, 4, 3)->eax >> 26, 63);
	assert_int_equal(get(c, 4, 3)->eax >> 14 & 0xfff, 511);
	assert_int_equal(get(c, 0xb, 0)->edx, 299);
	assert_int_equal(get(c, 0xb, 1)->edx, 299);
	assert_int_equal(get(c, 0xb, 1)->ebx, 300);
	assert_int_equal(get(c, 0xb, 1)->eax, 9);
	free(c);
	c = build(intel(), 1, 1365, 3, 4094, true);
	assert_int_equal(get(c, 4, 3)->eax >> 14 & 0xfff, 0xfff);
	assert_int_equal(get(c, 4, 3)->eax >> 26, 63);
	assert_int_equal(get(c, 0xb, 1)->eax, 13);
	free(c);
	c = build(amd(), 1, 300, 1, 299, true);
	assert_int_equal(get(c, 0x80000008, 0)->ecx & 0xf0ff, 9 << 12 | 0xff);
	assert_int_equal(get(c, 0x8000001e, 0)->eax, 299);
	assert_int_equal(get(c, 0x8000001e, 0)->ebx, 299 & 0xff);
	assert_int_equal(get(c, 0xb, 0)->edx, 299);
	free(c);
	c = build(amd(), 1, 1365, 3, 4094, true);
	assert_int_equal(get(c, 0x8000001d, 3)->eax >> 14, 0xfff);
	free(c);
	c = build(amd(), 300, 1, 1, 299, true);
	assert_int_equal(get(c, 0x8000001e, 0)->ecx, 299 & 0xff);
	free(c);
}

static void test_leaf_1(void **state)
{
	struct kvm_cpuid2 *c = build(intel(), 2, 3, 2, 11, true);
	const struct kvm_cpuid_entry2 *e = get(c, 1, 0);

	(void)state;
	/*
	 * APIC id 8 + 2 * 2 + 1; 3 cores take 2 bits, so 8 ids per package; CLFLUSH size is the
	 * host's.
	 */
	assert_int_equal(e->ebx, 13u << 24 | 8u << 16 | 0x0800);
	assert_int_equal(e->edx >> 28 & 1, 1);
	assert_int_equal(e->ecx >> 31, 1);
	assert_int_equal(e->ecx >> 24 & 1, 1);
	assert_int_equal(e->ecx >> 3 & 1, 0);  /* MONITOR */
	assert_int_equal(e->ecx >> 27 & 1, 0); /* OSXSAVE */
	assert_int_equal(e->ecx >> 21 & 1, 1); /* x2APIC stays */
	free(c);
	c = build(intel(), 4, 1, 1, 3, false);
	e = get(c, 1, 0);
	assert_int_equal(e->ebx, 3u << 24 | 1u << 16 | 0x0800);
	assert_int_equal(e->edx >> 28 & 1, 0);
	assert_int_equal(e->ecx >> 24 & 1, 0);
	free(c);
}

static void check_level(const struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index, uint32_t eax,
	uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	const struct kvm_cpuid_entry2 *e = get(c, leaf, index);

	assert_non_null(e);
	assert_int_equal(e->flags, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
	assert_int_equal(e->eax, eax);
	assert_int_equal(e->ebx, ebx);
	assert_int_equal(e->ecx, ecx);
	assert_int_equal(e->edx, edx);
}

static void test_intel_topology(void **state)
{
	struct kvm_cpuid2 *c = build(intel(), 2, 3, 2, 7, true);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t leaf = i ? 0x1f : 0xb;

		check_level(c, leaf, 0, 1, 2, 0x100, 9);
		check_level(c, leaf, 1, 3, 6, 0x201, 9);
		check_level(c, leaf, 2, 0, 0, 2, 9);
	}
	/* L1 and L2 are shared by the two threads of a core, L3 by all 8 ids; 4 core ids. */
	assert_int_equal(get(c, 4, 0)->eax, 0x121 | 1u << 14 | 3u << 26);
	assert_int_equal(get(c, 4, 2)->eax, 0x143 | 1u << 14 | 3u << 26);
	assert_int_equal(get(c, 4, 3)->eax, 0x163 | 7u << 14 | 3u << 26);
	assert_int_equal(get(c, 4, 4)->eax, 0);
	free(c);
}

static void test_not_offered(void **state)
{
	struct kvm_cpuid2 *c = build(intel(), 1, 1, 1, 0, true);

	(void)state;
	assert_null(get(c, 5, 0));
	assert_null(get(c, 0x12, 0));
	assert_int_equal(get(c, 7, 0)->ebx, 0xfffffffb);
	assert_int_equal(get(c, 7, 0)->ecx, 0xbfffffff);
	assert_int_equal(get(c, 7, 0)->edx, 0xfcbfffff);
	/* KVM's own leaves are untouched. */
	assert_int_equal(get(c, 0x40000000, 0)->ebx, 0x4b4d564b);
	assert_int_equal(get(c, 0x40000001, 0)->eax, 0x01007efb);
	free(c);
}

static void test_amd_topology(void **state)
{
	struct kvm_cpuid2 *c = build(amd(), 2, 4, 2, 13, true);

	(void)state;
	assert_int_equal(get(c, 0, 0)->eax, 0xd);
	check_level(c, 0xb, 0, 1, 2, 0x100, 13);
	check_level(c, 0xb, 1, 3, 8, 0x201, 13);
	assert_null(get(c, 0x1f, 0)); /* beyond the highest leaf */
	assert_int_equal(get(c, 0x80000001, 0)->ecx >> 1 & 1, 1);
	assert_int_equal(get(c, 0x80000007, 0)->ebx, 3); /* may recover from machine checks */
	assert_int_equal(get(c, 0x80000007, 0)->edx, 0x100);
	assert_int_equal(get(c, 0x80000008, 0)->ecx, 3u << 12 | 7);
	assert_int_equal(get(c, 0x80000008, 0)->ebx, 0x1007);
	assert_int_equal(get(c, 0x8000001d, 0)->eax, 0x121 | 1u << 14);
	assert_int_equal(get(c, 0x8000001d, 3)->eax, 0x163 | 7u << 14);
	assert_int_equal(get(c, 0x8000001d, 4)->eax, 0);
	assert_int_equal(get(c, 0x8000001e, 0)->eax, 13);
	assert_int_equal(get(c, 0x8000001e, 0)->ebx, 2 | 1u << 8);
	assert_int_equal(get(c, 0x8000001e, 0)->ecx, 1);
	free(c);
	c = build(amd(), 1, 1, 1, 0, true);
	assert_int_equal(get(c, 0x80000001, 0)->ecx >> 1 & 1, 0);
	assert_int_equal(get(c, 0x80000008, 0)->ecx, 0);
	free(c);
}

static unsigned l3_ids(struct kvm_cpuid2 *supported, const struct kvm_host *host, unsigned sockets,
	unsigned cores, unsigned threads)
{
	struct kvm_cpuid2 *c = build_on(supported, host, sockets, cores, threads, 0);
	const struct kvm_cpuid_entry2 *e = get(c, kvm_cpuid_is_amd(c) ? 0x8000001d : 4, 3);
	const unsigned ids = (e->eax >> 14 & 0xfff) + 1;

	free(c);
	return ids;
}

static struct kvm_cpuid2 *amd_sharing(unsigned l3)
{
	struct kvm_cpuid2 *c = amd();

	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0x8000001d && c->entries[i].index == 3)
			c->entries[i].eax = 0x163 | (l3 - 1) << 14;
	return c;
}

/* How many APIC ids have one third-level cache. */
static void test_l3(void **state)
{
	const struct kvm_host one = { .package = 1 }, silent = { .package = 0 };

	(void)state;
	/* One for the host's package: one for each of the guest's, however large. */
	assert_int_equal(l3_ids(intel(), &intel_host, 1, 64, 1), 64);
	assert_int_equal(l3_ids(intel(), &intel_host, 1, 64, 2), 128);
	assert_int_equal(l3_ids(intel(), &intel_host, 2, 3, 2), 8);
	assert_int_equal(l3_ids(amd_sharing(1), &one, 1, 4, 1), 4);
	/* One for eight of the host's 64: for eight here, or for the package when that has fewer. */
	assert_int_equal(l3_ids(amd(), &amd_host, 1, 16, 2), 8);
	assert_int_equal(l3_ids(amd(), &amd_host, 1, 16, 1), 8);
	assert_int_equal(l3_ids(amd(), &amd_host, 2, 2, 2), 4);
	assert_int_equal(l3_ids(amd(), &amd_host, 4, 1, 1), 1);
	/* For six cores of two threads: ids come in powers of two. */
	assert_int_equal(l3_ids(amd_sharing(12), &amd_host, 1, 24, 2), 16);
	/* Never for less than a core. */
	assert_int_equal(l3_ids(amd_sharing(1), &amd_host, 1, 4, 2), 2);
	assert_int_equal(l3_ids(amd(), &silent, 1, 16, 2), 32);
}

/* AMD's caches: KVM lists none (its leaf is empty, or missing), the processor does. */
static void test_amd_caches(void **state)
{
	const struct kvm_host host = { .package = 64,
		.l1 = { 0xff40ff40, 0xff40ff40, 0x20080140, 0x40040140 },
		.n_caches = 2,
		.cache = { { 0x4121, 0x1c0003f, 0x3f, 0 }, { 0x1c163, 0x3c0003f, 0x1fff, 1 } } };

	(void)state;
	for (unsigned empty = 0; empty < 2; empty++) {
		struct kvm_cpuid2 *c = table_new();

		add(c, 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
		add(c, 0x80000000, 0, 0x80000021, 0, 0, 0);
		if (empty) {
			add(c, 0x80000005, 0, 0, 0, 0, 0);
			add(c, 0x8000001d, 0, 0, 0, 0, 0);
		}
		c = build_on(c, &host, 2, 4, 2, 3);
		assert_memory_equal(&get(c, 0x80000005, 0)->eax, &host.l1, sizeof(host.l1));
		assert_int_equal(get(c, 0x8000001d, 0)->eax, 0x121 | 1u << 14);
		assert_int_equal(get(c, 0x8000001d, 0)->ebx, 0x1c0003f);
		assert_int_equal(get(c, 0x8000001d, 1)->eax, 0x163 | 7u << 14);
		assert_int_equal(get(c, 0x8000001d, 1)->edx, 1);
		assert_int_equal(get(c, 0x8000001d, 2)->eax, 0);
		assert_null(get(c, 0x8000001d, 3));
		free(c);
	}
	/* A list that the guest is told not to look for. */
	struct kvm_cpuid2 *old = table_new();

	add(old, 0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
	add(old, 0x80000000, 0, 0x80000008, 0, 0, 0);
	old = build_on(old, &host, 1, 1, 1, 0);
	assert_null(get(old, 0x8000001d, 0));
	free(old);
}

/* The processor's name is the host's, whether KVM has the leaves, empty, or not. */
static void test_brand(void **state)
{
	const struct kvm_host host = { .has_brand = true,
		.brand = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10, 11, 12 } } };

	(void)state;
	for (unsigned empty = 0; empty < 2; empty++) {
		struct kvm_cpuid2 *c = intel();

		add(c, 0x80000000, 0, empty ? 0x80000008 : 0x80000001, 0, 0, 0);
		for (uint32_t i = 0; empty && i < 3; i++)
			add(c, 0x80000002 + i, 0, 0, 0, 0, 0);
		c = build_on(c, &host, 1, 2, 1, 1);
		for (uint32_t i = 0; i < 3; i++) {
			const struct kvm_cpuid_entry2 *e = get(c, 0x80000002 + i, 0);

			assert_non_null(e);
			assert_memory_equal(&e->eax, &host.brand[i], sizeof(host.brand[i]));
		}
		assert_int_equal(get(c, 0x80000000, 0)->eax, empty ? 0x80000008 : 0x80000004);
		free(c);
	}
}

/* MWAIT, where KVM lets the guest have it: the flag, and the host's leaf. */
static void test_mwait(void **state)
{
	struct kvm_host host = { .monitor = { 0x40, 0x80, 3, 0x2020 }, .mwait = true };
	struct kvm_cpuid2 *c = build_on(intel(), &host, 1, 2, 1, 1);
	const struct kvm_cpuid_entry2 *e = get(c, 5, 0);

	(void)state;
	assert_int_equal(get(c, 1, 0)->ecx >> 3 & 1, 1);
	assert_non_null(e);
	assert_memory_equal(&e->eax, &host.monitor, sizeof(host.monitor));
	free(c);
	host.mwait = false;
	c = build_on(intel(), &host, 1, 2, 1, 1);
	assert_int_equal(get(c, 1, 0)->ecx >> 3 & 1, 0);
	assert_null(get(c, 5, 0));
	free(c);
}

static void test_old_host(void **state)
{
	struct kvm_cpuid2 *host = table_new(), *c;

	(void)state;
	add(host, 0, 0, 4, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(host, 1, 0, 0, 0, 0, 0);
	c = build(host, 1, 2, 1, 1, false);
	assert_int_equal(get(c, 0, 0)->eax, 0xb); /* or the guest would not look at leaf 0xb */
	check_level(c, 0xb, 1, 1, 2, 0x201, 1);
	free(c);
}

static void test_phys_bits(void **state)
{
	struct kvm_cpuid2 *c = intel();

	(void)state;
	assert_int_equal(kvm_cpuid_phys_bits(c), 0x27);
	c->entries[c->nent - 1].eax = 0x3000 | 64; /* nonsense */
	assert_int_equal(kvm_cpuid_phys_bits(c), 36);
	c->nent--;
	assert_int_equal(kvm_cpuid_phys_bits(c), 36);
	free(c);
}

/* A host with AMX, as Linux 6.1 tells of it: cfg is XTILE_CFG's bit, data XTILE_DATA's. */
static struct kvm_cpuid2 *sapphire_rapids(bool cfg, bool data)
{
	struct kvm_cpuid2 *c = table_new();

	add(c, 0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
	add(c, 1, 0, 0x806f8, 0x100800, 0xfffa3203, 0x0f8bfbff);
	add(c, 7, 0, 2, 0xf1bf07ab, 0x1b415f6e, 0xffdd4432);
	add(c, 7, 1, 0x00201c30, 0, 0, 1u << 8);
	add(c, 0xd, 0, 0x2e7 | (uint32_t)cfg << 17 | (uint32_t)data << 18, 0xa88, 0x2b00, 0);
	add(c, 0xd, 1, 0x1f, 0, 0, 0);
	add(c, 0xd, 17, 0x40, 0xac0, 2, 0);
	add(c, 0xd, 18, 0x2000, 0xb00, 6, 0);
	add(c, 0x1d, 0, 1, 0, 0, 0);
	add(c, 0x1d, 1, 0x4002000, 0x80040, 0x10, 0);
	add(c, 0x1e, 0, 0, 0x4010, 0, 0);
	return c;
}

static void test_tiles(void **state)
{
	(void)state;
	/* Granted: all of it. Not granted, in each way kernels say it: none of it. */
	for (unsigned i = 0; i < 3; i++) {
		const bool all = i == 2;
		struct kvm_cpuid2 *out = build(sapphire_rapids(i > 0, all), 1, 2, 1, 0, true);

		assert_int_equal(get(out, 7, 0)->edx, all ? 0xffdd4432 : 0xfc9d4432);
		assert_int_equal(get(out, 7, 1)->eax, all ? 0x00201c30 : 0x00001c30);
		assert_int_equal(get(out, 7, 1)->edx, all ? 1u << 8 : 0);
		assert_int_equal(get(out, 0xd, 0)->eax, all ? 0x602e7 : 0x2e7);
		for (unsigned leaf = 17; leaf <= 18; leaf++)
			assert_int_equal(get(out, 0xd, leaf) != NULL, all);
		assert_int_equal(get(out, 0x1d, 1) != NULL, all);
		assert_int_equal(get(out, 0x1e, 0) != NULL, all);
		assert_non_null(get(out, 0xd, 1));
		free(out);
	}
}

static void test_dma_hole(void **state)
{
	struct kvm_cpuid2 *of_amd = amd(), *of_intel = intel();
	uint64_t start = 0, end = 0;

	(void)state;
	assert_false(kvm_cpuid_dma_hole(of_intel, &start, &end));
	assert_int_equal(end, 0);
	assert_true(kvm_cpuid_dma_hole(of_amd, &start, &end));
	assert_int_equal(start, 0xfd00000000);
	assert_int_equal(end, 0xffffffffff);
	free(of_amd);
	free(of_intel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_wide),
		cmocka_unit_test(test_leaf_1),
		cmocka_unit_test(test_intel_topology),
		cmocka_unit_test(test_not_offered),
		cmocka_unit_test(test_amd_topology),
		cmocka_unit_test(test_l3),
		cmocka_unit_test(test_amd_caches),
		cmocka_unit_test(test_brand),
		cmocka_unit_test(test_mwait),
		cmocka_unit_test(test_old_host),
		cmocka_unit_test(test_phys_bits),
		cmocka_unit_test(test_tiles),
		cmocka_unit_test(test_dma_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
