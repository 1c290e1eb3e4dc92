/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ram.c - guest RAM for DMA: can the device reach it, may it be pinned, and pinning it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <portcullis/err.h>

#include "context.h"

/*
 * The work can be cancelled between pieces: this many bytes are zeroed and pinned in a tenth of a
 * second. Never less than a page of the backing, so that IOMMU pages of 1 GiB stay possible where
 * there are such.
 */
#define PIECE_MIN (128ull << 20)
#define PIECE_MAX (1ull << 62)

static uint64_t segment_end(const struct ram_segment *segment)
{
	return segment->gpa + (segment->size - 1);
}

/* First address of [start, end] in no usable range; false: all of it is usable. */
static bool first_unusable(
	const struct vfio_container *container, uint64_t start, uint64_t end, uint64_t *out)
{
	for (unsigned i = 0; i < container->n_usable; i++) {
		const struct range *range = &container->usable[i];

		if (start < range->start || start > range->end)
			continue;
		if (end <= range->end)
			return false;
		start = range->end + 1;
	}
	*out = start;
	return container->n_usable > 0;
}

static int out_of_reach(const struct vfio_attachment *attachment, const struct ram_segment *segment,
	uint64_t at, struct err *err)
{
	const struct vfio_container *container = attachment->container;

	err_set(err, ERANGE,
		"guest memory 0x%llx-0x%llx is out of reach for '%s': the IOMMU cannot map 0x%llx (it can map",
		(unsigned long long)segment->gpa, (unsigned long long)segment_end(segment),
		attachment->facts.device.name, (unsigned long long)at);
	for (unsigned i = 0; i < container->n_usable; i++)
		err_append(err, "%s 0x%" PRIx64 "-0x%" PRIx64, i ? "," : "",
			container->usable[i].start, container->usable[i].end);
	err_append(err, ")");
	err_hint(err,
		"name the device on the command line, so that memory is laid out around such ranges when the machine starts");
	return -ERANGE;
}

static int in_reserved(const struct vfio_attachment *attachment, const struct ram_segment *segment,
	const struct vfio_reserved *reserved, struct err *err)
{
	err_set(err, ERANGE,
		"guest memory 0x%llx-0x%llx overlaps 0x%llx-0x%llx, which the host reserves (%s) for IOMMU group %d of '%s'",
		(unsigned long long)segment->gpa, (unsigned long long)segment_end(segment),
		(unsigned long long)reserved->range.start, (unsigned long long)reserved->range.end,
		reserved->type, attachment->facts.device.group, attachment->facts.device.name);
	err_hint(err,
		"name the device on the command line, so that memory is laid out around such ranges when the machine starts");
	return -ERANGE;
}

int vfio_ram_check(const struct vfio_attachment *attachment, struct err *err)
{
	const struct ram *ram = attachment->context->ram;
	uint64_t at;

	for (unsigned i = 0; ram && i < ram->layout.count; i++) {
		const struct ram_segment *segment = &ram->layout.segment[i];

		for (unsigned j = 0; j < attachment->facts.n_reserved; j++) {
			const struct range *range = &attachment->facts.reserved[j].range;

			if (range->start <= segment_end(segment) && range->end >= segment->gpa)
				return in_reserved(
					attachment, segment, &attachment->facts.reserved[j], err);
		}
		if (first_unusable(attachment->container, segment->gpa, segment_end(segment), &at))
			return out_of_reach(attachment, segment, at, err);
	}
	return 0;
}

/* Pieces of a segment when cut at multiples of piece. */
static uint64_t pieces_of(const struct ram_segment *segment, uint64_t piece)
{
	return segment_end(segment) / piece - segment->gpa / piece + 1;
}

uint64_t vfio_ram_piece_size(const struct ram *ram, uint32_t maps_left, unsigned *pieces)
{
	const struct ram_layout *layout = &ram->layout;
	uint64_t piece = ram->page_size > PIECE_MIN ? ram->page_size : PIECE_MIN;

	for (; piece <= PIECE_MAX; piece <<= 1) {
		uint64_t count = 0;

		for (unsigned i = 0; i < layout->count; i++)
			count += pieces_of(&layout->segment[i], piece);
		/*
		 * Half is left to BARs and to devices that come later, as long as that is possible.
		 */
		if (count <= maps_left / 2 || (piece == PIECE_MAX && count <= maps_left)) {
			*pieces = (unsigned)count;
			return piece;
		}
	}
	return 0;
}

