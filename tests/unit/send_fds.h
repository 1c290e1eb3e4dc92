/* SPDX-License-Identifier: Apache-2.0 */
/* send_fds.h - text on a unix socket, and fds with it (SCM_RIGHTS). */
#ifndef TESTS_SEND_FDS_H
#define TESTS_SEND_FDS_H

/* n: 1 to SCM_FDS_MAX. The fds stay the caller's. */
void send_fds(int socket, const char *text, const int fds[], unsigned n);

#endif
