/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_rig.h - the machine of qmp_fixture.h behind a real control socket in a directory of its own.
 *
 * Use:   qmp_rig_setup() and qmp_rig_teardown() with the rig as the test's initial state. One
 *        thread does all: clients write, qmp_rig_pump() lets the server work, clients read.
 * Layer: tests. Included behind cmocka.h by one file of a program, as qmp_fixture.h is.
 */
#ifndef PORTCULLIS_QMP_RIG_H
#define PORTCULLIS_QMP_RIG_H

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <portcullis/qmp.h>

#include "qmp_fixture.h"

struct qmp_rig {
	struct machine machine;
	struct config_qmp sockets[2]; /* the second is the test's */
	struct config config;
	struct closer *closer; /* the test's, or NULL */
	struct qmp *qmp;       /* NULL: the test has closed it */
	char directory[64], path[96];
};

static int qmp_rig_setup(void **state)
{
	struct qmp_rig *rig = *state;
	struct err err = { 0 };

	machine_setup(&rig->machine);
	rig->machine.closer = rig->closer;
	strcpy(rig->directory, "/tmp/test_qmp.XXXXXX");
	if (!mkdtemp(rig->directory) || loop_init(&rig->machine.loop))
		return -1;
	snprintf(rig->path, sizeof(rig->path), "%s/qmp", rig->directory);
	rig->sockets[0] = (struct config_qmp){ .kind = QMP_UNIX, .path = rig->path };
	rig->config = (struct config){ .qmp = rig->sockets, .n_qmp = 1 };
	if (qmp_open(&rig->qmp, &rig->config, &err) || qmp_serve(rig->qmp, &rig->machine, &err))
		fail_msg("%s", err.text);
	return 0;
}

static int qmp_rig_teardown(void **state)
{
	struct qmp_rig *rig = *state;

	qmp_free(rig->qmp);
	rig->qmp = NULL;
	loop_release(&rig->machine.loop);
	machine_teardown(&rig->machine);
	rmdir(rig->directory);
	return 0;
}

static void qmp_rig_pump(struct qmp_rig *rig)
{
	/* A client that has more to be done than a turn's worth has mail under way. */
	for (unsigned idle = 0; idle < 40; idle++) {
		if (rig->machine.loop.head)
			idle = 0;
		loop_step(&rig->machine.loop, 0);
	}
}

/* A client; it never waits. */
static int qmp_rig_dial(const struct qmp_rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, rig->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

#endif
