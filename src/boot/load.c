/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - what is to be copied into RAM, and copying it a step at a time.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include <portcullis/err.h>

#define PAGE 4096u

void load_add(
	struct boot_load *load, uint8_t *to, const uint8_t *from, uint64_t file_size, uint64_t size)
{
	load->copy[load->count++] = (struct boot_copy){ to, from, file_size, size };
}

int load_piece(struct boot_load *load, const struct piece *piece, const uint8_t *file,
	const char *path, const struct ram *ram, struct err *err)
{
	const uint64_t end = piece->addr + piece->size;
	uint8_t *to = NULL;

	if (piece->addr >= BOOT_MIB && end <= GPA_HIGH_RAM)
		to = ram_hva(ram, piece->addr, piece->size);
	if (!to) {
		err_set(err, E2BIG,
			"kernel '%s' wants to lie at %#llx-%#llx, where the guest has no RAM (it has %llu bytes)",
			path, (unsigned long long)piece->addr, (unsigned long long)(end - 1),
			(unsigned long long)ram->layout.size);
		err_hint(err, "give the guest more memory with -m");
		return -E2BIG;
	}
	load_add(load, to, file + piece->offset, piece->file_size, piece->size);
	return 0;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool all_zero(const uint8_t *data, size_t size)
{
	return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

/* What is zero already, as fresh memory is, is only looked at. Returns the bytes written. */
static uint64_t zero(uint8_t *to, uint64_t size)
{
	uint64_t written = 0;

	while (size) {
		const size_t n = min_u64(size, PAGE - (uintptr_t)to % PAGE);

		if (!all_zero(to, n)) {
			memset(to, 0, n);
			written += n;
		}
		to += n;
		size -= n;
	}
	return written;
}

bool boot_load_step(struct boot_load *load)
{
	const struct boot_copy *copy = &load->copy[load->at];
	uint64_t n;

	if (load->at == load->count)
		return false;
	if (load->done < copy->file_size) {
		n = min_u64(copy->file_size - load->done, BOOT_STEP);
		memcpy(copy->to + load->done, copy->from + load->done, n);
		load->written += n;
	} else {
		n = min_u64(copy->size - load->done, BOOT_STEP);
		load->written += zero(copy->to + load->done, n);
	}
	load->done += n;
	if (load->done == copy->size) {
		load->at++;
		load->done = 0;
	}
	return load->at < load->count;
}
