/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - a thread role's seccomp allow-list as data.
 *
 * Layer: seccomp; includes base and kernel UAPI headers only, so a policy can reach no module.
 * A rule allows one system call when all its argument tests hold; several rules for one call are
 * alternatives. Whatever no rule allows kills the process (SECCOMP_RET_KILL_PROCESS), except that
 * clone3 answers ENOSYS so that libc falls back to clone, whose flags can be tested.
 * `why` is mandatory: docs are generated from it, and a rule nobody needs is deleted.
 */
#ifndef PORTCULLIS_POLICY_H
#define PORTCULLIS_POLICY_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct sock_fprog;

enum arg_op {
	ARG_END,
	ARG_EQ,     /* low 32 bits equal value (ioctl commands, fds, flags) */
	ARG_MASKED, /* (low 32 bits & mask) == value */
	ARG_GE,     /* low 32 bits >= value, unsigned, high 32 bits zero */
	ARG_OWN_FD, /* equals the fd given at build time (a vCPU's own, the VM's): value is its index */
};
struct arg_test {
	uint8_t arg; /* 0..5 */
	uint8_t op;  /* enum arg_op */
	uint32_t value, mask;
};
struct sc_rule {
	int nr; /* __NR_x */
	const char *why;
	struct arg_test test[3];
};
struct policy {
	const char *role;
	const struct sc_rule *const *parts; /* NULL-terminated list of tables, each ends with why == NULL */
};

enum policy_fd { POLICY_FD_OWN, POLICY_FD_VM, POLICY_FD_KVM_DEVICE, POLICY_FDS };

extern const struct policy policy_main, policy_vcpu, policy_vfio_worker;

struct policy_filter {
	struct sock_fprog *prog; /* owned */
};

/* Table -> BPF. fds[] replaces ARG_OWN_FD. Called before threads start; allocates. */
int policy_build(const struct policy *policy, const int fds[static POLICY_FDS],
	struct policy_filter *out, struct err *err);
void policy_filter_release(struct policy_filter *filter);
/* This thread, for good: NO_NEW_PRIVS and the filter by raw system call; allocates nothing. */
int policy_install(const struct policy_filter *filter);

#endif
