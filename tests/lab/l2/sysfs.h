/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs.h - a PCI function from the guest's user space: its files in sysfs, its config space.
 *
 * Use:   included by programs of one file each, which end with a message when anything fails.
 */
#ifndef LAB_L2_SYSFS_H
#define LAB_L2_SYSFS_H

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

/* "program: what: errno's text", and status 1. */
static inline void die(const char *what)
{
	error(1, errno, "%s", what);
}

/* "config", "resource0": to read, write and, for a memory BAR, map. */
static inline int open_file(const char *bdf, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", bdf, name);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fd;
}

static inline uint32_t config_get(int config, unsigned at, size_t size)
{
	uint32_t value = 0;

	if (pread(config, &value, size, at) != (ssize_t)size)
		die("reading config space");
	return value;
}

static inline void config_put(int config, unsigned at, uint32_t value, size_t size)
{
	if (pwrite(config, &value, size, at) != (ssize_t)size)
		die("writing config space");
}

/* Where the standard capability with that id is. */
static inline unsigned capability(int config, uint32_t id)
{
	unsigned at = config_get(config, 0x34, 1);

	while (at && config_get(config, at, 1) != id)
		at = config_get(config, at + 1, 1);
	if (!at) {
		errno = ENODEV;
		die("no such capability");
	}
	return at;
}

#endif
