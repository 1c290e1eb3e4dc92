/* SPDX-License-Identifier: Apache-2.0 */
/* regions.c - region info and its capability chain, mapping BARs where they can be mapped. */
#include "regions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

static uint64_t page_down(uint64_t value)
{
	return value & ~(uint64_t)(REGION_PAGE - 1);
}

static uint64_t page_up(uint64_t value)
{
	return page_down(value + REGION_PAGE - 1);
}

static void span_remove(struct vfio_region *region, unsigned i)
{
	region->n_spans--;
	memmove(&region->span[i], &region->span[i + 1],
		(region->n_spans - i) * sizeof(region->span[0]));
}

/*
 * Keeps spans sorted; what does not fit is trapped. [start, end) lies inside the region's pages and is
 * clipped to whole ones.
 */
static void span_add(struct vfio_region *region, uint64_t start, uint64_t end)
{
	unsigned at = 0;

	start = page_up(start);
	end = page_down(end);
	if (start >= end || region->n_spans == REGION_PIECES_MAX)
		return;
	while (at < region->n_spans && region->span[at].offset < start)
		at++;
	/* Overlapping areas make no sense: the kernel's first word counts. */
	if (at > 0 && region->span[at - 1].offset + region->span[at - 1].size > start)
		return;
	if (at < region->n_spans && end > region->span[at].offset)
		return;
	memmove(&region->span[at + 1], &region->span[at],
		(region->n_spans - at) * sizeof(region->span[0]));
	region->span[at] = (struct region_span){ start, end - start };
	region->n_spans++;
}

/* The kernel lets us map this much of a region; a small one comes with the rest of its page. */
static void offer(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	bool whole = size == region->size;

	span_add(region, offset, whole && size < REGION_PAGE ? page_up(size) : offset + size);
}

static void parse_sparse(struct vfio_region *region, const uint8_t *cap, uint32_t room)
{
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area area;
	uint32_t at = sizeof(sparse);

	if (room < sizeof(sparse))
		return;
	memcpy(&sparse, cap, sizeof(sparse));
	for (uint32_t i = 0; i < sparse.nr_areas && room - at >= sizeof(area); i++) {
		memcpy(&area, cap + at, sizeof(area));
		at += (uint32_t)sizeof(area);
		if (area.offset < region->size && area.size <= region->size - area.offset)
			offer(region, area.offset, area.size);
	}
}

