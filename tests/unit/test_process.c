/* SPDX-License-Identifier: Apache-2.0 */
/* test_process.c - background and pid file, in real processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/err.h>
#include <portcullis/process.h>

#define WAIT_MS 60000

/* What the parent of a daemon printed, and how it ended. */
struct outcome {
	char text[512];
	int status;
};

/* Runs fn in a child that goes to the background first. */
static struct outcome daemon_outcome(void (*fn)(int report), int report)
{
	struct outcome outcome = { .status = -1 };
	struct err err;
	ssize_t n, used = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		if (daemonize(&err) < 0)
			_exit(99);
		fn(report);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], outcome.text + used, sizeof(outcome.text) - 1 - (size_t)used)) > 0)
		used += n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		outcome.status = WEXITSTATUS(status);
	return outcome;
}

static void starts(int report)
{
	static const char warning[] = "portcullis: warning: w\n";
	struct pollfd parent = { .fd = STDERR_FILENO }; /* POLLERR comes unasked */
	char late[64] = "";

	if (write(STDERR_FILENO, warning, sizeof(warning) - 1) < 0)
		_exit(1);
	daemon_started();
	/* Standard error leads nowhere as soon as the parent has ended, and hurts nobody. */
	(void)poll(&parent, 1, WAIT_MS);
	if (write(STDERR_FILENO, "late", 4) == 4)
		strcpy(late, "late message got through ");
	dprintf(report, "%s%d %d", late, getsid(0) != getppid() && getsid(0) != getpid(),
		isatty(STDIN_FILENO));
}

static void daemon_that_starts(void **state)
{
	struct outcome outcome;
	char told[64];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	outcome = daemon_outcome(starts, fds[1]);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.text, "portcullis: warning: w\n");
	close(fds[1]);
	n = read(fds[0], told, sizeof(told) - 1); /* waits for the daemon's end */
	assert_true(n > 0);
	told[n] = '\0';
	assert_string_equal(told, "1 0");
	close(fds[0]);
}

static void fails(int report)
{
	static const char error[] = "portcullis: no such kernel\n";

	(void)report;
	_exit(write(STDERR_FILENO, error, sizeof(error) - 1) < 0 ? 2 : 1);
}

static void daemon_that_fails(void **state)
{
	struct outcome outcome = daemon_outcome(fails, -1);

	(void)state;
	assert_int_equal(outcome.status, 1);
	assert_string_equal(outcome.text, "portcullis: no such kernel\n");
}

static void dies(int report)
{
	(void)report;
	raise(SIGKILL);
}

static void daemon_that_dies(void **state)
{
	struct outcome outcome = daemon_outcome(dies, -1);

	(void)state;
	assert_int_equal(outcome.status, 1);
	assert_string_equal(
		outcome.text, "portcullis: the process ended before the guest started\n");
}

/* A program started without standard fds must not open its own files under their numbers. */
static void missing_std_fds(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		int fd;

		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		if (process_std_fds() < 0)
			_exit(1);
		fd = open("/dev/zero", O_RDONLY);
		_exit(fd > STDERR_FILENO && fcntl(0, F_GETFD) == 0 && fcntl(1, F_GETFD) == 0 &&
					fcntl(2, F_GETFD) == 0
				? 0
				: 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- pid file --- */

static char directory[] = "/tmp/test_process.XXXXXX", path[64];

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/pid", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

static long file_pid(void)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 && text[n - 1] == '\n' ? atol(text) : -1;
}

static void pidfile_lives_and_goes(void **state)
{
	struct pidfile pidfile = { 0 };
	struct err err;

	(void)state;
	assert_int_equal(pidfile_create(&pidfile, path, &err), 0);
	assert_int_equal(file_pid(), getpid());
	pidfile_remove(&pidfile);
	assert_int_equal(access(path, F_OK), -1);
	pidfile_remove(&pidfile);
}

/* One that a crashed process left behind, longer than ours. */
static void stale_pidfile_is_taken_over(void **state)
{
	struct pidfile pidfile;
	struct err err;
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	struct stat now;

	(void)state;
	assert_int_equal(write(fd, "99999999999999999\n", 18), 18);
	close(fd);
	assert_int_equal(pidfile_create(&pidfile, path, &err), 0);
	assert_int_equal(file_pid(), getpid());
	assert_int_equal(stat(path, &now), 0);
	assert_true(now.st_size < 18);
	pidfile_remove(&pidfile);
}

static void pidfile_of_a_living_process(void **state)
{
	struct pidfile pidfile;
	char expected[128];
	struct err err;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(pidfile_create(&pidfile, path, &err), 0);
	snprintf(expected, sizeof(expected), "pidfile '%s' belongs to process %d, which is running",
		path, (int)getpid());
	pid = fork();
	if (!pid) {
		int ret = pidfile_create(&pidfile, path, &err);

		pidfile_remove(&pidfile); /* failed: must not remove the owner's */
		_exit(ret == -EBUSY && !strcmp(err.text, expected) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(file_pid(), getpid());
	pidfile_remove(&pidfile);
}

/* Somebody removed ours and made their own: it stays. */
static void foreign_pidfile_is_not_removed(void **state)
{
	struct pidfile pidfile;
	struct err err;

	(void)state;
	assert_int_equal(pidfile_create(&pidfile, path, &err), 0);
	assert_int_equal(unlink(path), 0);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	pidfile_remove(&pidfile);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void impossible_pidfiles(void **state)
{
	struct pidfile pidfile;
	struct err err;
	char link[80];

	(void)state;
	assert_int_equal(pidfile_create(&pidfile, "/nonexistent/pid", &err), -ENOENT);
	assert_non_null(strstr(err.hint, "'/nonexistent' does not exist"));
	assert_string_equal(err.text, "pidfile '/nonexistent/pid': No such file or directory");
	assert_int_equal(pidfile_create(&pidfile, directory, &err), -EISDIR);
	assert_int_equal(pidfile_create(&pidfile, "/dev/null", &err), -EINVAL);
	snprintf(link, sizeof(link), "%s/link", directory);
	assert_int_equal(symlink("elsewhere", link), 0);
	assert_int_equal(pidfile_create(&pidfile, link, &err), -ELOOP);
	pidfile_remove(&pidfile);
	assert_int_equal(unlink(link), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(daemon_that_starts),
		cmocka_unit_test(daemon_that_fails),
		cmocka_unit_test(daemon_that_dies),
		cmocka_unit_test(missing_std_fds),
		cmocka_unit_test(pidfile_lives_and_goes),
		cmocka_unit_test(stale_pidfile_is_taken_over),
		cmocka_unit_test(pidfile_of_a_living_process),
		cmocka_unit_test(foreign_pidfile_is_not_removed),
		cmocka_unit_test(impossible_pidfiles),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
