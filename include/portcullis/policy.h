/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - a thread role's seccomp allow-list as data.
 *
 * Layer: seccomp; includes base and kernel UAPI headers only, so a policy can reach no module.
 * A rule allows one system call when all its argument tests hold; several rules for one call are
 * alternatives. Whatever no rule allows kills the process (SECCOMP_RET_KILL_PROCESS), except that
 * clone3 answers ENOSYS so that libc falls back to clone, whose flags can be tested.
 * `why` is mandatory: docs are generated from it, and a rule nobody needs is deleted.
 *
 * A filter is no boundary between threads of one process: what an attacker who owns the whole
 * process can do is the union of the tables. They are small for that reason too.
 */
#ifndef PORTCULLIS_POLICY_H
#define PORTCULLIS_POLICY_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct sock_fprog;

enum arg_op {
	ARG_END,
	ARG_EQ,	    /* low 32 bits equal value (ioctl commands, fds, flags) */
	ARG_MASKED, /* (low 32 bits & mask) == value */
	ARG_GE,	    /* value <= whole register < ARG_GE_END; value a power of two; one per rule */
	ARG_OWN_FD, /* low 32 bits equal fds[value] given at build time; no such fd: no such rule */
};
#define ARG_GE_END 0x1000000u

struct arg_test {
	uint8_t arg; /* 0..5 */
	uint8_t op;  /* enum arg_op */
	uint32_t value, mask;
	const char *text; /* value (and mask) as written in the table, for docs */
};
struct sc_rule {
	int nr;		  /* __NR_x */
	const char *name; /* "x" */
	const char *why;
	struct arg_test test[3];
};
struct policy {
	const char *role;
	const struct sc_rule *const
		*parts; /* NULL-terminated list of tables, each ends with why == NULL */
};

/* The tables' words. RULE(write, "why", TEST...) */
#define RULE(call, reason, ...)                                                                    \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .why = reason, .test = { __VA_ARGS__ }           \
	}
#define RULES_END                                                                                  \
	{                                                                                          \
		.nr = -1                                                                           \
	}
#define ARG_IS(n, v) ARG_NAMED(n, v, #v)
/* For macros around this one, which would expand v before it is made text. */
#define ARG_NAMED(n, v, name)                                                                      \
	{                                                                                          \
		.arg = n, .op = ARG_EQ, .value = (uint32_t)(v), .text = name                       \
	}
#define ARG_BITS(n, m, v)                                                                          \
	{                                                                                          \
		.arg = n, .op = ARG_MASKED, .value = (uint32_t)(v), .mask = (uint32_t)(m),         \
		.text = #m " == " #v                                                               \
	}
#define ARG_WITHOUT(n, m)                                                                          \
	{                                                                                          \
		.arg = n, .op = ARG_MASKED, .mask = (uint32_t)(m), .text = #m " == 0"              \
	}
#define ARG_FROM(n, v)                                                                             \
	{                                                                                          \
		.arg = n, .op = ARG_GE, .value = (uint32_t)(v), .text = #v                         \
	}
#define ARG_FD(n, which)                                                                           \
	{                                                                                          \
		.arg = n, .op = ARG_OWN_FD, .value = which, .text = #which                         \
	}

enum policy_fd {
	POLICY_FD_OWN,	      /* the vCPU's own fd */
	POLICY_FD_VM,	      /* KVM's VM fd */
	POLICY_FD_KVM_DEVICE, /* the KVM VFIO device */
	POLICY_FD_LOG,	      /* where log_line() writes */
	POLICY_FDS,
};

extern const struct policy policy_main, policy_vcpu, policy_vfio_worker, policy_closer,
	policy_populator;
/* All of them, NULL-terminated: for docs and tests. */
extern const struct policy *const policies[];

struct policy_filter {
	struct sock_fprog *prog; /* owned */
};

/* Table -> BPF. fds[] replaces ARG_OWN_FD (-1: none). Called before threads start; allocates. */
int policy_build(const struct policy *policy, const int fds[static POLICY_FDS],
	struct policy_filter *out, struct err *err);
void policy_filter_release(struct policy_filter *filter);
/* This thread, for good: NO_NEW_PRIVS and the filter by raw system call; allocates nothing. */
int policy_install(const struct policy_filter *filter);

#endif
