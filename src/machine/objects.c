/* SPDX-License-Identifier: Apache-2.0 */
/* objects.c - -object, object-add and object-del: what is done with an object of each type. */
#include <errno.h>

#include <portcullis/memory_backend.h>
#include <portcullis/vfio_options.h>

#include "state.h"

/* Those of memory are as long there as the machine. */
static int memory_object_refuse(
	const struct prop_type *type, const struct memory_backend_options *options, struct err *err)
{
	err_set(err, EINVAL, "%s '%s' cannot be added while the machine runs", type->name,
		options->id);
	err_hint(err, "guest memory is not hot-plugged: give it at the start, with -object");
	return -EINVAL;
}

int machine_object_add(
	struct machine *m, const struct prop_type *type, void *options, struct err *err)
{
	int ret;

	if (type == &vfio_iommufd_type)
		return passthrough_iommufd_add(m, options, err);
	if (memory_backend_type(type))
		ret = memory_object_refuse(type, options, err);
	else
		ret = err_set(err, EINVAL, "objects of type '%s' cannot be made", type->name);
	props_free(type, options, &m->closer);
	return ret;
}

int machine_object_del(struct machine *m, const char *id, struct err *err)
{
	if (config_memory_backend(m->config, id, NULL))
		return err_set(err, EBUSY, "object '%s' is in use, can not be deleted", id);
	return passthrough_iommufd_del(m, id, err);
}
