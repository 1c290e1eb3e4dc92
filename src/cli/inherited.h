/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inherited.h - file descriptors that whoever started us hands over by number. (private to src/cli)
 *
 * Who: main, before anything else is opened: a number that is not open now would be one of our own
 * files a moment later, and taken for what the user meant. Each has one owner: what names it.
 */
#ifndef PORTCULLIS_CLI_INHERITED_H
#define PORTCULLIS_CLI_INHERITED_H

struct config;
struct err;

/*
 * Every fd that -qmp, -mon, -serial, -object and -device name: is it none of the standard ones,
 * open, a socket where it must be one, and named once? -EBADF, -ENOTSOCK, -EINVAL with text.
 */
int inherited_check(const struct config *config, struct err *err);

#endif
