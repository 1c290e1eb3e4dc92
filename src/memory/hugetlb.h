/* SPDX-License-Identifier: Apache-2.0 */
/* hugetlb.h - the host's reserve of huge pages of one size. (private to src/memory and tests) */
#ifndef PORTCULLIS_MEMORY_HUGETLB_H
#define PORTCULLIS_MEMORY_HUGETLB_H

#include <stdint.h>

struct err;

#define HUGETLB_SYSFS "/sys/kernel/mm/hugepages"

/* In pages, as in HUGETLB_SYSFS/hugepages-*kB (Documentation/admin-guide/mm/hugetlbpage.rst). */
struct hugetlb_pool {
	uint64_t free;	   /* in nobody's use, reserved ones included */
	uint64_t reserved; /* of those: promised to other mappings */
};

/* sysfs: HUGETLB_SYSFS, or a test's own. -errno where the kernel has no pages of that size. */
int hugetlb_pool_read(struct hugetlb_pool *pool, const char *sysfs, uint64_t page_size);

/*
 * Why size bytes cannot be had of the pool: needed, free and reserved pages, and what to do. path:
 * the mount; mount_free: pages that its own size= leaves, UINT64_MAX: no limit. Returns -ENOMEM.
 */
int hugetlb_refuse(const char *path, const char *sysfs, uint64_t page_size, uint64_t size,
	uint64_t mount_free, struct err *err);

#endif
