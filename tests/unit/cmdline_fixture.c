/* SPDX-License-Identifier: Apache-2.0 */
/* cmdline_fixture.c - see cmdline_fixture.h. */
#include "cmdline_fixture.h"

#include <stdlib.h>
#include <string.h>

#include <portcullis/command_line.h>

void cmdline_parse(struct cmdline *cmdline, const char *line)
{
	char *copy = strdup(line), *save, *argv[128] = { copy };
	int argc = 1;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (!strcmp(word, "''"))
			*word = '\0';
		for (char *c = word; *c; c++)
			if (*c == '~')
				*c = ' ';
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	memset(cmdline, 0, sizeof(*cmdline));
	config_init(&cmdline->config);
	cmdline->ret =
		command_line_parse(&cmdline->config, argc, argv, &cmdline->text, &cmdline->err);
	free(copy);
}

void cmdline_release(struct cmdline *cmdline)
{
	free(cmdline->text);
	config_release(&cmdline->config);
}
