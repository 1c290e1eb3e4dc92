/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_props.c - "key=value,..." and single values into every device type's properties.
 *
 * Input: byte 0: device type; byte 1: 0: the rest is text for props_parse(); else a value of kind
 * byte 1 % 3 for property byte 2: string, 8-byte integer or boolean.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/prop.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

/* Numbers lie in their ranges whatever was tried. */
static void check_ranges(const struct prop_type *type, const void *obj)
{
	for (const struct prop *p = type->props; p->name; p++) {
		const char *field = (const char *)obj + p->offset;
		uint64_t number;
		int32_t devfn;

		if (p->kind == PROP_UINT || p->kind == PROP_SIZE) {
			memcpy(&number, field, sizeof(number));
			must(!p->max || number <= p->max || number == UINT64_MAX);
		} else if (p->kind == PROP_DEVFN) {
			memcpy(&devfn, field, sizeof(devfn));
			must(devfn >= -1 && devfn <= 255);
		}
	}
}

static int set_one(const struct prop_type *type, void *obj, const uint8_t *data, const char *text,
	size_t size, struct err *err)
{
	struct prop_value value = { .kind = data[1] % 3, .string = text };
	unsigned n = 0;

	while (type->props[n].name)
		n++;
	if (size >= sizeof(value.number))
		memcpy(&value.number, text, sizeof(value.number));
	value.boolean = size && text[0] & 1;
	return prop_set(type, obj, type->props[data[2] % n].name, &value, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct prop_type *type;
	struct err err = { 0 };
	unsigned n = 0;
	char *text;
	void *obj;
	int ret;

	if (size < 3)
		return 0;
	while (device_types[n])
		n++;
	type = device_types[data[0] % n];
	obj = malloc(type->size);
	text = strndup((const char *)data + 3, size - 3);
	if (!text || !obj || props_init(type, obj) < 0)
		abort();
	if (data[1])
		ret = set_one(type, obj, data, text, strlen(text), &err);
	else
		ret = props_parse(type, obj, text, &err);
	must(ret == 0 || (err.code == -ret && err.text[0]));
	check_ranges(type, obj);
	if (props_fd(type, obj))
		*props_fd(type, obj) = -1; /* a number, and nobody's file */
	props_release(type, obj, NULL);
	free(text);
	free(obj);
	return 0;
}
