/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_layout.c - where guest RAM is put: known cases, and thousands of random ones against the
 * rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/q35.h>

#define MIB 0x100000ull
#define GIB 0x40000000ull
#define LIMIT (1ull << 40)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One row per case: what is asked, and the segments that must come out. */
struct layout_case {
	const char *name;
	uint64_t size, limit;
	struct range usable[4];
	unsigned n_usable;
	struct range reserved[4];
	unsigned n_reserved;
	struct {
		uint64_t gpa, size;
	} want[4];
	unsigned n_want;
	uint64_t top;
};

static const struct layout_case cases[] = {
	{ "small", 128 * MIB, LIMIT, .n_want = 1, .want = { { 0, 128 * MIB } }, .top = 4 * GIB },
	{ "exactly up to the PCI hole", 3 * GIB, LIMIT, .n_want = 1, .want = { { 0, 3 * GIB } },
		.top = 4 * GIB },
	{ "a page beyond it", 3 * GIB + 4096, LIMIT, .n_want = 2,
		.want = { { 0, 3 * GIB }, { 4 * GIB, 4096 } }, .top = 4 * GIB + 4096 },
	{ "8 GiB", 8 * GIB, LIMIT, .n_want = 2, .want = { { 0, 3 * GIB }, { 4 * GIB, 5 * GIB } },
		.top = 9 * GIB },
	{ "the MSI range is no RAM anyway", 4 * GIB, LIMIT, .n_reserved = 1,
		.reserved = { { 0xfee00000, 0xfeefffff } }, .n_want = 2,
		.want = { { 0, 3 * GIB }, { 4 * GIB, GIB } }, .top = 5 * GIB },
	{ "a hole is rounded out to 2 MiB", 16 * MIB, LIMIT, .n_reserved = 1,
		.reserved = { { 5 * MIB, 5 * MIB + 0xfff } }, .n_want = 2,
		.want = { { 0, 4 * MIB }, { 6 * MIB, 12 * MIB } }, .top = 4 * GIB },
	{ "a hole in the second MiB spares the first", 16 * MIB, LIMIT, .n_reserved = 1,
		.reserved = { { MIB, MIB + 0xfff } }, .n_want = 2,
		.want = { { 0, MIB }, { 2 * MIB, 15 * MIB } }, .top = 4 * GIB },
	{ "holes overlap and come in any order", 16 * MIB, LIMIT, .n_reserved = 3,
		.reserved = { { 12 * MIB, 14 * MIB - 1 }, { 4 * MIB, 8 * MIB - 1 },
			{ 6 * MIB, 10 * MIB - 1 } },
		.n_want = 3,
		.want = { { 0, 4 * MIB }, { 10 * MIB, 2 * MIB }, { 14 * MIB, 10 * MIB } },
		.top = 4 * GIB },
	{ "a hole that goes on in the PCI hole", 3 * GIB, LIMIT, .n_reserved = 1,
		.reserved = { { 3 * GIB - 2 * MIB, 3 * GIB + 5 } }, .n_want = 2,
		.want = { { 0, 3 * GIB - 2 * MIB }, { 4 * GIB, 2 * MIB } },
		.top = 4 * GIB + 2 * MIB },
	{ "VT-d's usable ranges", 8 * GIB, LIMIT, .n_usable = 2,
		.usable = { { 0, 0xfedfffff }, { 0xfef00000, (1ull << 48) - 1 } }, .n_want = 2,
		.want = { { 0, 3 * GIB }, { 4 * GIB, 5 * GIB } }, .top = 9 * GIB },
	{ "usable in any order, adjacent ones as one", 10 * MIB, LIMIT, .n_usable = 3,
		.usable = { { 20 * MIB, UINT64_MAX }, { 4 * MIB, 8 * MIB - 1 },
			{ 0, 4 * MIB - 1 } },
		.n_want = 2, .want = { { 0, 8 * MIB }, { 20 * MIB, 2 * MIB } }, .top = 4 * GIB },
	{ "usable is rounded in", 8 * MIB, LIMIT, .n_usable = 2,
		.usable = { { 0, 5 * MIB }, { 9 * MIB, UINT64_MAX } }, .n_want = 2,
		.want = { { 0, 4 * MIB }, { 10 * MIB, 4 * MIB } }, .top = 4 * GIB },
	{ "exactly up to the limit", 4 * GIB, 5 * GIB, .n_want = 2,
		.want = { { 0, 3 * GIB }, { 4 * GIB, GIB } }, .top = 5 * GIB },
	{ "AMD's HyperTransport hole", 1019 * GIB, 1ull << 48, .n_reserved = 1,
		.reserved = { { 0xfd00000000, 0xffffffffff } }, .n_want = 3,
		.want = { { 0, 3 * GIB }, { 4 * GIB, 1008 * GIB }, { 1024 * GIB, 8 * GIB } },
		.top = 1032 * GIB },
};

