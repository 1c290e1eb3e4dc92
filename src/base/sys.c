/* SPDX-License-Identifier: Apache-2.0 */
/* sys.c - the door to the kernel: zones for fds, errno as a return value, faults on demand. */
#include <portcullis/sys.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Enough for every eventfd of a few devices with hundreds of vectors. */
#define FD_LIMIT_MIN (FD_ZONE_EVENT + 256u)
/* Room for all 2048 vectors of many devices; more only makes tables of the kernel larger. */
#define FD_LIMIT_WANTED 262144u

#ifdef PORTCULLIS_FAULTS
static atomic_ulong fault_at, fault_calls;

void sys_fail_nth(unsigned long n)
{
	atomic_store(&fault_calls, 0);
	atomic_store(&fault_at, n);
}

unsigned long sys_calls(void)
{
	return atomic_load(&fault_calls);
}

static bool fault(void)
{
	unsigned long call = atomic_fetch_add(&fault_calls, 1) + 1;

	return call == atomic_load(&fault_at);
}
#else
static inline bool fault(void)
{
	return false;
}
#endif

int sys_arch_prctl(int operation, unsigned long argument)
{
	return syscall(SYS_arch_prctl, operation, argument) < 0 ? -errno : 0;
}

int sys_fd_limit(void)
{
	struct rlimit limit;
	rlim_t want = FD_LIMIT_WANTED;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_max < FD_LIMIT_MIN)
		return -ERANGE;
	if (want > limit.rlim_max)
		want = limit.rlim_max;
	if (limit.rlim_cur >= want)
		return 0;
	limit.rlim_cur = want;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

/* vCPU filters trust numbers from 0x200 up, so no other fd may ever get one. */
static int keep_below_zones(int fd)
{
	if (fd < FD_ZONE_DEVICE)
		return fd;
	close(fd);
	return -EMFILE;
}

int sys_openat(int dir, const char *path, int flags, mode_t mode)
{
	int fd;

	if (fault())
		return -ENOMEM;
	do {
		fd = openat(dir, path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : keep_below_zones(fd);
}

int sys_open(const char *path, int flags, mode_t mode)
{
	return sys_openat(AT_FDCWD, path, flags, mode);
}

long sys_ioctl_once(int fd, unsigned long cmd, unsigned long arg)
{
	long ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

long sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg)
{
	long ret;

	if (fault())
		return -ENOMEM;
	do {
		ret = sys_ioctl_once(fd, cmd, arg);
	} while (ret == -EINTR);
	return ret;
}

long sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	return sys_ioctl_int(fd, cmd, (unsigned long)arg);
}

int sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off, void **out)
{
	void *map;

	if (fault())
		return -ENOMEM;
	map = mmap(addr, len, prot, flags, fd, off);
	if (map == MAP_FAILED)
		return -errno;
	*out = map;
	return 0;
}

int sys_munmap(void *addr, size_t len)
{
	return munmap(addr, len) < 0 ? -errno : 0;
}

int sys_reserve(size_t len, size_t align, void **out)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole, head;
	uintptr_t start;
	void *map = NULL;
	int ret;

	if (!len || align < page || (align & (align - 1)))
		return -EINVAL;
	if (__builtin_add_overflow(len, page - 1, &len))
		return -ENOMEM;
	len &= ~(page - 1);
	if (__builtin_add_overflow(len, align - page, &whole))
		return -ENOMEM;
	ret = sys_mmap(
		NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &map);
	if (ret < 0)
		return ret;
	start = ((uintptr_t)map + align - 1) & ~(align - 1);
	head = start - (uintptr_t)map;
	if (head)
		munmap(map, head);
	if (whole > head + len)
		munmap((void *)(start + len), whole - head - len);
	*out = (void *)start;
	return 0;
}

int sys_mbind(void *addr, size_t len, int mode, const uint64_t *nodes, unsigned long max_node,
	unsigned flags)
{
	if (fault())
		return -ENOMEM;
	return syscall(SYS_mbind, addr, len, mode, nodes, max_node, flags) < 0 ? -errno : 0;
}

int sys_memfd(const char *name, unsigned flags)
{
	long fd;

	if (fault())
		return -ENOMEM;
	fd = syscall(SYS_memfd_create, name, flags | MFD_CLOEXEC);
	return fd < 0 ? -errno : keep_below_zones((int)fd);
}

int sys_eventfd(void)
{
	int fd;

	if (fault())
		return -ENOMEM;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : sys_fd_move(fd, FD_ZONE_EVENT);
}

void sys_eventfd_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so whoever waits is woken anyway. */
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool sys_eventfd_drain(int fd)
{
	uint64_t count;
	ssize_t n;

	do {
		n = read(fd, &count, sizeof(count));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(count);
}

int sys_fd_move(int fd, enum fd_zone zone)
{
	int moved;

	if (fd < 0)
		return -EBADF;
	if (zone == FD_ZONE_ANY && fd < FD_ZONE_DEVICE)
		return fd;
	if (zone == FD_ZONE_DEVICE && ((unsigned)fd & FD_ZONE_DEVICE_MASK) == FD_ZONE_DEVICE)
		return fd;
	if (zone == FD_ZONE_EVENT && fd >= FD_ZONE_EVENT)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)zone);
	if (moved < 0) /* EINVAL: the zone begins above RLIMIT_NOFILE */
		moved = errno == EINVAL ? -EMFILE : -errno;
	close(fd);
	if ((zone == FD_ZONE_ANY && moved >= FD_ZONE_DEVICE) ||
		(zone == FD_ZONE_DEVICE && moved >= FD_ZONE_DEVICE + FD_ZONE_DEVICE_COUNT)) {
		close(moved);
		return -EMFILE;
	}
	return moved;
}

void sys_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void sys_closep(int *fd)
{
	sys_close(*fd);
	*fd = -1;
}

int sys_read_file(const char *path, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n;
	int fd, ret = 0;

	if (!size)
		return -EOVERFLOW;
	fd = sys_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	for (;;) {
		n = read(fd, buf + used, size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used == size) {
			ret = -EOVERFLOW;
			goto out;
		}
	}
	if (n < 0) {
		ret = -errno;
		goto out;
	}
	if (used && buf[used - 1] == '\n')
		used--;
	buf[used] = '\0';
out:
	sys_close(fd);
	return ret;
}

int sys_read_link(const char *path, char *buf, size_t size)
{
	ssize_t len;

	if (fault())
		return -ENOMEM;
	len = readlinkat(AT_FDCWD, path, buf, size);
	if (len < 0)
		return -errno;
	if ((size_t)len >= size)
		return -ENAMETOOLONG;
	buf[len] = '\0';
	return 0;
}

/* fstatat(), as the filters know it. */
int sys_stat(const char *path, struct stat *out)
{
	if (fault())
		return -ENOMEM;
	return fstatat(AT_FDCWD, path, out, 0) < 0 ? -errno : 0;
}

int sys_list(int dir, sys_entry_fn fn, void *opaque)
{
	_Alignas(struct dirent64) char buf[4096];
	ssize_t len;

	if (fault())
		return -ENOMEM;
	while ((len = getdents64(dir, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *entry = (const void *)(buf + at);

			at += entry->d_reclen;
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
				fn(entry->d_name, opaque);
		}
	}
	return len < 0 ? -errno : 0;
}