/* Offset of the sparse-mmap capability, 0: none. */
static uint32_t find_sparse(const uint8_t *bytes, const struct vfio_region_info *info)
{
	struct vfio_info_cap_header header;
	uint32_t at = info->cap_offset;
	/* As many hops as headers fit: a chain that loops ends. */
	uint32_t hops = info->argsz / (uint32_t)sizeof(header);

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return 0;
	while (at >= sizeof(*info) && at <= info->argsz - sizeof(header) && hops--) {
		memcpy(&header, bytes + at, sizeof(header));
		if (header.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			return at;
		at = header.next;
	}
	return 0;
}

void region_parse(struct vfio_region *region, const struct vfio_region_info *info)
{
	const uint8_t *bytes = (const uint8_t *)info;
	uint32_t sparse;

	region->size = info->size;
	region->offset = info->offset;
	region->readable = info->flags & VFIO_REGION_INFO_FLAG_READ;
	region->writable = info->flags & VFIO_REGION_INFO_FLAG_WRITE;
	region->mappable = info->flags & VFIO_REGION_INFO_FLAG_MMAP;
	region->n_spans = 0;
	if (!region->mappable || info->argsz < sizeof(*info))
		return;
	sparse = find_sparse(bytes, info);
	if (sparse)
		parse_sparse(region, bytes + sparse, info->argsz - sparse);
	else
		offer(region, 0, region->size);
}

void region_hole(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	uint64_t start = page_down(offset), end = page_up(offset + size);

	for (unsigned i = 0; i < region->n_spans;) {
		struct region_span old = region->span[i];
		uint64_t old_end = old.offset + old.size;

		if (old_end <= start || old.offset >= end) {
			i++;
			continue;
		}
		span_remove(region, i);
		if (old.offset < start)
			span_add(region, old.offset, start);
		if (old_end > end)
			span_add(region, end, old_end);
		i = 0; /* pieces moved; a removed piece never comes back, so this ends */
	}
}

static void area_add(struct vfio_region *region, uint64_t offset, uint64_t size, bool mapped)
{
	struct pci_area *area = &region->area[region->n_areas++];

	area->offset = offset;
	area->size = size < region->size - offset ? size : region->size - offset;
	area->hva = mapped ? (uint8_t *)region->base + offset : NULL;
	area->readonly = mapped && !region->writable;
}

void region_plan(struct vfio_region *region)
{
	uint64_t at = 0;

	region->n_areas = 0;
	for (unsigned i = 0; region->base && i < region->n_spans && i < (PCI_AREAS_MAX - 1) / 2;
		i++) {
		if (region->span[i].offset > at)
			area_add(region, at, region->span[i].offset - at, false);
		area_add(region, region->span[i].offset, region->span[i].size, true);
		at = region->span[i].offset + region->span[i].size;
	}
	if (at < region->size)
		area_add(region, at, region->size - at, false);
}

int region_query(struct vfio_region *region, struct vfio_device_io *io, unsigned index)
{
	struct vfio_region_info *info;
	int ret = io->ops->region_info(io, index, &info);

	region->index = index;
	region->size = 0;
	region->n_spans = region->n_areas = 0;
	region->base = NULL;
	if (ret)
		return ret;
	region_parse(region, info);
	free(info);
	region_plan(region);
	return 0;
}

/* The largest power of two that is of use: huge pages need HVA and physical address to agree. */
static uint64_t region_alignment(uint64_t size)
{
	uint64_t align = REGION_PAGE;

	while (align < size && align < REGION_ALIGN_MAX)
		align <<= 1;
	return align;
}

void region_map(struct vfio_region *region, struct vfio_device_io *io, const char *name)
{
	int prot = (region->readable ? PROT_READ : 0) | (region->writable ? PROT_WRITE : 0);
	bool told = false;
	int ret;

	if (!region->n_spans || !region->readable || region->base)
		return;
	region->reserved = page_up(region->size);
	ret = sys_reserve(region->reserved, region_alignment(region->size), &region->base);
	if (ret) {
		region->base = NULL;
		log_warn("vfio-pci '%s': no address space for BAR %u (%llu bytes): trapping it",
			name, region->index, (unsigned long long)region->size);
		return;
	}
	for (unsigned i = 0; i < region->n_spans;) {
		struct region_span *span = &region->span[i];

		ret = io->ops->map(io, (uint8_t *)region->base + span->offset, span->size, prot,
			region->offset + span->offset);
		if (!ret) {
			i++;
			continue;
		}
		if (!told)
			log_warn("vfio-pci '%s': cannot map BAR %u at 0x%llx (%s): trapping it",
				name, region->index, (unsigned long long)span->offset,
				strerror(-ret));
		told = true;
		span_remove(region, i);
	}
	region_plan(region);
}

void region_unmap(struct vfio_region *region)
{
	if (region->base)
		sys_munmap(region->base, region->reserved);
	region->base = NULL;
	region_plan(region);
}

/* Trapped pieces by page; of mapped ones none should come, and all of them are one number. */
static unsigned plan_traps(struct region_traps *traps, const struct pci_area *area)
{
	traps->shift = area->hva ? 63 : 12;
	while (!area->hva && (area->size - 1) >> traps->shift >= REGION_COUNTERS_MAX)
		traps->shift++;
	return (unsigned)((area->size - 1) >> traps->shift) + 1;
}

int region_count(struct vfio_region *region)
{
	unsigned n[PCI_AREAS_MAX], sum = 0;

	for (unsigned i = 0; i < region->n_areas; i++)
		sum += n[i] = plan_traps(&region->traps[i], &region->area[i]);
	if (!sum)
		return 0;
	region->counters = calloc(sum, sizeof(*region->counters));
	if (!region->counters)
		return -ENOMEM;
	sum = 0;
	for (unsigned i = 0; i < region->n_areas; i++) {
		region->traps[i].count = region->counters + sum;
		region->traps[i].n = n[i];
		sum += n[i];
	}
	return 0;
}

void region_release(struct vfio_region *region)
{
	free(region->counters);
	region->counters = NULL;
	for (unsigned i = 0; i < PCI_AREAS_MAX; i++)
		region->traps[i].n = 0;
}
