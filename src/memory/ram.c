/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram.c - what backs guest RAM, and its mapping.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/sys.h>

#include "backend.h"
#include "host_nodes.h"
#include "hugetlb.h"

#define PAGE BACKEND_PAGE
#define GIB 0x40000000ull

static int check_pages(
	const struct ram_layout *layout, unsigned backend, uint64_t page_size, struct err *err)
{
	for (unsigned i = 0; i < layout->count; i++) {
		const struct ram_segment *s = &layout->segment[i];

		if (s->backend != backend)
			continue;
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

static int map_segment(const struct backend *b, const struct ram_segment *s)
{
	/* A private mapping of an unlinked file would only copy it page by page. */
	const bool share = b->options->share || (b->fd >= 0 && !b->named);
	/* Of hugetlbfs pages are reserved now: one that is missing later would be a SIGBUS. */
	int flags =
		MAP_FIXED | (b->hugetlb ? 0 : MAP_NORESERVE) | (share ? MAP_SHARED : MAP_PRIVATE);
	void *got;
	int ret;

	if (b->fd < 0)
		flags |= MAP_ANONYMOUS;
	ret = sys_mmap(
		s->hva, s->size, PROT_READ | PROT_WRITE, flags, b->fd, (off_t)s->offset, &got);
	if (ret < 0)
		return ret;
	advise(s->hva, s->size, b->fd < 0);
	return 0;
}

static int bind_segment(const struct backend *b, const struct ram_segment *s, struct err *err)
{
	int ret = host_nodes_bind(&b->options->nodes, b->options->policy, s->hva, s->size);

	if (!ret)
		return 0;
	err_set_errno(err, -ret,
		"%s: cannot have memory of the host's NUMA nodes by its host-nodes",
		backend_name(b->options));
	if (ret == -ENOSYS)
		err_hint(err, "this kernel has no NUMA support: leave out host-nodes and policy");
	return ret;
}

static int map_backend(struct ram *ram, unsigned index, const struct backend *b, struct err *err)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];
		int ret;

		if (s->backend != index)
			continue;
		ret = map_segment(b, s);
		if (ret == -ENOMEM && b->hugetlb) {
			ram_release(ram); /* what it has reserved is not others' */
			return hugetlb_refuse(
				b->options->path ? b->options->path : backend_name(b->options),
				HUGETLB_SYSFS, b->page_size, b->size, b->mount_free, err);
		}
		if (ret < 0)
			return err_set_errno(err, -ret,
				"guest RAM needs %llu bytes, %llu bytes are available",
				(unsigned long long)b->size, (unsigned long long)b->available);
		ret = bind_segment(b, s, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static uint64_t backend_size(const struct ram_layout *layout, unsigned backend)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < layout->count; i++)
		if (layout->segment[i].backend == backend)
			size += layout->segment[i].size;
	return size;
}

/* What those before it are to have of the host's memory, and have not been given yet. */
static uint64_t host_memory_before(
	const struct ram_layout *layout, const struct ram_options options[], unsigned index)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < index; i++)
		if (!options[i].path && !options[i].hugetlb)
			size += backend_size(layout, i);
	return size;
}

static int make_backend(
	struct ram *ram, unsigned index, const struct ram_options options[], struct err *err)
{
	struct backend b;
	int ret = backend_open(&b, &options[index], backend_size(&ram->layout, index),
		host_memory_before(&ram->layout, options, index), err);

	if (ret < 0)
		return ret;
	ram->backend[index] = (struct ram_backend){ .fd = b.fd, .page_size = b.page_size };
	if (b.page_size > ram->page_size)
		ram->page_size = b.page_size;
	ret = check_pages(&ram->layout, index, b.page_size, err);
	/* Not sooner: that the host has too little memory is the better message. */
	if (!ret && !ram->base)
		ret = place_segments(ram, err);
	if (!ret)
		ret = backend_set_size(&b, err);
	return ret ? ret : map_backend(ram, index, &b, err);
}

