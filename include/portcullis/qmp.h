/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp.h - the machine's control sockets: QEMU's machine protocol.
 *
 * Layer: L5, includes base and machine.
 * Who:   main only. Sockets are opened before main enters its filter; afterwards clients are only
 *        accepted, read, written and closed.
 * Peers: whoever can connect controls the machine, as the user who started it. Still no peer may
 *        hold memory without bound or keep the others waiting: queues and messages have caps, and
 *        a client that does not read is disconnected when its queue is full.
 */
#ifndef PORTCULLIS_QMP_H
#define PORTCULLIS_QMP_H

#include <portcullis/role.h>

struct config;
struct err;
struct machine;
struct qmp;

/*
 * Opens every socket of config->qmp. A stale unix socket is replaced, one that a living program
 * listens on is -EADDRINUSE, anything else in its place is -EEXIST. With "wait" it returns after a
 * client has connected. *out is NULL when config asks for no socket.
 */
int qmp_open(struct qmp **out, const struct config *config, struct err *err) ON_MAIN;
/* From now on clients are served on machine's loop. qmp may be NULL. */
int qmp_serve(struct qmp *qmp, struct machine *machine, struct err *err) ON_MAIN;
/*
 * Before the machine is freed. Sends what can be sent without waiting, closes all, removes the
 * sockets' names if they are still ours. NULL is fine.
 */
void qmp_free(struct qmp *qmp) ON_MAIN;

#endif
