/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_inherited.c - sockets that are handed over by number: what is none of them is told, each has
 * one owner, and both users serve on them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <portcullis/chardev.h>
#include <portcullis/devices.h>
#include <portcullis/loop.h>
#include <portcullis/process.h>
#include <portcullis/serial.h>
#include <portcullis/sys.h>
#include <portcullis/unixsock.h>

#include "../../src/qmp/listen.h"
#include "cmdline_fixture.h"
#include "says.h"

#define HIGH 30 /* numbers from here on are free */

static struct sockaddr_in address;

/* A new stream socket with that number. */
static void make_socket(int fd, int type)
{
	int made = socket(AF_INET, type, 0);

	assert_int_equal(dup2(made, fd), fd);
	close(made);
}

static void make_listener(int fd)
{
	socklen_t len = sizeof(address);

	make_socket(fd, SOCK_STREAM);
	address = (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(listen(fd, 5), 0);
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void check(const char *line, int code, const char *text, const char *hint)
{
	struct cmdline c;
	struct err err = { 0 };

	cmdline_parse(&c, line);
	if (c.ret)
		fail_msg("%s", c.err.text);
	assert_int_equal(inherited_take(&c.config, &err), -code);
	assert_says(err.text, text);
	if (hint)
		assert_says(err.hint, hint);
	cmdline_release(&c);
}

static void what_they_are(void **state)
{
	int file = open("/dev/null", O_RDONLY), pair[2];
	(void)state;

	assert_int_equal(dup2(file, HIGH), HIGH);
	make_socket(HIGH + 1, SOCK_STREAM);
	make_socket(HIGH + 2, SOCK_DGRAM);
	make_listener(HIGH + 3);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], HIGH + 4), HIGH + 4);
	close(HIGH + 5);
	check("-kernel k -qmp unix:fd=35,server,nowait", EBADF, "-qmp: fd 35 is not open",
		"close-on-exec");
	check("-kernel k -qmp unix:fd=30,server", ENOTSOCK, "-qmp: fd 30 is not a socket", NULL);
	check("-kernel k -qmp unix:fd=31,server", EINVAL, "fd 31 is not a listening socket",
		"listen()");
	check("-kernel k -qmp unix:fd=32,server", EINVAL, "fd 32 is not a stream socket", NULL);
	check("-kernel k -qmp unix:fd=34,server", EINVAL, "fd 34 is not a listening", NULL);
	check("-kernel k -serial unix:fd=33", EINVAL, "-serial: fd 33 is a listening socket",
		"server=on");
	check("-kernel k -serial unix:fd=31", EINVAL, "-serial: fd 31 is not connected", NULL);
	check("-kernel k -object iommufd,id=i,fd=35", EBADF, "-object: fd 35 is not open", NULL);
	check("-kernel k -device vfio-pci,id=v,host=1:0.0,iommufd=i,fd=35", EBADF,
		"-device: fd 35 is not open", NULL);
	check("-kernel k -qmp unix:fd=0,server", EINVAL, "-qmp: fd 0 is this program's own", NULL);
	check("-kernel k -serial unix:fd=2", EINVAL, "-serial: fd 2 is this program's own", NULL);
	check("-kernel k -object iommufd,id=i,fd=1", EINVAL, "-object: fd 1 is this", NULL);
	check("-kernel k -device vfio-pci,id=v,host=1:0.0,iommufd=i,fd=0", EINVAL,
		"-device: fd 0 is this program's own", NULL);
	check("-kernel k -qmp unix:fd=33,server,nowait -serial unix:fd=34", 0, "", NULL);
	for (int fd = HIGH; fd < HIGH + 5; fd++)
		close(fd);
	close(file);
	close(pair[0]);
	close(pair[1]);
}

static void one_owner(void **state)
{
	(void)state;
	make_listener(HIGH);
	check("-kernel k -qmp unix:fd=30,server,nowait -serial unix:fd=30,server,nowait", EINVAL,
		"fd 30 is handed over once, but -qmp and -serial name it", NULL);
	check("-kernel k -qmp unix:fd=30,server,nowait -qmp unix:fd=30,server,nowait", EINVAL,
		"-qmp and -qmp name it", NULL);
	check("-kernel k -serial unix:fd=30,server,nowait -object iommufd,id=i,fd=30", EINVAL,
		"-serial and -object name it", NULL);
	check("-kernel k -object iommufd,id=i,fd=30 -device vfio-pci,id=v,host=1:0.0,fd=30", EINVAL,
		"-object and -device name it", NULL);
	close(HIGH);
}

