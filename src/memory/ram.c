/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram.c - what backs guest RAM, and its mapping.
 */
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
#include <portcullis/memory.h>
#include <portcullis/sys.h>

#include "hugetlb.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define PAGE 4096ull
#define GIB 0x40000000ull
#define HUGETLBFS 0x958458f6
#define NAME_TRIES 100

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

static int check_directory(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return err_set_errno(err, errno, "memory path '%s'", path);
	if (S_ISDIR(st.st_mode))
		return 0;
	err_set(err, ENOTDIR, "memory path '%s' is not a directory", path);
	if (err)
		err_hint(err, "name a directory, for example a hugetlbfs mount: /dev/hugepages");
	return -ENOTDIR;
}

/* What guest RAM is made of. */
struct backing {
	int fd;		    /* -1: anonymous */
	uint64_t page_size; /* segments must be multiples of it */
	uint64_t available; /* bytes, 0: unknown */
	bool hugetlb;
	uint64_t mount_free; /* hugetlbfs: pages that the mount's size= leaves */
	uint64_t size;	     /* of all segments */
};

/*
 * Is there room in the file system? hugetlbfs counts blocks only where the mount was given a size;
 * whether there are pages is the kernel's to say, when it is asked to reserve them.
 */
static int check_room(struct backing *b, const char *path, uint64_t size, struct err *err)
{
	struct statfs fs;

	if (fstatfs(b->fd, &fs) != 0)
		return err_set_errno(err, errno, "memory path '%s'", path);
	b->hugetlb = fs.f_type == HUGETLBFS;
	if (b->hugetlb) {
		b->page_size = (uint64_t)fs.f_bsize;
		b->mount_free = fs.f_blocks ? (uint64_t)fs.f_bavail : UINT64_MAX;
		return 0;
	}
	b->available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (b->available >= size)
		return 0;
	return err_set(err, ENOMEM, "guest RAM needs %llu bytes, '%s' has %llu bytes free",
		(unsigned long long)size, path, (unsigned long long)b->available);
}

static int check_host(struct backing *b, uint64_t size, struct err *err)
{
	b->available = ram_host_available();
	if (b->available == 0 || size <= b->available)
		return 0;
	err_set(err, ENOMEM, "guest RAM needs %llu bytes, this host has %llu bytes available",
		(unsigned long long)size, (unsigned long long)b->available);
	if (err)
		err_hint(err, "use a smaller -m");
	return -ENOMEM;
}

static int check_pages(const struct ram_layout *layout, uint64_t page_size, struct err *err)
{
	for (unsigned i = 0; i < layout->count; i++) {
		const struct ram_segment *s = &layout->segment[i];

		if (!(s->gpa % page_size || s->size % page_size || s->offset % page_size))
			continue;
		err_set(err, EINVAL,
			"guest RAM at 0x%llx, %llu bytes, cannot be made of pages of %llu bytes",
			(unsigned long long)s->gpa, (unsigned long long)s->size,
			(unsigned long long)page_size);
		err_hint(err, "use an -m that is a multiple of it, or smaller pages");
		return -EINVAL;
	}
	return 0;
}

/* Fills *b; on failure its fd is -1. */
static int backing_open(
	struct backing *b, const struct ram_layout *layout, const char *path, struct err *err)
{
	int ret;

	*b = (struct backing){ .fd = -1, .page_size = PAGE, .size = layout->size };
	if (!path)
		return check_host(b, layout->size, err);
	ret = check_directory(path, err);
	if (ret < 0)
		return ret;
	b->fd = open_unlinked(path, err);
	if (b->fd < 0)
		return b->fd;
	ret = check_room(b, path, layout->size, err);
	if (ret == 0)
		ret = check_pages(layout, b->page_size, err);
	if (ret == 0 && ftruncate(b->fd, (off_t)layout->size) != 0)
		ret = err_set_errno(err, errno, "sizing the file for guest RAM to %llu bytes",
			(unsigned long long)layout->size);
	if (ret < 0)
		sys_closep(&b->fd);
	return ret;
}

/* Address space for all segments; each one's HVA agrees with its GPA modulo 1 GiB. */
static int place_segments(struct ram *ram, struct err *err)
{
	uint64_t at = 0;
	int ret;

	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];

		at += (s->gpa - at) % GIB + s->size;
	}
	ram->length = (size_t)((at + GIB - 1) / GIB * GIB);
	ret = sys_reserve(ram->length, GIB, &ram->base);
	if (ret < 0)
		return err_set_errno(err, -ret,
			"reserving %zu bytes of address space for guest RAM", ram->length);
	at = 0;
	for (unsigned i = 0; i < ram->layout.count; i++) {
		struct ram_segment *s = &ram->layout.segment[i];

		at += (s->gpa - at) % GIB;
		s->hva = (uint8_t *)ram->base + at;
		at += s->size;
	}
	return 0;
}

