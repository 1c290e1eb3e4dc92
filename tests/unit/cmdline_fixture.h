/* SPDX-License-Identifier: Apache-2.0 */
/* cmdline_fixture.h - a command line as one string, parsed. */
#ifndef CMDLINE_FIXTURE_H
#define CMDLINE_FIXTURE_H

#include <portcullis/config.h>
#include <portcullis/err.h>

struct cmdline {
	struct config config;
	struct err err;
	char *text;
	int ret;
};

/* Words are separated by single blanks; '' is an empty word and ~ stands for a blank in a word. */
void cmdline_parse(struct cmdline *cmdline, const char *line);
void cmdline_release(struct cmdline *cmdline);

#endif
