/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_memory.c - which backends the guest's memory is made of, and which node's each is. There is
 * always at least one: without any -object, that of -m, -mem-path and -mem-prealloc.
 */
#include <portcullis/memory_backend.h>

#include "state.h"

_Static_assert(CONFIG_NODES_MAX <= RAM_BACKENDS_MAX, "a backend for each node");

static uint64_t take(const struct config *config, const char *id, struct ram_options *out)
{
	const struct prop_type *type;
	const struct memory_backend_options *options = config_memory_backend(config, id, &type);

	memory_backend_ram_options(out, type, options);
	out->prealloc |= config->mem_prealloc;
	return options->size;
}

unsigned guest_memory_backends(const struct config *config,
	struct ram_options out[static RAM_BACKENDS_MAX], uint64_t sizes[static RAM_BACKENDS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->numa.n_nodes; i++) {
		if (!config->numa.node[i].memdev)
			continue;
		sizes[n] = take(config, config->numa.node[i].memdev, &out[n]);
		n++;
	}
	if (n)
		return n;
	if (config->memory_backend) {
		sizes[0] = take(config, config->memory_backend, &out[0]);
		return 1;
	}
	out[0] = (struct ram_options){ .path = config->mem_path, .prealloc = config->mem_prealloc };
	sizes[0] = config->ram_size;
	return 1;
}

unsigned guest_memory_node(const struct config *config, unsigned backend)
{
	for (unsigned i = 0; i < config->numa.n_nodes; i++)
		if (config->numa.node[i].memdev && backend-- == 0)
			return i;
	return 0;
}
