/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_capture.c - see log_capture.h.
 */
#include "log_capture.h"

#include <sys/mman.h>
#include <unistd.h>

#include <portcullis/log.h>

static int file;

void log_capture_start(void)
{
	file = memfd_create("log", MFD_CLOEXEC);
	log_setup(file, LOG_LEVEL_INFO);
}

void log_capture_stop(void)
{
	log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
	close(file);
}

const char *log_captured(void)
{
	static char text[4096];
	ssize_t n = pread(file, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

unsigned log_captured_lines(void)
{
	unsigned n = 0;

	for (const char *c = log_captured(); *c; c++)
		n += *c == '\n';
	return n;
}
