/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - guest RAM: where it lies (GPA), what backs it (HVA), and the one way to translate.
 *
 * Layer: L1, includes base only.
 * Layout is data: ram_layout() is pure and is called after the IOMMU's usable ranges and the
 *        devices' reserved regions are known, so that RAM is never put where DMA cannot go.
 * After boot segments never change. ram_hva() may be called by any thread.
 */
#ifndef PORTCULLIS_MEMORY_H
#define PORTCULLIS_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define RAM_SEGMENTS_MAX 96
#define RAM_BACKENDS_MAX 64
#define HOST_NODES_MAX 1024 /* Linux's own limit (CONFIG_NODES_SHIFT) */
#define RAM_REPLACED_MAX 256

struct range {
	uint64_t start, end; /* inclusive end, so that a whole 64-bit space can be said */
};

struct ram_segment {
	uint64_t gpa, size;
	unsigned backend; /* which of them it is of */
	uint64_t offset;  /* into the backend: segments lie in it without gaps */
	uint8_t *hva;	  /* set by ram_init() */
};

struct ram_layout {
	unsigned count;
	struct ram_segment segment[RAM_SEGMENTS_MAX]; /* ascending gpa */
	uint64_t size;				      /* sum */
	uint64_t top; /* exclusive end of the highest segment, or of the hole above it */
};

/* Where DMA of devices may go (n_usable 0: anywhere), and where RAM for it must not lie. */
struct dma_limits {
	struct range usable[64], reserved[256];
	unsigned n_usable, n_reserved;
	bool disjoint; /* devices were joined that have no usable address in common */
};
/* What both allow: the intersection of what is usable, all that is reserved. */
void dma_limits_join(struct dma_limits *limits, const struct dma_limits *with);

/*
 * Lays out size bytes (page multiple) from GPA 0, leaving out the board's hole, everything reserved
 * (holes are rounded out to 2 MiB), everything that is not usable, and everything from gpa_limit
 * (exclusive) up. RAM below 1 MiB must be usable. Ranges may come in any order and overlap. Errors:
 * -ERANGE with text naming the range that is in the way; -E2BIG when more than RAM_SEGMENTS_MAX
 * segments would be needed; -EINVAL for a size that is 0 or no page multiple.
 */
int ram_layout(struct ram_layout *out, uint64_t size, const struct range *hole,
	const struct dma_limits *limits, uint64_t gpa_limit, struct err *err);

/*
 * Cuts what ram_layout() made, one backend, where the next one begins: sizes[] (bytes, page
 * multiples, none 0) are those of n backends, in the order of their GPAs, and their sum is the
 * layout's size. -E2BIG as above.
 */
int ram_layout_split(
	struct ram_layout *layout, const uint64_t sizes[], unsigned n, struct err *err);

/* mbind(2)'s. */
enum ram_policy {
	RAM_POLICY_DEFAULT,
	RAM_POLICY_PREFERRED,
	RAM_POLICY_BIND,
	RAM_POLICY_INTERLEAVE
};
struct host_nodes {
	uint64_t bits[HOST_NODES_MAX / 64];
};
/* "0-2,5"; -EINVAL: not of this form; -ERANGE: a number from HOST_NODES_MAX up. */
int host_nodes_parse(struct host_nodes *nodes, const char *text);

/* A backend: what a part of RAM, or all of it, is made of. */
struct ram_options {
	const char *id;		   /* of the object, for messages; NULL: none */
	const char *path;	   /* hugetlbfs or a directory; NULL: anonymous memory */
	bool named;		   /* path may be a file, too, which is made where there is none */
	bool prealloc;		   /* every page is there before the guest starts (populate.h) */
	unsigned prealloc_threads; /* by as many threads; 0: as there are processors */
	bool share;		   /* MAP_SHARED */
	bool memfd, hugetlb;	   /* instead of path: a memfd, of huge pages of hugetlb_size */
	uint64_t hugetlb_size;	   /* bytes, 0: the host's default */
	struct host_nodes nodes;
	enum ram_policy policy;
};

/* What ram_init() opened. */
struct ram_backend {
	int fd;		    /* owned, -1 for anonymous */
	uint64_t page_size; /* 4 KiB, or hugetlbfs's */
};

struct ram {
	struct ram_layout layout;
	void *base; /* address space that holds all segments, ascending like their GPAs */
	size_t length;
	struct ram_backend backend[RAM_BACKENDS_MAX];
	unsigned n_backends;
	uint64_t page_size; /* the largest of the backends' */
	/* GPAs of pages that ram_replace() gave fresh memory, in that order. */
	uint64_t replaced[RAM_REPLACED_MAX];
	_Atomic unsigned n_replaced;
};

/*
 * Maps the memory; options[] are those of the layout's n backends. HVA and GPA agree modulo 1 GiB
 * (huge pages for CPU and IOMMU). Not dumped in cores. Bound to the host's nodes before anything
 * touches it. Huge pages are reserved, so that none can be missing later. Opens files, so before
 * lock-down. Errors: -ENOMEM with needed and available bytes or huge pages, -EINVAL when a segment
 * is no multiple of the backing's page size or the host has no such node, or from the file.
 */
int ram_init(struct ram *ram, const struct ram_layout *layout, const struct ram_options options[],
	unsigned n, struct err *err);
/*
 * One of its backends could not be populated (populate.h), for the reason code: what of is there
 * too little? options are that backend's. Returns -code.
 */
int ram_populate_error(const struct ram *ram, unsigned backend, const struct ram_options *options,
	int code, struct err *err);
void ram_release(struct ram *ram);
/* HVA of [gpa, gpa + len), NULL unless all of it lies in one segment. Overflow-checked. */
void *ram_hva(const struct ram *ram, uint64_t gpa, uint64_t len);
/*
 * The way back: *gpa of the byte at hva; false: it is none of guest RAM. Signal-safe, any thread.
 */
bool ram_gpa(const struct ram *ram, const void *hva, uint64_t *gpa);
/*
 * Puts fresh memory, all zeroes, in the place of the page around gpa, whose own cannot be used any
 * more (a hardware error, a file that ends before it). It is anonymous memory, of any node of the
 * host, whatever the backing.
 * DMA that was mapped before goes to the page that was until it is mapped anew. One thread at a
 * time, signal-safe. -ENOSPC: too many have been already; -errno.
 */
int ram_replace(struct ram *ram, uint64_t gpa);
/* The first byte of the page, of its backend's size, that gpa is in. */
uint64_t ram_page_start(const struct ram *ram, uint64_t gpa);
/* Bytes the host could give: MemAvailable + SwapFree from /proc/meminfo. 0 if unknown. */
uint64_t ram_host_available(void);

#endif
