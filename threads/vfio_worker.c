/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_worker.c - the thread behind a passed-through device: it owns the slow and powerful kernel
 * calls (attach, DMA map, interrupts, reset, close) and may block in them without anybody noticing.
 * It does what is posted to its loop, and what the device's eventfds ask for.
 */
#include <portcullis/thread.h>
#include <portcullis/vcpu.h>

void *vfio_worker_thread(void *opaque)
{
	struct worker *worker = opaque;

	role_begin(ROLE_WORKER);
	role_enter_worker();
	loop_run(&worker->loop);
	return NULL;
}
