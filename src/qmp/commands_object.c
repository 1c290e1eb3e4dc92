/* SPDX-License-Identifier: Apache-2.0 */
/* commands_object.c - object-add and object-del through the property tables. */
#include <errno.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/prop.h>

#include "schema.h"

int qmp_cmd_object_add(struct qmp_request *r, struct err *err)
{
	const char *name = json_get(r->args, "qom-type")->text;
	const struct prop_type *type = object_type_find(name);
	void *options;
	int ret;

	if (!type)
		return err_set(
			err, EINVAL, "Parameter 'qom-type' does not accept value '%s'", name);
	ret = props_new(type, &options);
	if (ret < 0)
		return err_set_errno(err, -ret, "%s: defaults", type->name);
	ret = qmp_set_options(r, type, options, "qom-type", err);
	if (!ret)
		return machine_object_add(r->context->machine, type, options, err);
	props_free(type, options, r->context->closer);
	return ret;
}

int qmp_cmd_object_del(struct qmp_request *r, struct err *err)
{
	return machine_object_del(r->context->machine, json_get(r->args, "id")->text, err);
}
