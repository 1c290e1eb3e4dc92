/* SPDX-License-Identifier: Apache-2.0 */
/* device_types.c - the kinds of device and object a user can ask for, and how options begin. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/config.h>
#include <portcullis/devices.h>
#include <portcullis/err.h>
#include <portcullis/memory_backend.h>
#include <portcullis/pvpanic.h>
#include <portcullis/root_port.h>
#include <portcullis/vfio_options.h>

const struct prop_type *const device_types[] = {
	&vfio_pci_type,
	&root_port_type,
	&debug_exit_type,
	&pvpanic_type,
	NULL,
};

const struct prop_type *const object_types[] = { &vfio_iommufd_type, &memory_backend_ram_type,
	&memory_backend_memfd_type, &memory_backend_file_type, NULL };

static const struct prop_type *find(const struct prop_type *const *types, const char *name)
{
	for (; *types; types++)
		if (!strcmp((*types)->name, name))
			return *types;
	return NULL;
}

const struct prop_type *device_type_find(const char *name)
{
	return find(device_types, name);
}

const struct prop_type *object_type_find(const char *name)
{
	return find(object_types, name);
}

int device_options_new(
	const struct config *config, const struct prop_type *type, void **out, struct err *err)
{
	void *options;
	int ret = props_new(type, &options);

	if (ret < 0)
		return err_set_errno(err, -ret, "%s: defaults", type->name);
	for (unsigned i = 0; i < config->n_globals; i++) {
		const struct config_global *global = &config->globals[i];
		struct prop_value value = { .kind = PROP_VALUE_STRING, .string = global->value };

		if (strcmp(global->driver, type->name) != 0)
			continue;
		ret = prop_set(type, options, global->property, &value, err);
		if (ret < 0) {
			props_free(type, options, NULL);
			return ret;
		}
	}
	*out = options;
	return 0;
}
