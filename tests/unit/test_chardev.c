/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_chardev.c - sockets and files as the host's end of a serial port: nothing lost, nobody waits
 * for anybody, and bad paths are told. Terminals are test_chardev_tty.c's.
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
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <portcullis/chardev.h>
#include <portcullis/err.h>
#include <portcullis/serial.h>
#include <portcullis/sys.h>

#include "says.h"
#include "slow_close.h"

#define MEGABYTE 1000000u
#define STEPS 4000000u /* rounds before a transfer counts as stuck */

struct bench {
	struct loop loop;
	struct serial serial;
	int irq_fd;
	struct chardev *c;
	char directory[64], path[128];
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct io_access rts = { .offset = 4, .size = 1, .write = true, .data = 2 };

	signal(SIGPIPE, SIG_IGN);
	strcpy(b->directory, "/tmp/portcullis-test-XXXXXX");
	assert_non_null(mkdtemp(b->directory));
	snprintf(b->path, sizeof(b->path), "%s/serial", b->directory);
	assert_int_equal(loop_init(&b->loop), 0);
	b->irq_fd = sys_eventfd();
	assert_int_equal(serial_init(&b->serial, b->irq_fd, &b->loop), 0);
	serial_access(&b->serial, &rts);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	chardev_free(b->c);
	serial_release(&b->serial);
	sys_close(b->irq_fd);
	loop_release(&b->loop);
	unlink(b->path);
	assert_int_equal(rmdir(b->directory), 0);
	free(b);
	return 0;
}

static void open_as(struct bench *b, enum chardev_kind kind)
{
	struct chardev_options o = { .kind = kind, .path = b->path };
	struct err err = { 0 };

	if (chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, &err))
		fail_msg("%s", err.text);
}

static void refused(
	struct bench *b, enum chardev_kind kind, const char *path, int code, const char *text)
{
	struct chardev_options o = { .kind = kind, .path = path };
	struct err err = { 0 };

	assert_int_equal(chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, &err), -code);
	assert_says(err.text, text);
	assert_null(b->c);
}

/* --- the guest: a driver that polls --- */

static uint8_t in(struct bench *b, uint64_t reg)
{
	struct io_access a = { .offset = reg, .size = 1 };

	serial_access(&b->serial, &a);
	return (uint8_t)a.data;
}

static void out(struct bench *b, uint64_t reg, uint8_t value)
{
	struct io_access a = { .offset = reg, .size = 1, .write = true, .data = value };

	serial_access(&b->serial, &a);
}

static size_t guest_read(struct bench *b, uint8_t *buf, size_t size)
{
	size_t n = 0;

	while (n < size && in(b, 5) & 1)
		buf[n++] = in(b, 0);
	return n;
}

static size_t guest_write(struct bench *b, const uint8_t *buf, size_t size)
{
	size_t n = 0;

	while (n < size && in(b, 5) & 0x20)
		for (unsigned i = 0; i < 16 && n < size; i++)
			out(b, 0, buf[n++]);
	return n;
}

static void guest_says(struct bench *b, const char *text)
{
	assert_int_equal(guest_write(b, (const uint8_t *)text, strlen(text)), strlen(text));
	for (unsigned i = 0; i < 5; i++)
		loop_step(&b->loop, 5);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 2654435761u >> 13);
}

static uint8_t *message(void)
{
	uint8_t *m = malloc(MEGABYTE);

	for (size_t i = 0; i < MEGABYTE; i++)
		m[i] = pattern(i);
	return m;
}

static bool is_pattern(const uint8_t *buf, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (buf[i] != pattern(from + i))
			return false;
	}
	return true;
}

/* --- the outside --- */

static int unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static struct sockaddr_un address(const struct bench *b)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, b->path);
	return a;
}

static int client(struct bench *b)
{
	struct sockaddr_un a = address(b);
	int fd = unix_socket();

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	loop_step(&b->loop, 0);
	return fd;
}

