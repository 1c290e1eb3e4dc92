/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - what a part of guest RAM is made of, opened and sized. (private to src/memory) */
#ifndef PORTCULLIS_MEMORY_BACKEND_PRIVATE_H
#define PORTCULLIS_MEMORY_BACKEND_PRIVATE_H

#include <portcullis/memory.h>

#define BACKEND_PAGE 4096ull

struct backend {
	const struct ram_options *options;
	int fd;		     /* -1: anonymous */
	uint64_t page_size;  /* segments must be multiples of it */
	uint64_t available;  /* bytes, 0: unknown */
	uint64_t mount_free; /* hugetlbfs: pages that the mount's size= leaves */
	uint64_t size;	     /* of its segments */
	uint64_t before; /* of the host's memory: for other backends, which may not have it yet */
	bool hugetlb;
	bool named;   /* a file that others may have open, and find later */
	bool created; /* it was not there before */
};

/* Opens options' backend for size bytes. On failure its fd is -1. */
int backend_open(struct backend *b, const struct ram_options *options, uint64_t size,
	uint64_t before, struct err *err);
/* Makes its file that long; hugetlbfs takes multiples of its page size only. */
int backend_set_size(const struct backend *b, struct err *err);
/* Name for messages: what the user called it. */
const char *backend_name(const struct ram_options *options);

#endif