/* A kernel that does not take it is no reason to fail. */
static void advise(void *hva, size_t size, bool huge)
{
	(void)madvise(hva, size, MADV_DONTDUMP);
	if (huge)
		(void)madvise(hva, size, MADV_HUGEPAGE);
}

static int map_segment(const struct ram *ram, const struct ram_segment *s, bool share, bool hugetlb)
{
	/* Of hugetlbfs pages are reserved now: one that is missing later would be a SIGBUS. */
	int flags = MAP_FIXED | (hugetlb ? 0 : MAP_NORESERVE) | (share ? MAP_SHARED : MAP_PRIVATE);
	void *got;
	int ret;

	if (ram->fd < 0)
		flags |= MAP_ANONYMOUS;
	ret = sys_mmap(
		s->hva, s->size, PROT_READ | PROT_WRITE, flags, ram->fd, (off_t)s->offset, &got);
	if (ret < 0)
		return ret;
	advise(s->hva, s->size, ram->fd < 0);
	return 0;
}

static int populate(const struct ram_segment *s, uint64_t page_size)
{
	if (madvise(s->hva, s->size, MADV_POPULATE_WRITE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	for (uint64_t at = 0; at < s->size; at += page_size)
		*(volatile uint8_t *)(s->hva + at) = 0;
	return 0;
}

static int map_all(struct ram *ram, const struct backing *backing,
	const struct ram_options *options, struct err *err)
{
	/* A private mapping of an unlinked file would only copy it page by page. */
	bool share = options->share || ram->fd >= 0;

	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];
		int ret = map_segment(ram, s, share, backing->hugetlb);

		if (ret == 0 && options->prealloc)
			ret = populate(s, backing->page_size);
		if (ret == -ENOMEM && backing->hugetlb) {
			ram_release(ram); /* what it has reserved is not others' */
			return hugetlb_refuse(options->path, HUGETLB_SYSFS, backing->page_size,
				backing->size, backing->mount_free, err);
		}
		if (ret < 0)
			return err_set_errno(err, -ret,
				"guest RAM needs %llu bytes, %llu bytes are available",
				(unsigned long long)ram->layout.size,
				(unsigned long long)backing->available);
	}
	return 0;
}

int ram_init(struct ram *ram, const struct ram_layout *layout, const struct ram_options *options,
	struct err *err)
{
	struct backing backing;
	int ret = backing_open(&backing, layout, options->path, err);

	*ram = (struct ram){ .layout = *layout, .fd = backing.fd, .page_size = backing.page_size };
	if (ret == 0)
		ret = place_segments(ram, err);
	if (ret == 0)
		ret = map_all(ram, &backing, options, err);
	if (ret < 0)
		ram_release(ram);
	return ret;
}

void ram_release(struct ram *ram)
{
	if (ram->base)
		(void)sys_munmap(ram->base, ram->length);
	ram->base = NULL;
	ram->length = 0;
	ram->layout.count = 0;
	sys_closep(&ram->fd);
}

void *ram_hva(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];

		if (gpa >= s->gpa && gpa - s->gpa < s->size && len <= s->size - (gpa - s->gpa))
			return s->hva + (gpa - s->gpa);
	}
	return NULL;
}

bool ram_gpa(const struct ram *ram, const void *hva, uint64_t *gpa)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];
		uintptr_t offset = (uintptr_t)hva - (uintptr_t)s->hva;

		if (!s->hva || (uintptr_t)hva < (uintptr_t)s->hva || offset >= s->size)
			continue;
		*gpa = s->gpa + offset;
		return true;
	}
	return false;
}

int ram_replace(struct ram *ram, uint64_t gpa)
{
	const uint64_t page = gpa & ~(ram->page_size - 1);
	const unsigned n = atomic_load(&ram->n_replaced);
	void *hva = ram_hva(ram, page, ram->page_size), *got;
	int ret;

	if (!hva)
		return -EFAULT;
	if (n == RAM_REPLACED_MAX)
		return -ENOSPC;
	ret = sys_mmap(hva, ram->page_size, PROT_READ | PROT_WRITE,
		MAP_FIXED | MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &got);
	if (ret < 0)
		return ret;
	advise(hva, ram->page_size, true);
	ram->replaced[n] = page;
	atomic_store(&ram->n_replaced, n + 1);
	return 0;
}
