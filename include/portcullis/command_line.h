/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_line.h - the command line, QEMU's spelling, into a struct config.
 *
 * Layer: L5 (cli), includes base and config.h. Main thread, before any other exists.
 * Form only: nothing is opened, no file is looked at. What passes is complete and consistent in
 * itself; whether files, devices and buses exist is the machine's to find out.
 */
#ifndef PORTCULLIS_COMMAND_LINE_H
#define PORTCULLIS_COMMAND_LINE_H

struct config;
struct err;

/*
 * Parses argv[1..argc-1] into config (initialised; release it in every case).
 * -help, -version and the like: 0 and *text is what to print instead of running (the caller frees
 * it). Otherwise *text is NULL. -EINVAL: err names the option and what would be right; -ENOMEM.
 */
int command_line_parse(
	struct config *config, int argc, char *const argv[], char **text, struct err *err);

#endif
