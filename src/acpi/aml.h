/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.h - writes the few ACPI Machine Language constructs that depend on the machine (ACPI 6.4,
 * 20).
 *
 * Output never passes size: what does not fit is dropped and full becomes true, checked once at the
 * end. Blocks are opened and closed in pairs; aml_close() fills in the length.
 */
#ifndef PORTCULLIS_ACPI_AML_H
#define PORTCULLIS_ACPI_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct aml {
	uint8_t *data;
	size_t size, used;
	bool full;
};

enum aml_op {
	AML_NAME = 0x08,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_STORE = 0x70,
	AML_AND = 0x7b,
	AML_NOTIFY = 0x86,
	AML_EQUAL = 0x93,
	AML_IF = 0xa0,
	AML_RETURN = 0xa4,
	AML_REGION = 0x5b80, /* two-byte opcodes */
	AML_FIELD = 0x5b81,
	AML_DEVICE = 0x5b82,
};
#define AML_NO_TARGET 0x00
#define AML_METHOD_SERIALIZED 0x08 /* or-ed with the number of arguments */

enum aml_access { AML_ACCESS_BYTE = 1, AML_ACCESS_DWORD = 3 };
#define AML_WRITE_ZEROS 0x40

void aml_raw(struct aml *aml, const void *bytes, size_t count);
void aml_byte(struct aml *aml, uint8_t byte);
void aml_op(struct aml *aml, enum aml_op op);
/* One name segment, padded to four characters with '_'. */
void aml_seg(struct aml *aml, const char *name);
/*
 * "^first.second": what the enclosing method's sibling contains. Two segments are not searched
 * upwards.
 */
void aml_path(struct aml *aml, const char *first, const char *second);
/* The shortest integer constant. */
void aml_int(struct aml *aml, uint64_t value);

/* An opcode with a package length; returns what aml_close() takes. */
size_t aml_open(struct aml *aml, enum aml_op op);
void aml_close(struct aml *aml, size_t at);

/* Name (seg, value) */
void aml_name_int(struct aml *aml, const char *name, uint64_t value);
size_t aml_open_device(struct aml *aml, const char *name);
size_t aml_open_method(struct aml *aml, const char *name, uint8_t flags);
/* OperationRegion (name, SystemMemory, gpa, size) */
void aml_region(struct aml *aml, const char *name, uint64_t gpa, uint64_t size);
size_t aml_open_field(struct aml *aml, const char *region, uint8_t flags);
/* A field of bits (less than 64) bits; name NULL: skipped. */
void aml_bits(struct aml *aml, const char *name, uint8_t bits);

#endif
