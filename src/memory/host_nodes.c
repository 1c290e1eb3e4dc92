/* SPDX-License-Identifier: Apache-2.0 */
/* host_nodes.c - the host's NUMA nodes (mbind(2), sysfs-devices-node). */
#include "host_nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/mempolicy.h>

#include <portcullis/err.h>
#include <portcullis/prop.h>
#include <portcullis/sys.h>

#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5 /* Linux 5.15 */
#endif

/* "3" or "0-2", up to the comma that *at is set behind. */
static int take_range(const char **at, uint64_t *first, uint64_t *last)
{
	size_t len = strcspn(*at, ",");
	char text[48];

	if (len >= sizeof(text))
		return -EINVAL;
	memcpy(text, *at, len);
	text[len] = '\0';
	*at += len + ((*at)[len] == ',');
	return parse_range(text, first, last);
}

int host_nodes_parse(struct host_nodes *nodes, const char *text)
{
	uint64_t first, last;

	*nodes = (struct host_nodes){ { 0 } };
	do {
		int ret = take_range(&text, &first, &last);

		if (ret < 0)
			return ret;
		if (last >= HOST_NODES_MAX)
			return -ERANGE;
		for (; first <= last; first++)
			nodes->bits[first / 64] |= 1ull << first % 64;
	} while (*text);
	return 0;
}

int host_nodes_check(
	const struct host_nodes *nodes, const char *sysfs, const char *name, struct err *err)
{
	char path[256], text[1024];
	struct host_nodes there;
	int n = snprintf(path, sizeof(path), "%s/has_memory", sysfs);

	/* A kernel without NUMA shows none, and has what it has on node 0. */
	if (n < 0 || (size_t)n >= sizeof(path) || sys_read_file(path, text, sizeof(text)) < 0)
		memcpy(text, "0", 2);
	if (host_nodes_parse(&there, text) < 0)
		return 0; /* the kernel will say */
	for (unsigned node = 0; node < HOST_NODES_MAX; node++) {
		if (!(nodes->bits[node / 64] & ~there.bits[node / 64] & 1ull << node % 64))
			continue;
		err_set(err, EINVAL,
			"%s: host-nodes has node %u, and this host has memory on node %s only",
			name, node, text);
		err_hint(err, "'numactl --hardware' shows the host's nodes");
		return -EINVAL;
	}
	return 0;
}

static bool one_node(const struct host_nodes *nodes)
{
	unsigned count = 0;

	for (unsigned i = 0; i < HOST_NODES_MAX / 64; i++)
		count += (unsigned)__builtin_popcountll(nodes->bits[i]);
	return count == 1;
}

int host_nodes_bind(
	const struct host_nodes *nodes, enum ram_policy policy, void *hva, uint64_t size)
{
	static const int modes[] = { [RAM_POLICY_PREFERRED] = MPOL_PREFERRED,
		[RAM_POLICY_BIND] = MPOL_BIND,
		[RAM_POLICY_INTERLEAVE] = MPOL_INTERLEAVE };
	/* The kernel takes one bit less than it is told. */
	const unsigned long bits = HOST_NODES_MAX + 1;
	const unsigned flags = MPOL_MF_STRICT | MPOL_MF_MOVE; /* what a file has already, too */
	int ret;

	if (policy == RAM_POLICY_DEFAULT)
		return 0;
	if (policy == RAM_POLICY_PREFERRED && !one_node(nodes)) {
		ret = sys_mbind(hva, size, MPOL_PREFERRED_MANY, nodes->bits, bits, flags);
		if (ret != -EINVAL)
			return ret;
	}
	return sys_mbind(hva, size, modes[policy], nodes->bits, bits, flags);
}
