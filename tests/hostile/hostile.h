/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.h - a whole machine among enemies: the real program from machine_new() to machine_free(),
 * with its real threads and control sockets, on a kernel that is ours.
 *
 *   guest.c    four vCPUs' programs: random accesses, alone and in the orders that drivers use
 *   clients.c  people at the control socket, who pipeline, contradict each other and leave
 *   kvm.c      KVM's ioctls; KVM_RUN returns what the guest does next
 *   host.c     VFIO: the fake host and cards, which fail, delay and lie
 *   ringer.c   what the cards and the host do of their own accord: interrupts, errors, requests
 *   promises.c what the machine owes its clients, and whether it was kept
 *   watchdog.c is main held up, is a mailbox broken, does anything still move; who waits where
 *   chance.c   the streams of random numbers
 *   machine.c  one machine's life and what must be left of it; main.c: one after the other
 *
 * Seed: everything random comes from it, in a stream per thread and machine, so that a seed repeats
 * a run as far as the threads' order in time allows.
 * Faults are told by violation(): what, the seed, where every thread is; then the process ends.
 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/machine.h>

#define HOSTILE_CPUS 4
#define HOSTILE_PORTS 4 /* root ports rp1.. at 00:01.0.. */
#define HOSTILE_CLIENTS 3
#define HOSTILE_KVM_SLOTS 48 /* few, so that they run out */

/* How a machine ends, if its guest does not end it before. */
enum ending {
	END_QUIT, /* after everything that was asked for has been answered */
	END_QUIT_AT_ONCE,
	END_SIGNALS, /* SIGTERM until it is gone */
	END_GUEST,   /* every vCPU powers off, each in its way */
	ENDINGS
};

/* What one machine and its enemies are like; fixed before it starts. */
struct plan {
	uint64_t seed; /* of the program */
	unsigned number;
	unsigned life_ms;
	enum ending ending;
	unsigned cpus;
	bool native; /* pciehp instead of ACPI */
	bool no_reboot, no_shutdown;
	bool polite;		/* the guest ejects what it is asked for */
	unsigned fail_one_in;	/* a call of the kernel's fails */
	unsigned delay_one_in;	/* takes milliseconds */
	unsigned hold_one_in;	/* takes up to seconds */
	unsigned access_one_in; /* an access to a card takes up to 30 ms, or now and then seconds */
	unsigned resets, power; /* weights of what vCPUs do; 0: never */
	unsigned force_one_in;	/* device_del does not ask the guest */
	unsigned reset_one_in;	/* a client's command is system_reset */
	unsigned pull_one_in;	/* an error or a request event instead of an interrupt */
};

enum phase {
	PHASE_OFF,
	PHASE_START, /* machine_new() .. the guest runs */
	PHASE_RUN,
	PHASE_CALM, /* nothing new is asked; what was asked is to be answered */
	PHASE_END,  /* machine_end() .. main_loop() returns */
	PHASE_FREE
};

struct hostile {
	struct plan plan;
	struct machine *machine;
	_Atomic unsigned phase;
	_Atomic int main_tid;
	_Atomic bool power_off; /* END_GUEST: now */
	char directory[64];
	char socket[96];
};
extern struct hostile hostile;

static inline enum phase phase_now(void)
{
	return (enum phase)atomic_load(&hostile.phase);
}

/* --- chance.c: any thread; its stream is its own --- */
uint64_t chance(void);
unsigned chance_below(unsigned n); /* n > 0 */
bool one_in(unsigned n);	   /* 0: never */
/* Streams start anew: a new machine. */
void chance_restart(void);
/* This thread's stream is that of name; without it, that of the thread's own name. */
void chance_name(const char *name);
/* The same for a thread of the test's own, and what the system calls it. */
void thread_name(const char *name);

/* --- watchdog.c --- */
/* A promise was broken: does not return. */
void violation(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void watchdog_start(void);
/* The machine is about to be freed; time is still watched. */
void watchdog_look_away(void);
void watchdog_stop(void);
/*
 * Milliseconds that this process could run: a tick of sleep counts as that, however late it ended.
 */
uint64_t watchdog_alive_ms(void);
void sleep_ms(unsigned ms);

/* --- guest.c --- */
struct kvm_run;
struct guest;
void guests_start(void);
/*
 * The next exit of this vCPU, in run; the data of the one before is in it. 0 or KVM_RUN's -errno.
 */
int guest_next(unsigned vcpu, struct kvm_run *run);
void guest_was_reset(unsigned vcpu);

/* --- kvm.c --- */
void kvm_world_start(void);
/* What is left of devices is a violation. */
void kvm_check_empty(void);
void kvm_world_end(void);
uint64_t kvm_exits(unsigned vcpu);
/* KVM takes what is signalled on irqfds, and tells of ends of interrupt. */
void kvm_deliver(void);
/* An address that a memslot serves: touched there. False: none, it exits. */
bool kvm_touch(uint64_t gpa, unsigned size, bool write, uint64_t *data);
/* A random address in or around a memslot. */
uint64_t kvm_some_address(void);

/* --- host.c --- */
struct vfio_host;
void host_start(void);
void host_end(void);
/* The same after the last device. */
void host_check_empty(void);
void host_set_in_kvm(int fd, bool in);
/* The card does something of its own accord. */
void host_ring(unsigned card);
const char *host_card_name(unsigned card);
unsigned host_cards(void);

/* --- ringer.c, clients.c: threads --- */
void ringer_start(void);
void ringer_stop(void);
void clients_start(void);
/* Ends the machine; calm: when everything has been answered. */
void clients_quit(bool calm);
void clients_stop(void); /* after the control socket is gone */

#endif
