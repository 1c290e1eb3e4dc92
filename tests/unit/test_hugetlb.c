/* SPDX-License-Identifier: Apache-2.0 */
/* test_hugetlb.c - what is said when huge pages are missing; that they are is the lab's to show. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/err.h>

#include "../../src/memory/hugetlb.h"
#include "says.h"

#define MIB 0x100000ull
#define GIB 0x40000000ull

static char sysfs[] = "/tmp/portcullis-test-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/hugepages-2048kB/%s", sysfs, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

static int setup(void **state)
{
	char path[128];

	(void)state;
	if (!mkdtemp(sysfs))
		return -1;
	snprintf(path, sizeof(path), "%s/hugepages-2048kB", sysfs);
	if (mkdir(path, 0700))
		return -1;
	put("free_hugepages", "40\n");
	put("resv_hugepages", "10\n");
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", sysfs);
	return system(command);
}

static void test_pool(void **state)
{
	struct hugetlb_pool pool;

	(void)state;
	assert_int_equal(hugetlb_pool_read(&pool, sysfs, 2 * MIB), 0);
	assert_int_equal(pool.free, 40);
	assert_int_equal(pool.reserved, 10);
	assert_int_equal(hugetlb_pool_read(&pool, sysfs, GIB), -ENOENT);
}

static void test_refusals(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(
		hugetlb_refuse("/h", sysfs, 2 * MIB, 256 * MIB, UINT64_MAX, &err), -ENOMEM);
	assert_says(err.text,
		"needs 128 huge pages of 2 MiB ('/h'), this host has 40 free, 10 of them "
		"reserved by others");
	assert_says(err.hint, "reserve 98 more");
	/* The mount's own size= is what is missing, whatever the host has. */
	assert_int_equal(hugetlb_refuse("/h", sysfs, 2 * MIB, 64 * MIB, 31, &err), -ENOMEM);
	assert_says(err.text, "needs 32 huge pages of 2 MiB, the size of the mount '/h' leaves 31");
	/* No such pages in the kernel's tables any more: it said no all the same. */
	assert_int_equal(hugetlb_refuse("/h", sysfs, GIB, 2 * GIB, UINT64_MAX, &err), -ENOMEM);
	assert_says(err.text, "needs 2 huge pages of 1 GiB");
	assert_int_equal(hugetlb_refuse("/h", sysfs, 2 * MIB, GIB, 0, NULL), -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
