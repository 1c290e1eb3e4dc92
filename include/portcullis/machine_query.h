/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_query.h - looking at the machine without changing it, for QMP's query- commands.
 *
 * Layer: L4. Main only. Everything pointed to is borrowed and valid until main returns to its loop.
 */
#ifndef PORTCULLIS_MACHINE_QUERY_H
#define PORTCULLIS_MACHINE_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/loop_away.h>
#include <portcullis/machine.h>
#include <portcullis/pci.h>
#include <portcullis/role.h>

/*
 * QEMU's RunState: "prelaunch", "running", "paused", "shutdown", "guest-panicked",
 * "internal-error".
 */
const char *runstate_name(enum runstate state);

struct machine_cpu {
	unsigned index, socket, core, thread; /* socket, core and thread number */
	int tid;			      /* host thread id */
	bool halted;			      /* cannot go on before a reset */
};
void machine_query_cpu(struct machine *machine, unsigned index, struct machine_cpu *out) ON_MAIN;

/* Every function on bus, in devfn order; bus NULL: pcie.0. A bridge's child bus is fn->child. */
typedef void (*machine_function_fn)(struct pci_function *fn, void *opaque);
void machine_query_functions(
	struct machine *machine, struct pci_bus *bus, machine_function_fn fn, void *opaque) ON_MAIN;

/* What bounds how many more devices can be plugged. */
struct machine_limit {
	const char *name;
	unsigned used, max;
};
typedef void (*machine_limit_fn)(const struct machine_limit *limit, void *opaque);
void machine_query_limits(struct machine *machine, machine_limit_fn fn, void *opaque) ON_MAIN;
/* The memory backends of -object. Strings are borrowed for the call. */
struct machine_memdev {
	const char *id, *policy; /* its name (memory_backend.h) */
	uint64_t size;
	bool prealloc, share, reserve;
	const uint64_t *host_nodes; /* a bit for each of the host's nodes */
	unsigned max_nodes;
};
typedef void (*machine_memdev_fn)(const struct machine_memdev *memdev, void *opaque);
void machine_query_memdevs(struct machine *machine, machine_memdev_fn fn, void *opaque) ON_MAIN;
/* How long main was away from its loop; anew: the next answer counts from here. */
struct loop_away machine_query_main_loop(struct machine *machine, bool anew) ON_MAIN;
#endif
