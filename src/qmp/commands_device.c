/* SPDX-License-Identifier: Apache-2.0 */
/* commands_device.c - device_add and device_del through the property tables, and those tables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/prop.h>

#include "schema.h"

/* What QEMU's clients call a device: its id, or its place in the object tree. */
static const char peripheral[] = "/machine/peripheral/";

static int unknown_type(const char *name, struct err *err)
{
	const char *names[33] = { NULL }, *near;

	for (unsigned i = 0; device_types[i] && i < 32; i++)
		names[i] = device_types[i]->name;
	near = nearest_word(name, names);
	err_set(err, EINVAL, "'%s' is not a valid device model name", name);
	if (near)
		err_hint(err, "did you mean '%s'?", near);
	return -EINVAL;
}

int qmp_cmd_device_add(struct qmp_request *r, struct err *err)
{
	const char *driver = json_get(r->args, "driver")->text;
	const struct prop_type *type = device_type_find(driver);
	struct machine_op *op;
	void *options;
	int ret;

	if (!type)
		return unknown_type(driver, err);
	ret = device_options_new(machine_config(r->context->machine), type, &options, err);
	if (ret < 0)
		return ret;
	ret = qmp_set_options(r, type, options, "driver", err);
	if (ret < 0)
		goto fail;
	op = qmp_hold(r);
	if (!op) {
		ret = err_set(err, ENOMEM, "out of memory");
		goto fail;
	}
	machine_device_add(r->context->machine, type, options, op);
	return QMP_LATER;
fail:
	props_free(type, options, r->context->closer);
	return ret;
}

int qmp_cmd_device_del(struct qmp_request *r, struct err *err)
{
	const struct json *force = json_get(r->args, "force");
	const char *id = json_get(r->args, "id")->text;
	struct machine_op *op = qmp_hold(r);

	if (!op)
		return err_set(err, ENOMEM, "out of memory");
	if (!strncmp(id, peripheral, sizeof(peripheral) - 1))
		id += sizeof(peripheral) - 1;
	machine_device_del(r->context->machine, id, force && force->boolean, op);
	return QMP_LATER;
}

static void put_default(struct json_writer *w, const struct prop *p)
{
	uint64_t number;
	bool boolean;

	if (!p->def)
		return;
	if (p->kind == PROP_BOOL && !parse_bool(p->def, &boolean))
		json_put_bool(w, "default-value", boolean);
	else if ((p->kind == PROP_SIZE && !parse_size(p->def, 1, &number)) ||
		 (p->kind == PROP_UINT && !parse_u64(p->def, &number)))
		json_put_uint(w, "default-value", number);
	else
		json_put_string(w, "default-value", p->def);
}

int qmp_cmd_device_list_properties(struct qmp_request *r, struct err *err)
{
	/* QEMU's names for the kinds. */
	static const char *const kinds[] = {
		[PROP_STRING] = "str",
		[PROP_BOOL] = "bool",
		[PROP_ON_OFF_AUTO] = "OnOffAuto",
		[PROP_UINT] = "uint64",
		[PROP_SIZE] = "size",
		[PROP_BDF] = "str",
		[PROP_DEVFN] = "int32",
		[PROP_CHOICE] = "str",
		[PROP_PCI_IDS] = "str",
		[PROP_UUID] = "str",
		[PROP_FD] = "str",
	};
	const char *name = json_get(r->args, "typename")->text;
	const struct prop_type *type = device_type_find(name);

	if (!type)
		return err_set(err, ENODEV, "Device '%s' not found", name);
	json_begin_array(r->out, QMP_RETURN);
	for (const struct prop *p = type->props; p->name; p++) {
		json_begin_object(r->out, NULL);
		json_put_string(r->out, "name", p->name);
		json_put_string(r->out, "type", kinds[p->kind]);
		if (p->help)
			json_put_string(r->out, "description", p->help);
		put_default(r->out, p);
		json_end_object(r->out);
	}
	json_end_array(r->out);
	return 0;
}
