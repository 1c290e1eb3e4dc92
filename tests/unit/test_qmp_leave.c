/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_qmp_leave.c - clients that send and leave: what they asked for is done, and nothing of them
 * stays.
 *
 * Real sockets, because it is the kernel that says how a peer has left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qmp_rig.h"
#include "slow_close.h"

static struct qmp_rig rig;

#define NEGOTIATE "{\"execute\": \"qmp_capabilities\"}"
#define POWERDOWN "{\"execute\": \"system_powerdown\"}"
#define QUIT "{\"execute\": \"quit\"}"
#define TARGET "{\"execute\": \"query-target\"}\n"
#define SCHEMA "{\"execute\": \"query-qmp-schema\"}"
#define DEL(id) "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"" id "\"}}\r\n"

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* At once: the socket counts small pieces as large ones. */
static void say_often(int fd, const char *text, unsigned times, const char *last)
{
	static char all[100000];

	all[0] = '\0';
	while (times--)
		strcat(all, text);
	strcat(all, last);
	say(fd, all);
}

/* Has been greeted and has negotiated. heard: has read the replies, too. */
static int client(bool heard)
{
	int fd = qmp_rig_dial(&rig);

	say(fd, NEGOTIATE "\n");
	qmp_rig_pump(&rig);
	if (heard)
		while (recv(fd, (char[4096]){ 0 }, 4096, 0) > 0)
			;
	return fd;
}

static void leave(int fd)
{
	close(fd);
	qmp_rig_pump(&rig);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void done(const char *calls)
{
	assert_string_equal(rig.machine.calls, calls);
	rig.machine.calls[0] = '\0';
}

/* A script's one line: it is gone before it is accepted. */
static void gone_before_it_is_greeted(void **state)
{
	unsigned before = open_fds();
	int fd = qmp_rig_dial(&rig);
	(void)state;

	say(fd, NEGOTIATE POWERDOWN QUIT);
	leave(fd);
	done("powerdown quit ");
	assert_int_equal(open_fds(), before);
}

/* With replies unread (the kernel says ECONNRESET) and without (EPIPE). */
static void gone_before_its_answer(void **state)
{
	unsigned before = open_fds();
	(void)state;

	for (unsigned heard = 0; heard < 2; heard++) {
		int fd = client(heard);

		say(fd, TARGET POWERDOWN DEL("a"));
		leave(fd);
		done("powerdown del a ");
		assert_int_equal(open_fds(), before);
		machine_answer(&rig.machine, heard ? ETIMEDOUT : 0);
		qmp_rig_pump(&rig);
	}
}

/* More than is read at a time, and more answers than are kept for a client. */
static void many_commands(void **state)
{
	unsigned before = open_fds(), events = 0;
	int fd = client(true);
	(void)state;

	say_often(fd, SCHEMA, 60, "");
	say_often(fd, TARGET, 1000, POWERDOWN);
	qmp_rig_pump(&rig);
	done(""); /* it does not read */
	close(fd);
	while (!rig.machine.calls[0] && events++ < 10)
		qmp_rig_pump(&rig);
	done("powerdown ");
	assert_int_equal(open_fds(), before);
}

/*
 * What it has asked for takes tens of milliseconds, unread answers bound nothing any more: others
 * have their turn in between.
 */
static void others_have_their_turn(void **state)
{
	unsigned before = open_fds();
	int fd = client(true), other = client(true);
	(void)state;

	say_often(fd, SCHEMA, 129, POWERDOWN); /* one piece of input */
	close(fd);
	loop_step(&rig.machine.loop, 0);
	done("");
	say(other, QUIT);
	leave(other);
	done("quit powerdown ");
	assert_int_equal(open_fds(), before);
}

static void others_mail(struct mail *mail)
{
	(void)mail;
	fail_msg("QMP's end runs the mail of others");
}

/* The end, with turns to come and mail of others in the box: nothing of QMP stays in it. */
static void the_end_between_turns(void **state)
{
	struct mail others[2 * LOOP_MAIL_AT_ONCE] = { 0 };
	int fds[] = { client(true), client(true), client(true) };
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		say_often(fds[i], SCHEMA, 129, POWERDOWN);
		close(fds[i]);
	}
	loop_step(&rig.machine.loop, 0);
	for (unsigned i = 0; i < 2 * LOOP_MAIL_AT_ONCE; i++) {
		others[i].run = others_mail;
		loop_post(&rig.machine.loop, &others[i]);
	}
	qmp_free(rig.qmp);
	rig.qmp = NULL;
	assert_int_equal(rig.machine.loop.count, 2 * LOOP_MAIL_AT_ONCE);
	for (unsigned i = 0; i < 2 * LOOP_MAIL_AT_ONCE; i++)
		assert_true(loop_take_back(&rig.machine.loop, &others[i]));
	done("");
}

