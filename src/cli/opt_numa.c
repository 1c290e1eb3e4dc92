/* SPDX-License-Identifier: Apache-2.0 */
/*
 * opt_numa.c - -numa as it is written: nodes, CPUs and distances, kept as they come. What they mean
 * together is numa.c's.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct numbers {
	uint64_t nodeid, src, dst, val, node, socket, core, thread;
};
static const struct {
	const char *name;
	size_t offset;
} number_keys[] = {
	{ "nodeid", offsetof(struct numbers, nodeid) },
	{ "src", offsetof(struct numbers, src) },
	{ "dst", offsetof(struct numbers, dst) },
	{ "val", offsetof(struct numbers, val) },
	{ "node-id", offsetof(struct numbers, node) },
	{ "socket-id", offsetof(struct numbers, socket) },
	{ "core-id", offsetof(struct numbers, core) },
	{ "thread-id", offsetof(struct numbers, thread) },
};
#define NOT_GIVEN UINT64_MAX

/* One -numa. */
struct words {
	const struct kind *kind;
	char *memdev;
	struct numbers numbers;
	unsigned first_cpus; /* its "cpus=" are from there on in parse.numa_cpus */
};

static struct numa_cpus *add_cpus(struct parse *p)
{
	struct numa_cpus *grown = array_grow(p, p->numa_cpus, &p->n_numa_cpus, sizeof(*grown));

	if (!grown)
		return NULL;
	p->numa_cpus = grown;
	grown[p->n_numa_cpus - 1] = (struct numa_cpus){
		.last = UINT64_MAX, .socket = NOT_GIVEN, .core = NOT_GIVEN, .thread = NOT_GIVEN
	};
	return &grown[p->n_numa_cpus - 1];
}

/* FIRST[-LAST] */
static int take_cpus(struct parse *p, const char *value)
{
	struct numa_cpus *cpus = add_cpus(p);
	char *text = NULL;
	int ret = cpus ? copy_string(p, &text, value) : -ENOMEM;

	if (ret)
		return ret;
	ret = parse_range(text, &cpus->first, &cpus->last);
	free(text);
	if (ret || cpus->last > UINT32_MAX)
		return option_error(p, "'cpus' cannot be '%s': it is FIRST or FIRST-LAST", value);
	return 0;
}

static int node_id(struct parse *p, const char *key, uint64_t number)
{
	if (number == NOT_GIVEN)
		return option_error(p, "it needs '%s'", key);
	if (number >= CONFIG_NODES_MAX)
		return option_error(p, "%s=%" PRIu64 " is more than the %d nodes a guest can have",
			key, number, CONFIG_NODES_MAX);
	return 0;
}

static int add_node(struct parse *p, struct words *words)
{
	struct config_numa *numa = &p->config->numa;
	struct config_node *node;
	uint64_t id = words->numbers.nodeid;
	int ret;

	if (id == NOT_GIVEN)
		id = numa->n_nodes;
	ret = node_id(p, "nodeid", id);
	if (ret)
		return ret;
	node = &numa->node[id];
	if (node->given)
		return option_error(p, "nodeid=%" PRIu64 " is used twice", id);
	node->given = true;
	node->memdev = words->memdev;
	words->memdev = NULL;
	numa->n_nodes++;
	for (unsigned i = words->first_cpus; i < p->n_numa_cpus; i++)
		p->numa_cpus[i].node = (unsigned)id;
	return 0;
}

static int add_distance(struct parse *p, struct words *words)
{
	const struct numbers *n = &words->numbers;
	struct numa_distance *grown;
	int ret = node_id(p, "src", n->src);

	if (!ret)
		ret = node_id(p, "dst", n->dst);
	if (ret)
		return ret;
	if (n->val == NOT_GIVEN)
		return option_error(p, "it needs 'val'");
	if (n->val < NUMA_LOCAL || n->val > UINT8_MAX)
		return option_error(p,
			"val=%" PRIu64 " is not a distance: %d (the node itself) to %d", n->val,
			NUMA_LOCAL, UINT8_MAX);
	if (n->src == n->dst && n->val != NUMA_LOCAL)
		return option_error(
			p, "the distance of node %" PRIu64 " to itself is %d", n->src, NUMA_LOCAL);
	grown = array_grow(p, p->numa_distances, &p->n_numa_distances, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->numa_distances = grown;
	grown[p->n_numa_distances - 1] =
		(struct numa_distance){ (unsigned)n->src, (unsigned)n->dst, (uint8_t)n->val };
	return 0;
}

static int add_cpu(struct parse *p, struct words *words)
{
	const struct numbers *n = &words->numbers;
	struct numa_cpus *cpus;
	int ret = node_id(p, "node-id", n->node);

	if (ret)
		return ret;
	cpus = add_cpus(p);
	if (!cpus)
		return -ENOMEM;
	cpus->node = (unsigned)n->node;
	cpus->socket = n->socket;
	cpus->core = n->core;
	cpus->thread = n->thread;
	return 0;
}

static const struct kind {
	const char *name, *keys[5];
	int (*add)(struct parse *p, struct words *words);
} kinds[] = {
	{ "node", { "nodeid", "cpus", "memdev" }, add_node },
	{ "dist", { "src", "dst", "val" }, add_distance },
	{ "cpu", { "node-id", "socket-id", "core-id", "thread-id" }, add_cpu },
};

static int take_kind(struct parse *p, struct words *words, const char *value)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, value) != 0)
			continue;
		words->kind = &kinds[i];
		return 0;
	}
	option_error(p, "'%s' is no kind of it", value);
	err_hint(p->err, "there are: node, dist, cpu");
	return -EINVAL;
}

static bool has_key(const struct kind *kind, const char *key)
{
	for (unsigned i = 0; kind->keys[i]; i++)
		if (!strcmp(kind->keys[i], key))
			return true;
	return false;
}

static int take_number(struct parse *p, struct words *words, const char *key, const char *value)
{
	uint64_t *number = NULL;

	for (unsigned i = 0; i < sizeof(number_keys) / sizeof(number_keys[0]); i++)
		if (!strcmp(key, number_keys[i].name))
			number = (uint64_t *)((char *)&words->numbers + number_keys[i].offset);
	if (!number || parse_u64(value, number) < 0 || *number > UINT32_MAX)
		return option_error(p, "'%s' cannot be '%s': it is a number", key, value);
	return 0;
}

static int no_kind(struct parse *p)
{
	return option_error(p, "it begins with node, dist or cpu");
}

static int numa_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	struct words *words = opaque;

	if (!strcmp(key, "type"))
		return take_kind(p, words, value);
	if (!words->kind)
		return no_kind(p);
	if (!strcmp(key, "mem")) {
		option_error(p, "'mem' is not supported");
		err_hint(p->err,
			"use -object memory-backend-ram,id=ID,size=SIZE and memdev=ID instead");
		return -EINVAL;
	}
	if (!has_key(words->kind, key))
		return unknown_key(p, key, words->kind->keys);
	if (!strcmp(key, "memdev"))
		return copy_string(p, &words->memdev, value);
	if (!strcmp(key, "cpus"))
		return take_cpus(p, value);
	return take_number(p, words, key, value);
}

int opt_numa(struct parse *p, const char *value)
{
	struct words words = { .first_cpus = p->n_numa_cpus };
	int ret;

	memset(&words.numbers, 0xff, sizeof(words.numbers)); /* NOT_GIVEN */
	ret = option_pairs(p, value, "type", numa_pair, &words);
	if (!ret)
		ret = words.kind ? words.kind->add(p, &words) : no_kind(p);
	free(words.memdev);
	return ret;
}