static void hears(struct bench *b, int fd, const char *text)
{
	char buf[1000];
	ssize_t n;

	loop_step(&b->loop, 0);
	n = read(fd, buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = '\0';
	assert_string_equal(buf, text);
}

static void test_paste(void **state)
{
	struct bench *b = *state;
	uint8_t *m = message(), got[7];
	size_t sent = 0, received = 0, rounds = 0;
	int fd;

	open_as(b, CHARDEV_UNIX_SERVER);
	fd = client(b);
	out(b, 2, 1);
	/* The reader is slower than the writer in every round. */
	while (received < MEGABYTE && rounds++ < STEPS) {
		ssize_t n = write(fd, m + sent, MEGABYTE - sent);

		sent += n > 0 ? (size_t)n : 0;
		loop_step(&b->loop, 0);
		n = (ssize_t)guest_read(b, got, sizeof(got));
		assert_true(is_pattern(got, received, (size_t)n));
		received += (size_t)n;
	}
	assert_int_equal(received, MEGABYTE);
	close(fd);
	free(m);
}

/* A client sends files along, one of them with a close() that waits. */
static void test_files_of_clients(void **state)
{
	static struct slow_close slow;
	struct bench *b = *state;
	struct chardev_options o = {
		.kind = CHARDEV_UNIX_SERVER, .path = b->path, .closer = &slow.closer
	};
	uint8_t got[8];
	int fd;

	slow_close_start(&slow);
	assert_int_equal(chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, NULL), 0);
	out(b, 2, 1);
	fd = client(b);
	slow_close_send(&slow, fd, "abc", 3);
	for (unsigned i = 0; i < 20 && !closer_busy(&slow.closer); i++)
		loop_step(&b->loop, 1);
	slow_close_expect(&slow);
	assert_int_equal(guest_read(b, got, sizeof(got)), 3);
	close(fd);
	chardev_free(b->c);
	b->c = NULL;
	slow_close_stop(&slow);
}

static void test_slow_client(void **state)
{
	struct bench *b = *state;
	uint8_t *m = message(), got[4000];
	size_t sent = 0, received = 0, rounds = 0, waits = 0;
	int fd, small = 4096;

	open_as(b, CHARDEV_UNIX_SERVER);
	fd = client(b);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	out(b, 2, 1);
	while (received < MEGABYTE && rounds++ < STEPS) {
		size_t n = guest_write(b, m + sent, MEGABYTE - sent);
		ssize_t r;

		sent += n;
		waits += sent < MEGABYTE && n == 0;
		loop_step(&b->loop, 0);
		if (rounds % 4)
			continue;
		r = read(fd, got, sizeof(got));
		if (r <= 0)
			continue;
		assert_true(is_pattern(got, received, (size_t)r));
		received += (size_t)r;
	}
	assert_int_equal(received, MEGABYTE);
	assert_true(waits > 0); /* the guest did see a busy transmitter */
	close(fd);
	free(m);
}

/* A guest on a thread of its own echoes what it gets; main runs the loop; the client is a third. */
struct echo {
	struct bench *b;
	int fd;
	_Atomic bool listens; /* turning the FIFO on empties it: what came before would be lost */
	_Atomic bool stop;
	size_t echoed, received;
	bool good;
};

static void *echo_guest(void *opaque)
{
	struct echo *e = opaque;
	uint8_t buf[64];

	out(e->b, 2, 1);
	out(e->b, 1, 1);
	e->listens = true;
	while (!e->stop) {
		size_t n = guest_read(e->b, buf, sizeof(buf)), done = 0;

		while (done < n && !e->stop)
			done += guest_write(e->b, buf + done, n - done);
		e->echoed += n;
		if (n == 0)
			usleep(50);
	}
	return NULL;
}

static void *echo_client(void *opaque)
{
	struct echo *e = opaque;
	uint8_t buf[2048];
	size_t sent = 0, size = MEGABYTE / 10;

	e->good = true;
	while (!e->listens)
		usleep(100);
	while (e->received < size && e->good) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(sent + i);
		ssize_t n = sent < size
				    ? write(e->fd, buf,
					      size - sent < sizeof(buf) ? size - sent : sizeof(buf))
				    : 0;

		sent += n > 0 ? (size_t)n : 0;
		n = read(e->fd, buf, sizeof(buf));
		if (n > 0) {
			e->good = is_pattern(buf, e->received, (size_t)n);
			e->received += (size_t)n;
		} else {
			usleep(100);
		}
	}
	e->stop = true;
	return NULL;
}

