/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid.c - what the guest's CPUID says: all that KVM supports on this host (like `-cpu host`),
 * less what needs help we do not give, and with our own topology. (Intel SDM vol. 2A CPUID; AMD APM
 * vol. 3 appendix E.)
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "x86.h"

/* asm/prctl.h since Linux 5.17 */
#ifndef ARCH_REQ_XCOMP_GUEST_PERM
#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025
#endif

#define CPUID_ENTRIES_FIRST 128
#define CPUID_ENTRIES_LAST 4096

/* Features taken away: (function, index, register) bits. */
enum { EAX, EBX, ECX, EDX };
#define MONITOR (1u << 3) /* leaf 1, ECX: MONITOR and MWAIT */
static const struct drop {
	uint32_t function, index;
	int reg;
	uint32_t bits;
} dropped[] = {
	{ 1, 0, ECX, MONITOR },	 /* KVM makes MWAIT a no-op, a busy loop in the guest */
	{ 1, 0, ECX, 1u << 27 }, /* OSXSAVE mirrors CR4; KVM keeps it */
	{ 7, 0, EBX, 1u << 2 },	 /* SGX needs EPC sections from us */
	{ 7, 0, ECX, 1u << 30 }, /* SGX launch control */
	/* KVM_FEATURE_MSI_EXT_DEST_ID: guests would use it for KVM's IOAPIC, too, which has 8 bits */
	{ 0x40000001, 0, EAX, 1u << 15 },
};

/* The same, of AMX: taken away where this process may not use tile data. */
#define XTILE_CFG 17
#define XTILE_DATA 18
static const struct drop amx[] = {
	{ 7, 0, EDX, 1u << 22 | 1u << 24 | 1u << 25 }, /* BF16, TILE, INT8 */
	{ 7, 1, EAX, 1u << 21 },		       /* FP16 */
	{ 7, 1, EDX, 1u << 8 },			       /* COMPLEX */
	{ 0xd, 0, EAX, 1u << XTILE_CFG | 1u << XTILE_DATA },
};

/* Leaves that add_host() and add_caches() put in place of KVM's, which are empty or missing. */
static bool is_of_host(const struct kvm_host *host, uint32_t function)
{
	if (function == LEAF_CACHES)
		return host->n_caches > 0;
	if (function == LEAF_L1)
		return host->l1.ecx != 0;
	return host->has_brand && function >= LEAF_BRAND && function <= LEAF_BRAND + 2;
}

/* Leaves that are ours alone or not offered at all (0x80000026 is AMD's 0xb of the host). */
static bool leaf_dropped(const struct kvm_cpuid_entry2 *e, bool tiles)
{
	const bool tile = e->function == 0x1d || e->function == 0x1e ||
			  (e->function == 0xd && (e->index == XTILE_CFG || e->index == XTILE_DATA));

	return e->function == LEAF_MWAIT || e->function == 0xb || e->function == 0x12 ||
	       e->function == 0x1f || e->function == 0x80000026 || (tile && !tiles);
}

/*
 * Guests have AMX's tiles only if the process was granted them. Kernels that know no such grant
 * refuse; Linux 5.17 to 6.3 then leaves a half of the state in CPUID, by which Linux guests die.
 */
void kvm_cpuid_request_tiles(void)
{
	(void)sys_arch_prctl(ARCH_REQ_XCOMP_GUEST_PERM, XTILE_DATA);
}

int kvm_cpuid_read(int kvm_fd, struct kvm_cpuid2 **out)
{
	for (uint32_t n = CPUID_ENTRIES_FIRST; n <= CPUID_ENTRIES_LAST; n *= 2) {
		struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));
		long r;

		if (!c)
			return -ENOMEM;
		c->nent = n;
		r = sys_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c);
		if (r >= 0) {
			*out = c;
			return 0;
		}
		free(c);
		if (r != -E2BIG)
			return (int)r;
	}
	return -E2BIG;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == function && e->index == index)
			return e;
	}
	return NULL;
}

uint8_t kvm_cpuid_phys_bits(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0x80000008 && (e->eax & 0xff) >= 32 && (e->eax & 0xff) <= 52)
			return (uint8_t)e->eax;
	}
	return 36;
}

/* Bits that hold the numbers 0 .. count - 1. */
static unsigned width(unsigned count)
{
	unsigned bits = 0;

	while (1u << bits < count)
		bits++;
	return bits;
}

/* A vCPU's place, and how the APIC id is cut into fields. */
struct place {
	uint32_t apic_id, core, socket;
	unsigned thread_bits, package_bits;
	unsigned threads, package; /* per core, per socket */
};

