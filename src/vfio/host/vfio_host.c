/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_host.c - the real kernel behind struct vfio_host.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <portcullis/sys.h>

#include "vfio_host.h"

static int real_open(const struct vfio_host *host, const char *path)
{
	(void)host;
	return sys_open(path, O_RDWR | O_CLOEXEC, 0);
}

static long real_ioctl(const struct vfio_host *host, int fd, unsigned long cmd, void *arg)
{
	(void)host;
	return sys_ioctl(fd, cmd, arg);
}

static void real_close(const struct vfio_host *host, int fd)
{
	(void)host;
	sys_close(fd);
}

static int real_device_io(const struct vfio_host *host, int fd, struct vfio_device_io *io)
{
	int moved = sys_fd_move(fd, FD_ZONE_DEVICE);

	(void)host;
	if (moved < 0)
		return moved;
	*io = (struct vfio_device_io){ .ops = &vfio_device_io_real, .fd = moved };
	return 0;
}

static int real_adopt(const struct vfio_host *host, int fd, dev_t *node)
{
	struct stat st;
	int copy;

	(void)host;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENODEV;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_ZONE_ANY);
	if (copy < 0)
		return -errno;
	*node = st.st_rdev;
	return copy;
}

static void real_sleep_ms(const struct vfio_host *host, unsigned ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)host;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static const struct vfio_host_ops real_ops = {
	.open = real_open,
	.ioctl = real_ioctl,
	.close = real_close,
	.device_io = real_device_io,
	.adopt = real_adopt,
	.sleep_ms = real_sleep_ms,
};

const struct vfio_host vfio_host_real = {
	.ops = &real_ops,
	.sysfs = "/sys",
	.dev = "/dev",
	.proc = "/proc/thread-self",
};
