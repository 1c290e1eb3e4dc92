/* SPDX-License-Identifier: Apache-2.0 */
/* hugetlb.c - what the host has of huge pages, and how to say that it is not enough. */
#include "hugetlb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

static int read_figure(uint64_t *out, const char *sysfs, uint64_t page_size, const char *name)
{
	char path[512], text[32];
	int n = snprintf(path, sizeof(path), "%s/hugepages-%llukB/%s", sysfs,
		(unsigned long long)(page_size >> 10), name);
	int ret;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	ret = sys_read_file(path, text, sizeof(text));
	if (ret < 0)
		return ret;
	*out = strtoull(text, NULL, 10);
	return 0;
}

int hugetlb_pool_read(struct hugetlb_pool *pool, const char *sysfs, uint64_t page_size)
{
	int ret = read_figure(&pool->free, sysfs, page_size, "free_hugepages");

	return ret ? ret : read_figure(&pool->reserved, sysfs, page_size, "resv_hugepages");
}

/* Pages come in powers of two: "2 MiB", "1 GiB", "64 KiB". */
static const char *size_text(char *buf, size_t room, uint64_t size)
{
	const unsigned shift = size >= 1ull << 30 ? 30 : size >= 1ull << 20 ? 20 : 10;
	const char *unit = shift == 30 ? "GiB" : shift == 20 ? "MiB" : "KiB";

	snprintf(buf, room, "%llu %s", (unsigned long long)(size >> shift), unit);
	return buf;
}

int hugetlb_refuse(const char *path, const char *sysfs, uint64_t page_size, uint64_t size,
	uint64_t mount_free, struct err *err)
{
	uint64_t need = (size + page_size - 1) / page_size, usable;
	struct hugetlb_pool pool;
	char page[32];

	size_text(page, sizeof(page), page_size);
	if (mount_free < need) {
		err_set(err, ENOMEM,
			"guest RAM needs %llu huge pages of %s, the size of the mount '%s' leaves %llu",
			(unsigned long long)need, page, path, (unsigned long long)mount_free);
		err_hint(err, "mount it with a larger size=, or use a smaller -m");
		return -ENOMEM;
	}
	if (hugetlb_pool_read(&pool, sysfs, page_size))
		return err_set(err, ENOMEM,
			"guest RAM needs %llu huge pages of %s, and the kernel does not give '%s' as many",
			(unsigned long long)need, page, path);
	usable = pool.free > pool.reserved ? pool.free - pool.reserved : 0;
	err_set(err, ENOMEM,
		"guest RAM needs %llu huge pages of %s ('%s'), this host has %llu free, %llu of them reserved by others",
		(unsigned long long)need, page, path, (unsigned long long)pool.free,
		(unsigned long long)pool.reserved);
	err_hint(err,
		"reserve %llu more (add to %s/hugepages-%llukB/nr_hugepages), or use a smaller -m",
		(unsigned long long)(need > usable ? need - usable : need), HUGETLB_SYSFS,
		(unsigned long long)(page_size >> 10));
	return -ENOMEM;
}