static struct place place_of(const struct kvm_topology *t, unsigned index)
{
	struct place p = {
		.threads = t->threads,
		.package = t->threads * t->cores,
		.thread_bits = width(t->threads),
		.package_bits = width(t->threads) + width(t->cores),
		.socket = index / (t->threads * t->cores),
		.core = index / t->threads % t->cores,
	};

	p.apic_id = p.socket << p.package_bits | p.core << p.thread_bits | index % t->threads;
	return p;
}

uint32_t kvm_apic_id(const struct kvm_topology *topology, unsigned index)
{
	return place_of(topology, index).apic_id;
}

static uint32_t at_most(uint32_t value, uint32_t field)
{
	return value < field ? value : field;
}

static void set_leaf_1(struct kvm_cpuid_entry2 *e, const struct place *p, bool tsc_deadline)
{
	/* Fields of 8 bits each; those who need more of them read leaf 0xb. */
	e->ebx = (e->ebx & 0xffff) | at_most(1u << p->package_bits, 0xff) << 16 | p->apic_id << 24;
	e->ecx |= 1u << 31; /* a hypervisor is present */
	if (tsc_deadline)
		e->ecx |= 1u << 24;
	else
		e->ecx &= ~(1u << 24);
	if (p->package > 1)
		e->edx |= 1u << 28; /* HTT: EBX[23:16] is meaningful */
	else
		e->edx &= ~(1u << 28);
}

/*
 * Of the APIC id, the bits that those who share a third-level cache differ in. Where a host's package
 * has several (AMD's core complexes), one serves as many logical processors as there; where it has
 * one, so has the guest's.
 */
static unsigned l3_bits(uint32_t eax, const struct place *p, const struct kvm_host *host)
{
	const unsigned sharing = (eax >> 14 & 0xfff) + 1;
	unsigned bits = width(sharing);

	if (sharing >= host->package || bits > p->package_bits)
		return p->package_bits;
	return bits > p->thread_bits ? bits : p->thread_bits;
}

/* Caches: the first two levels belong to a core. */
static void set_cache_sharing(
	struct kvm_cpuid_entry2 *e, const struct place *p, const struct kvm_host *host, bool intel)
{
	uint32_t level = e->eax >> 5 & 7;
	uint32_t sharing = (1u << (level >= 3 ? l3_bits(e->eax, p, host) : p->thread_bits)) - 1;
	uint32_t cores = (1u << (p->package_bits - p->thread_bits)) - 1;

	if ((e->eax & 0x1f) == 0) /* the list's end */
		return;
	e->eax = (e->eax & 0x3fff) | at_most(sharing, 0xfff) << 14 |
		 (intel ? at_most(cores, 0x3f) << 26 : 0);
}

static void set_amd_leaf(
	struct kvm_cpuid_entry2 *e, const struct place *p, const struct kvm_host *host)
{
	switch (e->function) {
	case 0x80000001:
		if (p->package > 1)
			e->ecx |= 1u << 1; /* CmpLegacy */
		else
			e->ecx &= ~(1u << 1);
		break;
	case 0x80000007:
		/*
		 * OVERFLOW_RECOV, SUCCOR: the guest may go on after a machine check that mce.c
		 * injects, whatever the host can do. Linux would not try without.
		 */
		e->ebx |= 3;
		break;
	case 0x80000008:
		e->ecx =
			(e->ecx & ~0xf0ffu) | p->package_bits << 12 | at_most(p->package - 1, 0xff);
		break;
	case LEAF_CACHES:
		set_cache_sharing(e, p, host, false);
		break;
	case 0x8000001e:
		e->eax = p->apic_id;
		e->ebx = (p->core & 0xff) | at_most(p->threads - 1, 0xff) << 8;
		e->ecx = p->socket & 0xff; /* one node per socket */
		e->edx = 0;
		break;
	}
}

/* Leaves 0xb and 0x1f: thread level, core level, end. */
static void add_topology(struct kvm_cpuid2 *c, const struct place *p, uint32_t function)
{
	const struct {
		uint32_t shift, count, type;
	} level[] = {
		{ p->thread_bits, p->threads, 1 },
		{ p->package_bits, p->package, 2 },
		{ 0, 0, 0 },
	};

	for (uint32_t i = 0; i < sizeof(level) / sizeof(level[0]); i++) {
		c->entries[c->nent++] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = level[i].shift,
			.ebx = level[i].count,
			.ecx = i | level[i].type << 8,
			.edx = p->apic_id,
		};
	}
}

static void add_regs(struct kvm_cpuid2 *c, uint32_t function, const struct kvm_cpuid_regs *r)
{
	c->entries[c->nent++] = (struct kvm_cpuid_entry2){
		.function = function, .eax = r->eax, .ebx = r->ebx, .ecx = r->ecx, .edx = r->edx
	};
}

