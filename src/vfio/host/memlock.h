/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memlock.h - RLIMIT_MEMLOCK before it bites. (private to src/vfio/host and tests)
 */
#ifndef PORTCULLIS_VFIO_MEMLOCK_H
#define PORTCULLIS_VFIO_MEMLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct vfio_host;
struct vfio_lookup;

/* Of one process, bytes. */
struct vfio_memlock {
	bool unlimited; /* or not to be found out */
	uint64_t limit, locked;
};

/*
 * What host->proc says. counter: the line of /proc/PID/status in which the kernel counts what is
 * locked ("VmLck:").
 */
void vfio_memlock_read(const struct vfio_host *host, const char *counter, struct vfio_memlock *out);
/* May this process pin bytes more? -ENOMEM with needed and allowed bytes. */
int vfio_memlock_check(
	const struct vfio_lookup *lookup, const char *counter, uint64_t bytes, struct err *err);

#endif
