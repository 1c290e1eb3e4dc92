/* SPDX-License-Identifier: Apache-2.0 */
/* closer.c - the thread that closes what clients handed over, and waits for it (closer.h). */
#include <portcullis/closer.h>
#include <portcullis/role.h>
#include <portcullis/thread.h>

void *closer_thread(void *opaque)
{
	struct closer *closer = opaque;

	role_begin(ROLE_CLOSER);
	loop_run(&closer->loop);
	return NULL;
}
