/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - one machine's life, as threads/main.c makes it, and what must be left of it: nothing.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/qmp.h>
#include <portcullis/thread.h>

#include "../unit/boot_fixture.h"
#include "../unit/cmdline_fixture.h"
#include "../unit/fake_vfio_host.h"
#include "hostile.h"
#include "machine.h"
#include "promises.h"

/* Warnings of a guest's making are limited per place; what clients do is told once each. */
#define LOG_BYTES_MAX (256u << 10)

struct hostile hostile;

/* The kernel did not let go of a thread: the process ends without it. */
static bool abandoned;
/* More SIGTERM than ask it and tell it to end: that may be why. */
static _Atomic bool insisted;

/* Begun when the machine serves its clients. */
static struct {
	pthread_t conductor;
	bool started;
} life;

bool __real_machine_end(struct machine *machine);
bool __wrap_machine_end(struct machine *machine);
bool __wrap_machine_end(struct machine *machine)
{
	atomic_store(&hostile.phase, PHASE_END);
	abandoned = !__real_machine_end(machine);
	return !abandoned;
}

/* --- the one who decides when it is over --- */

/* As an impatient user: until it is gone, or only until it has begun to go. */
static void terminate(void)
{
	const bool insists = one_in(3);

	for (unsigned sent = 1; phase_now() <= PHASE_CALM || (insists && phase_now() <= PHASE_FREE);
		sent++) {
		atomic_store(&insisted, sent > 1);
		kill(getpid(), SIGTERM);
		sleep_ms(chance_below(one_in(2) ? 60 : 4));
		if (phase_now() == PHASE_FREE && one_in(4))
			break;
	}
}

static void *conductor(void *opaque)
{
	(void)opaque;
	thread_name("conductor");
	for (unsigned ms = 0; ms < hostile.plan.life_ms && phase_now() == PHASE_RUN; ms += 5)
		sleep_ms(5);
	switch (hostile.plan.ending) {
	case END_QUIT: {
		unsigned run = PHASE_RUN;

		atomic_compare_exchange_strong(&hostile.phase, &run, PHASE_CALM);
		clients_quit(true);
		break;
	}
	case END_SIGNALS:
		terminate();
		break;
	case END_GUEST:
		atomic_store(&hostile.power_off, true);
		/* It may be stopped, or be kept by -no-shutdown. */
		for (unsigned ms = 0; ms < 500 && phase_now() == PHASE_RUN; ms += 5)
			sleep_ms(5);
		clients_quit(false);
		break;
	default:
		clients_quit(false);
		break;
	}
	return NULL;
}

/* --- the machine --- */

int __real_qmp_serve(struct qmp *qmp, struct machine *machine, struct err *err);
int __wrap_qmp_serve(struct qmp *qmp, struct machine *machine, struct err *err);
int __wrap_qmp_serve(struct qmp *qmp, struct machine *machine, struct err *err)
{
	int ret = __real_qmp_serve(qmp, machine, err);

	if (ret < 0)
		violation("the control socket cannot be served: %s", err->text);
	life.started = true;
	atomic_store(&hostile.phase, PHASE_RUN);
	ringer_start();
	clients_start();
	if (pthread_create(&life.conductor, NULL, conductor, NULL))
		violation("no thread for the conductor");
	return ret;
}

void __real_qmp_free(struct qmp *qmp);
void __wrap_qmp_free(struct qmp *qmp);
void __wrap_qmp_free(struct qmp *qmp)
{
	atomic_store(&hostile.phase, PHASE_FREE);
	__real_qmp_free(qmp);
}

static void end_others(void)
{
	if (!life.started)
		return;
	pthread_join(life.conductor, NULL);
	clients_stop();
	ringer_stop();
}