static const struct range hole = { GPA_LOW_RAM_END, GPA_HIGH_RAM - 1 };

static int lay_out(struct ram_layout *l, uint64_t size, const struct range *usable,
	unsigned n_usable, const struct range *reserved, unsigned n_reserved, uint64_t limit,
	struct err *err)
{
	struct dma_limits dma = { .n_usable = n_usable, .n_reserved = n_reserved };

	assert_true(n_usable <= COUNT(dma.usable) && n_reserved <= COUNT(dma.reserved));
	for (unsigned i = 0; i < n_usable; i++)
		dma.usable[i] = usable[i];
	for (unsigned i = 0; i < n_reserved; i++)
		dma.reserved[i] = reserved[i];
	return ram_layout(l, size, &hole, &dma, limit, err);
}

static void check_case(const struct layout_case *c)
{
	struct ram_layout l;
	struct err err = { 0 };
	uint64_t offset = 0;

	assert_int_equal(lay_out(&l, c->size, c->usable, c->n_usable, c->reserved, c->n_reserved,
				 c->limit, &err),
		0);
	if (l.count != c->n_want)
		fail_msg("%s: %u segments", c->name, l.count);
	for (unsigned i = 0; i < l.count; i++) {
		if (l.segment[i].gpa != c->want[i].gpa || l.segment[i].size != c->want[i].size)
			fail_msg("%s: segment %u is 0x%llx + 0x%llx", c->name, i,
				(unsigned long long)l.segment[i].gpa,
				(unsigned long long)l.segment[i].size);
		assert_int_equal(l.segment[i].offset, offset);
		offset += l.segment[i].size;
	}
	assert_int_equal(l.size, c->size);
	if (l.top != c->top)
		fail_msg("%s: top is 0x%llx", c->name, (unsigned long long)l.top);
}

static void test_cases(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(cases); i++)
		check_case(&cases[i]);
}

static int try(struct err *err, uint64_t size, uint64_t limit, const struct range *usable,
	unsigned n_usable, const struct range *reserved, unsigned n_reserved)
{
	struct ram_layout l;

	memset(err, 0, sizeof(*err));
	return lay_out(&l, size, usable, n_usable, reserved, n_reserved, limit, err);
}

