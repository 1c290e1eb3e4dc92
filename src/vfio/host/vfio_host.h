/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_host.h - the host kernel as src/vfio sees it: where sysfs and the device nodes are, and the
 * calls made on them, so that tests can put a fake kernel in the real one's place.
 * (private to src/vfio and tests)
 *
 * Role:   worker (vfio_context_new(): main).
 * Errors: negative errno.
 */
#ifndef PORTCULLIS_VFIO_HOST_H
#define PORTCULLIS_VFIO_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "device_io.h"

struct stat;
struct vfio_env;
struct vfio_host;

/* What goes by name, only lookup.c and what is below it ask for (lookup.h). */
struct vfio_host_ops {
	/* By name: opens a character device read-write, close-on-exec. The caller owns the fd. */
	int (*open)(const struct vfio_host *host, const char *path);
	/* arg is a pointer or an integer, as the command wants it. Returns >= 0 or -errno. */
	long (*ioctl)(const struct vfio_host *host, int fd, unsigned long cmd, void *arg);
	/* Takes fd. */
	void (*close)(const struct vfio_host *host, int fd);
	/*
	 * Takes a VFIO device fd in every case; on success *io is complete, its fd in
	 * FD_ZONE_DEVICE, to be given back by close().
	 */
	int (*device_io)(const struct vfio_host *host, int fd, struct vfio_device_io *io);
	/* A duplicate of an fd that somebody passed, and the node it is open on. Borrows fd. */
	int (*adopt)(const struct vfio_host *host, int fd, dev_t *node);
	/* By name: a whole small file as sys_read_file() has it; what is there; where a link leads. */
	int (*read_file)(const struct vfio_host *host, const char *path, char *buf, size_t size);
	int (*stat)(const struct vfio_host *host, const char *path, struct stat *out);
	int (*read_link)(const struct vfio_host *host, const char *path, char *buf, size_t size);
	/* Calls fn for every entry of a directory but "." and "..". */
	int (*list)(const struct vfio_host *host, const char *path,
		void (*fn)(const char *name, void *opaque), void *opaque);
	/* Opens an ordinary file (romfile) to be read, close-on-exec. The caller owns the fd. */
	int (*open_file)(const struct vfio_host *host, const char *path);
	/* Waits, for a device that is busy for a moment. */
	void (*sleep_ms)(const struct vfio_host *host, unsigned ms);
};

struct vfio_host {
	const struct vfio_host_ops *ops;
	const char *sysfs; /* "/sys" */
	const char *dev;   /* "/dev" */
	const char *proc;  /* "/proc/thread-self": limits and capabilities of the caller */
	void *opaque;	   /* a fake's state */
};

extern const struct vfio_host vfio_host_real;
/* env's, or the real one. */
const struct vfio_host *vfio_env_host(const struct vfio_env *env);

static inline void *vfio_ioctl_value(uint64_t value)
{
	return (void *)(uintptr_t)value;
}

#endif