/* A start that fails by the kernel's lies is as good as any other end. */
static void live(struct config *config) ON_MAIN
{
	struct qmp *qmp = NULL;
	struct err err = { 0 };
	int ret = qmp_open(&qmp, config, &err);

	if (ret)
		violation("the control socket: %s", err.text);
	ret = machine_new(&hostile.machine, config, &err);
	if (ret) {
		log_error("%s", err.text);
		qmp_free(qmp);
		return;
	}
	watchdog_start();
	ret = main_loop(hostile.machine, qmp, &err);
	if (ret < 0)
		log_error("%s", err.text);
	end_others();
	watchdog_look_away();
	machine_free(hostile.machine);
	watchdog_stop();
	if (abandoned && !atomic_load(&insisted))
		violation("the machine was abandoned, though nobody insisted");
}

static void write_kernel(const char *path)
{
	static struct fixture_kernel kernel;
	FILE *file = fopen(path, "w");

	fixture_pvh(&kernel);
	if (!file || fwrite(kernel.bytes, 1, FIXTURE_SIZE, file) != FIXTURE_SIZE)
		violation("cannot write '%s'", path);
	fclose(file);
}

static void command_line(char *line, size_t size)
{
	int used = snprintf(line, size,
		"-disable-seccomp -smp %u -m 128M -kernel %s/kernel -append x -qmp unix:%s,server,nowait "
		"-serial file:%s/serial -device isa-debug-exit,iobase=0xf4,iosize=4 "
		"-object iommufd,id=iommu%s%s",
		hostile.plan.cpus, hostile.directory, hostile.socket, hostile.directory,
		hostile.plan.no_reboot ? " -no-reboot" : "",
		hostile.plan.no_shutdown ? " -no-shutdown" : "");

	for (unsigned i = 1; i <= HOSTILE_PORTS; i++)
		used += snprintf(line + used, size - (size_t)used,
			" -device pcie-root-port,id=rp%u,bus=pcie.0,addr=%u,native-hotplug=%s", i,
			i, hostile.plan.native ? "on" : "off");
	if (one_in(3))
		snprintf(line + used, size - (size_t)used,
			" -device vfio-pci,id=cold,host=%s,bus=rp1,on-error=report",
			host_card_name(chance_below(4)));
}

static int open_log(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/log", hostile.directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		violation("cannot open '%s'", path);
	log_setup(fd, LOG_LEVEL_INFO);
	return fd;
}

static void close_log(int fd)
{
	struct stat st;

	log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
	if (fstat(fd, &st) == 0 && st.st_size > LOG_BYTES_MAX)
		violation("its log has grown to %lld bytes", (long long)st.st_size);
	close(fd);
}

static void enter_directory(void)
{
	char path[128];

	snprintf(hostile.directory, sizeof(hostile.directory), "/tmp/hostile.XXXXXX");
	if (!mkdtemp(hostile.directory))
		violation("no directory");
	snprintf(hostile.socket, sizeof(hostile.socket), "%s/qmp", hostile.directory);
	snprintf(path, sizeof(path), "%s/kernel", hostile.directory);
	write_kernel(path);
}

static void leave_directory(void)
{
	static const char *const files[] = { "kernel", "serial", "log", "qmp" };
	char path[128];

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", hostile.directory, files[i]);
		unlink(path);
	}
	rmdir(hostile.directory);
}

void machine_life(const struct plan *plan)
{
	static struct cmdline cmdline;
	unsigned fds = fake_process_fds();
	char line[2048];
	int log;

	hostile.plan = *plan;
	atomic_store(&hostile.power_off, false);
	atomic_store(&hostile.main_tid, gettid());
	atomic_store(&hostile.phase, PHASE_START);
	chance_restart();
	chance_name("main");
	enter_directory();
	log = open_log();
	host_start();
	kvm_world_start();
	guests_start();
	promises_start();
	command_line(line, sizeof(line));
	cmdline_parse(&cmdline, line);
	if (cmdline.ret)
		violation("the command line: %s", cmdline.err.text);
	role_enter_main();
	live(&cmdline.config);
	atomic_store(&hostile.phase, PHASE_OFF);
	if (abandoned) {
		leave_directory();
		_exit(0); /* its threads are still at it */
	}
	cmdline_release(&cmdline);
	kvm_world_end();
	host_end();
	close_log(log);
	leave_directory();
	if (fake_process_fds() != fds)
		violation("%u file descriptors before the machine, %u behind it", fds,
			fake_process_fds());
}
