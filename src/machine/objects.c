/* SPDX-License-Identifier: Apache-2.0 */
/* objects.c - what devices refer to by id: iommufd. */
#include <errno.h>

#include "state.h"

int machine_object_add(
	struct machine *m, const struct prop_type *type, void *options, struct err *err)
{
	if (type == &vfio_iommufd_type)
		return vfio_context_add_iommufd(m->vfio, options, err);
	props_free(type, options, &m->closer);
	return err_set(err, EINVAL, "objects of type '%s' cannot be made", type->name);
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
	struct config *config = m->config;
	int ret = 0;

	for (unsigned i = 0; !ret && i < config->n_objects; i++) {
		void *options = config->objects[i].options;

		config->objects[i].options = NULL;
		ret = machine_object_add(m, config->objects[i].type, options, err);
	}
	return ret;
}
