/* SPDX-License-Identifier: Apache-2.0 */
/* commands_object.c - object-add and object-del through the property tables. */
#include <errno.h>
#include <stdlib.h>

#include <portcullis/closer.h>
#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/prop.h>

#include "schema.h"

int qmp_cmd_object_add(struct qmp_request *r, struct err *err)
{
	const char *name = json_get(r->args, "qom-type")->text;
	const struct prop_type *type = object_type_find(name);
	void *options;
	int ret, fd = -1;

	if (!type)
		return err_set(
			err, EINVAL, "Parameter 'qom-type' does not accept value '%s'", name);
	options = calloc(1, type->size);
	if (!options)
		return err_set(err, ENOMEM, "out of memory");
	ret = props_init(type, options);
	if (ret < 0)
		err_set_errno(err, -ret, "%s: defaults", type->name);
	else
		ret = qmp_set_options(r, type, options, "qom-type", &fd, err);
	if (!ret)
		ret = machine_object_add(r->context->machine, type, options, err);
	if (ret < 0)
		closer_close(r->context->closer, fd);
	props_release(type, options);
	free(options);
	return ret;
}

int qmp_cmd_object_del(struct qmp_request *r, struct err *err)
{
	return machine_object_del(r->context->machine, json_get(r->args, "id")->text, err);
}
