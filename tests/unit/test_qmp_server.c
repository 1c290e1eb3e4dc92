/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_qmp_server.c - real sockets: listeners, many clients, slow ones, vanishing ones, fds.
 *
 * One thread: clients write, the loop is stepped until it has nothing to do, clients read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qmp_rig.h"
#include "send_fds.h"

#include "../../src/qmp/wire.h"

static struct qmp_rig rig;

/* Everything there is to read now; "EOF" at the end when the server closed. */
static const char *hear(int fd)
{
	static char text[1 << 21];
	size_t used = 0;

	qmp_rig_pump(&rig);
	for (;;) {
		ssize_t n = recv(fd, text + used, sizeof(text) - used - 4, 0);
		if (n <= 0) {
			strcpy(text + used, n == 0 || errno != EAGAIN ? "EOF" : "");
			return text;
		}
		used += (size_t)n;
		qmp_rig_pump(&rig);
	}
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

#define NEGOTIATE "{\"execute\": \"qmp_capabilities\"}"
#define STATUS "{\"execute\": \"query-target\"}"
#define DONE "{\"return\": {}}\r\n"
#define TARGET "{\"return\": {\"arch\": \"x86_64\"}}\r\n"

static int client(void)
{
	int fd = qmp_rig_dial(&rig);

	hear(fd);
	say(fd, NEGOTIATE "\n");
	assert_string_equal(hear(fd), DONE);
	return fd;
}

static void test_greeting(void **state)
{
	int fd = qmp_rig_dial(&rig);
	(void)state;

	assert_memory_equal(hear(fd), "{\"QMP\": {\"version\": ", 20);
	close(fd);
	qmp_rig_pump(&rig);
}

static void test_pieces(void **state)
{
	int fd = client();
	(void)state;

	for (const char *c = STATUS; *c; c++) {
		assert_int_equal(send(fd, c, 1, 0), 1);
		qmp_rig_pump(&rig);
	}
	assert_string_equal(hear(fd), TARGET);
	say(fd, STATUS STATUS "\r\n" STATUS "\n");
	assert_string_equal(hear(fd), TARGET TARGET TARGET);
	close(fd);
	qmp_rig_pump(&rig);
}

static void test_many_clients(void **state)
{
	int fds[40];
	(void)state;

	for (unsigned i = 0; i < 40; i++)
		fds[i] = client();
	rig.machine.on_event(
		rig.machine.on_event_opaque, &(struct machine_event){ .kind = MACHINE_STOP });
	for (unsigned i = 0; i < 40; i++) {
		assert_memory_equal(hear(fds[i]), "{\"event\": \"STOP\"", 16);
		say(fds[i], STATUS);
		assert_string_equal(hear(fds[i]), TARGET);
		close(fds[i]);
	}
	qmp_rig_pump(&rig);
}

static const char add[] = "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"vfio-pci\", "
			  "\"id\": \"a\", \"host\": \"1a:0.0\"}}";

/* A held command holds its own client's later commands, and nobody else's. */
static void test_held(void **state)
{
	int fd = client(), other = client();
	(void)state;

	say(fd, add);
	say(fd, STATUS);
	assert_string_equal(hear(fd), "");
	say(fd, STATUS);
	assert_string_equal(hear(fd), "");
	say(other, STATUS);
	assert_string_equal(hear(other), TARGET);
	machine_answer(&rig.machine, 0);
	assert_string_equal(hear(fd), DONE TARGET TARGET);
	close(fd);
	close(other);
	qmp_rig_pump(&rig);
}

/* Answered before device_add returns to us. */
static void test_not_held(void **state)
{
	int fd = client();
	(void)state;

	rig.machine.answer_at_once = true;
	say(fd, add);
	say(fd, STATUS);
	assert_string_equal(hear(fd), DONE TARGET);
	close(fd);
	qmp_rig_pump(&rig);
}

static void test_gone_while_held(void **state)
{
	unsigned before = open_fds();
	int fd = client();
	(void)state;

	say(fd, add);
	qmp_rig_pump(&rig);
	assert_non_null(rig.machine.op);
	close(fd);
	qmp_rig_pump(&rig);
	assert_int_equal(open_fds(), before); /* not only when the answer comes */
	machine_answer(&rig.machine, 0);
	qmp_rig_pump(&rig);
	fd = client();
	close(fd);
	qmp_rig_pump(&rig);
}

/* `echo command | client`: the peer's last byte comes before our answer. */
static void test_half_closed(void **state)
{
	int fd = qmp_rig_dial(&rig);
	(void)state;

	say(fd, NEGOTIATE STATUS);
	shutdown(fd, SHUT_WR);
	assert_non_null(strstr(hear(fd), DONE TARGET "EOF"));
	close(fd);
	fd = qmp_rig_dial(&rig);
	say(fd, NEGOTIATE);
	say(fd, add);
	shutdown(fd, SHUT_WR);
	hear(fd);
	machine_answer(&rig.machine, 0);
	assert_string_equal(hear(fd), DONE "EOF");
	close(fd);
	qmp_rig_pump(&rig);
}

/* As many STATUS as the server takes without having an answer read. */
static unsigned flood(int fd)
{
	size_t n = 0;
	unsigned sent = 0, idle = 0;

	while (idle < 3 && sent < 1000000) {
		ssize_t got = send(fd, &STATUS[n], strlen(STATUS) - n, MSG_NOSIGNAL);

		if (got < 0) {
			assert_int_equal(errno, EAGAIN); /* it keeps the client */
			qmp_rig_pump(&rig);
			idle++;
			continue;
		}
		idle = 0;
		n += (size_t)got;
		sent += n == strlen(STATUS);
		n %= strlen(STATUS);
	}
	return sent;
}

/* A client that reads nothing: its commands wait until it reads, and none is lost. */
static void test_reads_late(void **state)
{
	int fd = client();
	unsigned sent = flood(fd);
	const char *text = hear(fd);
	(void)state;

	assert_true(sent > 1000 && sent < 1000000);
	for (; sent--; text += strlen(TARGET))
		assert_memory_equal(text, TARGET, strlen(TARGET));
	assert_string_equal(text, "");
	close(fd);
	qmp_rig_pump(&rig);
}

static void stop_event(void)
{
	rig.machine.on_event(
		rig.machine.on_event_opaque, &(struct machine_event){ .kind = MACHINE_STOP });
}

/* One that never does is disconnected when its queue is full, and nobody else notices. */
static void test_never_reads(void **state)
{
	int fd = client(), other = client();
	(void)state;

	for (unsigned i = 0; i < 100000; i++) {
		stop_event();
		if (i % 1000 == 0)
			hear(other);
	}
	hear(other);
	say(other, STATUS);
	assert_string_equal(hear(other), TARGET);
	/* what was queued in the socket, then the end */
	while (recv(fd, (char[4096]){ 0 }, 4096, 0) > 0)
		;
	assert_int_equal(recv(fd, (char[1]){ 0 }, 1, 0), 0);
	close(fd);
	close(other);
	qmp_rig_pump(&rig);
}

/* Events that come while long replies are on their way go between them, whole. */
static void test_events_behind_reply(void **state)
{
	static const char event[] = "{\"event\": \"STOP\"", reply[] = "{\"return\": [";
	unsigned events = 0;
	int fd = client();
	(void)state;

	for (unsigned i = 0; i < 40; i++)
		say(fd, "{\"execute\": \"query-qmp-schema\"}");
	qmp_rig_pump(&rig);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(recv(fd, (char[3000]){ 0 }, 3000, 0), 3000);
		loop_step(&rig.machine.loop, 0);
		stop_event();
	}
	for (const char *line = strstr(hear(fd), "\r\n") + 2; *line;
		line = strstr(line, "\r\n") + 2) {
		bool is_event = !strncmp(line, event, strlen(event));

		events += is_event;
		assert_true(is_event || !strncmp(line, reply, strlen(reply)));
		assert_non_null(strstr(line, is_event ? "}}\r\n" : "}]}\r\n"));
	}
	assert_int_equal(events, 10);
	close(fd);
	qmp_rig_pump(&rig);
}

