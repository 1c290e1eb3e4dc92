/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main_loop.c - the main thread: starts all others, puts itself under its filter, realizes the
 * machine, lets the guest run, and answers QMP, signals and mail until the end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <portcullis/closer.h>
#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/log.h>
#include <portcullis/policy.h>
#include <portcullis/process.h>
#include <portcullis/qmp.h>
#include <portcullis/sys.h>
#include <portcullis/thread.h>
#include <portcullis/vcpu.h>

struct main_thread {
	struct machine *machine;
	struct qmp *qmp;
	bool seccomp;
	struct policy_filter main_filter, worker_filter, closer_filter, populator_filter;
	struct policy_filter *vcpu_filters;
	struct vcpu *vcpus;
	unsigned n_vcpus, vcpus_started;
	struct worker *workers;
	unsigned n_workers, workers_started;
	struct populator *populators;
	unsigned n_populators, populators_started;
	pthread_t closer;
	struct loop_fd signals;
	bool asked; /* a first signal asked the guest to power off */
};

static void on_signal(void *opaque, uint32_t events)
{
	struct main_thread *t = opaque;
	struct signalfd_siginfo info;
	char why[32];

	(void)events;
	role_enter_main();
	if (read(t->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (machine_ending(t->machine)) {
		snprintf(why, sizeof(why), "signal %u again", info.ssi_signo);
		machine_abandon(t->machine, why);
		return;
	}
	if (!t->asked && machine_runstate(t->machine) == RUNSTATE_RUNNING) {
		t->asked = true;
		log_info("signal %u: asking the guest to power off; once more ends it",
			info.ssi_signo);
		machine_powerdown(t->machine);
		return;
	}
	machine_shutdown(t->machine, SHUTDOWN_HOST_SIGNAL);
}

static void kick_handler(int signal)
{
	(void)signal; /* its arrival alone interrupts KVM_RUN */
}

static int signals_init(struct main_thread *t, struct err *err)
{
	struct sigaction kick = { .sa_handler = kick_handler };
	sigset_t set;
	int fd, ret;

	sigaction(THREAD_KICK_SIGNAL, &kick, NULL);
	sigbus_init();
	sigbus_is_main(t->machine);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, errno, "cannot watch signals");
	t->signals = (struct loop_fd){ .fd = fd, .fn = on_signal, .opaque = t };
	ret = loop_fd_add(machine_loop(t->machine), &t->signals, EPOLLIN);
	return ret ? err_set_errno(err, -ret, "cannot watch signals") : 0;
}

static int filters_build(struct main_thread *t, struct err *err) ON_MAIN
{
	int fds[POLICY_FDS], ret;

	t->vcpu_filters = calloc(t->n_vcpus, sizeof(*t->vcpu_filters));
	if (!t->vcpu_filters)
		return err_set(err, ENOMEM, "no memory for seccomp filters");
	if (!t->seccomp)
		return 0;
	machine_policy_fds(t->machine, fds);
	ret = policy_build(&policy_main, fds, &t->main_filter, err);
	if (!ret)
		ret = policy_build(&policy_vfio_worker, fds, &t->worker_filter, err);
	if (!ret)
		ret = policy_build(&policy_closer, fds, &t->closer_filter, err);
	if (!ret)
		ret = policy_build(&policy_populator, fds, &t->populator_filter, err);
	for (unsigned i = 0; !ret && i < t->n_vcpus; i++) {
		fds[POLICY_FD_OWN] = t->vcpus[i].kvm.fd;
		ret = policy_build(&policy_vcpu, fds, &t->vcpu_filters[i], err);
	}
	return ret;
}

static void filters_release(struct main_thread *t)
{
	policy_filter_release(&t->main_filter);
	policy_filter_release(&t->worker_filter);
	policy_filter_release(&t->closer_filter);
	policy_filter_release(&t->populator_filter);
	for (unsigned i = 0; t->vcpu_filters && i < t->n_vcpus; i++)
		policy_filter_release(&t->vcpu_filters[i]);
	free(t->vcpu_filters);
}

static int populators_start(struct main_thread *t, struct err *err)
{
	char name[24];

	for (; t->populators_started < t->n_populators; t->populators_started++) {
		struct populator *p = &t->populators[t->populators_started];
		int ret;

		snprintf(name, sizeof(name), "populator%u", t->populators_started);
		ret = thread_start(&p->thread, name, t->seccomp ? &t->populator_filter : NULL, NULL,
			populator_thread, p);
		if (ret)
			return err_set_errno(err, -ret, "cannot start thread %s", name);
	}
	return 0;
}

static int threads_start(struct main_thread *t, struct err *err)
{
	char name[16];
	int ret = thread_start(&t->closer, "closer", t->seccomp ? &t->closer_filter : NULL, NULL,
		closer_thread, machine_closer(t->machine));

	if (ret)
		return err_set_errno(err, -ret, "cannot start thread closer");
	machine_closer(t->machine)->served = true;
	for (; t->workers_started < t->n_workers; t->workers_started++) {
		struct worker *w = &t->workers[t->workers_started];

		snprintf(name, sizeof(name), "vfio_worker%u", w->index);
		ret = thread_start(&w->thread, name, t->seccomp ? &t->worker_filter : NULL, NULL,
			vfio_worker_thread, w);
		if (ret)
			return err_set_errno(err, -ret, "cannot start thread %s", name);
	}
	for (; t->vcpus_started < t->n_vcpus; t->vcpus_started++) {
		struct vcpu *v = &t->vcpus[t->vcpus_started];

		snprintf(name, sizeof(name), "vcpu%u", v->kvm.index);
		ret = thread_start(&v->thread, name,
			t->seccomp ? &t->vcpu_filters[t->vcpus_started] : NULL, &v->tid,
			vcpu_thread, v);
		if (ret)
			return err_set_errno(err, -ret, "cannot start thread %s", name);
	}
	prctl(PR_SET_NAME, "main");
	return populators_start(t, err);
}

/* When there is nothing left for them to do. */
static void populators_join(struct main_thread *t) ON_MAIN
{
	populators_end(t->machine);
	for (; t->populators_started; t->populators_started--)
		pthread_join(t->populators[t->populators_started - 1].thread, NULL);
}

static void threads_join(struct main_thread *t) ON_MAIN
{
	struct closer *closer = machine_closer(t->machine);

	if (closer->served) {
		loop_end(&closer->loop);
		pthread_join(t->closer, NULL);
		closer->served = false;
	}
	populators_join(t);
	for (unsigned i = 0; i < t->workers_started; i++) {
		loop_end(&t->workers[i].loop);
		pthread_join(t->workers[i].thread, NULL);
	}
	if (t->vcpus_started)
		vcpus_end(t->machine);
	for (unsigned i = 0; i < t->vcpus_started; i++)
		pthread_join(t->vcpus[i].thread, NULL);
}

static void serve_clients(struct main_thread *t) ON_MAIN
{
	struct err err = { 0 };

	if (qmp_serve(t->qmp, t->machine, &err) < 0)
		log_error("%s", err.text);
	if (machine_config(t->machine)->daemonize)
		daemon_started();
}

static int run(struct main_thread *t, struct err *err) ON_MAIN
{
	int ret = signals_init(t, err);

	if (!ret)
		ret = filters_build(t, err);
	if (!ret)
		ret = threads_start(t, err);
	if (!ret)
		ret = machine_realize(t->machine, err);
	if (!ret)
		populators_join(t);
	/* Not sooner: all that the command line names by relative paths is open now. */
	if (!ret && machine_config(t->machine)->daemonize && chdir("/") < 0)
		ret = err_set_errno(err, errno, "-daemonize: cannot leave the current directory");
	if (!ret && t->seccomp && policy_install(&t->main_filter))
		ret = err_set(err, EPERM, "cannot install the main thread's seccomp filter");
	if (machine_ending(t->machine))
		return 0; /* it was told to, while it was being made */
	if (!ret && !machine_config(t->machine)->freeze && !machine_held(t->machine))
		ret = machine_run(t->machine, err);
	if (ret)
		return ret;
	serve_clients(t);
	loop_run(machine_loop(t->machine));
	return 0;
}

int main_loop(struct machine *machine, struct qmp *qmp, struct err *err)
{
	struct main_thread t = { .machine = machine,
		.qmp = qmp,
		.seccomp = !machine_config(machine)->no_seccomp,
		.signals.fd = -1 };
	bool ended;
	int ret;

	role_begin(ROLE_MAIN);
	threads_init();
	t.n_vcpus = machine_vcpus(machine, &t.vcpus);
	t.n_workers = machine_workers(machine, &t.workers);
	t.n_populators = machine_populators(machine, &t.populators);
	ret = run(&t, err);
	(void)machine_end(machine);
	qmp_free(qmp);
	ended = machine_end_clients(machine);
	/* In both cases: t goes with this function. */
	if (t.signals.fd >= 0) {
		loop_fd_del(machine_loop(machine), &t.signals);
		sys_close(t.signals.fd);
	}
	if (ended) {
		threads_join(&t);
		filters_release(&t);
	}
	sigbus_is_main(NULL);
	role_begin(ROLE_ANY);
	return ret ? ret : machine_exit_status(machine);
}
