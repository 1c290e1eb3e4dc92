/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - what memory, PCI and vCPUs are before a guest's first instruction, at the start and at
 * every reset alike.
 */
#include <portcullis/board.h>

#include "state.h"

int machine_load(struct machine *m, struct err *err)
{
	int ret;

	memory_failures_mend(m);
	topology_program(m);
	ret = m->board->load(m, err);
	memory_failures_forget(m);
	vcpus_reset(m);
	return ret ? ret : memory_failures_check(m, err);
}
