/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role.h - which kind of thread may call a function, checked by clang.
 *
 * Layer: L0, includes debug.h.
 * Use:   put ON_MAIN, ON_VCPU or ON_WORKER after a prototype. No mark: any thread.
 *        The compiler cannot follow function pointers. So whatever is called by one - mail, an fd's
 *        or a timer's function, an access, a job - says its role in its first line, by
 *        role_enter_X(), before it calls what is marked; that is an assertion for the compiler, and
 *        a check in builds with DEBUG_CHECKS: each thread has said what it is (role_begin()).
 *
 * main    owns the topology: bus map, memslots, the device tree, QMP. Never waits for a device.
 * vcpu    runs the guest and dispatches its accesses. Owns nothing, changes nothing.
 * worker  one per PCI device, whatever its class: attach, DMA map, interrupts, reset, close. May
 *         block for seconds.
 * closer  closes what clients handed over; nothing is marked as its own.
 * populator gives RAM its pages, before the guest starts; likewise.
 *
 * Before threads are started (and after they are joined) the starting thread holds every role.
 */
#ifndef PORTCULLIS_ROLE_H
#define PORTCULLIS_ROLE_H

#include <portcullis/debug.h>

#if defined(__clang__)
#define ROLE_ATTR(x) __attribute__((x))
#else
#define ROLE_ATTR(x)
#endif

struct ROLE_ATTR(capability("role")) role {
	char unused;
};

extern struct role role_main, role_vcpu, role_worker;

/* What a thread is. ROLE_ANY: before threads are started, after they are joined, and in tests. */
enum role_kind { ROLE_ANY, ROLE_MAIN, ROLE_VCPU, ROLE_WORKER, ROLE_CLOSER, ROLE_POPULATOR };

#if DEBUG_CHECKS
void role_begin(enum role_kind kind);
void role_check(enum role_kind kind);
#else
static inline void role_begin(enum role_kind kind)
{
	(void)kind;
}
static inline void role_check(enum role_kind kind)
{
	(void)kind;
}
#endif

#define ON_MAIN ROLE_ATTR(requires_capability(role_main))
#define ON_VCPU ROLE_ATTR(requires_capability(role_vcpu))
#define ON_WORKER ROLE_ATTR(requires_capability(role_worker))

static inline void role_enter_main(void) ROLE_ATTR(assert_capability(role_main))
{
	role_check(ROLE_MAIN);
}
static inline void role_enter_vcpu(void) ROLE_ATTR(assert_capability(role_vcpu))
{
	role_check(ROLE_VCPU);
}
static inline void role_enter_worker(void) ROLE_ATTR(assert_capability(role_worker))
{
	role_check(ROLE_WORKER);
}

#endif