/* Numbers from FD_ZONE_DEVICE on mean something to the filters. */
static void qmp_listens(void **state)
{
	static const int numbers[] = { HIGH, FD_ZONE_DEVICE + 5 };
	(void)state;

	assert_int_equal(sys_fd_limit(), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct config_qmp config = { .kind = QMP_FD, .fd = numbers[i] };
		struct listen_socket s;
		struct err err = { 0 };
		int client, served;

		make_listener(numbers[i]);
		if (listen_open(&s, &config, &err))
			fail_msg("%s", err.text);
		assert_true(s.fd < FD_ZONE_DEVICE);
		assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
		assert_true(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
		assert_int_equal(listen_accept(&s, NULL), -EAGAIN);
		client = dial();
		served = listen_accept(&s, NULL);
		assert_true(served >= 0);
		close(served);
		close(client);
		listen_close(&s, NULL);
		assert_int_equal(fcntl(numbers[i], F_GETFD), -1);
	}
}

/* Taken on failure, too. */
static void qmp_refuses(void **state)
{
	struct config_qmp config = { .kind = QMP_FD, .fd = HIGH };
	struct listen_socket s;
	struct err err = { 0 };
	(void)state;

	make_socket(HIGH, SOCK_STREAM);
	assert_int_equal(listen_open(&s, &config, &err), -EINVAL);
	assert_int_equal(fcntl(HIGH, F_GETFD), -1);
	assert_int_equal(listen_open(&s, &config, &err), -EBADF);
}

struct console {
	struct loop loop;
	struct serial serial;
	int irq_fd;
	struct chardev *c;
};

static void console_open(struct console *b, enum chardev_kind kind)
{
	struct chardev_options o = { .kind = kind, .fd = HIGH };
	struct err err = { 0 };

	assert_int_equal(loop_init(&b->loop), 0);
	b->irq_fd = sys_eventfd();
	assert_int_equal(serial_init(&b->serial, b->irq_fd, &b->loop), 0);
	if (chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, &err))
		fail_msg("%s", err.text);
}

/* The guest's byte arrives outside. */
static void console_speaks(struct console *b, int outside)
{
	struct io_access out = { .offset = 0, .size = 1, .write = true, .data = 'x' };
	char got = 0;

	for (unsigned i = 0; i < 20; i++)
		loop_step(&b->loop, 0);
	serial_access(&b->serial, &out);
	/* The port looks a few milliseconds later whether there is more. */
	for (unsigned i = 0; i < 10000 && recv(outside, &got, 1, MSG_DONTWAIT) < 0; i++)
		loop_step(&b->loop, 1);
	assert_int_equal(got, 'x');
	close(outside);
}

static void console_close(struct console *b)
{
	chardev_free(b->c);
	serial_release(&b->serial);
	sys_close(b->irq_fd);
	loop_release(&b->loop);
	assert_int_equal(fcntl(HIGH, F_GETFD), -1);
}

/* And the name of a socket that somebody else has bound stays. */
static void serial_serves(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct console b = { 0 };
	int made, client;
	(void)state;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/portcullis-inherited-%d", getpid());
	made = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(made, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(made, 1), 0);
	assert_int_equal(dup2(made, HIGH), HIGH);
	close(made);
	console_open(&b, CHARDEV_UNIX_SERVER);
	for (unsigned i = 0; i < 2; i++) { /* one after the other */
		client = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
		console_speaks(&b, client);
	}
	console_close(&b);
	assert_int_equal(unlink(addr.sun_path), 0);
}

static void serial_is_connected(void **state)
{
	struct console b = { 0 };
	int pair[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(dup2(pair[0], HIGH), HIGH);
	close(pair[0]);
	console_open(&b, CHARDEV_UNIX_CLIENT);
	console_speaks(&b, pair[1]);
	console_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_they_are),
		cmocka_unit_test(one_owner),
		cmocka_unit_test(qmp_listens),
		cmocka_unit_test(qmp_refuses),
		cmocka_unit_test(serial_serves),
		cmocka_unit_test(serial_is_connected),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
