/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_sim.c - the tables evaluated by the shortest code that can be, and a classic-BPF machine.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "policy_sim.h"

const int sim_fds[POLICY_FDS] = { 900, 901, 902, 903 };

bool sim_rule_has_fd(const struct sc_rule *rule, const int fds[POLICY_FDS])
{
	for (unsigned i = 0; i < SIM_TESTS && rule->test[i].op != ARG_END; i++)
		if (rule->test[i].op == ARG_OWN_FD && fds[rule->test[i].value] < 0)
			return false;
	return true;
}

static bool test_holds(const struct arg_test *test, const int fds[POLICY_FDS], uint64_t value)
{
	uint32_t low = (uint32_t)value;

	switch (test->op) {
	case ARG_EQ:
		return low == test->value;
	case ARG_MASKED:
		return (low & test->mask) == test->value;
	case ARG_GE:
		return value >= test->value && value < ARG_GE_END;
	case ARG_OWN_FD:
		return low == (uint32_t)fds[test->value];
	default:
		return false;
	}
}

bool sim_allowed(
	const struct policy *policy, const int fds[POLICY_FDS], int nr, const uint64_t args[6])
{
	SIM_FOR_EACH_RULE(policy, rule)
	{
		bool all = rule->nr == nr && sim_rule_has_fd(rule, fds);
		for (unsigned i = 0; all && i < SIM_TESTS && rule->test[i].op != ARG_END; i++)
			all = test_holds(&rule->test[i], fds, args[rule->test[i].arg]);
		if (all)
			return true;
	}
	return false;
}

uint32_t sim_expected(
	const struct policy *policy, const int fds[POLICY_FDS], int nr, const uint64_t args[6])
{
	if (sim_allowed(policy, fds, nr, args))
		return SECCOMP_RET_ALLOW;
	if (nr == __NR_clone3)
		return SECCOMP_RET_ERRNO | ENOSYS;
	return SECCOMP_RET_KILL_PROCESS;
}

static bool jump_taken(const struct sock_filter *insn, uint32_t a)
{
	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return a == insn->k;
	case BPF_JGT:
		return a > insn->k;
	case BPF_JGE:
		return a >= insn->k;
	default: /* BPF_JSET */
		return (a & insn->k) != 0;
	}
}

uint32_t sim_bpf(const struct sock_fprog *prog, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < prog->len; pc++) {
		const struct sock_filter *insn = &prog->filter[pc];
		switch (insn->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (insn->k > sizeof(*data) - sizeof(a) || insn->k % sizeof(a))
				return UINT32_MAX;
			memcpy(&a, (const char *)data + insn->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= insn->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += insn->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += jump_taken(insn, a) ? insn->jt : insn->jf;
			break;
		case BPF_RET | BPF_K:
			return insn->k;
		default:
			return UINT32_MAX;
		}
	}
	return UINT32_MAX;
}

uint64_t sim_pass(const struct arg_test *test, const int fds[POLICY_FDS])
{
	if (test->op == ARG_OWN_FD)
		return (uint64_t)fds[test->value];
	return test->value;
}

uint64_t sim_fail(const struct arg_test *test, const int fds[POLICY_FDS])
{
	switch (test->op) {
	case ARG_MASKED: /* one bit of the mask the wrong way round */
		return test->value ^ (test->mask & -test->mask);
	case ARG_GE:
		return test->value - 1;
	default:
		return sim_pass(test, fds) ^ 0x10000000;
	}
}
