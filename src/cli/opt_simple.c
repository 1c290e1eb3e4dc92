/* SPDX-License-Identifier: Apache-2.0 */
/* opt_simple.c - options that are one string, one switch, or nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <portcullis/version.h>

#include "cli.h"

int opt_string(struct parse *p, const char *value)
{
	return copy_string(p, (char **)((char *)p->config + p->option->offset), value);
}

int opt_flag(struct parse *p, const char *value)
{
	(void)value;
	*(bool *)((char *)p->config + p->option->offset) = true;
	return 0;
}

int opt_nographic(struct parse *p, const char *value)
{
	(void)value;
	p->nographic = true;
	return 0;
}

int opt_ignore(struct parse *p, const char *value)
{
	const char *const *accepted = p->option->values;

	if (!accepted)
		return 0;
	for (; *accepted; accepted++)
		if (!strcmp(*accepted, value))
			return 0;
	option_error(p, "'%s' is not supported, only '%s' is", value, p->option->values[0]);
	err_hint(p->err, "%s", p->option->help);
	return -EINVAL;
}

int opt_version(struct parse *p, const char *value)
{
	(void)value;
	return copy_string(p, &p->text, "portcullis " PORTCULLIS_VERSION "\n");
}