static void test_refusals(void **state)
{
	const struct range low = { 0x9f000, 0x9ffff }, late = { MIB, UINT64_MAX };
	const struct range all = { 0, UINT64_MAX };
	struct err err;

	(void)state;
	assert_int_equal(try(&err, 0, LIMIT, NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(try(&err, 4095, LIMIT, NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(try(&err, 16 * MIB, LIMIT, NULL, 0, &low, 1), -ERANGE);
	assert_non_null(strstr(err.text, "0x9f000-0x9ffff"));
	assert_int_equal(try(&err, 16 * MIB, LIMIT, &late, 1, NULL, 0), -ERANGE);
	assert_non_null(strstr(err.text, "0x100000-"));
	assert_int_equal(try(&err, 16 * MIB, LIMIT, NULL, 0, &all, 1), -ERANGE);
	assert_int_equal(try(&err, 16 * MIB, 0, NULL, 0, NULL, 0), -ERANGE);
	assert_int_equal(try(&err, 4 * GIB + 4096, 5 * GIB, NULL, 0, NULL, 0), -ERANGE);
	assert_non_null(strstr(err.text, "0x140000000"));
	assert_non_null(strstr(err.text, "4096 MiB"));
	assert_int_equal(try(&err, UINT64_MAX - 4095, UINT64_MAX, NULL, 0, NULL, 0), -ERANGE);
	/* Nobody asks what failed. */
	assert_int_equal(
		lay_out(&(struct ram_layout){ 0 }, MIB, NULL, 0, &all, 1, LIMIT, NULL), -ERANGE);
}

static void test_too_many_pieces(void **state)
{
	struct range holes[RAM_SEGMENTS_MAX];
	struct ram_layout l;
	struct err err = { 0 };

	(void)state;
	for (unsigned i = 0; i < RAM_SEGMENTS_MAX; i++) {
		holes[i].start = (4 * i + 2) * MIB;
		holes[i].end = holes[i].start + 4095;
	}
	assert_int_equal(lay_out(&l, RAM_SEGMENTS_MAX * 2 * MIB, NULL, 0, holes, RAM_SEGMENTS_MAX,
				 LIMIT, &err),
		0);
	assert_int_equal(l.count, RAM_SEGMENTS_MAX);
	assert_int_equal(lay_out(&l, RAM_SEGMENTS_MAX * 2 * MIB + 4096, NULL, 0, holes,
				 RAM_SEGMENTS_MAX, LIMIT, &err),
		-E2BIG);
}

/* Inclusive ranges. */
static bool overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
	return a <= b_end && b <= a_end;
}

static uint64_t dice(uint64_t *seed, uint64_t below)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % below;
}

static void check_rules(const struct ram_layout *l, uint64_t size, const struct range *reserved,
	unsigned n_reserved, uint64_t limit)
{
	uint64_t sum = 0, last = 0;

	for (unsigned i = 0; i < l->count; i++) {
		uint64_t start = l->segment[i].gpa, end = start + l->segment[i].size - 1;

		assert_true(l->segment[i].size > 0 && end < limit);
		assert_true(i == 0 ? start == 0 : start > last);
		assert_int_equal(start % (2 * MIB), 0);
		assert_false(overlap(start, end, GPA_LOW_RAM_END, GPA_HIGH_RAM - 1));
		for (unsigned j = 0; j < n_reserved; j++)
			assert_false(overlap(start, end, reserved[j].start, reserved[j].end));
		sum += l->segment[i].size;
		last = end;
	}
	assert_int_equal(sum, size);
	assert_true(l->top > last && l->top >= GPA_HIGH_RAM);
}

/* Random holes, once as reserved ranges and once as what lies between usable ones: the same. */
static void test_random(void **state)
{
	uint64_t seed = 1;
	unsigned fine = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct range holes[6], usable[7];
		unsigned n = (unsigned)dice(&seed, 6) + 1;
		uint64_t at = 2 * MIB,
			 size = (dice(&seed, 3000) + 1) * MIB + 4096 * dice(&seed, 256);
		uint64_t limit = 6 * GIB;
		struct ram_layout a, b;
		int ret;

		usable[0].start = 0;
		for (unsigned i = 0; i < n;
			i++) { /* on 2 MiB bounds, so that rounding is no matter */
			at += (dice(&seed, 500) + 1) * 2 * MIB;
			holes[i].start = at;
			usable[i].end = at - 1;
			at += (dice(&seed, 200) + 1) * 2 * MIB;
			holes[i].end = at - 1;
			usable[i + 1].start = at;
		}
		usable[n].end = UINT64_MAX;
		ret = lay_out(&a, size, NULL, 0, holes, n, limit, NULL);
		assert_int_equal(lay_out(&b, size, usable, n + 1, NULL, 0, limit, NULL), ret);
		if (ret)
			continue;
		fine++;
		assert_memory_equal(&a, &b, sizeof(a));
		check_rules(&a, size, holes, n, limit);
	}
	assert_true(fine > 10000);
}

/* Several devices: RAM goes where all of them reach it. */
static void test_several_devices(void **state)
{
	static const struct dma_limits one = { .usable = { { 0, GIB - 1 },
						       { 4 * GIB, 64 * GIB - 1 } },
		.n_usable = 2,
		.reserved = { { 0xfee00000, 0xfeefffff } },
		.n_reserved = 1 },
				       two = { .usable = { { 0x1000, 8 * GIB - 1 },
						       { 16 * GIB, UINT64_MAX } },
					       .n_usable = 2,
					       .reserved = { { MIB, 2 * MIB } },
					       .n_reserved = 1 },
				       anywhere = { .n_usable = 0 },
				       nowhere = { .usable = { { 2 * GIB, 3 * GIB } },
					       .n_usable = 1 };
	struct dma_limits all = { .n_usable = 0 };
	struct ram_layout l;
	struct err err = { 0 };

	(void)state;
	dma_limits_join(&all, &anywhere);
	assert_int_equal(all.n_usable, 0);
	dma_limits_join(&all, &one);
	dma_limits_join(&all, &anywhere);
	dma_limits_join(&all, &two);
	assert_int_equal(all.n_usable, 3);
	assert_int_equal(all.usable[0].start, 0x1000);
	assert_int_equal(all.usable[0].end, GIB - 1);
	assert_int_equal(all.usable[1].start, 4 * GIB);
	assert_int_equal(all.usable[1].end, 8 * GIB - 1);
	assert_int_equal(all.usable[2].start, 16 * GIB);
	assert_int_equal(all.usable[2].end, 64 * GIB - 1);
	assert_int_equal(all.n_reserved, 2);
	assert_int_equal(all.reserved[1].end, 2 * MIB);
	for (unsigned i = 0; i < 300; i++) {
		dma_limits_join(&all, &two);
		assert_true(all.n_reserved <= COUNT(all.reserved));
	}
	/* None in common is not the same as no limit. */
	dma_limits_join(&all, &nowhere);
	assert_int_equal(ram_layout(&l, GIB, &hole, &all, LIMIT, &err), -ERANGE);
	assert_non_null(strstr(err.text, "in common"));
	dma_limits_join(&all, &one);
	assert_int_equal(ram_layout(&l, GIB, &hole, &all, LIMIT, &err), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_many_pieces),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_several_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
