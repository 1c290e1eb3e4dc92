/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory_backend.h - -object memory-backend-ram, -memfd and -file: what (a part of) guest RAM is
 *                    made of, as QEMU's objects of these names.
 *
 * Layer: L1 (memory), data and its check, includes base.
 * Who:   the command line alone makes them: RAM is laid out once. Options are config's.
 */
#ifndef PORTCULLIS_MEMORY_BACKEND_H
#define PORTCULLIS_MEMORY_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/prop.h>

struct err;
struct ram_options;

extern const struct prop_type memory_backend_ram_type, memory_backend_memfd_type,
	memory_backend_file_type;

/* One struct for all three; what a type has no row for is zero. */
struct memory_backend_options {
	char *id;
	uint64_t size;	/* bytes */
	char *mem_path; /* file: a directory, or a file that is made where there is none */
	bool share;	/* others who have the file open see what is written */
	bool prealloc;	/* every page is there before the guest starts */
	bool hugetlb;	/* memfd: of huge pages, of hugetlbsize bytes (0: the host's default) */
	uint64_t hugetlbsize;
	char *host_nodes;			       /* "0-1,3"; NULL: none */
	int32_t policy;				       /* enum ram_policy */
	bool merge, dump, seal, discard_data, reserve; /* accepted */
	uint64_t prealloc_threads;		       /* 0: not given */
};
extern const char *const ram_policy_names[]; /* NULL-terminated */

bool memory_backend_type(const struct prop_type *type);
/* What tables cannot say of them: a size, nodes that go with a policy. -EINVAL. */
int memory_backend_check(const struct prop_type *type, const struct memory_backend_options *options,
	struct err *err);
/* As ram_init() takes them; strings are borrowed. After memory_backend_check(). */
void memory_backend_ram_options(struct ram_options *out, const struct prop_type *type,
	const struct memory_backend_options *options);

#endif
