/* SPDX-License-Identifier: Apache-2.0 */
/* prop_text.c - "key=value,key,nokey" into prop_set(), and the help text of a property table. */
#include <portcullis/prop.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>

char *prop_next_pair(char **cursor, char **value)
{
	char *key = *cursor, *in = key, *out = key;

	if (!key)
		return NULL;
	*value = NULL;
	*cursor = NULL;
	for (; *in; in++) {
		if (*in == ',') {
			if (in[1] != ',') {
				*cursor = in + 1;
				break;
			}
			in++; /* ",," is a comma of the text */
		} else if (*in == '=' && !*value) {
			*out++ = '\0';
			*value = out;
			continue;
		}
		*out++ = *in;
	}
	*out = '\0';
	return key;
}

static bool is_switch(const struct prop *p)
{
	return p->kind == PROP_BOOL || p->kind == PROP_ON_OFF_AUTO;
}

/* "multifunction" is multifunction=on and "nomultifunction" is multifunction=off. */
static int set_bare(const struct prop_type *type, void *obj, const char **key, struct err *err)
{
	struct prop_value value = { .kind = PROP_VALUE_BOOL, .boolean = true };
	const struct prop *prop = prop_find(type, *key);

	if (!prop && !strncmp(*key, "no", 2)) {
		const struct prop *positive = prop_find(type, *key + 2);

		if (positive && is_switch(positive)) {
			*key += 2;
			value.boolean = false;
		}
	} else if (prop && !is_switch(prop)) {
		return err_set(err, EINVAL, "%s: property '%s' needs a value, as in %s=VALUE",
			type->name, *key, *key);
	}
	return prop_set(type, obj, *key, &value, err);
}

static int set_pair(const struct prop_type *type, void *obj, const char *key, const char *text,
	uint64_t *seen, struct err *err)
{
	struct prop_value value = { .kind = PROP_VALUE_STRING, .string = text };
	uint64_t bit;
	int ret;

	ret = text ? prop_set(type, obj, key, &value, err) : set_bare(type, obj, &key, err);
	if (ret < 0)
		return ret;
	bit = 1ull << ((prop_find(type, key) - type->props) & 63);
	if (*seen & bit)
		return err_set(err, EINVAL, "%s: property '%s' is given twice", type->name, key);
	*seen |= bit;
	return 0;
}

int props_parse(const struct prop_type *type, void *obj, const char *text, struct err *err)
{
	char *copy, *cursor, *key, *value;
	uint64_t seen = 0;
	int ret = 0;

	if (!*text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return err_set_errno(err, ENOMEM, "%s", type->name);
	cursor = copy;
	while (ret == 0 && (key = prop_next_pair(&cursor, &value))) {
		if (!*key)
			ret = err_set(err, EINVAL, "%s: a property name is missing in '%s'",
				type->name, text);
		else
			ret = set_pair(type, obj, key, value, &seen, err);
	}
	free(copy);
	return ret;
}

struct text {
	char *buf;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	if (t->used + 1 >= t->size)
		return;
	va_start(args, fmt);
	n = vsnprintf(t->buf + t->used, t->size - t->used, fmt, args);
	va_end(args);
	if (n > 0)
		t->used += (size_t)n;
	if (t->used >= t->size)
		t->used = t->size - 1;
}

static void put_values(struct text *t, const struct prop *p)
{
	static const char *const metavar[] = {
		[PROP_STRING] = "STRING",
		[PROP_BOOL] = "on|off",
		[PROP_ON_OFF_AUTO] = "on|off|auto",
		[PROP_UINT] = "NUMBER",
		[PROP_SIZE] = "SIZE",
		[PROP_BDF] = "[DDDD:]BB:DD.F",
		[PROP_DEVFN] = "SLOT[.FN]",
		[PROP_PCI_IDS] = "VEND:DEV[:SUBV:SUBD]",
		[PROP_UUID] = "UUID",
		[PROP_FD] = "STRING",
	};

	if (p->kind != PROP_CHOICE) {
		put(t, "%s", metavar[p->kind]);
		return;
	}
	for (unsigned i = 0; p->choices[i]; i++)
		put(t, "%s%s", i ? "|" : "", p->choices[i]);
}

/* The largest number is how a table says "not given" where 0 means something. */
static bool means_unset(const struct prop *p)
{
	uint64_t value;

	return (p->kind == PROP_UINT || p->kind == PROP_SIZE) && parse_u64(p->def, &value) == 0 &&
	       value == UINT64_MAX;
}

size_t props_help(const struct prop_type *type, char *buf, size_t size)
{
	struct text t = { .buf = buf, .size = size };

	if (!size)
		return 0;
	buf[0] = '\0';
	for (const struct prop *p = type->props; p->name; p++) {
		size_t start = t.used;

		put(&t, "  %s=", p->name);
		put_values(&t, p);
		put(&t, "%*s%s", t.used - start < 36 ? (int)(36 - (t.used - start)) : 1, "",
			p->help);
		if (p->required)
			put(&t, " (required)");
		else if (p->def && p->def[0] && !means_unset(p))
			put(&t, " (default: %s)", p->def);
		put(&t, "\n");
	}
	return t.used;
}
