/* SPDX-License-Identifier: Apache-2.0 */
/* prop.c - values into option objects, as a property table says. */
#include <portcullis/prop.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/closer.h>
#include <portcullis/debug.h>
#include <portcullis/err.h>

/* What "given twice" can be told of; no table is longer. */
#define PROPS_MAX 64
#define SHOWN_MAX 300	 /* bytes of a value that messages repeat */
#define LONG_ID_SHOWN 64 /* the same of an id longer than PROP_ID_MAX */
#define SHOWN_SIZE (SHOWN_MAX + sizeof("..."))

/* One assignment under way: where it goes and how to complain. */
struct assign {
	const struct prop_type *type;
	const struct prop *prop;
	const struct prop_value *value;
	void *field;
	struct err *err;
};

const char *prop_id_show(const char *id, char out[static PROP_ID_SIZE])
{
	if (strnlen(id, PROP_ID_SIZE) <= PROP_ID_MAX)
		return id;
	snprintf(out, PROP_ID_SIZE, "%.*s...", LONG_ID_SHOWN, id);
	return out;
}

/* The value as messages repeat it: what is wrong with a long one must still be told. */
static const char *show(const struct prop_value *value, char out[static SHOWN_SIZE])
{
	if (value->kind == PROP_VALUE_BOOL)
		return value->boolean ? "true" : "false";
	if (value->kind == PROP_VALUE_INT)
		snprintf(out, SHOWN_SIZE, "%" PRId64, value->number);
	else
		snprintf(out, SHOWN_SIZE, "%.*s%s", SHOWN_MAX, value->string,
			strnlen(value->string, SHOWN_MAX + 1) > SHOWN_MAX ? "..." : "");
	return out;
}

static int wrong(const struct assign *a, int code, const char *expected)
{
	char shown[SHOWN_SIZE];

	return err_set(a->err, code, "%s: property '%s' cannot be '%s': %s", a->type->name,
		a->prop->name, show(a->value, shown), expected);
}

#define TEXT(x) #x
#define NUMBER_TEXT(x) TEXT(x)

static bool id_wellformed(const char *id)
{
	if (!isalpha((unsigned char)*id))
		return false;
	while (*++id)
		if (!isalnum((unsigned char)*id) && !strchr("-._", *id))
			return false;
	return true;
}

const char *prop_id_fault(const char *id)
{
	if (!id_wellformed(id))
		return "an id starts with a letter and goes on with letters, digits, '-', '.' and '_'";
	if (strlen(id) > PROP_ID_MAX)
		return "an id has at most " NUMBER_TEXT(PROP_ID_MAX) " characters";
	return NULL;
}

void prop_id_copy(char out[static PROP_ID_SIZE], const char *id)
{
	size_t len = strlen(id);

	debug_check(len <= PROP_ID_MAX, "an id has at most PROP_ID_MAX characters");
	if (len > PROP_ID_MAX)
		len = PROP_ID_MAX;
	memcpy(out, id, len);
	out[len] = '\0';
}

static int set_string(const struct assign *a)
{
	char **field = a->field, *copy;
	char shown[PROP_ID_SIZE];
	const char *fault;

	if (a->value->kind != PROP_VALUE_STRING)
		return wrong(a, EINVAL, "it takes a string");
	if (!a->value->string[0] && !a->prop->may_be_empty)
		return wrong(a, EINVAL, "it must not be empty");
	fault = strcmp(a->prop->name, "id") ? NULL : prop_id_fault(a->value->string);
	if (fault)
		return err_set(a->err, EINVAL, "%s: property 'id' cannot be '%s': %s",
			a->type->name, prop_id_show(a->value->string, shown), fault);
	copy = strdup(a->value->string);
	if (!copy)
		return err_set_errno(
			a->err, ENOMEM, "%s: property '%s'", a->type->name, a->prop->name);
	free(*field);
	*field = copy;
	return 0;
}

