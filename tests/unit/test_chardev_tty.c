/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_chardev_tty.c - standard input and output as a serial port. The program is a child on a
 * pseudo terminal (or on pipes) with a guest that echoes; the test is the user, and the shell that
 * shares the terminal's open file description.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <portcullis/chardev.h>
#include <portcullis/err.h>
#include <portcullis/serial.h>
#include <portcullis/sys.h>

#define WAIT_MS 5000
#define GUEST_QUIT '~' /* the echoing guest ends the child when it gets this */

/* --- the child: a machine of one serial port --- */

struct child {
	struct loop loop;
	struct serial serial;
	bool quit, guest_quit;
};

static uint64_t in(struct child *c, uint64_t reg)
{
	struct io_access a = { .offset = reg, .size = 1 };

	serial_access(&c->serial, &a);
	return a.data;
}

static void out(struct child *c, uint64_t reg, uint8_t value)
{
	struct io_access a = { .offset = reg, .size = 1, .write = true, .data = value };

	serial_access(&c->serial, &a);
}

static void echo(struct child *c)
{
	while (in(c, 5) == 0x61) {
		uint8_t byte = (uint8_t)in(c, 0);

		if (byte == GUEST_QUIT)
			c->guest_quit = true;
		out(c, 0, byte);
	}
}

static void on_quit(void *opaque)
{
	((struct child *)opaque)->quit = true;
}

/* Exit status: 10 Ctrl-A X, 11 the guest's wish, 12 chardev_new() failed, 13 out of time. */
static int child_main(const char *greeting)
{
	static struct child c;
	const struct chardev_options options = { .kind = CHARDEV_STDIO };
	struct chardev *chardev;
	struct err err = { 0 };

	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&c.loop) || serial_init(&c.serial, sys_eventfd(), &c.loop) ||
		chardev_new(&chardev, &options, &c.serial, &c.loop, on_quit, &c, &err))
		return 12;
	out(&c, 2, 1);
	for (const char *p = greeting; *p; p++)
		out(&c, 0, (uint8_t)*p);
	for (unsigned i = 0; i < WAIT_MS && !c.quit && !c.guest_quit; i++) {
		loop_step(&c.loop, 1);
		echo(&c);
	}
	chardev_free(chardev);
	serial_release(&c.serial);
	loop_release(&c.loop);
	return c.quit ? 10 : c.guest_quit ? 11 : 13;
}

/* --- the user --- */

struct terminal {
	int master, slave; /* slave: the shell's, the same open file description as the child's */
	pid_t pid;
	struct termios before;
};

enum job { FOREGROUND, BACKGROUND, NO_JOB /* the terminal does not control it */ };

static void start_on_terminal(struct terminal *t, enum job job)
{
	assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, NULL), 0);
	tcgetattr(t->slave, &t->before);
	t->pid = fork();
	if (t->pid)
		return;
	close(t->master);
	setsid();
	if (job != NO_JOB)
		ioctl(t->slave, TIOCSCTTY, 0);
	if (job == BACKGROUND) {
		/* Our parent in the session has the terminal; we are another process group. */
		if (fork())
			pause();
		setpgid(0, 0);
	}
	dup2(t->slave, 0);
	dup2(t->slave, 1);
	_exit(child_main("up\r\n"));
}

static void stop(struct terminal *t)
{
	close(t->master);
	close(t->slave);
}

/* Reads until text has come. */
static void expect(int fd, const char *text)
{
	char buf[4096];
	size_t n = 0;

	while (n < sizeof(buf) - 1) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t r = poll(&p, 1, WAIT_MS) == 1 ? read(fd, buf + n, sizeof(buf) - 1 - n) : -1;

		if (r <= 0)
			break;
		n += (size_t)r;
		buf[n] = '\0';
		if (strstr(buf, text))
			return;
	}
	buf[n] = '\0';
	fail_msg("'%s' did not come, but '%s'", text, buf);
}

static void type(int fd, const char *keys)
{
	assert_int_equal(write(fd, keys, strlen(keys)), strlen(keys));
}

