/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_ledger.c - the DMA ledger against its contract and against a naive model.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/vfio/host/ledger.h"

static int add(struct ledger *ledger, uint64_t iova, uint64_t size)
{
	return ledger_add(ledger, &(struct ledger_entry){ .iova = iova, .size = size });
}

static void test_overlap(void **state)
{
	struct ledger ledger;

	(void)state;
	ledger_init(&ledger);
	assert_int_equal(ledger_reserve(&ledger, 8), 0);
	assert_int_equal(add(&ledger, 0x2000, 0x2000), 0);
	assert_int_equal(add(&ledger, 0x2000, 0x2000), -EEXIST);
	assert_int_equal(add(&ledger, 0x1000, 0x1001), -EEXIST);
	assert_int_equal(add(&ledger, 0x3fff, 1), -EEXIST);
	assert_int_equal(add(&ledger, 0x2800, 0x10), -EEXIST);
	assert_int_equal(add(&ledger, 0, 0x10000), -EEXIST);
	assert_int_equal(add(&ledger, 0x4000, 0x1000), 0);
	assert_int_equal(add(&ledger, 0x1000, 0x1000), 0);
	assert_int_equal(ledger.count, 3);
	assert_int_equal(ledger.entries[0].iova, 0x1000);
	assert_int_equal(ledger.entries[2].iova, 0x4000);
	ledger_release(&ledger);
}

static void test_edges(void **state)
{
	struct ledger ledger;

	(void)state;
	ledger_init(&ledger);
	assert_int_equal(ledger_reserve(&ledger, 4), 0);
	assert_int_equal(add(&ledger, 0x1000, 0), -EINVAL);
	assert_int_equal(add(&ledger, UINT64_MAX, 2), -EINVAL);
	assert_int_equal(add(&ledger, 0x1000, UINT64_MAX), -EINVAL);
	/* The last byte of the address space can be said. */
	assert_int_equal(add(&ledger, UINT64_MAX - 0xfff, 0x1000), 0);
	assert_int_equal(add(&ledger, UINT64_MAX, 1), -EEXIST);
	assert_int_equal(add(&ledger, 0, 1), 0);
	assert_null(ledger_find(&ledger, 1, 0x1000));
	assert_non_null(ledger_find(&ledger, 0, 0x1000));
	assert_null(ledger_find(&ledger, 0, 0));
	ledger_release(&ledger);
}

static void test_remove_exactly(void **state)
{
	struct ledger ledger;

	(void)state;
	ledger_init(&ledger);
	assert_int_equal(ledger_reserve(&ledger, 4), 0);
	assert_int_equal(add(&ledger, 0x1000, 0x1000), 0);
	assert_int_equal(add(&ledger, 0x2000, 0x1000), 0);
	assert_int_equal(ledger_remove(&ledger, 0x1000, 0x2000), -ENOENT);
	assert_int_equal(ledger_remove(&ledger, 0x1000, 0x800), -ENOENT);
	assert_int_equal(ledger_remove(&ledger, 0x1800, 0x800), -ENOENT);
	assert_int_equal(ledger_remove(&ledger, 0x5000, 0x1000), -ENOENT);
	assert_int_equal(ledger_remove(&ledger, 0x1000, 0x1000), 0);
	assert_int_equal(ledger_remove(&ledger, 0x1000, 0x1000), -ENOENT);
	assert_int_equal(ledger.count, 1);
	assert_int_equal(ledger.entries[0].iova, 0x2000);
	ledger_release(&ledger);
}

static void test_reserved_room(void **state)
{
	const struct ledger_entry *entries;
	struct ledger ledger;

	(void)state;
	ledger_init(&ledger);
	assert_int_equal(add(&ledger, 0x1000, 0x1000), -ENOSPC);
	assert_int_equal(ledger_reserve(&ledger, 2), 0);
	entries = ledger.entries;
	assert_int_equal(add(&ledger, 0x1000, 0x1000), 0);
	assert_int_equal(add(&ledger, 0x2000, 0x1000), 0);
	assert_int_equal(add(&ledger, 0x3000, 0x1000), -ENOSPC);
	assert_ptr_equal(ledger.entries, entries);
	assert_int_equal(ledger_reserve(&ledger, 1), 0);
	assert_int_equal(add(&ledger, 0x3000, 0x1000), 0);
	assert_int_equal(ledger_remove(&ledger, 0x3000, 0x1000), 0);
	ledger_unreserve(&ledger, 1);
	assert_int_equal(add(&ledger, 0x3000, 0x1000), -ENOSPC);
	/* What was given back is used again, not added to. */
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ledger_reserve(&ledger, 96), 0);
		ledger_unreserve(&ledger, 96);
	}
	assert_int_equal(ledger.capacity, 98);
	assert_int_equal(ledger_reserve(&ledger, LEDGER_MAX), -ENOSPC);
	assert_int_equal(ledger.reserved, 2);
	ledger_release(&ledger);
}

#define PAGES 64

/* owner[] says for each page which entry covers it, 0: none. */
static bool model_free(const int *owner, unsigned page, unsigned n)
{
	for (unsigned i = page; i < page + n; i++)
		if (owner[i])
			return false;
	return true;
}

static void test_model(void **state)
{
	int owner[PAGES] = { 0 }, next = 1;
	struct ledger ledger;
	unsigned seed = 12345;

	(void)state;
	ledger_init(&ledger);
	assert_int_equal(ledger_reserve(&ledger, PAGES), 0);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned page, n;
		int ret;

		seed = seed * 1103515245 + 12345;
		page = seed >> 16 & (PAGES - 1);
		n = (seed >> 24 & 7) + 1;
		if (page + n > PAGES)
			n = PAGES - page;
		if (seed >> 8 & 1) {
			bool room = model_free(owner, page, n);

			ret = add(&ledger, page * 4096ull, n * 4096ull);
			assert_int_equal(ret, room ? 0 : -EEXIST);
			for (unsigned i = page; room && i < page + n; i++)
				owner[i] = next;
			next += room;
			continue;
		}
		ret = ledger_remove(&ledger, page * 4096ull, n * 4096ull);
		for (unsigned i = page; i < page + n; i++)
			assert_true(ret != 0 || owner[i] == owner[page]);
		for (unsigned i = page; ret == 0 && i < page + n; i++)
			owner[i] = 0;
	}
	for (unsigned i = 1; i < ledger.count; i++)
		assert_true(ledger.entries[i - 1].iova + ledger.entries[i - 1].size <=
			    ledger.entries[i].iova);
	for (unsigned page = 0; page < PAGES; page++)
		assert_int_equal(!!ledger_find(&ledger, page * 4096ull, 1), !!owner[page]);
	ledger_release(&ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_remove_exactly),
		cmocka_unit_test(test_reserved_room),
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("vfio_ledger", tests, NULL, NULL);
}