/* The order is kept behind a command that takes its time; it may fail. */
static void behind_a_held_command(void **state)
{
	unsigned before = open_fds();
	(void)state;

	for (unsigned heard = 0; heard < 2; heard++) {
		int fd = client(heard);

		say(fd, DEL("a"));
		if (heard)
			qmp_rig_pump(&rig);
		say(fd, DEL("b"));
		say_often(fd, TARGET, 300, DEL("c") POWERDOWN);
		leave(fd);
		done("del a ");
		machine_answer(&rig.machine, heard ? ETIMEDOUT : 0);
		qmp_rig_pump(&rig);
		done("del b ");
		machine_answer(&rig.machine, 0);
		qmp_rig_pump(&rig);
		done("del c ");
		machine_answer(&rig.machine, 0);
		qmp_rig_pump(&rig);
		done("powerdown ");
		assert_int_equal(open_fds(), before);
	}
}

/* Nothing is behind it but white space: nothing of the client is kept. */
static void nothing_behind_a_held_command(void **state)
{
	static const char *const rest[] = { "", "\r\n", " \n\t \r\n", "\n\n" };
	unsigned before = open_fds();
	(void)state;

	for (unsigned i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		int fd = client(i % 2);

		say(fd, DEL("a"));
		qmp_rig_pump(&rig);
		say(fd, rest[i]);
		leave(fd);
		done("del a ");
		assert_int_equal(open_fds(), before);
		machine_answer(&rig.machine, 0);
		qmp_rig_pump(&rig);
	}
}

/* An idle loop sleeps: epoll is not asked again and again about one that has left. */
static void waiting_costs_nothing(void **state)
{
	struct epoll_event event;
	int fd = client(true);
	(void)state;

	say(fd, DEL("a"));
	qmp_rig_pump(&rig);
	say(fd, POWERDOWN);
	leave(fd);
	assert_int_equal(epoll_wait(rig.machine.loop.epoll_fd, &event, 1, 0), 0);
	machine_answer(&rig.machine, 0);
	qmp_rig_pump(&rig);
	done("del a powerdown ");
}

/* What they have sent is bounded: a client that is there gets their place. */
static void they_make_room(void **state)
{
	static struct machine_op *ops[200];
	unsigned before = open_fds();
	int last;
	(void)state;

	for (unsigned i = 0; i < 200; i++) {
		int fd = client(true);

		say(fd, DEL("a") TARGET);
		leave(fd);
		done("del a ");
		ops[i] = rig.machine.op;
	}
	assert_in_range(open_fds(), before, before + 128);
	last = client(true);
	say(last, POWERDOWN);
	qmp_rig_pump(&rig);
	done("powerdown ");
	for (unsigned i = 0; i < 200; i++)
		ops[i]->done(ops[i], NULL);
	leave(last);
	assert_int_equal(open_fds(), before);
}

static void serve_tcp(struct sockaddr_in *addr)
{
	struct config_qmp *tcp = &rig.sockets[1];
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct err err = { 0 };

	*addr = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	close(fd);
	*tcp = (struct config_qmp){ .kind = QMP_TCP,
		.host = (char *)(uintptr_t) "127.0.0.1",
		.port = ntohs(addr->sin_port) };
	qmp_free(rig.qmp);
	rig.config.n_qmp = 2;
	if (qmp_open(&rig.qmp, &rig.config, &err) || qmp_serve(rig.qmp, &rig.machine, &err))
		fail_msg("%s", err.text);
}