static int map_error(const struct vfio_attachment *attachment, const struct ledger_entry *entry,
	int code, struct err *err)
{
	err_set_errno(err, code,
		"cannot map guest memory 0x%" PRIx64 "-0x%" PRIx64 " for DMA by '%s'", entry->iova,
		entry->iova + (entry->size - 1), attachment->facts.device.name);
	if (code == ENOSPC)
		err_hint(err,
			"the host limits the number of mappings: raise the parameter dma_entry_limit of vfio_iommu_type1");
	else if (code == EFAULT)
		err_hint(err,
			"the host cannot provide some of it: it has an uncorrectable error (reset the guest, and it is given other memory), or the file behind -mem-path was truncated");
	else if (code == ENOMEM)
		err_hint(err,
			"the host has too little free memory, or the limit of locked memory (ulimit -l, LimitMEMLOCK=) is below the guest's memory");
	return -code;
}

static int map_segment(struct vfio_attachment *attachment, const struct ram_segment *segment,
	uint64_t piece, struct err *err)
{
	uint64_t done = 0;

	while (done < segment->size) {
		uint64_t gpa = segment->gpa + done, left = segment->size - done;
		uint64_t size = piece - gpa % piece;
		struct ledger_entry entry = {
			.iova = gpa, .size = size < left ? size : left, .kind = LEDGER_RAM
		};
		int ret;

		if (atomic_load(&attachment->cancelled))
			return err_set(err, ECANCELED, "attaching '%s' was cancelled",
				attachment->facts.device.name);
		ret = vfio_container_map(attachment->container, &entry, segment->hva + done, true);
		if (ret < 0)
			return map_error(attachment, &entry, -ret, err);
		done += entry.size;
	}
	return 0;
}

static int map_all(struct vfio_attachment *attachment, uint64_t piece, struct err *err)
{
	const struct ram_layout *layout = &attachment->context->ram->layout;

	for (unsigned i = 0; i < layout->count; i++) {
		int ret = map_segment(attachment, &layout->segment[i], piece, err);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The pieces that pages lie in which were replaced since the container heard of them. */
static int map_replaced(struct vfio_attachment *attachment, struct err *err)
{
	const struct ram *ram = attachment->context->ram;
	struct vfio_container *container = attachment->container;

	for (; container->replaced < atomic_load(&ram->n_replaced); container->replaced++) {
		const struct ledger_entry *found =
			ledger_find(&container->ledger, ram->replaced[container->replaced], 1);
		struct ledger_entry entry;
		int ret;

		if (!found) /* it could not be mapped the last time */
			return err_set(err, ENXIO,
				"guest memory 0x%" PRIx64 " is not mapped for DMA by '%s'",
				ram->replaced[container->replaced], attachment->facts.device.name);
		entry = *found;
		(void)vfio_container_unmap(container, entry.iova, entry.size);
		ret = vfio_container_map(
			container, &entry, ram_hva(ram, entry.iova, entry.size), true);
		if (ret < 0)
			return map_error(attachment, &entry, -ret, err);
	}
	return 0;
}

static int prepare(
	struct vfio_attachment *attachment, uint64_t *piece, unsigned *pieces, struct err *err)
{
	const struct ram *ram = attachment->context->ram;
	struct vfio_container *container = attachment->container;
	int ret;

	if (!ram)
		return err_set(err, EINVAL, "guest memory is not laid out yet");
	ret = vfio_ram_check(attachment, err);
	if (ret < 0)
		return ret;
	if (container->ram_mapped)
		return 0;
	*piece = vfio_ram_piece_size(ram, container->maps_left, pieces);
	if (!*piece) {
		err_set(err, ENOSPC,
			"the host allows only %u more DMA mappings, too few for the guest's memory",
			container->maps_left);
		err_hint(err, "raise the parameter dma_entry_limit of vfio_iommu_type1");
		return -ENOSPC;
	}
	return vfio_memlock_check(
		attachment->lookup, container->ops->locked, ram->layout.size, err);
}

int vfio_ram_may_map(struct vfio_attachment *attachment, struct err *err)
{
	unsigned pieces;
	uint64_t piece;

	return prepare(attachment, &piece, &pieces, err);
}

int vfio_ram_map(struct vfio_attachment *attachment, struct err *err)
{
	struct vfio_container *container = attachment->container;
	uint64_t piece = 0;
	unsigned pieces = 0;
	int ret = prepare(attachment, &piece, &pieces, err);

	if (ret < 0)
		return ret;
	if (container->ram_mapped)
		return map_replaced(attachment, err);
	container->replaced = atomic_load(&attachment->context->ram->n_replaced);
	ret = vfio_container_reserve(container, pieces);
	if (ret < 0)
		return err_set_errno(err, -ret, "cannot keep account of %u DMA mappings", pieces);
	ret = map_all(attachment, piece, err);
	if (ret < 0) {
		vfio_container_unmap_owner(container, NULL);
		vfio_container_unreserve(container, pieces);
		return ret;
	}
	container->ram_mapped = true;
	return map_replaced(attachment, err);
}
