/* SPDX-License-Identifier: Apache-2.0 */
/*
 * thread.h - the face of threads/: starting and ending every thread of the machine.
 *
 * Layer: L6; only threads/ includes it.
 * Order: filters are built, workers, populators and vCPUs started (each installs its filter first,
 *        then waits), devices are opened, RAM populated and pinned; populators are joined, main
 *        installs its own filter and lets the vCPUs go. No thread is created after that.
 */
#ifndef PORTCULLIS_THREAD_H
#define PORTCULLIS_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include <portcullis/machine.h>

struct err;
struct policy_filter;
struct qmp;

/* The signal that interrupts KVM_RUN; blocked everywhere but in vCPU threads' KVM_RUN. */
#define THREAD_KICK_SIGNAL SIGUSR1

/*
 * Before the first thread: one heap for all. With one per thread, free() of another thread's memory
 * makes libc look into /proc, which main's filter takes for an attack.
 */
void threads_init(void);

/*
 * Creates a joinable thread named name (15 characters, shown in /proc/PID/task/TID/comm) that
 * blocks all signals but the kick and SIGBUS, stores its thread id in tid (NULL: nowhere), installs
 * filter (NULL: none) and calls fn. 256 KiB stack. -errno.
 */
int thread_start(pthread_t *out, const char *name, const struct policy_filter *filter,
	_Atomic int *tid, void *(*fn)(void *), void *arg);

/*
 * sigbus.c: memory that cannot be had - an uncorrectable error, a file that ends too soon. Once,
 * before threads start: the handler, and main as the thread that hears of errors nobody has met.
 * A thread without a machine or a note says what happened and ends the process.
 */
void sigbus_init(void);
void sigbus_is_main(struct machine *machine); /* what main is to ask; NULL: nobody */
struct sigbus_note {
	int code; /* BUS_MCEERR_AR, BUS_MCEERR_AO; 0: nothing came */
	void *addr;
};
/*
 * fn(arg), which holds nothing. False: it met memory that cannot be had, and was left there; *note
 * says where.
 */
bool sigbus_try(void (*fn)(void *arg), void *arg, struct sigbus_note *note);
/* While this thread is in KVM_RUN, such a signal is written there. NULL: it is not. */
void sigbus_watch(volatile struct sigbus_note *note);

/* The roles: struct vcpu *, struct worker *, struct closer *, struct populator *. */
void *vcpu_thread(void *vcpu);
void *vfio_worker_thread(void *worker);
void *closer_thread(void *closer);
void *populator_thread(void *populator);

/*
 * Runs the machine from start to end on the calling thread, which becomes main. Takes qmp (may be
 * NULL), whose clients are served once the guest runs (or waits, with -S) and let go of when the
 * machine has ended. The exit status (machine_exit_status(): 0, 1, or what the guest wrote to
 * isa-debug-exit), or a negative errno with err set.
 */
int main_loop(struct machine *machine, struct qmp *qmp, struct err *err) ON_MAIN;

#endif