int parse_bool(const char *text, bool *out)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "on", true }, { "off", false }, { "true", true }, { "false", false },
		{ "yes", true }, { "no", false }, { "1", true }, { "0", false } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(text, words[i].word)) {
			*out = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_bool(const struct assign *a)
{
	bool *field = a->field;

	if (a->value->kind == PROP_VALUE_BOOL) {
		*field = a->value->boolean;
		return 0;
	}
	if (a->value->kind == PROP_VALUE_INT && (a->value->number | 1) == 1) {
		*field = a->value->number;
		return 0;
	}
	if (a->value->kind == PROP_VALUE_STRING && parse_bool(a->value->string, field) == 0)
		return 0;
	return wrong(a, EINVAL, "it is 'on' or 'off'");
}

static int set_on_off_auto(const struct assign *a)
{
	bool on = false;
	struct assign as_bool = *a;

	if (a->value->kind == PROP_VALUE_STRING && !strcmp(a->value->string, "auto")) {
		*(int32_t *)a->field = ON_OFF_AUTO;
		return 0;
	}
	as_bool.field = &on;
	as_bool.err = NULL;
	if (set_bool(&as_bool))
		return wrong(a, EINVAL, "it is 'on', 'off' or 'auto'");
	*(int32_t *)a->field = on ? ON_OFF_ON : ON_OFF_OFF;
	return 0;
}

/* "Not given", where every number means something: the table's default, whatever the range. */
static bool is_unset(const struct prop *p, uint64_t value)
{
	uint64_t def;

	return value == UINT64_MAX && p->def && !parse_u64(p->def, &def) && def == value;
}

static int set_number(const struct assign *a)
{
	const struct prop *p = a->prop;
	bool size = p->kind == PROP_SIZE;
	char expected[160];
	uint64_t value;
	int ret = 0;

	if (a->value->kind == PROP_VALUE_STRING)
		ret = size ? parse_size(a->value->string, 1, &value)
			   : parse_u64(a->value->string, &value);
	else if (a->value->kind == PROP_VALUE_INT && a->value->number >= 0)
		value = (uint64_t)a->value->number;
	else
		ret = -EINVAL;
	if (ret == -EINVAL)
		return wrong(a, EINVAL,
			size ? "it takes a number of bytes, or one with suffix K, M, G or T"
			     : "it takes a number, decimal or 0x hexadecimal");
	if (ret < 0 || value < p->min || (p->max && value > p->max && !is_unset(p, value))) {
		snprintf(expected, sizeof(expected),
			"it must be between %" PRIu64 " and %" PRIu64 "%s", p->min,
			p->max ? p->max : UINT64_MAX, size ? " bytes" : "");
		return wrong(a, ERANGE, expected);
	}
	*(uint64_t *)a->field = value;
	return 0;
}

static int set_bdf(const struct assign *a)
{
	if (a->value->kind == PROP_VALUE_STRING && parse_bdf(a->value->string, a->field) == 0)
		return 0;
	return wrong(a, EINVAL,
		"it takes the address of a host PCI device, [DOMAIN:]BUS:SLOT.FUNCTION in hexadecimal, such as 0000:1a:00.3");
}

static int set_devfn(const struct assign *a)
{
	/* A JSON number is slot and function in one, as for QEMU. */
	if (a->value->kind == PROP_VALUE_INT && a->value->number >= 0 && a->value->number <= 0xff) {
		*(int32_t *)a->field = (int32_t)a->value->number;
		return 0;
	}
	if (a->value->kind == PROP_VALUE_STRING && parse_devfn(a->value->string, a->field) == 0)
		return 0;
	return wrong(a, EINVAL,
		"it takes SLOT[.FUNCTION] in hexadecimal, slot up to 1f and function up to 7, such as 0x3.0x0");
}

static int set_pci_ids(const struct assign *a)
{
	if (a->value->kind == PROP_VALUE_STRING && parse_pci_ids(a->value->string, a->field) == 0)
		return 0;
	return wrong(a, EINVAL,
		"it takes VENDOR:DEVICE or VENDOR:DEVICE:SUBVENDOR:SUBDEVICE in hexadecimal, such as 8086:10d3, as lspci -n shows them");
}

static int set_uuid(const struct assign *a)
{
	if (a->value->kind == PROP_VALUE_STRING && parse_uuid(a->value->string, a->field) == 0)
		return 0;
	return wrong(a, EINVAL,
		"it takes a UUID such as 12345678-1234-1234-1234-123456789abc, as uuidgen makes them");
}

static int set_choice(const struct assign *a)
{
	char expected[256] = "it is one of";
	size_t used;

	for (int32_t i = 0; a->prop->choices[i]; i++) {
		if (a->value->kind == PROP_VALUE_STRING &&
			!strcmp(a->value->string, a->prop->choices[i])) {
			*(int32_t *)a->field = i;
			return 0;
		}
		used = strlen(expected);
		snprintf(expected + used, sizeof(expected) - used, "%s '%s'", i ? "," : "",
			a->prop->choices[i]);
	}
	return wrong(a, EINVAL, expected);
}

/* Whether it is open, and whose, the way in has found out: the number is an open file of ours. */
static int set_fd(const struct assign *a)
{
	int *field = a->field;
	char shown[SHOWN_SIZE];
	uint64_t fd = UINT64_MAX;

	if (a->value->kind == PROP_VALUE_STRING && !a->value->string[0])
		return wrong(a, EINVAL, "it must not be empty");
	if (a->value->kind == PROP_VALUE_STRING && parse_u64(a->value->string, &fd) < 0)
		fd = UINT64_MAX;
	if (a->value->kind == PROP_VALUE_INT)
		fd = (uint64_t)a->value->number;
	if (fd > INT32_MAX)
		return err_set(a->err, EINVAL, "%s: fd '%s' is not the number of a file descriptor",
			a->type->name, show(a->value, shown));
	/* Or the first would be nobody's. */
	if (*field >= 0)
		return err_set(a->err, EINVAL, "%s: property '%s' is given twice", a->type->name,
			a->prop->name);
	*field = (int)fd;
	return 0;
}

static int (*const setters[])(const struct assign *a) = {
	[PROP_STRING] = set_string,
	[PROP_BOOL] = set_bool,
	[PROP_ON_OFF_AUTO] = set_on_off_auto,
	[PROP_UINT] = set_number,
	[PROP_SIZE] = set_number,
	[PROP_BDF] = set_bdf,
	[PROP_DEVFN] = set_devfn,
	[PROP_CHOICE] = set_choice,
	[PROP_PCI_IDS] = set_pci_ids,
	[PROP_UUID] = set_uuid,
	[PROP_FD] = set_fd,
};

const struct prop *prop_find(const struct prop_type *type, const char *name)
{
	for (const struct prop *p = type->props; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

static int unknown(const struct prop_type *type, const char *name, struct err *err)
{
	const char *names[PROPS_MAX + 1] = { NULL }, *near;
	unsigned n = 0;

	for (const struct prop *p = type->props; p->name && n < PROPS_MAX; p++)
		names[n++] = p->name;
	near = nearest_word(name, names);
	err_set(err, EINVAL, "%s has no property '%s'", type->name, name);
	if (name[0] >= '0' && name[0] <= '9') /* host-nodes=0,1: no property's name begins so */
		err_hint(err, "a comma in a value is written twice: ',,%s'", name);
	else if (near)
		err_hint(err, "did you mean '%s'?", near);
	else
		err_hint(err, "'%s %s,help' lists its properties",
			type->option ? type->option : "-device", type->name);
	return -EINVAL;
}

int prop_set(const struct prop_type *type, void *obj, const char *name,
	const struct prop_value *value, struct err *err)
{
	const struct prop *prop = prop_find(type, name);
	struct assign a = { .type = type, .prop = prop, .value = value, .err = err };

	if (!prop)
		return unknown(type, name, err);
	a.field = (char *)obj + prop->offset;
	return setters[prop->kind](&a);
}

/* Every property as if it were not given. */
static void clear(const struct prop_type *type, void *obj)
{
	memset(obj, 0, type->size);
	for (const struct prop *p = type->props; p->name; p++) {
		void *field = (char *)obj + p->offset;

		if (p->kind == PROP_DEVFN)
			*(int32_t *)field = -1;
		if (p->kind == PROP_FD)
			*(int *)field = -1;
	}
}

int props_init(const struct prop_type *type, void *obj)
{
	int ret;

	clear(type, obj);
	for (const struct prop *p = type->props; p->name; p++) {
		struct prop_value value = { .kind = PROP_VALUE_STRING, .string = p->def };

		if (!p->def)
			continue;
		ret = prop_set(type, obj, p->name, &value, NULL);
		if (ret < 0) {
			props_release(type, obj, NULL);
			return ret;
		}
	}
	return 0;
}

void props_release(const struct prop_type *type, void *obj, struct closer *closer)
{
	if (!obj)
		return;
	for (const struct prop *p = type->props; p->name; p++) {
		void *field = (char *)obj + p->offset;

		if (p->kind == PROP_STRING)
			free(*(char **)field);
		if (p->kind == PROP_FD)
			closer_close(closer, *(int *)field);
	}
	clear(type, obj);
}

int props_new(const struct prop_type *type, void **out)
{
	void *obj = malloc(type->size);
	int ret = obj ? props_init(type, obj) : -ENOMEM;

	if (ret < 0) {
		free(obj);
		return ret;
	}
	*out = obj;
	return 0;
}

void props_free(const struct prop_type *type, void *obj, struct closer *closer)
{
	props_release(type, obj, closer);
	free(obj);
}

int *props_fd(const struct prop_type *type, void *obj)
{
	for (const struct prop *p = type->props; p->name; p++)
		if (p->kind == PROP_FD)
			return (int *)((char *)obj + p->offset);
	return NULL;
}

int props_check(const struct prop_type *type, const void *obj, struct err *err)
{
	for (const struct prop *p = type->props; p->name; p++) {
		const char *field = (const char *)obj + p->offset;
		bool set = true;

		if (!p->required)
			continue;
		if (p->kind == PROP_STRING)
			set = *(char *const *)field != NULL;
		else if (p->kind == PROP_BDF)
			set = ((const struct host_bdf *)field)->set;
		else if (p->kind == PROP_PCI_IDS)
			set = ((const struct pci_ids *)field)->set;
		else if (p->kind == PROP_UUID)
			set = ((const struct uuid *)field)->set;
		else if (p->kind == PROP_DEVFN)
			set = *(const int32_t *)field >= 0;
		if (!set)
			return err_set(
				err, EINVAL, "%s needs '%s' (%s)", type->name, p->name, p->help);
	}
	return 0;
}