/* What KVM leaves out or empty: the processor's name, and MWAIT when the guest may have it. */
static void add_host(struct kvm_cpuid2 *c, const struct kvm_host *host)
{
	struct kvm_cpuid_entry2 *features = find(c, 1, 0), *most = find(c, 0x80000000, 0);

	for (uint32_t i = 0; host->has_brand && i < 3; i++)
		add_regs(c, LEAF_BRAND + i, &host->brand[i]);
	if (host->has_brand && most && most->eax < LEAF_BRAND + 2)
		most->eax = LEAF_BRAND + 2;
	if (!host->mwait || !features)
		return;
	features->ecx |= MONITOR;
	add_regs(c, LEAF_MWAIT, &host->monitor);
}

/*
 * AMD's caches are listed where TOPOEXT says so, and in leaves 0x80000005 and 6. KVM passes the flag
 * with an empty list, and not the first of the leaves; Linux then knows of no cache at all.
 */
static void add_caches(struct kvm_cpuid2 *c, const struct kvm_host *host, const struct place *p)
{
	const struct kvm_cpuid_entry2 *most = find(c, 0x80000000, 0);

	if (is_of_host(host, LEAF_L1) && most && most->eax >= LEAF_L1)
		add_regs(c, LEAF_L1, &host->l1);
	if (!host->n_caches || !most || most->eax < LEAF_CACHES)
		return;
	for (uint32_t i = 0; i < host->n_caches; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[c->nent];

		add_regs(c, LEAF_CACHES, &host->cache[i]);
		e->index = i;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		set_cache_sharing(e, p, host, false);
	}
	add_regs(c, LEAF_CACHES, &(struct kvm_cpuid_regs){ 0 });
	c->entries[c->nent - 1].index = host->n_caches;
	c->entries[c->nent - 1].flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
}

bool kvm_cpuid_is_amd(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 0)
			return e->ebx == 0x68747541 /* Auth */ || e->ebx == 0x6f677948 /* Hygo */;
	}
	return false;
}

static void drop_features(struct kvm_cpuid_entry2 *e, const struct drop *drops, size_t n)
{
	uint32_t *reg[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	for (size_t i = 0; i < n; i++) {
		if (drops[i].function == e->function && drops[i].index == e->index)
			*reg[drops[i].reg] &= ~drops[i].bits;
	}
}

/* Were the tiles granted? */
static bool has_tiles(const struct kvm_cpuid2 *c)
{
	for (uint32_t i = 0; i < c->nent; i++)
		if (c->entries[i].function == 0xd && c->entries[i].index == 0)
			return c->entries[i].eax >> XTILE_DATA & 1;
	return false;
}

/* AMD's HyperTransport addresses, which their IOMMUs do not translate (AMD IOMMU 3.09, 2.1.2). */
bool kvm_cpuid_dma_hole(const struct kvm_cpuid2 *cpuid, uint64_t *start, uint64_t *end)
{
	if (!kvm_cpuid_is_amd(cpuid))
		return false;
	*start = 0xfd00000000;
	*end = 0xffffffffff;
	return true;
}

void kvm_cpuid_build(const struct kvm_cpuid2 *supported, const struct kvm_host *host,
	const struct kvm_topology *topology, unsigned index, bool tsc_deadline,
	struct kvm_cpuid2 *out)
{
	struct place p = place_of(topology, index);
	const bool tiles = has_tiles(supported);
	struct kvm_cpuid_entry2 *leaf0;
	bool amd;

	out->nent = 0;
	out->padding = 0;
	for (uint32_t i = 0; i < supported->nent; i++) {
		if (!leaf_dropped(&supported->entries[i], tiles) &&
			!is_of_host(host, supported->entries[i].function))
			out->entries[out->nent++] = supported->entries[i];
	}
	leaf0 = find(out, 0, 0);
	amd = kvm_cpuid_is_amd(out);
	if (leaf0 && leaf0->eax < 0xb)
		leaf0->eax = 0xb;
	for (uint32_t i = 0; i < out->nent; i++) {
		struct kvm_cpuid_entry2 *e = &out->entries[i];

		drop_features(e, dropped, sizeof(dropped) / sizeof(dropped[0]));
		if (!tiles)
			drop_features(e, amx, sizeof(amx) / sizeof(amx[0]));
		if (e->function == 1)
			set_leaf_1(e, &p, tsc_deadline);
		else if (e->function == 4 && !amd)
			set_cache_sharing(e, &p, host, true);
		else if (amd)
			set_amd_leaf(e, &p, host);
	}
	add_host(out, host);
	add_caches(out, host, &p);
	add_topology(out, &p, 0xb);
	if (leaf0 && leaf0->eax >= 0x1f)
		add_topology(out, &p, 0x1f);
}
