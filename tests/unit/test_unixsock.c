/* SPDX-License-Identifier: Apache-2.0 */
/* test_unixsock.c - what is in the way of a unix socket: leftovers go, everything else is named. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>
#include <portcullis/unixsock.h>

static char directory[] = "/tmp/test_unixsock.XXXXXX";
static struct sockaddr_un addr;

static int setup(void **state)
{
	char path[64];
	struct err err = { 0 };

	(void)state;
	strcpy(directory + sizeof(directory) - 7, "XXXXXX");
	if (!mkdtemp(directory) || chmod(directory, 0755))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", directory);
	return unixsock_address(path, "test", &addr, &err);
}

static int teardown(void **state)
{
	(void)state;
	unlink(addr.sun_path);
	return rmdir(directory);
}

/* A socket that is bound there; listening if asked to. */
static int make_socket(bool listening)
{
	struct err err = { 0 };
	int fd = unixsock_new("test", &err);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int make_way(struct err *err)
{
	*err = (struct err){ 0 };
	return unixsock_make_way(&addr, "-test: socket", err);
}

static void test_nothing_there(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(make_way(&err), 0);
}

static void test_stale(void **state)
{
	struct err err;

	(void)state;
	sys_close(make_socket(false));
	assert_int_equal(make_way(&err), 0);
	assert_int_equal(access(addr.sun_path, F_OK), -1);
}

static void test_live(void **state)
{
	int fd = make_socket(true);
	struct err err;

	(void)state;
	/* Also when its queue is full, which answers EAGAIN. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(make_way(&err), -EADDRINUSE);
		assert_non_null(strstr(err.text, "-test: socket '/tmp/test_unixsock."));
		assert_non_null(strstr(err.text, "in use by a running program"));
	}
	assert_int_equal(access(addr.sun_path, F_OK), 0);
	sys_close(fd);
}

/* Somebody else's: it cannot be told whether it is in use, and that is what is said. */
static void test_foreign(void **state)
{
	int fd = make_socket(false), status;
	struct err err;
	pid_t pid;

	(void)state;
	assert_int_equal(chmod(addr.sun_path, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (getuid() == 0 && setuid(65534))
			_exit(2);
		_exit(make_way(&err) == -EACCES && strstr(err.text, "Permission denied") &&
					strstr(err.text, "belongs to uid")
				? 0
				: 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(access(addr.sun_path, F_OK), 0);
	sys_close(fd);
}

static void test_no_socket(void **state)
{
	FILE *file = fopen(addr.sun_path, "w");
	struct err err;

	(void)state;
	assert_non_null(file);
	fclose(file);
	assert_int_equal(make_way(&err), -EEXIST);
	assert_int_equal(access(addr.sun_path, F_OK), 0);
}

static void test_long_path(void **state)
{
	char path[200];
	struct err err = { 0 };
	struct sockaddr_un out;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(unixsock_address(path, "test", &out, &err), -ENAMETOOLONG);
	path[sizeof(out.sun_path)] = '\0';
	assert_int_equal(unixsock_address(path, "test", &out, &err), -ENAMETOOLONG);
	path[sizeof(out.sun_path) - 1] = '\0';
	assert_int_equal(unixsock_address(path, "test", &out, &err), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing_there),
		T(test_stale),
		T(test_live),
		T(test_foreign),
		T(test_no_socket),
		T(test_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
