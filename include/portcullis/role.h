/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role.h - which kind of thread may call a function, checked by clang.
 *
 * Layer: L0, includes nothing.
 * Use:   put ON_MAIN, ON_VCPU or ON_WORKER after a prototype. No mark: any thread.
 *        Only threads/X.c takes a role up (role_enter_X), once, at the top of the thread.
 *        The compiler cannot follow function pointers: callbacks say their role in a comment.
 *
 * main    owns the topology: bus map, memslots, the device tree, QMP. Never waits for a device.
 * vcpu    runs the guest and dispatches its accesses. Owns nothing, changes nothing.
 * worker  one per VFIO device: attach, DMA map, interrupts, reset, close. May block for seconds.
 *
 * Before threads are started (and after they are joined) the starting thread holds every role.
 */
#ifndef PORTCULLIS_ROLE_H
#define PORTCULLIS_ROLE_H

#if defined(__clang__)
#define ROLE_ATTR(x) __attribute__((x))
#else
#define ROLE_ATTR(x)
#endif

struct ROLE_ATTR(capability("role")) role {
	char unused;
};

extern struct role role_main, role_vcpu, role_worker;

#define ON_MAIN ROLE_ATTR(requires_capability(role_main))
#define ON_VCPU ROLE_ATTR(requires_capability(role_vcpu))
#define ON_WORKER ROLE_ATTR(requires_capability(role_worker))

static inline void role_enter_main(void) ROLE_ATTR(assert_capability(role_main))
{
}
static inline void role_enter_vcpu(void) ROLE_ATTR(assert_capability(role_vcpu))
{
}
static inline void role_enter_worker(void) ROLE_ATTR(assert_capability(role_worker))
{
}

#endif