static void test_threads(void **state)
{
	struct bench *b = *state;
	struct echo e = { .b = b };
	pthread_t guest, outside;

	open_as(b, CHARDEV_UNIX_SERVER);
	e.fd = client(b);
	pthread_create(&guest, NULL, echo_guest, &e);
	pthread_create(&outside, NULL, echo_client, &e);
	while (!e.stop)
		loop_step(&b->loop, 5);
	pthread_join(guest, NULL);
	pthread_join(outside, NULL);
	assert_true(e.good);
	assert_int_equal(e.received, MEGABYTE / 10);
	close(e.fd);
}

/*
 * `cat script | socat - UNIX:...` while the guest prints: the output fails, and the guest, which is
 * the slower one, gets it all.
 */
static void test_leaving(void **state)
{
	struct bench *b = *state;
	uint8_t *m = message(), got[16];
	size_t n, received;
	int fd;

	open_as(b, CHARDEV_UNIX_SERVER);
	out(b, 2, 1);
	for (unsigned round = 0; round < 3; round++) {
		fd = client(b);
		assert_int_equal(write(fd, m, 20000), 20000);
		close(fd);
		received = 0;
		for (unsigned i = 0; i < 20000 && received < 20000; i++) {
			assert_true(guest_write(b, (const uint8_t *)"login: ", 7) <= 7);
			loop_step(&b->loop, 0);
			n = guest_read(b, got, sizeof(got));
			assert_true(is_pattern(got, received, n));
			received += n;
		}
		assert_int_equal(received, 20000);
	}
	/* A guest that takes nothing keeps nobody from the console. */
	fd = client(b);
	assert_int_equal(write(fd, m, 20000), 20000);
	close(fd);
	guest_says(b, "again: ");
	fd = client(b);
	guest_says(b, "and again: ");
	hears(b, fd, "and again: ");
	close(fd);
	free(m);
}

