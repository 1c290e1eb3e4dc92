/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringer.c - a thread that is the hardware: cards interrupt, fail and are wanted back; KVM
 * delivers.
 */
#include <pthread.h>
#include <stddef.h>

#include "hostile.h"

static pthread_t thread;
static atomic_bool stop;

static void *ringer(void *opaque)
{
	(void)opaque;
	thread_name("ringer");
	while (!atomic_load(&stop)) {
		for (unsigned n = chance_below(8); n; n--)
			host_ring(chance_below(host_cards()));
		kvm_deliver();
		sleep_ms(one_in(20) ? 20 : 1);
	}
	return NULL;
}

void ringer_start(void)
{
	atomic_store(&stop, false);
	if (pthread_create(&thread, NULL, ringer, NULL))
		violation("no thread for the ringer");
}

void ringer_stop(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}