/* A reply longer than the socket takes at once arrives whole. */
static void test_long_reply(void **state)
{
	int fd = client();
	const char *text;
	int size = 4096;
	(void)state;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (unsigned i = 0; i < 20; i++)
		say(fd, "{\"execute\": \"query-qmp-schema\"}");
	text = hear(fd);
	for (unsigned i = 0; i < 20; i++) {
		assert_memory_equal(text, "{\"return\": [", 12);
		text = strstr(text, "]}\r\n");
		assert_non_null(text);
		text += 4;
	}
	assert_string_equal(text, "");
	close(fd);
	qmp_rig_pump(&rig);
}

static void test_garbage(void **state)
{
	int fd = client();
	(void)state;

	say(fd, "\x01\x02 }}}} nonsense {\"a\":[}\n" STATUS);
	assert_non_null(strstr(hear(fd), TARGET));
	close(fd);
	qmp_rig_pump(&rig);
}

static void send_one(int to, int fd, const char *text)
{
	send_fds(to, text, &fd, 1);
}

static void test_fd_passing(void **state)
{
	unsigned before = open_fds();
	int fd = client(), given = open("/dev/null", O_RDONLY);
	(void)state;

	send_one(fd, given, "{\"execute\": \"getfd\", \"arguments\": {\"fdname\": \"x\"}}");
	assert_string_equal(hear(fd), DONE);
	for (unsigned i = 0; i < 30; i++) /* more than are kept, never asked for */
		send_one(fd, given, " ");
	assert_string_equal(hear(fd), "");
	say(fd, "{\"execute\": \"closefd\", \"arguments\": {\"fdname\": \"x\"}}");
	assert_string_equal(hear(fd), DONE);
	close(fd);
	close(given);
	qmp_rig_pump(&rig);
	assert_int_equal(open_fds(), before);
}

