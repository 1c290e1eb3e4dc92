/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memlock.c - RLIMIT_MEMLOCK before it bites: pinning fails half-way with a bare ENOMEM otherwise.
 *
 * /proc is read rather than getrlimit() and capget() called, so that the worker's filter needs no
 * further system calls; and it is read each time, because a management program may raise the limit
 * of a running machine just before it plugs a device.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>

#include "lookup.h"
#include "vfio_host.h"

#define CAP_IPC_LOCK_BIT 14
#define PROC_FILE_MAX 16384

/* The text after "KEY" at the start of a line, or NULL. */
static const char *field(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text) {
		if (!strncmp(text, key, len))
			return text + len;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return NULL;
}

static int read_proc(const struct vfio_host *host, const char *name, char *buf)
{
	char path[SYSFS_PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/%s", host->proc, name);

	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	return host->ops->read_file(host, path, buf, PROC_FILE_MAX);
}

/* What cannot be found out is no reason to refuse: the kernel will decide. */
static void read_limit(
	const struct vfio_host *host, const char *counter, char *buf, struct vfio_memlock *out)
{
	const char *text;

	if (read_proc(host, "limits", buf) < 0)
		return;
	text = field(buf, "Max locked memory");
	if (!text)
		return;
	text += strspn(text, " \t");
	if (*text < '0' || *text > '9')
		return; /* "unlimited" */
	out->limit = strtoull(text, NULL, 10);
	if (read_proc(host, "status", buf) < 0)
		return;
	text = field(buf, "CapEff:");
	if (!text || (strtoull(text, NULL, 16) >> CAP_IPC_LOCK_BIT & 1))
		return;
	text = field(buf, counter);
	out->locked = text ? strtoull(text, NULL, 10) * 1024 : 0;
	out->unlimited = false;
}

void vfio_memlock_read(const struct vfio_host *host, const char *counter, struct vfio_memlock *out)
{
	char *buf = malloc(PROC_FILE_MAX);

	*out = (struct vfio_memlock){ .unlimited = true };
	if (buf)
		read_limit(host, counter, buf, out);
	free(buf);
}

int vfio_memlock_check(
	const struct vfio_lookup *lookup, const char *counter, uint64_t bytes, struct err *err)
{
	struct vfio_memlock memlock;
	uint64_t needed;

	lookup->ops->memlock(lookup, counter, &memlock);
	if (memlock.unlimited)
		return 0;
	if (__builtin_add_overflow(memlock.locked, bytes, &needed))
		needed = UINT64_MAX;
	if (needed <= memlock.limit)
		return 0;
	err_set(err, ENOMEM,
		"the limit of locked memory is too small: the device needs all guest memory pinned, %llu bytes with what is locked already, but %llu bytes are allowed (RLIMIT_MEMLOCK)",
		(unsigned long long)needed, (unsigned long long)memlock.limit);
	err_hint(err,
		"raise it before starting: 'ulimit -l %llu' (KiB), LimitMEMLOCK=%llu in a systemd unit, or 'memlock' in /etc/security/limits.conf",
		(unsigned long long)(needed / 1024 + (needed % 1024 != 0)),
		(unsigned long long)needed);
	return -ENOMEM;
}
