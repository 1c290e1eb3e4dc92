/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli_doc.c - prints docs/cli.md from the tables that the command line is parsed with. (The man
 * page is "portcullis -help-man".)
 */
#include <stdio.h>
#include <stdlib.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/command_line.h>

int main(void)
{
	char name[] = "portcullis", markdown[] = "-help-markdown";
	char *words[] = { name, markdown, NULL };
	struct config config;
	struct err err;
	char *text = NULL;
	int ret;

	config_init(&config);
	ret = command_line_parse(&config, 2, words, &text, &err);
	if (!ret && text && fputs(text, stdout) < 0)
		ret = 1;
	free(text);
	config_release(&config);
	return ret ? 1 : 0;
}