/* Orderly, with replies unread, and by a reset. */
static void over_tcp(void **state)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_in addr;
	unsigned before;
	(void)state;

	serve_tcp(&addr);
	before = open_fds();
	for (unsigned how = 0; how < 3; how++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		if (how)
			qmp_rig_pump(&rig);
		/* More than is read at a time: it waits in the socket. */
		say(fd, NEGOTIATE DEL("a"));
		say_often(fd, TARGET, 300, POWERDOWN);
		if (how == 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		leave(fd);
		done("del a ");
		machine_answer(&rig.machine, 0);
		qmp_rig_pump(&rig);
		done("powerdown ");
		qmp_rig_pump(&rig);
		assert_int_equal(open_fds(), before);
	}
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, qmp_rig_setup, qmp_rig_teardown, &rig)

/* A file whose close() waits, sent in every way, and given back or left behind in every way. */
static void slow_files(void **state)
{
	static const struct {
		const char *with, *then;
		unsigned n;
	} ways[] = {
		{ "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"x\"}}", "", 1 },
		{ "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"x\"}}",
			"{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"x\"}}", 1 },
		{ "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"1\"}}", "", 1 },
		{ "{\"execute\": \"add-fd\", \"arguments\": {\"fdset-id\": 1}}",
			"{\"execute\": \"remove-fd\", \"arguments\": {\"fdset-id\": 1}}", 1 },
		{ "{\"execute\": \"add-fd\", \"arguments\": {\"fdset-id\": -1}}", "", 1 },
		{ TARGET, "", 1 },
		{ TARGET, "", 17 },
		{ TARGET, "", 253 },
	};
	struct qmp_rig *r = *state;

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		static struct slow_close slow;
		unsigned before;
		int fd;

		qmp_rig_teardown(state);
		slow_close_start(&slow);
		r->closer = &slow.closer;
		qmp_rig_setup(state);
		before = open_fds();
		fd = client(true);
		slow_close_send(&slow, fd, ways[i].with, ways[i].n);
		qmp_rig_pump(r);
		say(fd, ways[i].then);
		leave(fd);
		slow_close_expect(&slow);
		/* Others are served meanwhile. */
		fd = client(false);
		say(fd, POWERDOWN);
		leave(fd);
		for (unsigned k = 0; k < 20000 && !*r->machine.calls; k++)
			loop_step(&r->machine.loop, 1);
		done("powerdown ");
		assert_true(closer_busy(&slow.closer));
		slow_close_stop(&slow);
		/* It may have been so many that nobody was listened to for a moment. */
		for (unsigned k = 0; k < 20000 && open_fds() != before - 3; k++)
			loop_step(&r->machine.loop, 1);
		assert_int_equal(open_fds(), before - 3); /* it, its peer, the closer's loop */
		r->closer = NULL;
	}
}

/* Behind a slow one, more files than there is room for: nobody is listened to until it is closed. */
static void too_many_files(void **state)
{
	static struct slow_close slow, quick;
	struct qmp_rig *r = *state;
	int fd;

	qmp_rig_teardown(state);
	slow_close_start(&slow);
	slow_close_start(&quick); /* for its fds only */
	r->closer = &slow.closer;
	qmp_rig_setup(state);
	fd = client(true);
	slow_close_send(&slow, fd, TARGET, 1);
	qmp_rig_pump(r);
	slow_close_send(&quick, fd, TARGET, 253);
	qmp_rig_pump(r);
	leave(fd);
	slow_close_expect(&slow);
	assert_true(closer_full(&slow.closer));
	fd = client(false);
	say(fd, POWERDOWN);
	leave(fd);
	done("");
	while (recv(slow.peer, (char[65536]){ 0 }, 65536, MSG_DONTWAIT) > 0 ||
		closer_full(&slow.closer)) {
		/* The other one's is the last of them. */
		(void)recv(quick.peer, (char[65536]){ 0 }, 65536, MSG_DONTWAIT);
		usleep(1000);
	}
	for (unsigned i = 0; i < 20000 && !*r->machine.calls; i++)
		loop_step(&r->machine.loop, 1);
	done("powerdown ");
	slow_close_stop(&quick);
	slow_close_stop(&slow);
	r->closer = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gone_before_it_is_greeted),
		TEST(gone_before_its_answer),
		TEST(many_commands),
		TEST(others_have_their_turn),
		TEST(the_end_between_turns),
		TEST(behind_a_held_command),
		TEST(nothing_behind_a_held_command),
		TEST(waiting_costs_nothing),
		TEST(they_make_room),
		TEST(over_tcp),
		TEST(slow_files),
		TEST(too_many_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
