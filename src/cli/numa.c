/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numa.c - what the memory backends, -numa and -machine memory-backend= mean together. The rules
 * are QEMU's: nodes without a gap, every vCPU on one, memory that adds up to -m.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/memory_backend.h>

#include "cli.h"

#define NO_NODE UINT8_MAX

static int combination(struct parse *p, const char *text, const char *hint)
{
	err_set(p->err, EINVAL, "%s", text);
	err_hint(p->err, "%s", hint);
	return -EINVAL;
}

/* --- memory --- */

static int unknown_backend(struct parse *p, const char *key, const char *id)
{
	option_error(p, "%s=%s: there is no such memory backend", key, id);
	err_hint(p->err, "-object memory-backend-ram,id=%s,size=SIZE makes one", id);
	return -EINVAL;
}

static int check_single(struct parse *p)
{
	struct config *c = p->config;
	const struct memory_backend_options *backend =
		config_memory_backend(c, c->memory_backend, NULL);

	p->option = option_find("machine");
	if (!backend)
		return unknown_backend(p, "memory-backend", c->memory_backend);
	if (backend->size < RAM_MIN)
		return option_error(p,
			"memory backend '%s' has %" PRIu64
			" bytes, less than the 128 MiB a guest needs",
			backend->id, backend->size);
	if (backend->size > RAM_MAX)
		return option_error(p,
			"memory backend '%s' has %" PRIu64
			" bytes, more than the 64 TiB a guest can have",
			backend->id, backend->size);
	if (!option_given(p, "m"))
		c->ram_size = backend->size;
	if (backend->size == c->ram_size)
		return 0;
	option_error(p,
		"memory backend '%s' has %" PRIu64 " bytes, and the guest's memory (-m) %" PRIu64,
		backend->id, backend->size, c->ram_size);
	err_hint(p->err, "they must be the same; without -m the backend's is taken");
	return -EINVAL;
}

static int check_nodes_memory(struct parse *p)
{
	struct config *c = p->config;
	const struct config_numa *numa = &c->numa;
	uint64_t sum = 0;

	p->option = option_find("numa");
	for (unsigned i = 0; i < numa->n_nodes; i++) {
		const struct config_node *node = &numa->node[i];
		const struct memory_backend_options *backend;

		if (!node->memdev)
			continue;
		backend = config_memory_backend(c, node->memdev, NULL);
		if (!backend)
			return unknown_backend(p, "memdev", node->memdev);
		for (unsigned other = 0; other < i; other++)
			if (numa->node[other].memdev &&
				!strcmp(numa->node[other].memdev, node->memdev))
				return option_error(p,
					"memory backend '%s' is used by node %u and node %u: each has its own",
					node->memdev, other, i);
		if (__builtin_add_overflow(sum, backend->size, &sum))
			sum = UINT64_MAX;
	}
	if (sum == c->ram_size)
		return 0;
	option_error(p,
		"the memory of all nodes, %" PRIu64
		" bytes, is not the guest's memory (-m), %" PRIu64 " bytes",
		sum, c->ram_size);
	err_hint(p->err, "give each node a memdev=, and -m their sum");
	return -EINVAL;
}

static bool backend_used(const struct config *c, const char *id)
{
	if (c->memory_backend && !strcmp(c->memory_backend, id))
		return true;
	for (unsigned i = 0; i < c->numa.n_nodes; i++)
		if (c->numa.node[i].memdev && !strcmp(c->numa.node[i].memdev, id))
			return true;
	return false;
}

static int check_objects(struct parse *p)
{
	const struct config *c = p->config;

	p->option = option_find("object");
	for (unsigned i = 0; i < c->n_objects; i++) {
		const struct memory_backend_options *backend = c->objects[i].options;

		if (!memory_backend_type(c->objects[i].type) || backend_used(c, backend->id))
			continue;
		option_error(p, "memory backend '%s' is not used", backend->id);
		err_hint(p->err,
			"give it to a node with -numa node,memdev=%s, or all of it to the guest with -machine memory-backend=%s",
			backend->id, backend->id);
		return -EINVAL;
	}
	return 0;
}

int finish_memory(struct parse *p)
{
	struct config *c = p->config;
	int ret = 0;

	if (c->memory_backend && c->numa.n_nodes)
		return combination(p, "-machine memory-backend= and -numa are mutually exclusive",
			"a node's memory is its memdev=");
	if ((c->memory_backend || c->numa.n_nodes) && c->mem_path)
		return combination(p, "-mem-path cannot be used with memory backends",
			"write -object memory-backend-file,mem-path=PATH,...");
	if (c->memory_backend)
		ret = check_single(p);
	else if (c->numa.n_nodes)
		ret = check_nodes_memory(p);
	return ret ? ret : check_objects(p);
}

/* --- nodes, vCPUs, distances --- */

static int check_gaps(struct parse *p)
{
	const struct config_numa *numa = &p->config->numa;

	for (unsigned i = 0; i < numa->n_nodes; i++)
		if (!numa->node[i].given)
			return option_error(
				p, "there is no node %u: nodeid counts from 0 without a gap", i);
	return 0;
}

