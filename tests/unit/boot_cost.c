/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_cost.c - see boot_cost.h.
 */
#include "boot_cost.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u
#define LOW_END 0x20000u
#define KERNEL_MIN 0x100000u

void boot_cost_fresh(struct ram *ram)
{
	for (unsigned i = 0; i < ram->layout.count; i++)
		if (madvise(ram->layout.segment[i].hva, ram->layout.segment[i].size, MADV_DONTNEED))
			abort();
}

void boot_cost_used(struct ram *ram)
{
	for (unsigned i = 0; i < ram->layout.count; i++)
		for (uint64_t at = 0; at < ram->layout.segment[i].size; at += PAGE)
			memset(ram->layout.segment[i].hva + at + at / PAGE % (PAGE - 7), 0x55, 8);
}

/* Has no page of [from, end of the segment) been touched? */
static bool untouched(const struct ram_segment *s, uint64_t from)
{
	const size_t pages = (s->size - from) / PAGE;
	unsigned char *there = malloc(pages);
	bool ok = there && mincore(s->hva + from, s->size - from, there) == 0;

	for (size_t i = 0; ok && i < pages; i++)
		ok = !(there[i] & 1);
	free(there);
	return ok;
}

static bool in_ram(const struct boot_copy *c, const struct ram *ram)
{
	for (unsigned i = 0; i < ram->layout.count; i++) {
		const struct ram_segment *s = &ram->layout.segment[i];

		if (c->to >= s->hva && c->to < s->hva + s->size)
			return c->size <= (uint64_t)(s->hva + s->size - c->to) &&
			       s->gpa + (uint64_t)(c->to - s->hva) >= KERNEL_MIN;
	}
	return false;
}

static bool inside(const struct boot_copy *c, const uint8_t *data, size_t size)
{
	return data && c->from >= data && c->from <= data + size &&
	       c->file_size <= (uint64_t)(data + size - c->from);
}

const char *boot_cost_plan(const struct boot_load *load, const struct boot_image *image,
	const struct ram *ram, bool fresh)
{
	uint64_t from_files = 0;

	if (load->count > BOOT_COPIES_MAX || load->at || load->done || load->written)
		return "the list is no list";
	for (unsigned i = 0; i < load->count; i++) {
		const struct boot_copy *a = &load->copy[i];

		if (!in_ram(a, ram))
			return "a range is not in RAM";
		if (!a->size || a->file_size > a->size)
			return "a range is too short";
		if (!inside(a, image->kernel, image->kernel_size) &&
			!inside(a, image->initrd, image->initrd_size))
			return "bytes are not from the image";
		from_files += a->file_size;
		for (unsigned j = 0; j < i; j++)
			if (a->to < load->copy[j].to + load->copy[j].size &&
				load->copy[j].to < a->to + a->size)
				return "two ranges overlap";
	}
	if (from_files > image->kernel_size + image->initrd_size)
		return "more bytes are copied than the files have";
	for (unsigned i = 0; fresh && i < ram->layout.count; i++)
		if (!untouched(&ram->layout.segment[i], i ? 0 : LOW_END))
			return "placing has touched more than the lowest 128 KiB";
	return NULL;
}

static bool is_zero(const uint8_t *data, uint64_t size)
{
	return !size || (data[0] == 0 && memcmp(data, data + 1, size - 1) == 0);
}

const char *boot_cost_loaded(const struct boot_load *load, bool fresh)
{
	uint64_t from_files = 0, in_all = 0;

	if (load->at != load->count)
		return "it has not ended";
	for (unsigned i = 0; i < load->count; i++) {
		const struct boot_copy *c = &load->copy[i];

		if (memcmp(c->to, c->from, c->file_size) != 0)
			return "bytes of the file are missing";
		if (!is_zero(c->to + c->file_size, c->size - c->file_size))
			return "not cleared";
		from_files += c->file_size;
		in_all += c->size;
	}
	if (load->written < from_files || load->written > (fresh ? from_files : in_all))
		return "not the number of bytes that had to be written";
	return NULL;
}
