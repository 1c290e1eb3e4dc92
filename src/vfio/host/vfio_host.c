/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_host.c - the real kernel behind struct vfio_host.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include <portcullis/sys.h>
#include <portcullis/vfio.h>

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

static int real_read_file(const struct vfio_host *host, const char *path, char *buf, size_t size)
{
	(void)host;
	return sys_read_file(path, buf, size);
}

static int real_stat(const struct vfio_host *host, const char *path, struct stat *out)
{
	(void)host;
	return sys_stat(path, out);
}

static int real_read_link(const struct vfio_host *host, const char *path, char *buf, size_t size)
{
	(void)host;
	return sys_read_link(path, buf, size);
}

static int real_list(const struct vfio_host *host, const char *path, sys_entry_fn fn, void *opaque)
{
	int ret, dir = sys_open(path, O_RDONLY | O_DIRECTORY, 0);

	(void)host;
	if (dir < 0)
		return dir;
	ret = sys_list(dir, fn, opaque);
	sys_close(dir);
	return ret;
}

/* A pipe that was put in the file's place meanwhile does not hold us up. */
static int real_open_file(const struct vfio_host *host, const char *path)
{
	(void)host;
	return sys_open(path, O_RDONLY | O_NONBLOCK, 0);
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
	.read_file = real_read_file,
	.stat = real_stat,
	.read_link = real_read_link,
	.list = real_list,
	.open_file = real_open_file,
	.sleep_ms = real_sleep_ms,
};

const struct vfio_host vfio_host_real = {
	.ops = &real_ops,
	.sysfs = "/sys",
	.dev = "/dev",
	.proc = "/proc/thread-self",
};

const struct vfio_host *vfio_env_host(const struct vfio_env *env)
{
	return env->host ? env->host : &vfio_host_real;
}
