/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sigbus.c - SIGBUS: memory that cannot be had. Each thread has its own way with it.
 *
 * - A vCPU that loads the guest (sigbus_try()): leaves the step it was in, and asks main.
 * - A vCPU in KVM_RUN: KVM sends the signal itself and returns to the thread, which writes down
 *   what came and goes on. Blocked, the signal would wait while KVM met the page again and again.
 * - Main: asks the machine. It is also the thread that the kernel tells of errors which nobody has
 *   met (PR_MCE_KILL_EARLY), as with QEMU.
 * - Whoever else meets it in memory of the process's own cannot go on: a line says what happened,
 *   and the process dies of the signal. Nothing is tidied up; the kernel resets devices.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include <portcullis/log.h>
#include <portcullis/thread.h>
#include <portcullis/vcpu.h>

struct trial {
	sigjmp_buf back;
	volatile struct sigbus_note note; /* written between sigsetjmp() and siglongjmp() */
};

/* What this thread does about it; a signal handler is given nothing of ours. */
static __thread struct {
	struct machine *volatile machine;		/* main */
	volatile struct sigbus_note *volatile watching; /* a vCPU, in KVM_RUN */
	struct trial *volatile trying;
} self;

void sigbus_watch(volatile struct sigbus_note *note)
{
	self.watching = note;
}

void sigbus_is_main(struct machine *machine)
{
	self.machine = machine;
}

bool sigbus_try(void (*fn)(void *arg), void *arg, struct sigbus_note *note)
{
	struct trial trial = { .note.code = 0 };

	if (sigsetjmp(trial.back, 1)) {
		*note = trial.note;
		return false;
	}
	self.trying = &trial;
	fn(arg);
	self.trying = NULL;
	return true;
}

static const char *text_of(int code)
{
	switch (code) {
	case BUS_MCEERR_AR:
		return "an uncorrectable memory error of the host's";
	case BUS_ADRERR:
		return "memory that the host cannot provide: a truncated file, or huge pages that ran out";
	default:
		return "an access to memory that failed";
	}
}

/* False: the access cannot be repeated. */
static bool dealt_with(int code, void *addr)
{
	const bool memory_error = code == BUS_MCEERR_AR || code == BUS_MCEERR_AO;
	volatile struct sigbus_note *note = self.watching;
	struct trial *trial = self.trying;
	struct machine *machine = self.machine;

	if (note && memory_error) {
		if (note->code == BUS_MCEERR_AR) /* what is needed; others are met later */
			return true;
		note->addr = addr;
		note->code = code;
		return true;
	}
	if (trial && code != BUS_MCEERR_AO) {
		self.trying = NULL;
		trial->note.addr = addr;
		trial->note.code = code;
		siglongjmp(trial->back, 1);
	}
	if (machine)
		return machine_sigbus(machine, code, addr);
	return code == BUS_MCEERR_AO; /* nobody has met it */
}

static void handler(int number, siginfo_t *info, void *context)
{
	const int saved = errno;

	/* Sent by somebody (kill): that is no news of memory. */
	if (info->si_code > 0 && !dealt_with(info->si_code, info->si_addr)) {
		log_error("bus error at %p: %s; the process ends", info->si_addr,
			text_of(info->si_code));
		/* Blocked when the access is repeated, it is the end whatever the handler is. */
		sigaddset(&((ucontext_t *)context)->uc_sigmask, number);
	}
	errno = saved;
}

void sigbus_init(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t set;

	sigaction(SIGBUS, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	/* A kernel without memory failure handling has nothing to tell. */
	(void)prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
}
