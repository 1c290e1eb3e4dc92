/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space.c - finds room in RAM for the kernel and the initrd.
 */
#include "internal.h"

#include <errno.h>

#include <portcullis/err.h>

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Highest aligned start of size bytes in [start, end), or false. */
static bool fit_high(uint64_t start, uint64_t end, uint64_t size, uint64_t align, uint64_t *out)
{
	if (end < start || end - start < size)
		return false;
	*out = (end - size) & ~(align - 1);
	return *out >= start;
}

int space_highest(const struct ram *ram, uint64_t size, uint64_t align, uint64_t limit,
	struct span avoid, uint64_t *out)
{
	for (unsigned i = ram->layout.count; i-- > 0;) {
		const struct ram_segment *segment = &ram->layout.segment[i];
		uint64_t start = max_u64(segment->gpa, BOOT_MIB);
		uint64_t end = min_u64(segment->gpa + segment->size, limit);

		if (fit_high(max_u64(start, avoid.start + avoid.size), end, size, align, out))
			return 0;
		if (fit_high(start, min_u64(end, avoid.start), size, align, out))
			return 0;
	}
	return -ENOSPC;
}

int space_lowest(
	const struct ram *ram, uint64_t size, uint64_t align, uint64_t limit, uint64_t *out)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *segment = &ram->layout.segment[i];
		uint64_t start = max_u64(segment->gpa, BOOT_MIB);
		uint64_t end = min_u64(segment->gpa + segment->size, limit);

		if (__builtin_add_overflow(start, align - 1, &start))
			return -ENOSPC;
		start &= ~(align - 1);
		if (start < end && end - start >= size) {
			*out = start;
			return 0;
		}
	}
	return -ENOSPC;
}

int space_initrd(const struct place *place, uint64_t limit, struct span kernel, struct span *at,
	struct err *err)
{
	const struct boot_image *image = place->image;
	const struct ram *ram = place->ram;
	void *to;

	*at = (struct span){ 0, 0 };
	if (!image->initrd_size)
		return 0;
	at->size = image->initrd_size;
	if (space_highest(ram, at->size, 4096, limit, kernel, &at->start) < 0 ||
		!(to = ram_hva(ram, at->start, at->size))) {
		err_set(err, E2BIG,
			"initrd '%s' of %zu bytes does not fit beside the kernel (%llu bytes) in %llu bytes of RAM, of which this kernel can use those below %#llx",
			image->initrd_path, image->initrd_size, (unsigned long long)kernel.size,
			(unsigned long long)ram->layout.size,
			(unsigned long long)min_u64(limit, ram->layout.top));
		err_hint(err, "give the guest more memory with -m, or make the initrd smaller");
		return -E2BIG;
	}
	load_add(place->load, to, image->initrd, at->size, at->size);
	return 0;
}
