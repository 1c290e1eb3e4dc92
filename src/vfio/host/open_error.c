/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_error.c - why a node of VFIO could not be opened, and what to do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <portcullis/err.h>

#include "open_error.h"
#include "sysfs.h"
#include "vfio_host.h"

/* This process's effective uid without a system call that the filters would have to allow. */
static long own_uid(const struct vfio_host *host)
{
	char path[SYSFS_PATH_MAX], text[8192];
	const char *line;
	long real, effective;

	if (snprintf(path, sizeof(path), "%s/status", host->proc) >= (int)sizeof(path) ||
		host->ops->read_file(host, path, text, sizeof(text)) < 0)
		return -1;
	line = strstr(text, "\nUid:");
	return line && sscanf(line, "\nUid: %ld %ld", &real, &effective) == 2 ? effective : -1;
}

static int not_permitted(const struct vfio_host *host, const char *path, int code, struct err *err)
{
	long uid = own_uid(host);
	struct stat st;

	if (host->ops->stat(host, path, &st) < 0)
		return err_set_errno(err, code, "cannot open '%s'", path);
	err_set_errno(err, code, "cannot open '%s' (owner %u:%u, mode %04o) as uid %ld", path,
		(unsigned)st.st_uid, (unsigned)st.st_gid, (unsigned)(st.st_mode & 07777), uid);
	err_hint(err,
		"give the node to that user (chown %ld %s) or run as root; in a container its device rules must allow the node as well",
		uid, path);
	return -code;
}

int vfio_open_error(const struct vfio_host *host, const char *path, const char *module, int code,
	struct err *err)
{
	switch (code) {
	case EACCES:
	case EPERM:
		return not_permitted(host, path, code, err);
	case ENOENT:
	case ENODEV:
	case ENXIO:
		err_set(err, code, "'%s' does not exist", path);
		err_hint(err, "load the driver with: modprobe %s", module);
		return -code;
	case EBUSY:
		err_set(err, code, "'%s' is busy: another process or VMM uses it", path);
		err_hint(err, "find it with: fuser -v %s", path);
		return -code;
	}
	return err_set_errno(err, code, "cannot open '%s'", path);
}