/* The number that a reply to add-fd names. */
static int added(const char *reply)
{
	const char *at = strstr(reply, "\"fd\": ");

	assert_non_null(at);
	return atoi(at + 6);
}

static void same_file(int a, int b)
{
	struct stat one, two;

	assert_int_equal(fstat(a, &one), 0);
	assert_int_equal(fstat(b, &two), 0);
	assert_int_equal(one.st_rdev, two.st_rdev);
}

/* An fd that nobody asked for, or whose command failed, is not taken for the next command's own. */
static void test_stale_fds(void **state)
{
	int fd = client(), null = open("/dev/null", O_RDONLY), zero = open("/dev/zero", O_RDONLY);
	(void)state;

	for (unsigned i = 0; i < 20; i++)
		send_one(fd, null, STATUS);
	assert_non_null(strstr(hear(fd), TARGET));
	send_one(fd, zero, "{\"execute\": \"add-fd\"}");
	same_file(added(hear(fd)), zero);
	send_one(fd, null, "{\"execute\": \"add-fd\", \"arguments\": {\"fdset-id\": -1}}");
	assert_non_null(strstr(hear(fd), "non-negative"));
	send_one(fd, zero, "{\"execute\": \"add-fd\"}");
	same_file(added(hear(fd)), zero);
	/* Cut in pieces. */
	send_one(fd, zero, "{\"execute\": ");
	assert_string_equal(hear(fd), "");
	say(fd, "\"add-fd\"}");
	same_file(added(hear(fd)), zero);
	close(fd);
	close(null);
	close(zero);
	qmp_rig_pump(&rig);
}

static int vanishing, speaking;

/* Inside of a command: clients come, speak, vanish; events go out. */
static void nested(void)
{
	close(vanishing);
	say(speaking, STATUS);
	stop_event();
	qmp_rig_pump(&rig);
}

static void test_nested_loop(void **state)
{
	(void)state;
	vanishing = client();
	speaking = client();
	rig.machine.on_pause = nested;
	say(vanishing, "{\"execute\": \"stop\", \"id\": \"a long id\"}");
	qmp_rig_pump(&rig);
	assert_non_null(strstr(hear(speaking), TARGET));
	/* the same, but the client stays to read its answer */
	vanishing = dup(speaking);
	rig.machine.state = RUNSTATE_RUNNING;
	say(speaking, "{\"execute\": \"stop\", \"id\": \"a long id\"}");
	assert_non_null(
		strstr(hear(speaking), "{\"return\": {}, \"id\": \"a long id\"}\r\n" TARGET));
	close(speaking);
	qmp_rig_pump(&rig);
}

static void nested_answer(void)
{
	machine_answer(&rig.machine, 0);
	qmp_rig_pump(&rig);
}

/* What another client waited for is done inside of a command: that client goes on after it. */
static void test_nested_answer(void **state)
{
	int fd = client(), other = client();
	(void)state;

	say(fd, add);
	say(fd, STATUS);
	assert_string_equal(hear(fd), "");
	rig.machine.on_pause = nested_answer;
	say(other, "{\"execute\": \"stop\", \"id\": \"a long id\"}");
	assert_string_equal(hear(other), "{\"return\": {}, \"id\": \"a long id\"}\r\n");
	usleep(3000);
	assert_string_equal(hear(fd), DONE TARGET);
	close(fd);
	close(other);
	qmp_rig_pump(&rig);
}

/* Clients come and go without end; too many at a time are shown out. */
static void test_client_count(void **state)
{
	static int fds[140];
	(void)state;

	for (unsigned round = 0; round < 2; round++) {
		unsigned served = 0;

		for (unsigned i = 0; i < 140; i++) {
			fds[i] = qmp_rig_dial(&rig);
			served += strstr(hear(fds[i]), "QMP") != NULL;
		}
		for (unsigned i = 0; i < 140; i++)
			close(fds[i]);
		qmp_rig_pump(&rig);
		assert_int_equal(served, 128);
	}
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, qmp_rig_setup, qmp_rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_greeting),
		TEST(test_pieces),
		TEST(test_many_clients),
		TEST(test_held),
		TEST(test_not_held),
		TEST(test_gone_while_held),
		TEST(test_half_closed),
		TEST(test_reads_late),
		TEST(test_never_reads),
		TEST(test_events_behind_reply),
		TEST(test_nested_loop),
		TEST(test_nested_answer),
		TEST(test_client_count),
		TEST(test_long_reply),
		TEST(test_garbage),
		TEST(test_fd_passing),
		TEST(test_stale_fds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
