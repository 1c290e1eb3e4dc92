/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_qmp_listen.c - control sockets as they come into being and go: names, modes, ports.
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
#include <sys/un.h>
#include <unistd.h>

#include "qmp_rig.h"

#include "../../src/qmp/wire.h"

static struct qmp_rig rig;

/* A client is greeted. */
static void served(int fd)
{
	char text[64] = { 0 };

	for (unsigned i = 0; i < 1000 && recv(fd, text, sizeof(text) - 1, 0) < 0; i++) {
		usleep(1000);
		qmp_rig_pump(&rig);
	}
	assert_memory_equal(text, "{\"QMP\"", 6);
	close(fd);
	qmp_rig_pump(&rig);
}

static void test_mode(void **state)
{
	struct stat st;
	(void)state;

	assert_int_equal(stat(rig.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	qmp_free(rig.qmp);
	rig.qmp = NULL;
	assert_int_equal(stat(rig.path, &st), -1);
}

static int try_open(struct err *err)
{
	struct qmp *second = NULL;
	int ret = qmp_open(&second, &rig.config, err);

	qmp_free(second);
	return ret;
}

static void test_live_socket(void **state)
{
	struct err err = { 0 };
	(void)state;

	assert_int_equal(try_open(&err), -EADDRINUSE);
	assert_non_null(strstr(err.text, rig.path));
	served(qmp_rig_dial(&rig)); /* and it still is the first one's */
}

static void test_stale_socket(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct err err = { 0 };
	int fd;
	(void)state;

	qmp_free(rig.qmp);
	rig.qmp = NULL;
	strcpy(addr.sun_path, rig.path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(access(rig.path, F_OK), 0);
	assert_int_equal(try_open(&err), 0);
	assert_int_not_equal(access(rig.path, F_OK), 0);
}

static void test_file_in_the_way(void **state)
{
	struct err err = { 0 };
	int fd;
	(void)state;

	qmp_free(rig.qmp);
	rig.qmp = NULL;
	fd = open(rig.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(try_open(&err), -EEXIST);
	assert_int_equal(access(rig.path, F_OK), 0);
	unlink(rig.path);
	rig.sockets[0].path = (char *)(uintptr_t) "/nonexistent/qmp";
	assert_int_equal(try_open(&err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/qmp"));
	assert_non_null(strstr(err.hint, "mkdir -p /nonexistent"));
}

/* Somebody else's socket under our name is not removed at the end. */
static void test_name_not_ours(void **state)
{
	int fd;
	(void)state;

	unlink(rig.path);
	fd = open(rig.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	qmp_free(rig.qmp);
	rig.qmp = NULL;
	assert_int_equal(access(rig.path, F_OK), 0);
	unlink(rig.path);
}

static int free_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void test_tcp(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct err err = { 0 };
	int fd, port = free_port();
	(void)state;

	qmp_free(rig.qmp);
	rig.sockets[1] = (struct config_qmp){
		.kind = QMP_TCP, .host = (char *)(uintptr_t) "127.0.0.1", .port = (uint16_t)port
	};
	rig.config.n_qmp = 2;
	if (qmp_open(&rig.qmp, &rig.config, &err) || qmp_serve(rig.qmp, &rig.machine, &err))
		fail_msg("%s", err.text);
	addr.sin_port = htons((uint16_t)port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	served(fd);
	served(qmp_rig_dial(&rig)); /* the unix socket beside it */
	/* the port is taken */
	rig.sockets[0] = rig.sockets[1];
	rig.config.n_qmp = 1;
	assert_int_equal(try_open(&err), -EADDRINUSE);
	rig.sockets[0] = (struct config_qmp){ .kind = QMP_UNIX, .path = rig.path };
}

static void test_nothing_asked(void **state)
{
	struct qmp *none = rig.qmp;
	(void)state;

	rig.config.n_qmp = 0;
	assert_int_equal(qmp_open(&none, &rig.config, NULL), 0);
	assert_null(none);
	assert_int_equal(qmp_serve(NULL, &rig.machine, NULL), 0);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, qmp_rig_setup, qmp_rig_teardown, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mode),
		TEST(test_live_socket),
		TEST(test_stale_socket),
		TEST(test_file_in_the_way),
		TEST(test_name_not_ours),
		TEST(test_tcp),
		TEST(test_nothing_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
