/* SPDX-License-Identifier: Apache-2.0 */
/*
 * populator.c - the threads that give RAM its pages at the start (populate.h), and end with it: the
 * guest never runs beside them.
 */
#include <errno.h>
#include <signal.h>

#include <portcullis/populate.h>
#include <portcullis/role.h>
#include <portcullis/thread.h>
#include <portcullis/vcpu.h>

static void work(void *populate)
{
	while (populate_step(populate))
		;
}

void *populator_thread(void *opaque)
{
	struct populator *populator = opaque;
	struct populate *populate = populator->populate;
	struct sigbus_note note;

	role_begin(ROLE_POPULATOR);
	if (populate_wait(populate) && !sigbus_try(work, populate, &note))
		populate_fail(populate, note.addr, note.code == BUS_MCEERR_AR ? EHWPOISON : EFAULT);
	populator_done(populator);
	return NULL;
}