static int exit_status(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_restored(const struct terminal *t)
{
	struct termios now;

	assert_int_equal(tcgetattr(t->slave, &now), 0);
	assert_int_equal(now.c_lflag, t->before.c_lflag);
	assert_int_equal(now.c_iflag, t->before.c_iflag);
	assert_int_equal(now.c_oflag, t->before.c_oflag);
	assert_int_equal(fcntl(t->slave, F_GETFL) & O_NONBLOCK, 0);
}

static void test_keys(void **state)
{
	struct terminal t;
	struct termios raw;

	(void)state;
	start_on_terminal(&t, FOREGROUND);
	expect(t.master, "up\r");
	tcgetattr(t.slave, &raw);
	assert_int_equal(raw.c_lflag & (ISIG | ICANON | ECHO), 0);
	/* The shell would find its terminal broken otherwise. */
	assert_int_equal(fcntl(t.slave, F_GETFL) & O_NONBLOCK, 0);
	type(t.master, "abc");
	expect(t.master, "abc");
	type(t.master, "\x03\x1a\x1c|"); /* Ctrl-C, Ctrl-Z, Ctrl-\ are the guest's */
	expect(t.master, "\x03\x1a\x1c|");
	type(t.master, "\x01"
		       "a<\x01\x01>");
	expect(t.master, "\x01<\x01>");
	type(t.master, "\x01");
	type(t.master, "h"); /* in two reads */
	expect(t.master, "end the virtual machine");
	type(t.master, "\x01q+"); /* unknown: nothing, and the escape is over */
	expect(t.master, "+");
	type(t.master, "\x01x");
	assert_int_equal(exit_status(t.pid), 10);
	check_restored(&t);
	stop(&t);
}

static void test_guest_ends(void **state)
{
	struct terminal t;
	struct termios raw;

	(void)state;
	start_on_terminal(&t, NO_JOB);
	expect(t.master, "up");
	tcgetattr(t.slave, &raw);
	assert_int_equal(raw.c_lflag & (ISIG | ICANON | ECHO), 0);
	type(t.master, "bye~");
	assert_int_equal(exit_status(t.pid), 11);
	expect(t.master, "bye~"); /* the last words came out */
	check_restored(&t);
	stop(&t);
}

/* As a background job it prints, and leaves the terminal's settings and input alone. */
static void test_background(void **state)
{
	struct terminal t;
	struct termios now;

	(void)state;
	start_on_terminal(&t, BACKGROUND);
	expect(t.master, "up");
	tcgetattr(t.slave, &now);
	assert_int_equal(now.c_lflag, t.before.c_lflag);
	type(t.master, "\x01x");
	usleep(50000);
	kill(t.pid, SIGKILL);
	waitpid(t.pid, NULL, 0);
	stop(&t);
}

struct pipes {
	int to, from;
	pid_t pid;
};

/* kind: 'p' pipe, 's' socket, or the child's standard input is the file of that name. */
static void start_on_pipes(struct pipes *p, char kind, const char *file, const char *greeting)
{
	int input[2] = { -1, -1 }, output[2];

	if (kind == 's') {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, output), 0);
	} else {
		assert_int_equal(pipe(output), 0);
		assert_int_equal(pipe(input), 0);
	}
	p->to = kind == 's' ? output[0] : input[1];
	p->from = output[0];
	p->pid = fork();
	if (p->pid)
		close(output[1]);
	if (p->pid && kind != 's')
		close(input[0]);
	if (p->pid)
		return;
	close(p->to);
	close(p->from);
	dup2(file ? open(file, O_RDONLY) : kind == 's' ? output[1] : input[0], 0);
	dup2(output[1], 1);
	close(output[1]);
	_exit(child_main(greeting));
}

static void test_pipes(void **state)
{
	const char kinds[] = { 'p', 's' };

	(void)state;
	for (unsigned i = 0; i < sizeof(kinds); i++) {
		struct pipes p;

		start_on_pipes(&p, kinds[i], NULL, "up");
		expect(p.from, "up");
		type(p.to, "\x01x\x01"
			   "a"); /* no terminal, no keys of ours */
		expect(p.from, "\x01x\x01"
			       "a");
		type(p.to, "~");
		assert_int_equal(exit_status(p.pid), 11);
		close(p.to);
	}
}

/* The end of input ends nothing; a file is read like a pipe. */
static void test_end_of_input(void **state)
{
	char file[] = "/tmp/portcullis-test-XXXXXX";
	int fd = mkstemp(file);
	struct pipes p;

	(void)state;
	assert_int_equal(write(fd, "from a file, longer than one FIFO", 33), 33);
	start_on_pipes(&p, 'p', file, "up");
	expect(p.from, "from a file, longer than one FIFO");
	close(p.to);
	usleep(50000);
	assert_int_equal(waitpid(p.pid, NULL, WNOHANG), 0);
	kill(p.pid, SIGKILL);
	waitpid(p.pid, NULL, 0);
	close(p.from);
	start_on_pipes(&p, 'p', "/dev/null", "up");
	expect(p.from, "up");
	assert_int_equal(waitpid(p.pid, NULL, WNOHANG), 0);
	kill(p.pid, SIGKILL);
	waitpid(p.pid, NULL, 0);
	close(p.from);
	close(p.to);
	close(fd);
	unlink(file);
}

/* Nobody reads what the guest prints: full pipe first, then a closed one. Input goes on. */
static void test_stuck_output(void **state)
{
	static char flood[SERIAL_RING + 1];
	struct pipes p;
	char buf[4096];
	ssize_t n, total = 0;

	(void)state;
	memset(flood, 'f', SERIAL_RING);
	start_on_pipes(&p, 'p', NULL, flood);
	usleep(100000);
	assert_int_equal(waitpid(p.pid, NULL, WNOHANG), 0);
	while (total < SERIAL_RING && (n = read(p.from, buf, sizeof(buf))) > 0)
		total += n;
	assert_int_equal(total, SERIAL_RING);
	close(p.from);
	type(p.to, "into the void");
	usleep(50000);
	type(p.to, "~");
	assert_int_equal(exit_status(p.pid), 11);
	close(p.to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_guest_ends),
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_pipes),
		cmocka_unit_test(test_end_of_input),
		cmocka_unit_test(test_stuck_output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
