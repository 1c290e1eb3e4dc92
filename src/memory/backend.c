/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c - opens what a part of guest RAM is made of, and asks whether there is enough of it. */
#include "backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "host_nodes.h"

#define HUGETLBFS 0x958458f6
#define NAME_TRIES 100
#define HUGE_SHIFT 26 /* MFD_HUGE_SHIFT: the page size's logarithm */

const char *backend_name(const struct ram_options *options)
{
	return options->id ? options->id : "guest RAM";
}

/* The figure behind "NAME:" in /proc/meminfo, in bytes; 0 when missing. */
static uint64_t meminfo_field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtoull(p + strlen(name), NULL, 10) * 1024 : 0;
}

uint64_t ram_host_available(void)
{
	char buf[8192];
	int fd = sys_open("/proc/meminfo", O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	sys_close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	return meminfo_field(buf, "MemAvailable:") + meminfo_field(buf, "SwapFree:");
}

/* A file in the directory that has no name any more when this returns. */
static int open_unlinked(const char *directory, struct err *err)
{
	char path[4096];
	int fd = -EEXIST;

	for (unsigned i = 0; i < NAME_TRIES && fd == -EEXIST; i++) {
		int n = snprintf(path, sizeof(path), "%s/portcullis-ram-%ld-%u", directory,
			(long)getpid(), i);

		if (n < 0 || (size_t)n >= sizeof(path))
			return err_set(
				err, ENAMETOOLONG, "memory path '%s' is too long", directory);
		fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	}
	if (fd < 0)
		return err_set_errno(
			err, -fd, "cannot create a file for guest RAM in '%s'", directory);
	unlink(path);
	return fd;
}

/* A file by that name, which stays; one that is there already must be as long as it is to be. */
static int open_named(struct backend *b, const char *path, struct err *err)
{
	struct stat st;

	b->named = true;
	b->fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	b->created = b->fd >= 0;
	if (b->fd == -EEXIST)
		b->fd = sys_open(path, O_RDWR | O_CREAT, 0600);
	if (b->fd < 0)
		return err_set_errno(err, -b->fd, "memory path '%s'", path);
	if (fstat(b->fd, &st) != 0)
		return err_set_errno(err, errno, "memory path '%s'", path);
	if (S_ISREG(st.st_mode) && st.st_size && (uint64_t)st.st_size < b->size)
		return err_set(err, EINVAL,
			"%s: file '%s' has %llu bytes, fewer than its size=, %llu bytes",
			backend_name(b->options), path, (unsigned long long)st.st_size,
			(unsigned long long)b->size);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL,
			"%s: memory path '%s' is neither a file nor a directory",
			backend_name(b->options), path);
	return 0;
}

static int open_path(struct backend *b, struct err *err)
{
	const char *path = b->options->path;
	struct stat st;
	int ret = sys_stat(path, &st);

	if (ret < 0 && (ret != -ENOENT || !b->options->named))
		return err_set_errno(err, -ret, "memory path '%s'", path);
	if (!ret && S_ISDIR(st.st_mode)) {
		b->fd = open_unlinked(path, err);
		return b->fd < 0 ? b->fd : 0;
	}
	if (b->options->named)
		return open_named(b, path, err);
	err_set(err, ENOTDIR, "memory path '%s' is not a directory", path);
	if (err)
		err_hint(err, "name a directory, for example a hugetlbfs mount: /dev/hugepages");
	return -ENOTDIR;
}

/*
 * Is there room in the file system? hugetlbfs counts blocks only where the mount was given a size;
 * whether there are pages is the kernel's to say, when it is asked to reserve them.
 */
static int check_room(struct backend *b, struct err *err)
{
	const char *path = b->options->path;
	struct statfs fs;
	struct stat st;

	if (fstatfs(b->fd, &fs) != 0 || fstat(b->fd, &st) != 0)
		return err_set_errno(err, errno, "memory path '%s'", path);
	b->hugetlb = fs.f_type == HUGETLBFS;
	if (b->hugetlb) {
		b->page_size = (uint64_t)fs.f_bsize;
		b->mount_free = fs.f_blocks ? (uint64_t)fs.f_bavail : UINT64_MAX;
		return 0;
	}
	/* What a named file has already it need not find any more. */
	b->available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize + (uint64_t)st.st_blocks * 512;
	if (b->available >= b->size)
		return 0;
	return err_set(err, ENOMEM, "guest RAM needs %llu bytes, '%s' has %llu bytes free",
		(unsigned long long)b->size, path, (unsigned long long)b->available);
}

static int check_host(struct backend *b, struct err *err)
{
	b->available = ram_host_available();
	if (b->available == 0 || b->size + b->before <= b->available)
		return 0;
	err_set(err, ENOMEM, "guest RAM needs %llu bytes, this host has %llu bytes available",
		(unsigned long long)(b->size + b->before), (unsigned long long)b->available);
	if (err)
		err_hint(err, "use a smaller -m");
	return -ENOMEM;
}

static int open_memfd(struct backend *b, struct err *err)
{
	const uint64_t huge = b->options->hugetlb_size;
	unsigned flags = b->options->hugetlb ? MFD_HUGETLB : 0;
	struct stat st;

	if (huge)
		flags |= (unsigned)__builtin_ctzll(huge) << HUGE_SHIFT;
	b->fd = sys_memfd("portcullis-ram", flags);
	if (b->fd < 0) {
		err_set_errno(err, -b->fd, "%s: cannot make a memfd", backend_name(b->options));
		if (b->options->hugetlb)
			err_append(err, " of huge pages of %llu KiB",
				(unsigned long long)(huge >> 10));
		return b->fd;
	}
	b->hugetlb = b->options->hugetlb;
	if (!b->hugetlb)
		return check_host(b, err);
	if (fstat(b->fd, &st) != 0)
		return err_set_errno(err, errno, "%s", backend_name(b->options));
	b->page_size = (uint64_t)st.st_blksize;
	b->mount_free = UINT64_MAX;
	return 0;
}

/* A file is never made shorter: what lies behind its size= is somebody else's. */
int backend_set_size(const struct backend *b, struct err *err)
{
	struct stat st;

	if (b->fd < 0)
		return 0;
	if (fstat(b->fd, &st) != 0)
		return err_set_errno(err, errno, "%s", backend_name(b->options));
	if (b->named && (uint64_t)st.st_size >= b->size)
		return 0;
	if (ftruncate(b->fd, (off_t)b->size) != 0)
		return err_set_errno(err, errno, "sizing the file for guest RAM to %llu bytes",
			(unsigned long long)b->size);
	return 0;
}

int backend_open(struct backend *b, const struct ram_options *options, uint64_t size,
	uint64_t before, struct err *err)
{
	int ret = 0;

	*b = (struct backend){ .options = options,
		.fd = -1,
		.page_size = BACKEND_PAGE,
		.size = size,
		.before = before };
	if (options->policy != RAM_POLICY_DEFAULT)
		ret = host_nodes_check(
			&options->nodes, HOST_NODES_SYSFS, backend_name(options), err);
	if (ret < 0)
		return ret;
	if (options->path) {
		ret = open_path(b, err);
		if (!ret)
			ret = check_room(b, err);
	} else {
		ret = options->memfd ? open_memfd(b, err) : check_host(b, err);
	}
	if (ret < 0 && b->created)
		unlink(options->path);
	if (ret < 0 && b->fd >= 0)
		sys_closep(&b->fd);
	if (ret < 0)
		b->fd = -1;
	return ret;
}