static bool belongs(const struct config *c, const struct numa_cpus *cpus, unsigned cpu)
{
	const uint64_t place[] = { cpu / (c->cores * c->threads), cpu / c->threads % c->cores,
		cpu % c->threads };
	const uint64_t wanted[] = { cpus->socket, cpus->core, cpus->thread };

	for (unsigned i = 0; i < 3; i++)
		if (wanted[i] != UINT64_MAX && wanted[i] != place[i])
			return false;
	return cpu >= cpus->first && cpu <= cpus->last;
}

static int assign_cpus(struct parse *p, const struct numa_cpus *cpus)
{
	struct config *c = p->config;
	uint8_t *node = c->numa.cpu_node;
	bool any = false;

	if (cpus->last != UINT64_MAX && cpus->last >= c->cpus)
		return option_error(p,
			"cpus=%" PRIu64 " of node %u: the guest has CPUs 0 to %u (-smp)",
			cpus->last, cpus->node, c->cpus - 1);
	if (cpus->node >= c->numa.n_nodes)
		return option_error(p, "cpu: there is no node %u", cpus->node);
	for (unsigned cpu = 0; cpu < c->cpus; cpu++) {
		if (!belongs(c, cpus, cpu))
			continue;
		any = true;
		if (node[cpu] != NO_NODE)
			return option_error(p, "CPU %u is on node %u and on node %u", cpu,
				node[cpu], cpus->node);
		node[cpu] = (uint8_t)cpus->node;
	}
	return any ? 0 : option_error(p, "cpu: no CPU is there, by -smp, for node %u", cpus->node);
}

static int place_cpus(struct parse *p)
{
	struct config *c = p->config;
	struct config_numa *numa = &c->numa;
	int ret = 0;

	numa->cpu_node = malloc(c->cpus);
	if (!numa->cpu_node)
		return out_of_memory(p);
	memset(numa->cpu_node, NO_NODE, c->cpus);
	for (unsigned i = 0; !ret && i < p->n_numa_cpus; i++)
		ret = assign_cpus(p, &p->numa_cpus[i]);
	for (unsigned cpu = 0; !ret && cpu < c->cpus; cpu++) {
		if (numa->cpu_node[cpu] != NO_NODE)
			continue;
		if (p->n_numa_cpus)
			return option_error(
				p, "CPU %u is on no node: all must be, or none be named", cpu);
		/* Sockets take turns, as with QEMU. */
		numa->cpu_node[cpu] = (uint8_t)(cpu / (c->cores * c->threads) % numa->n_nodes);
	}
	return ret;
}

static uint8_t *distance(struct config_numa *numa, unsigned from, unsigned to)
{
	return &numa->distance[from * numa->n_nodes + to];
}

static int take_distances(struct parse *p, bool *asymmetric)
{
	struct config_numa *numa = &p->config->numa;

	*asymmetric = false;
	for (unsigned i = 0; i < p->n_numa_distances; i++) {
		const struct numa_distance *d = &p->numa_distances[i];

		if (d->from >= numa->n_nodes || d->to >= numa->n_nodes)
			return option_error(p, "dist: there is no node %u",
				d->from >= numa->n_nodes ? d->from : d->to);
		*distance(numa, d->from, d->to) = d->value;
	}
	for (unsigned from = 0; from < numa->n_nodes; from++)
		for (unsigned to = 0; to < from; to++)
			*asymmetric |= *distance(numa, from, to) && *distance(numa, to, from) &&
				       *distance(numa, from, to) != *distance(numa, to, from);
	return 0;
}

static int place_nodes(struct parse *p)
{
	struct config_numa *numa = &p->config->numa;
	bool asymmetric;
	int ret;

	if (!p->n_numa_distances)
		return 0;
	numa->distance = calloc(numa->n_nodes, numa->n_nodes);
	if (!numa->distance)
		return out_of_memory(p);
	ret = take_distances(p, &asymmetric);
	for (unsigned from = 0; !ret && from < numa->n_nodes; from++) {
		*distance(numa, from, from) = NUMA_LOCAL;
		for (unsigned to = 0; !ret && to < numa->n_nodes; to++) {
			if (!*distance(numa, from, to) && !asymmetric)
				*distance(numa, from, to) = *distance(numa, to, from);
			if (!*distance(numa, from, to))
				ret = option_error(p,
					"the distance from node %u to node %u is missing%s", from,
					to,
					asymmetric ? ", where another pair's differs by direction"
						   : "");
		}
	}
	return ret;
}

int finish_numa(struct parse *p)
{
	int ret;

	p->option = option_find("numa");
	if (!p->config->numa.n_nodes) {
		if (p->n_numa_cpus || p->n_numa_distances)
			return option_error(p, "there is no node: -numa node makes one");
		return 0;
	}
	ret = check_gaps(p);
	if (!ret)
		ret = place_cpus(p);
	return ret ? ret : place_nodes(p);
}
