/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open_error.h - why a node of VFIO could not be opened, and what to do. (private to src/vfio/host)
 */
#ifndef PORTCULLIS_VFIO_OPEN_ERROR_H
#define PORTCULLIS_VFIO_OPEN_ERROR_H

struct err;
struct vfio_host;

/* code: the errno; module: the driver that makes the node. Returns -code. */
int vfio_open_error(const struct vfio_host *host, const char *path, const char *module, int code,
	struct err *err);

#endif
