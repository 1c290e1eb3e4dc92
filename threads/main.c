/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - from the command line to a running machine, and back to the shell.
 *
 * Order: parse, background, log and pid file, machine, threads and filters, the guest; then the
 * same backwards. Everything that fails ends here, as one message and exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/machine.h>
#include <portcullis/command_line.h>
#include <portcullis/process.h>
#include <portcullis/qmp.h>
#include <portcullis/role.h>
#include <portcullis/sys.h>
#include <portcullis/thread.h>

/* With write(2) alone: main's filter may be in place. */
static void report(const struct err *err)
{
	char buf[ERR_TEXT_MAX + ERR_HINT_MAX + 32];
	int n;

	if (!log_is_stderr())
		log_error("%s", err_format(err, buf, sizeof(buf)));
	n = snprintf(buf, sizeof(buf), "portcullis: %s\n%s%s%s", err->text,
		err->hint[0] ? "  " : "", err->hint, err->hint[0] ? "\n" : "");
	log_sanitize(buf, "\n");
	if (n > 0 && write(STDERR_FILENO, buf, (size_t)n) < 0)
		return; /* nobody listens */
}

static int print(const char *text)
{
	if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
		fprintf(stderr, "portcullis: standard output: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}

static int go_to_background(struct config *config, struct err *err)
{
	char *dir = getcwd(NULL, 0);
	int ret;

	if (!dir)
		return err_set_errno(err, errno, "-daemonize: the current directory");
	ret = config_make_absolute(config, dir);
	free(dir);
	if (ret < 0)
		return err_set_errno(err, -ret, "-daemonize");
	return daemonize(err);
}

static int open_log(const char *path, struct err *err)
{
	int fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY, 0640);

	if (fd < 0) {
		err_set_errno(err, -fd, "log file '%s'", path);
		err_hint_directory(err, path);
		return fd;
	}
	log_setup(fd, LOG_LEVEL_INFO); /* open until the process ends */
	return 0;
}

static int fd_limit(struct err *err)
{
	int ret = sys_fd_limit();

	if (ret == -ERANGE) {
		err_set(err, ERANGE, "the limit of open files is too low: %d are needed",
			FD_ZONE_EVENT + 256);
		err_hint(err, "raise the hard limit (ulimit -Hn, or LimitNOFILE= of a service)");
		return ret;
	}
	return ret < 0 ? err_set_errno(err, -ret, "the limit of open files") : 0;
}

/* The exit status, or -errno with err set. */
static int run_machine(struct config *config, struct err *err) ON_MAIN
{
	struct machine *machine = NULL;
	struct qmp *qmp = NULL;
	int ret = qmp_open(&qmp, config, err);

	if (!ret)
		ret = machine_new(&machine, config, err);
	if (!ret)
		ret = main_loop(machine, qmp, err);
	else
		qmp_free(qmp);
	machine_free(machine);
	return ret;
}

static int run(struct config *config, struct err *err) ON_MAIN
{
	struct pidfile pidfile = { .fd = -1 };
	int ret = inherited_take(config, err);

	signal(SIGPIPE, SIG_IGN);
	if (!ret && config->daemonize)
		ret = go_to_background(config, err);
	if (!ret)
		ret = fd_limit(err);
	if (!ret)
		log_setup_stderr(STDERR_FILENO, LOG_LEVEL_INFO);
	if (!ret && config->log_file)
		ret = open_log(config->log_file, err);
	if (!ret && config->pidfile)
		ret = pidfile_create(&pidfile, config->pidfile, err);
	if (!ret)
		ret = run_machine(config, err);
	pidfile_remove(&pidfile);
	return ret;
}

int main(int argc, char *argv[])
{
	struct config config;
	struct err err = { 0 };
	char *text;
	int ret;

	role_enter_main();
	if (process_std_fds() < 0)
		return 1;
	config_init(&config);
	ret = command_line_parse(&config, argc, argv, &text, &err);
	if (!ret)
		ret = text ? print(text) : run(&config, &err);
	if (ret < 0)
		report(&err);
	free(text);
	config_release(&config);
	return ret < 0 ? 1 : ret;
}
