/* SPDX-License-Identifier: Apache-2.0 */
/* device_classes.c - the classes there are. */
#include <stddef.h>

#include "device_class.h"

static const struct device_class *const classes[] = { &passthrough_class, &pvpanic_class };

const struct device_class *device_class_find(const struct prop_type *type)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (classes[i]->type == type)
			return classes[i];
	return NULL;
}