static void test_clients(void **state)
{
	struct bench *b = *state;
	struct stat st;
	uint8_t got[20];
	int first, second;

	open_as(b, CHARDEV_UNIX_SERVER);
	assert_int_equal(stat(b->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	guest_says(b, "lost: nobody is there");
	first = client(b);
	hears(b, first, "");
	guest_says(b, "one");
	hears(b, first, "one");
	second = client(b); /* waits in the queue */
	assert_int_equal(write(second, "2", 1), 1);
	guest_says(b, "still one");
	hears(b, first, "still one");
	hears(b, second, "");
	assert_int_equal(guest_read(b, got, sizeof(got)), 0);
	assert_int_equal(write(first, "bye", 3), 3);
	close(first);
	for (unsigned i = 0; i < 8; i++)
		loop_step(&b->loop, 2);
	/* Without a FIFO the guest gets byte after byte; the first client's come first. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(guest_read(b, got + i, 1), 1);
		for (unsigned j = 0; j < 4; j++)
			loop_step(&b->loop, 2);
	}
	assert_memory_equal(got, "bye2", 4);
	guest_says(b, "two");
	hears(b, second, "two");
	close(second);
	/* A client that goes while the guest writes to it is no harm. */
	guest_says(b, "nobody");
	guest_says(b, "nobody");
	chardev_free(b->c);
	b->c = NULL;
	assert_int_equal(stat(b->path, &st), -1);
}

static void test_last_words(void **state)
{
	struct bench *b = *state;
	int fd;

	open_as(b, CHARDEV_UNIX_SERVER);
	fd = client(b);
	assert_int_equal(guest_write(b, (const uint8_t *)"power down", 10), 10);
	chardev_free(b->c);
	b->c = NULL;
	hears(b, fd, "power down");
	close(fd);
}

static void test_stale_socket(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un a = address(b);
	int fd = unix_socket(), live = unix_socket();
	struct stat st;

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd); /* the name stays behind */
	open_as(b, CHARDEV_UNIX_SERVER);
	close(client(b));
	/* Somebody else took the name meanwhile: it is not ours to remove. */
	unlink(b->path);
	assert_int_equal(bind(live, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(live, 1), 0);
	chardev_free(b->c);
	b->c = NULL;
	assert_int_equal(stat(b->path, &st), 0);
	refused(b, CHARDEV_UNIX_SERVER, b->path, EADDRINUSE, "in use by a running program");
	assert_int_equal(stat(b->path, &st), 0);
	close(live);
}

static void test_bad_paths(void **state)
{
	struct bench *b = *state;
	char long_path[200];
	int fd;

	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	refused(b, CHARDEV_UNIX_SERVER, long_path, ENAMETOOLONG, "longer than 107 bytes");
	refused(b, CHARDEV_UNIX_CLIENT, long_path, ENAMETOOLONG, "longer than 107 bytes");
	refused(b, CHARDEV_UNIX_SERVER, "/nonexistent/s", ENOENT, "'/nonexistent/s'");
	refused(b, CHARDEV_UNIX_CLIENT, b->path, ENOENT, "cannot connect");
	refused(b, CHARDEV_FILE, "/nonexistent/f", ENOENT, "'/nonexistent/f'");
	refused(b, CHARDEV_FILE, b->directory, EISDIR, b->directory);
	fd = open(b->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	refused(b, CHARDEV_UNIX_SERVER, b->path, EEXIST, "is not a socket");
	unlink(b->path);
	assert_int_equal(mkfifo(b->path, 0600), 0);
	refused(b, CHARDEV_FILE, b->path, ENXIO, "nobody reads");
}

static void test_client_side(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un a = address(b);
	int fd = unix_socket(), peer;
	uint8_t got[20];

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	open_as(b, CHARDEV_UNIX_CLIENT);
	peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(peer >= 0);
	guest_says(b, "hello");
	hears(b, peer, "hello");
	out(b, 2, 1);
	assert_int_equal(write(peer, "world", 5), 5);
	loop_step(&b->loop, 0);
	assert_int_equal(guest_read(b, got, sizeof(got)), 5);
	assert_memory_equal(got, "world", 5);
	close(peer);
	close(fd);
	guest_says(b, "to nobody");
	guest_says(b, "to nobody");
}

static void test_wait(void **state)
{
	struct bench *b = *state;
	struct chardev_options o = { .kind = CHARDEV_UNIX_SERVER, .path = b->path, .wait = true };
	struct err err = { 0 };
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct sockaddr_un a = address(b);
		int fd = socket(AF_UNIX, SOCK_STREAM, 0), tries = 1000;
		char buf[3];

		while (connect(fd, (struct sockaddr *)&a, sizeof(a)) && --tries)
			usleep(10000);
		_exit(recv(fd, buf, 3, MSG_WAITALL) == 3 && !memcmp(buf, "hi!", 3) ? 0 : 1);
	}
	assert_int_equal(chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, &err), 0);
	guest_says(b, "hi!"); /* not lost: the client is there */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_file(void **state)
{
	struct bench *b = *state;
	uint8_t *m = message(), *got = malloc(MEGABYTE + 1);
	size_t sent = 0;
	int fd = open(b->path, O_CREAT | O_WRONLY, 0600);

	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	open_as(b, CHARDEV_FILE);
	for (unsigned i = 0; sent < MEGABYTE && i < STEPS; i++) {
		sent += guest_write(b, m + sent, MEGABYTE - sent);
		loop_step(&b->loop, 0);
	}
	chardev_free(b->c);
	b->c = NULL;
	fd = open(b->path, O_RDONLY);
	assert_int_equal(read(fd, got, MEGABYTE + 1), MEGABYTE);
	assert_memory_equal(m, got, MEGABYTE);
	close(fd);
	free(got);
	free(m);
}

/* A full disk: the guest goes on, and so do we. */
static void test_full_disk(void **state)
{
	struct bench *b = *state;
	struct chardev_options o = { .kind = CHARDEV_FILE, .path = "/dev/full" };
	struct err err = { 0 };

	assert_int_equal(chardev_new(&b->c, &o, &b->serial, &b->loop, NULL, NULL, &err), 0);
	for (unsigned i = 0; i < 20; i++)
		guest_says(b, "to nowhere");
	assert_int_equal(b->serial.tx_count, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_paste),
		T(test_files_of_clients),
		T(test_slow_client),
		T(test_threads),
		T(test_leaving),
		T(test_clients),
		T(test_last_words),
		T(test_stale_socket),
		T(test_bad_paths),
		T(test_client_side),
		T(test_wait),
		T(test_file),
		T(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
