/* SPDX-License-Identifier: Apache-2.0 */
/* objects.c - what devices refer to by id: iommufd. */
#include <errno.h>

#include "state.h"

int machine_object_add(
	struct machine *m, const struct prop_type *type, const void *options, struct err *err)
{
	if (type != &vfio_iommufd_type)
		return err_set(err, EINVAL, "objects of type '%s' cannot be made", type->name);
	return vfio_context_add_iommufd(m->vfio, options, err);
}

int machine_object_del(struct machine *m, const char *id, struct err *err)
{
	int fd, ret = vfio_context_del_iommufd(m->vfio, id, &fd, err);

	if (!ret)
		closer_close(&m->closer, fd);
	return ret;
}

int objects_init(struct machine *m, struct err *err)
{
	const struct config *config = m->config;
	int ret = 0;

	for (unsigned i = 0; !ret && i < config->n_objects; i++)
		ret = machine_object_add(
			m, config->objects[i].type, config->objects[i].options, err);
	return ret;
}
