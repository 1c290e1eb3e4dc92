/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemonize.c - into the background, while whoever started us learns how it went.
 *
 * The daemon's standard error is a pipe to the parent, so every message of the start, whoever
 * writes it, reaches the user. A NUL byte says that the guest has started. Nothing has to be
 * redirected then, when main's filter would not allow it: writes into a pipe without reader do no
 * harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/process.h>
#include <portcullis/sys.h>

static const char died[] = "portcullis: the process ended before the guest started\n";

int process_std_fds(void)
{
	int fd;

	do {
		fd = sys_open("/dev/null", O_RDWR, 0);
		if (fd < 0)
			return fd;
	} while (fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
	sys_close(fd);
	return 0;
}

static void write_all(int fd, const char *buf, size_t size)
{
	while (size) {
		ssize_t n = write(fd, buf, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		buf += n;
		size -= (size_t)n;
	}
}

/* The parent's remaining life. Returns its exit status. */
static int watch_start(int fd)
{
	bool told = false;
	char buf[4096];

	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));
		const char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		end = memchr(buf, '\0', (size_t)n);
		write_all(STDERR_FILENO, buf, end ? (size_t)(end - buf) : (size_t)n);
		if (end)
			return 0;
		told = true;
	}
	if (!told)
		write_all(STDERR_FILENO, died, sizeof(died) - 1);
	return 1;
}

static int leave_terminal(int pipe_fd)
{
	int null = sys_open("/dev/null", O_RDWR, 0);

	if (null < 0)
		return null;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
		dup2(pipe_fd, STDERR_FILENO) < 0)
		return -errno;
	sys_close(null);
	sys_close(pipe_fd);
	/* The parent is gone once the guest has started. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int daemonize(struct err *err)
{
	int fds[2], ret;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, errno, "-daemonize: pipe");
	pid = fork();
	if (pid < 0) {
		ret = err_set_errno(err, errno, "-daemonize: fork");
		sys_close(fds[0]);
		sys_close(fds[1]);
		return ret;
	}
	if (pid > 0) {
		sys_close(fds[1]);
		waitpid(pid, NULL, 0);
		_exit(watch_start(fds[0]));
	}
	sys_close(fds[0]);
	/* Forked again, because a session's leader could get a terminal by opening one. */
	if (setsid() < 0)
		return err_set_errno(err, errno, "-daemonize: setsid");
	pid = fork();
	if (pid < 0)
		return err_set_errno(err, errno, "-daemonize: fork");
	if (pid > 0)
		_exit(0);
	ret = leave_terminal(fds[1]);
	return ret < 0 ? err_set_errno(err, -ret, "-daemonize: standard input and output") : 0;
}

void daemon_started(void)
{
	write_all(STDERR_FILENO, "", 1);
}
