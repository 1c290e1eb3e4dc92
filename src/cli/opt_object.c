/* SPDX-License-Identifier: Apache-2.0 */
/* opt_object.c - -object: what devices refer to by id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/memory_backend.h>

#include "cli.h"

/* The newest object against those before it. Among iommufds, the machine looks. */
static int check_id(struct parse *p)
{
	const struct config *c = p->config;
	const struct config_device *newest = &c->objects[c->n_objects - 1], *other = c->objects;
	const char *id = config_object_id(newest);

	for (; other < newest; other++)
		if ((memory_backend_type(newest->type) || memory_backend_type(other->type)) &&
			!strcmp(config_object_id(other), id))
			return option_error(p, "id '%s' is used twice", id);
	return 0;
}

int opt_object(struct parse *p, const char *value)
{
	struct config *c = p->config;
	struct config_device *grown, *object;
	const char *rest;
	int ret = type_help(p, &object_list, value);

	if (ret < 0 || p->text)
		return ret;
	grown = array_grow(p, c->objects, &c->n_objects, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->objects = grown;
	object = &grown[c->n_objects - 1];
	ret = split_type(p, &object_list, value, &object->type, &rest);
	if (ret < 0)
		return ret;
	if (props_new(object->type, &object->options) < 0)
		return out_of_memory(p);
	ret = props_parse(object->type, object->options, rest, p->err);
	if (!ret)
		ret = props_check(object->type, object->options, p->err);
	if (!ret && memory_backend_type(object->type))
		ret = memory_backend_check(object->type, object->options, p->err);
	return ret ? ret : check_id(p);
}
