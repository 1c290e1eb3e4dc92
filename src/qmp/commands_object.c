/* SPDX-License-Identifier: Apache-2.0 */
/* commands_object.c - object-add and object-del through the property tables. */
#include <errno.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/machine_query.h>
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

static void put_memdev(const struct machine_memdev *memdev, void *opaque)
{
	struct json_writer *w = opaque;

	json_begin_object(w, NULL);
	json_put_string(w, "id", memdev->id);
	json_put_int(w, "size", (int64_t)memdev->size);
	json_put_bool(w, "merge", false);
	json_put_bool(w, "dump", false);
	json_put_bool(w, "prealloc", memdev->prealloc);
	json_put_bool(w, "share", memdev->share);
	json_put_bool(w, "reserve", memdev->reserve);
	json_begin_array(w, "host-nodes");
	for (unsigned i = 0; i < memdev->max_nodes; i++)
		if (memdev->host_nodes[i / 64] >> i % 64 & 1)
			json_put_int(w, NULL, i);
	json_end_array(w);
	json_put_string(w, "policy", memdev->policy);
	json_end_object(w);
}

int qmp_cmd_query_memdev(struct qmp_request *r, struct err *err)
{
	(void)err;
	json_begin_array(r->out, QMP_RETURN);
	machine_query_memdevs(r->context->machine, put_memdev, r->out);
	json_end_array(r->out);
	return 0;
}

int qmp_cmd_object_del(struct qmp_request *r, struct err *err)
{
	return machine_object_del(r->context->machine, json_get(r->args, "id")->text, err);
}
