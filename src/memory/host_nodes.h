/* SPDX-License-Identifier: Apache-2.0 */
/* host_nodes.h - the host's NUMA nodes, and memory from some of them. (private to src/memory) */
#ifndef PORTCULLIS_MEMORY_HOST_NODES_H
#define PORTCULLIS_MEMORY_HOST_NODES_H

#include <portcullis/memory.h>

#define HOST_NODES_SYSFS "/sys/devices/system/node"

/*
 * Has the host memory on all of them? sysfs: HOST_NODES_SYSFS, or a test's. name: whose they are.
 * -EINVAL with text that names a node and what the host has.
 */
int host_nodes_check(
	const struct host_nodes *nodes, const char *sysfs, const char *name, struct err *err);
/*
 * Memory at hva comes from there from now on. Nobody has touched it yet; pages that a file has already
 * are moved. -errno; -EIO: one cannot be.
 */
int host_nodes_bind(
	const struct host_nodes *nodes, enum ram_policy policy, void *hva, uint64_t size);

#endif
