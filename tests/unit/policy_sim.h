/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_sim.h - what a policy's tables say, and what its BPF does, both without the kernel.
 *
 * Layer: tests.
 */
#ifndef POLICY_SIM_H
#define POLICY_SIM_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/policy.h>

/* Pinned fds of the tests: numbers nobody has open. */
extern const int sim_fds[POLICY_FDS];

bool sim_rule_has_fd(const struct sc_rule *rule, const int fds[POLICY_FDS]);
/* Does some rule of the policy allow it? */
bool sim_allowed(
	const struct policy *policy, const int fds[POLICY_FDS], int nr, const uint64_t args[6]);
/* What the tables promise: SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS, ERRNO for clone3. */
uint32_t sim_expected(
	const struct policy *policy, const int fds[POLICY_FDS], int nr, const uint64_t args[6]);
/*
 * Runs the program; UINT32_MAX: it is malformed (jump or load out of range, unknown instruction).
 */
uint32_t sim_bpf(const struct sock_fprog *prog, const struct seccomp_data *data);

/* A value that passes the test, and one that does not. */
uint64_t sim_pass(const struct arg_test *test, const int fds[POLICY_FDS]);
uint64_t sim_fail(const struct arg_test *test, const int fds[POLICY_FDS]);

#define SIM_FOR_EACH_RULE(policy, rule)                                                            \
	for (const struct sc_rule *const *part_ = (policy)->parts; *part_; part_++)                \
		for (const struct sc_rule *rule = *part_; rule->why; rule++)

#define SIM_TESTS 3

#endif
