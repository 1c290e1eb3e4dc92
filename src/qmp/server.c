/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c - listeners and clients. Clients that died are freed by a mail to our own loop, when
 * none of their functions is on the stack.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <portcullis/closer.h>
#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/qmp.h>
#include <portcullis/sys.h>

#include "listen.h"
#include "wire.h"

#define CLIENTS_MAX 128
#define RETRY_MS 1000 /* after running out of file descriptors */

struct listener {
	struct qmp *qmp;
	struct listen_socket socket;
	struct loop_fd lfd;
	struct loop_timer retry;
};

struct client {
	struct wire wire; /* first */
	struct qmp *qmp;
};

struct qmp {
	struct qmp_context context;
	struct loop *loop; /* NULL: not serving yet */
	struct listener *listeners;
	unsigned n_listeners;
	struct wire *clients; /* dead ones too */
	unsigned n_clients;   /* that are alive */
	struct mail reap;
	bool reap_posted;
	bool room_told;
	bool full_told; /* since there was room */
};

static void post_reap(struct qmp *qmp)
{
	if (qmp->reap_posted)
		return;
	qmp->reap_posted = true;
	loop_post(qmp->loop, &qmp->reap);
}

static void reap(struct mail *mail)
{
	struct qmp *qmp = container_of(mail, struct qmp, reap);
	bool again = false;

	qmp->reap_posted = false;
	for (struct wire **link = &qmp->clients; *link;) {
		struct wire *wire = *link;

		if (wire_alive(wire) || !wire_idle(wire)) {
			again |= !wire_alive(wire);
			link = &wire->next;
			continue;
		}
		*link = wire->next;
		wire_release(wire);
		free(wire);
	}
	if (again)
		post_reap(qmp);
}

static void on_death(struct wire *wire)
{
	struct qmp *qmp = ((struct client *)wire)->qmp;

	qmp->n_clients--;
	qmp->full_told = false;
	post_reap(qmp);
}

/* A client that is there is worth more than what one that has left had still to be done. */
static void make_room(struct qmp *qmp)
{
	struct wire *oldest = NULL;

	for (struct wire *wire = qmp->clients; wire; wire = wire->next)
		if (wire_alive(wire) && wire_left(wire) && wire_idle(wire))
			oldest = wire;
	if (!oldest)
		return;
	if (!qmp->room_told)
		log_warn("QMP client gone: what it had sent is not carried out, to make room");
	qmp->room_told = true;
	wire_die(oldest);
}

static void add_client(struct qmp *qmp, int fd)
{
	struct client *client;

	if (qmp->n_clients == CLIENTS_MAX)
		make_room(qmp);
	if (qmp->n_clients == CLIENTS_MAX) {
		if (!qmp->full_told)
			log_warn("QMP clients refused: there are %d already", CLIENTS_MAX);
		qmp->full_told = true;
		closer_hang_up(qmp->context.closer, &fd);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		closer_hang_up(qmp->context.closer, &fd);
		return;
	}
	qmp->n_clients++;
	client->qmp = qmp;
	client->wire.on_death = on_death;
	if (wire_open(&client->wire, &qmp->context, qmp->loop, fd) < 0) {
		qmp->n_clients--;
		free(client);
		return;
	}
	client->wire.next = qmp->clients;
	qmp->clients = &client->wire;
}

static void listen_again(void *opaque)
{
	struct listener *l = opaque;

	(void)loop_fd_mod(l->qmp->loop, &l->lfd, EPOLLIN);
}

static void on_connect(void *opaque, uint32_t events)
{
	struct listener *l = opaque;
	int fd = listen_accept(&l->socket, l->qmp->context.closer);

	(void)events;
	if (fd >= 0) {
		add_client(l->qmp, fd);
		return;
	}
	if (fd != -EMFILE && fd != -ENFILE && fd != -ENOMEM && fd != -ENOBUFS)
		return;
	/* The client would be announced again and again: leave it waiting for a while. */
	log_warn("QMP client not accepted: no file descriptors");
	(void)loop_fd_mod(l->qmp->loop, &l->lfd, 0);
	loop_timer_set(l->qmp->loop, &l->retry, RETRY_MS);
}

static int open_listeners(struct qmp *qmp, const struct config *config, struct err *err)
{
	for (unsigned i = 0; i < config->n_qmp; i++) {
		int ret = listen_open(&qmp->listeners[i].socket, &config->qmp[i], err);
		if (ret < 0)
			return ret;
		qmp->listeners[i].qmp = qmp;
		qmp->n_listeners++;
	}
	for (unsigned i = 0; i < config->n_qmp; i++) {
		int ret = config->qmp[i].wait ? listen_wait(&qmp->listeners[i].socket, err) : 0;
		if (ret < 0)
			return ret;
	}
	return 0;
}

int qmp_open(struct qmp **out, const struct config *config, struct err *err)
{
	struct qmp *qmp;
	int ret;

	*out = NULL;
	if (!config->n_qmp)
		return 0;
	qmp = calloc(1, sizeof(*qmp));
	if (!qmp)
		return err_set(err, ENOMEM, "-qmp: out of memory");
	qmp->reap.run = reap;
	qmp->listeners = calloc(config->n_qmp, sizeof(*qmp->listeners));
	ret = qmp->listeners ? qmp_context_init(&qmp->context) : -ENOMEM;
	if (ret < 0)
		err_set(err, -ret, "-qmp: out of memory");
	else
		ret = open_listeners(qmp, config, err);
	if (ret < 0) {
		qmp_free(qmp);
		return ret;
	}
	*out = qmp;
	return 0;
}

int qmp_serve(struct qmp *qmp, struct machine *machine, struct err *err)
{
	if (!qmp)
		return 0;
	qmp->context.machine = machine;
	qmp->context.closer = qmp->context.fdsets.closer = machine_closer(machine);
	qmp->loop = machine_loop(machine);
	machine_on_event(machine, qmp_on_machine_event, &qmp->context);
	for (unsigned i = 0; i < qmp->n_listeners; i++) {
		struct listener *l = &qmp->listeners[i];
		int ret;

		l->lfd = (struct loop_fd){ .fd = l->socket.fd, .fn = on_connect, .opaque = l };
		l->retry = (struct loop_timer){ .fn = listen_again, .opaque = l };
		ret = loop_fd_add(qmp->loop, &l->lfd, EPOLLIN);
		if (ret < 0)
			return err_set_errno(err, -ret, "-qmp: cannot wait for clients");
	}
	return 0;
}

static void close_listener(struct qmp *qmp, struct listener *l)
{
	if (qmp->loop && l->lfd.fn) {
		loop_timer_cancel(qmp->loop, &l->retry);
		loop_fd_del(qmp->loop, &l->lfd);
	}
	listen_close(&l->socket, qmp->context.closer);
}

void qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return;
	for (unsigned i = 0; i < qmp->n_listeners; i++)
		close_listener(qmp, &qmp->listeners[i]);
	for (struct wire *wire = qmp->clients; wire; wire = wire->next)
		wire_die(wire);
	if (qmp->reap_posted) {
		(void)loop_take_back(qmp->loop, &qmp->reap);
		reap(&qmp->reap);
	}
	if (qmp->loop)
		machine_on_event(qmp->context.machine, NULL, NULL);
	qmp_context_release(&qmp->context);
	free(qmp->listeners);
	free(qmp);
}
