/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - what memory, PCI and vCPUs are before a guest's first instruction, at the start and at
 * every reset alike.
 */
#include <portcullis/board.h>

#include "state.h"

void vcpus_reset(struct machine *m)
{
	uint32_t others = 0;

	for (unsigned i = 0; i < m->n_vcpus; i++) {
		struct vcpu *v = &m->vcpus[i];

		(void)loop_take_back(&m->loop, &v->stopped);
		memory_failures_forget(v);
		atomic_store(&v->needs_reset, true);
		others += i > 0;
	}
	atomic_store(&m->gate.others, others);
}

int machine_load(struct machine *m, struct err *err)
{
	int ret;

	memory_failures_mend(m);
	topology_program(m);
	ret = m->board->load(m, err);
	vcpus_reset(m);
	return ret ? ret : memory_failures_check(m, err);
}