int ram_init(struct ram *ram, const struct ram_layout *layout, const struct ram_options options[],
	unsigned n, struct err *err)
{
	int ret = 0;

	*ram = (struct ram){ .layout = *layout, .n_backends = n, .page_size = PAGE };
	for (unsigned i = 0; i < n; i++)
		ram->backend[i] = (struct ram_backend){ .fd = -1, .page_size = PAGE };
	for (unsigned i = 0; !ret && i < n; i++)
		ret = make_backend(ram, i, options, err);
	if (ret < 0)
		ram_release(ram);
	return ret;
}

/* Reserved they are, so it is not the pool that is empty. */
static int huge_pages_refused(const struct ram_options *options, const char *name, uint64_t size,
	uint64_t page_size, int code, struct err *err)
{
	err_set_errno(err, code,
		"populating %s: cannot have the %llu huge pages of %llu KiB that are reserved for it",
		name, (unsigned long long)(size / page_size),
		(unsigned long long)(page_size >> 10));
	err_hint(err,
		options->policy == RAM_POLICY_BIND
			? "the nodes of its host-nodes have too few of them"
			: "a limit of this process's cgroup (hugetlb.*.max) or its memory policy (numactl) keeps it from them");
	return -code;
}

int ram_populate_error(const struct ram *ram, unsigned backend, const struct ram_options *options,
	int code, struct err *err)
{
	const struct ram_backend *b = &ram->backend[backend];
	const char *name = backend_name(options);
	const uint64_t size = backend_size(&ram->layout, backend);
	struct statfs fs;

	if (code != ENOMEM && code != EFAULT)
		return err_set_errno(err, code, "populating %s", name);
	if (b->page_size != PAGE)
		return huge_pages_refused(options, name, size, b->page_size, code, err);
	if (!options->path || fstatfs(b->fd, &fs) != 0)
		return err_set_errno(err, code,
			"populating %s: it needs %llu bytes, of which this host has %llu bytes left",
			name, (unsigned long long)size, (unsigned long long)ram_host_available());
	return err_set_errno(err, code,
		"populating %s: it needs %llu bytes, of which '%s' has %llu bytes left", name,
		(unsigned long long)size, options->path,
		(unsigned long long)fs.f_bavail * (unsigned long long)fs.f_bsize);
}

void ram_release(struct ram *ram)
{
	if (ram->base)
		(void)sys_munmap(ram->base, ram->length);
	ram->base = NULL;
	ram->length = 0;
	ram->layout.count = 0;
	for (unsigned i = 0; i < ram->n_backends; i++)
		sys_closep(&ram->backend[i].fd);
	ram->n_backends = 0;
}

static const struct ram_segment *segment_of(const struct ram *ram, uint64_t gpa)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];

		if (gpa >= s->gpa && gpa - s->gpa < s->size)
			return s;
	}
	return NULL;
}

static uint64_t page_size_at(const struct ram *ram, uint64_t gpa)
{
	const struct ram_segment *s = segment_of(ram, gpa);

	return s && s->backend < ram->n_backends ? ram->backend[s->backend].page_size
						 : ram->page_size;
}

uint64_t ram_page_start(const struct ram *ram, uint64_t gpa)
{
	return gpa & ~(page_size_at(ram, gpa) - 1);
}

void *ram_hva(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	const struct ram_segment *s = segment_of(ram, gpa);

	return s && len <= s->size - (gpa - s->gpa) ? s->hva + (gpa - s->gpa) : NULL;
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
	const uint64_t size = page_size_at(ram, gpa), page = gpa & ~(size - 1);
	const unsigned n = atomic_load(&ram->n_replaced);
	void *hva = ram_hva(ram, page, size), *got;
	int ret;

	if (!hva)
		return -EFAULT;
	if (n == RAM_REPLACED_MAX)
		return -ENOSPC;
	ret = sys_mmap(hva, size, PROT_READ | PROT_WRITE,
		MAP_FIXED | MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &got);
	if (ret < 0)
		return ret;
	advise(hva, size, true);
	ram->replaced[n] = page;
	atomic_store(&ram->n_replaced, n + 1);
	return 0;
}
