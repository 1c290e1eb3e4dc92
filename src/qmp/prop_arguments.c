/* SPDX-License-Identifier: Apache-2.0 */
/* prop_arguments.c - arguments of device_add and object-add into what their property tables describe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/prop.h>
#include <portcullis/sys.h>

#include "schema.h"

/*
 * A file descriptor that the client gave us: by its name (getfd) or its number (add-fd). It is the
 * options' from now on. Other numbers would be this program's own.
 */
static int take_fd(
	struct qmp_request *r, const struct json *value, struct prop_value *out, struct err *err)
{
	int fd = -1;

	if (value->kind == JSON_STRING)
		fd = named_fds_take(&r->session->fds, value->text);
	if (fd < 0 && (value->kind == JSON_STRING || value->kind == JSON_INT)) {
		char *end;
		long number = strtol(value->text, &end, 10);
		if (!*end && number >= 0 && number < FD_ZONE_DEVICE &&
			fdsets_take(&r->context->fdsets, (int)number))
			fd = (int)number;
	}
	if (fd < 0) {
		err_set(err, EINVAL, "'fd' is no file descriptor that was handed over");
		err_hint(err, "send it along with getfd or add-fd first");
		return -EINVAL;
	}
	*out = (struct prop_value){ .kind = PROP_VALUE_INT, .number = fd };
	return 0;
}

static int to_prop(const struct json *value, struct prop_value *out, struct err *err)
{
	switch (value->kind) {
	case JSON_STRING:
	case JSON_NUMBER: /* what the property makes of its text */
		*out = (struct prop_value){ .kind = PROP_VALUE_STRING, .string = value->text };
		return 0;
	case JSON_INT:
		*out = (struct prop_value){ .kind = PROP_VALUE_INT, .number = value->integer };
		return 0;
	case JSON_BOOL:
		*out = (struct prop_value){ .kind = PROP_VALUE_BOOL, .boolean = value->boolean };
		return 0;
	default:
		return err_set(err, EINVAL,
			"Invalid parameter type for '%s', expected: string, integer or boolean",
			value->key);
	}
}

int qmp_set_options(struct qmp_request *r, const struct prop_type *type, void *options,
	const char *besides, struct err *err)
{
	for (const struct json *v = r->args->first; v; v = v->next) {
		const struct prop *prop = prop_find(type, v->key);
		struct prop_value value;
		int ret;

		if (!strcmp(v->key, besides))
			continue;
		if (prop && prop->kind == PROP_FD)
			ret = take_fd(r, v, &value, err);
		else
			ret = to_prop(v, &value, err);
		if (!ret)
			ret = prop_set(type, options, v->key, &value, err);
		if (ret < 0)
			return ret;
	}
	return props_check(type, options, err);
}
