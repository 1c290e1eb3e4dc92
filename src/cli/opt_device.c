/* SPDX-License-Identifier: Apache-2.0 */
/* opt_device.c - -device and -global: property tables from the command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/device_options.h>

#include "cli.h"

int opt_device(struct parse *p, const char *value)
{
	char **grown;
	int ret = type_help(p, &device_list, value);

	if (ret < 0 || p->text)
		return ret;
	grown = array_grow(p, p->devices, &p->n_devices, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->devices = grown;
	return copy_string(p, &grown[p->n_devices - 1], value);
}

static const char *device_id(const struct config_device *device)
{
	return ((const struct device_options *)device->options)->id;
}

static const struct host_bdf *device_host(const struct config_device *device)
{
	const struct prop *prop = prop_find(device->type, "host");
	const struct host_bdf *host;

	if (!prop || prop->kind != PROP_BDF)
		return NULL;
	host = (const void *)((const char *)device->options + prop->offset);
	return host->set ? host : NULL;
}

static bool same_host(const struct host_bdf *a, const struct host_bdf *b)
{
	return a && b && a->domain == b->domain && a->bus == b->bus && a->slot == b->slot &&
	       a->function == b->function;
}

/* The newest device against those before it. */
static int check_unique(struct parse *p)
{
	const struct config *c = p->config;
	const struct config_device *newest = &c->devices[c->n_devices - 1];
	const char *id = device_id(newest);
	char bdf[HOST_BDF_STRLEN];

	if (id && !strcmp(id, "pcie.0"))
		return option_error(p, "id 'pcie.0' is the name of the root bus");
	for (const struct config_device *other = c->devices; other < newest; other++) {
		const char *taken = device_id(other);

		if (id && taken && !strcmp(id, taken))
			return option_error(p, "id '%s' is used twice", id);
		if (same_host(device_host(newest), device_host(other)))
			return option_error(p, "host device %s is given twice",
				host_bdf_format(device_host(newest), bdf));
	}
	return 0;
}

static int build_device(struct parse *p, const char *value)
{
	struct config *c = p->config;
	struct config_device *grown = array_grow(p, c->devices, &c->n_devices, sizeof(*grown));
	struct config_device *device;
	const char *rest;
	int ret;

	if (!grown)
		return -ENOMEM;
	c->devices = grown;
	device = &grown[c->n_devices - 1];
	ret = split_type(p, &device_list, value, &device->type, &rest);
	if (!ret)
		ret = device_options_new(c, device->type, &device->options, p->err);
	if (!ret)
		ret = props_parse(device->type, device->options, rest, p->err);
	if (!ret)
		ret = props_check(device->type, device->options, p->err);
	if (!ret)
		return check_unique(p);
	return ret;
}

int finish_devices(struct parse *p)
{
	int ret = 0;

	p->option = option_find("device");
	for (unsigned i = 0; !ret && i < p->n_devices; i++)
		ret = build_device(p, p->devices[i]);
	return ret;
}

static int global_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	static const char *const keys[] = { "driver", "property", "value", NULL };
	struct config_global *global = opaque;

	if (!strcmp(key, "driver"))
		return copy_string(p, &global->driver, value);
	if (!strcmp(key, "property"))
		return copy_string(p, &global->property, value);
	if (!strcmp(key, "value"))
		return copy_string(p, &global->value, value);
	return unknown_key(p, key, keys);
}

/* TYPE.PROPERTY=VALUE; a type's name has no dot. VALUE may be empty, as in romfile= (none). */
static int split_global(struct parse *p, const char *text, struct config_global *global)
{
	const char *dot = strchr(text, '.'), *equals = strchr(text, '=');

	if (!dot || !equals || dot > equals || dot == text || equals == dot + 1)
		return option_error(p, "'%s' is not TYPE.PROPERTY=VALUE", text);
	global->driver = strndup(text, (size_t)(dot - text));
	global->property = strndup(dot + 1, (size_t)(equals - dot - 1));
	global->value = strdup(equals + 1);
	return global->driver && global->property && global->value ? 0 : out_of_memory(p);
}

/* What one device has and no other: all of them would be given the same file, or fd. */
static bool names_one_device(const char *property)
{
	static const char *const names[] = { "id", "host", "sysfsdev", "fd" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(property, names[i]))
			return true;
	return false;
}

/* Tried on a scratch object, so that a mistake is found even if no such device follows. */
static int check_global(struct parse *p, const struct config_global *global)
{
	const struct prop_type *type = device_type_find(global->driver);
	struct prop_value value = { .kind = PROP_VALUE_STRING, .string = global->value };
	void *scratch;
	int ret;

	if (!type)
		return unknown_type(p, &device_list, global->driver);
	if (names_one_device(global->property))
		return option_error(p, "'%s' names one device and cannot be a default for all",
			global->property);
	if (props_new(type, &scratch) < 0)
		return out_of_memory(p);
	ret = prop_set(type, scratch, global->property, &value, p->err);
	props_free(type, scratch, NULL);
	if (ret < 0)
		err_prefix(p->err, "option '-global'");
	return ret;
}

int opt_global(struct parse *p, const char *value)
{
	struct config *c = p->config;
	struct config_global *grown = array_grow(p, c->globals, &c->n_globals, sizeof(*grown));
	struct config_global *global;
	int ret;

	if (!grown)
		return -ENOMEM;
	c->globals = grown;
	global = &grown[c->n_globals - 1];
	if (!strncmp(value, "driver=", 7))
		ret = option_pairs(p, value, NULL, global_pair, global);
	else
		ret = split_global(p, value, global);
	if (ret < 0)
		return ret;
	if (!global->driver || !global->property || !global->value)
		return option_error(p, "it is driver=DRIVER,property=PROPERTY,value=VALUE");
	return check_global(p, global);
}
