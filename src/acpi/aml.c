/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.c - see aml.h.
 */
#include "aml.h"

#include <string.h>

/* Package lengths are always written in three bytes, which any value fits. */
#define LENGTH_BYTES 3

void aml_raw(struct aml *aml, const void *bytes, size_t count)
{
	if (aml->full || count > aml->size - aml->used) {
		aml->full = true;
		return;
	}
	memcpy(aml->data + aml->used, bytes, count);
	aml->used += count;
}

void aml_byte(struct aml *aml, uint8_t byte)
{
	aml_raw(aml, &byte, 1);
}

void aml_op(struct aml *aml, enum aml_op op)
{
	if (op > 0xff)
		aml_byte(aml, (uint8_t)(op >> 8));
	aml_byte(aml, (uint8_t)op);
}

void aml_seg(struct aml *aml, const char *name)
{
	char seg[4] = { '_', '_', '_', '_' };

	memcpy(seg, name, strnlen(name, sizeof(seg)));
	aml_raw(aml, seg, sizeof(seg));
}

void aml_path(struct aml *aml, const char *first, const char *second)
{
	aml_byte(aml, '^');
	aml_byte(aml, 0x2e); /* DualNamePrefix */
	aml_seg(aml, first);
	aml_seg(aml, second);
}

void aml_int(struct aml *aml, uint64_t value)
{
	static const struct {
		uint64_t max;
		uint8_t prefix, size;
	} forms[] = {
		{ 0xff, 0x0a, 1 },
		{ 0xffff, 0x0b, 2 },
		{ 0xffffffff, 0x0c, 4 },
		{ UINT64_MAX, 0x0e, 8 },
	};
	unsigned i = 0;

	if (value <= 1) {
		aml_byte(aml, (uint8_t)value); /* Zero, One */
		return;
	}
	while (value > forms[i].max)
		i++;
	aml_byte(aml, forms[i].prefix);
	aml_raw(aml, &value, forms[i].size); /* little-endian, as we are */
}

size_t aml_open(struct aml *aml, enum aml_op op)
{
	static const uint8_t zero[LENGTH_BYTES];
	size_t at;

	aml_op(aml, op);
	at = aml->used;
	aml_raw(aml, zero, sizeof(zero));
	return at;
}

/* The length counts itself. Low nibble first, then two bytes (ACPI 6.4, 20.2.4). */
void aml_close(struct aml *aml, size_t at)
{
	size_t len = aml->used - at;

	if (aml->full || len >= 1u << 20) {
		aml->full = true;
		return;
	}
	aml->data[at] = (uint8_t)((LENGTH_BYTES - 1) << 6 | (len & 0xf));
	aml->data[at + 1] = (uint8_t)(len >> 4);
	aml->data[at + 2] = (uint8_t)(len >> 12);
}

void aml_name_int(struct aml *aml, const char *name, uint64_t value)
{
	aml_op(aml, AML_NAME);
	aml_seg(aml, name);
	aml_int(aml, value);
}

size_t aml_open_device(struct aml *aml, const char *name)
{
	size_t at = aml_open(aml, AML_DEVICE);

	aml_seg(aml, name);
	return at;
}

size_t aml_open_method(struct aml *aml, const char *name, uint8_t flags)
{
	size_t at = aml_open(aml, AML_METHOD);

	aml_seg(aml, name);
	aml_byte(aml, flags);
	return at;
}

void aml_region(struct aml *aml, const char *name, uint64_t gpa, uint64_t size)
{
	aml_op(aml, AML_REGION);
	aml_seg(aml, name);
	aml_byte(aml, 0); /* SystemMemory */
	aml_int(aml, gpa);
	aml_int(aml, size);
}

size_t aml_open_field(struct aml *aml, const char *region, uint8_t flags)
{
	size_t at = aml_open(aml, AML_FIELD);

	aml_seg(aml, region);
	aml_byte(aml, flags);
	return at;
}

void aml_bits(struct aml *aml, const char *name, uint8_t bits)
{
	if (name)
		aml_seg(aml, name);
	else
		aml_byte(aml, 0);
	aml_byte(aml, bits & 0x3f);
}
