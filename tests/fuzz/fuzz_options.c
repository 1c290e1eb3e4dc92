/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_options.c - any command line is a config or a message that names what is wrong.
 *
 * Input: NUL-separated words. A word that begins with a byte below the number of options is that
 * option, so that the fuzzer need not spell them.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/command_line.h>
#include <portcullis/machine.h>

#include "../../src/cli/cli.h"

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

/* What command_line.h promises about a line that was accepted. */
static void check_config(const struct config *c)
{
	must(c->kernel && c->kernel[0]);
	must(c->cpus >= 1 && c->cpus <= MACHINE_CPUS_MAX);
	must(c->sockets * c->cores * c->threads == c->cpus);
	must(c->ram_size >= 128ull << 20 && c->ram_size % 4096 == 0);
	must(!(c->daemonize && c->serial.kind == SERIAL_STDIO));
	must((c->serial.kind == SERIAL_FILE || c->serial.kind == SERIAL_UNIX) ==
		(c->serial.path != NULL));
	for (unsigned i = 0; i < c->n_devices; i++)
		must(c->devices[i].type && c->devices[i].options &&
			props_check(c->devices[i].type, c->devices[i].options, NULL) == 0);
	for (unsigned i = 0; i < c->n_qmp; i++)
		must(c->qmp[i].kind == QMP_UNIX	   ? c->qmp[i].path && c->qmp[i].path[0]
			: c->qmp[i].kind == QMP_FD ? c->qmp[i].fd > 2
						   : c->qmp[i].host && c->qmp[i].port);
	must(c->serial.kind != SERIAL_FD || c->serial.fd > 2);
}

static char *make_word(const uint8_t *data, size_t len)
{
	unsigned n = 0;
	char *word;

	while (options[n].name)
		n++;
	if (!len || data[0] >= n)
		return strndup((const char *)data, len);
	if (asprintf(&word, "-%s%.*s", options[data[0]].name, (int)(len - 1), data + 1) < 0)
		return NULL;
	return word;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 2] = { NULL }, *text;
	struct config config;
	struct err err = { 0 };
	int argc = 1, ret;

	if (!size)
		return 0;
	argv[0] = strdup("portcullis");
	while (argc <= WORDS_MAX) {
		const uint8_t *end = memchr(data, '\0', size);
		size_t len = end ? (size_t)(end - data) : size;

		argv[argc++] = make_word(data, len);
		if (!end)
			break;
		data += len + 1;
		size -= len + 1;
	}
	config_init(&config);
	ret = command_line_parse(&config, argc, argv, &text, &err);
	if (ret < 0)
		must(!text && err.code == -ret && err.text[0]);
	else if (!text)
		check_config(&config);
	free(text);
	config_release(&config);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return 0;
}
