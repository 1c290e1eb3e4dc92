/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_policy.c - the seccomp tables: well-formed, as small as promised, and translated exactly.
 *
 * The BPF of each role is run over every system call number with every combination of interesting
 * argument values and compared with an independent reading of the tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <asm/unistd.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/vfio.h>

#include <portcullis/err.h>

#include "policy_sim.h"

#define NR_END 1024
#define X32_BIT 0x40000000
#define VALUES_MAX 1024

struct values {
	uint64_t v[VALUES_MAX];
	unsigned n;
};

static void values_add(struct values *values, uint64_t v)
{
	for (unsigned i = 0; i < values->n; i++)
		if (values->v[i] == v)
			return;
	assert_true(values->n < VALUES_MAX);
	values->v[values->n++] = v;
}

/* v, its neighbours, and v with a high half that the kernel may or may not look at. */
static void values_around(struct values *values, uint64_t v)
{
	values_add(values, v);
	values_add(values, v + 1);
	values_add(values, v - 1);
	values_add(values, v ^ 0x80000000u);
	values_add(values, v | 1ull << 32);
	values_add(values, v | 0xffffffff00000000u);
}

static void values_for_test(struct values *values, const struct arg_test *test)
{
	values_around(values, sim_pass(test, sim_fds));
	if (test->op == ARG_MASKED)
		for (unsigned bit = 0; bit < 32; bit++)
			values_add(values, test->value ^ 1u << bit);
	if (test->op == ARG_GE)
		for (uint64_t v = test->value; v <= ARG_GE_END; v <<= 1)
			values_around(values, v);
}

/* Interesting values of every argument of nr, from all policies so that roles are told apart. */
static void values_collect(struct values out[6], int nr)
{
	for (unsigned arg = 0; arg < 6; arg++) {
		out[arg].n = 0;
		values_add(&out[arg], 0);
		values_add(&out[arg], UINT64_MAX);
	}
	for (unsigned p = 0; policies[p]; p++)
		SIM_FOR_EACH_RULE(policies[p], rule)
	for (unsigned i = 0; rule->nr == nr && i < SIM_TESTS; i++)
		if (rule->test[i].op != ARG_END)
			values_for_test(&out[rule->test[i].arg], &rule->test[i]);
}

static void build(const struct policy *policy, const int fds[POLICY_FDS], struct policy_filter *out)
{
	struct err err = { 0 };
	if (policy_build(policy, fds, out, &err) != 0)
		fail_msg("%s: %s", policy->role, err.text);
}

static void compare_one(const struct policy *policy, const struct policy_filter *filter,
	const int fds[POLICY_FDS], int nr, const uint64_t args[6])
{
	struct seccomp_data data = { .nr = nr, .arch = AUDIT_ARCH_X86_64 };
	memcpy(data.args, args, sizeof(data.args));
	uint32_t want = sim_expected(policy, fds, nr, args), got = sim_bpf(filter->prog, &data);
	if (want != got)
		fail_msg("%s: call %d (%#lx, %#lx, %#lx, %#lx): tables say %#x, BPF says %#x",
			policy->role, nr, args[0], args[1], args[2], args[3], want, got);
}

static void compare_all(const struct policy *policy, const int fds[POLICY_FDS])
{
	static struct values values[6];
	struct policy_filter filter;

	build(policy, fds, &filter);
	for (int nr = 0; nr < NR_END; nr++) {
		values_collect(values, nr);
		for (unsigned a = 0; a < values[0].n; a++)
			for (unsigned b = 0; b < values[1].n; b++)
				for (unsigned c = 0; c < values[2].n; c++) {
					uint64_t args[6] = { values[0].v[a], values[1].v[b],
						values[2].v[c], ~0ull, ~0ull, ~0ull };
					compare_one(policy, &filter, fds, nr, args);
				}
	}
	policy_filter_release(&filter);
}

static void test_bpf_equals_tables(void **state)
{
	(void)state;
	for (unsigned p = 0; policies[p]; p++)
		compare_all(policies[p], sim_fds);
}

/* An fd the machine does not have takes its rules with it. */
static void test_missing_fd(void **state)
{
	static const int none[POLICY_FDS] = { -1, -1, -1, -1 };
	(void)state;
	for (unsigned p = 0; policies[p]; p++)
		compare_all(policies[p], none);
}

static void test_foreign_architectures(void **state)
{
	struct policy_filter filter;
	(void)state;

	for (unsigned p = 0; policies[p]; p++) {
		build(policies[p], sim_fds, &filter);
		for (int nr = 0; nr < NR_END; nr++) {
			struct seccomp_data data = { .nr = nr, .arch = AUDIT_ARCH_I386 };
			assert_int_equal(sim_bpf(filter.prog, &data), SECCOMP_RET_KILL_PROCESS);
			data.arch = AUDIT_ARCH_X86_64;
			data.nr = nr | X32_BIT;
			assert_int_equal(sim_bpf(filter.prog, &data), SECCOMP_RET_KILL_PROCESS);
		}
		policy_filter_release(&filter);
	}
}

static unsigned tests_of(const struct sc_rule *rule)
{
	unsigned n = 0;
	while (n < SIM_TESTS && rule->test[n].op != ARG_END)
		n++;
	return n;
}

static void check_rule(const struct policy *policy, const struct sc_rule *rule)
{
	unsigned bounds = 0, n = tests_of(rule);

	if (strlen(rule->why) < 5 || !rule->name || rule->nr < 0)
		fail_msg("%s: rule %d without name or reason", policy->role, rule->nr);
	for (unsigned i = 0; i < n; i++) {
		const struct arg_test *test = &rule->test[i];
		assert_true(test->arg < 6);
		assert_non_null(test->text);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(test->arg, rule->test[j].arg);
		if (test->op == ARG_MASKED)
			assert_true(test->mask != 0 && (test->value & ~test->mask) == 0);
		if (test->op == ARG_GE) {
			bounds++;
			assert_true(test->value != 0 && (test->value & (test->value - 1)) == 0);
		}
	}
	assert_true(bounds <= 1);
}

/* A rule that another one of its table makes superfluous hides what is really allowed. */
static void check_not_covered(const struct sc_rule *table, const struct sc_rule *rule)
{
	uint64_t args[6] = { ~0ull, ~0ull, ~0ull, ~0ull, ~0ull, ~0ull };
	unsigned matches = 0;

	for (unsigned i = 0; i < tests_of(rule); i++)
		args[rule->test[i].arg] = sim_pass(&rule->test[i], sim_fds);
	for (; table->why; table++) {
		const struct sc_rule alone[] = { *table, RULES_END };
		const struct sc_rule *const parts[] = { alone, NULL };
		const struct policy one = { .parts = parts };
		matches += sim_allowed(&one, sim_fds, rule->nr, args);
	}
	if (matches != 1)
		fail_msg("rule for '%s' (%s) is covered by another", rule->name, rule->why);
}

static void test_tables(void **state)
{
	(void)state;
	for (unsigned p = 0; policies[p]; p++)
		SIM_FOR_EACH_RULE(policies[p], rule)
		{
			check_rule(policies[p], rule);
			check_not_covered(*part_, rule);
		}
}

static void assert_absent(const struct policy *policy, const int *calls)
{
	for (; *calls >= 0; calls++)
		SIM_FOR_EACH_RULE(policy, rule)
	if (rule->nr == *calls)
		fail_msg("%s must not have '%s'", policy->role, rule->name);
}

/* The promises of docs/security.md, so that nobody widens a role by accident. */
static void test_promises(void **state)
{
	static const int nobody[] = { __NR_execve, __NR_execveat, __NR_fork, __NR_vfork, __NR_clone,
		__NR_socket, __NR_connect, __NR_bind, __NR_ptrace, __NR_process_vm_readv,
		__NR_process_vm_writev, __NR_open, __NR_creat, __NR_rename, __NR_kill,
		__NR_io_uring_setup, __NR_bpf, __NR_setuid, __NR_prctl, __NR_seccomp, __NR_mount,
		__NR_memfd_create, __NR_pidfd_getfd, __NR_shmat, -1 };
	static const int main_absent[] = { __NR_openat, __NR_openat2, __NR_getdents64, -1 };
	static const int vcpu_absent[] = { __NR_openat, __NR_openat2, __NR_mmap, __NR_munmap,
		__NR_mremap, __NR_mprotect, __NR_brk, __NR_close, __NR_read, __NR_dup3, __NR_fcntl,
		__NR_eventfd2, __NR_sendmsg, __NR_recvmsg, __NR_accept4, __NR_epoll_ctl,
		__NR_exit_group, __NR_tgkill, __NR_unlink, -1 };
	static const int worker_absent[] = { __NR_accept4, __NR_sendmsg, __NR_recvmsg, __NR_unlink,
		__NR_unlinkat, __NR_tgkill, __NR_exit_group, -1 };
	(void)state;

	for (unsigned p = 0; policies[p]; p++)
		assert_absent(policies[p], nobody);
	assert_absent(&policy_main, main_absent);
	assert_absent(&policy_vcpu, vcpu_absent);
	assert_absent(&policy_vfio_worker, worker_absent);
}

static bool any_ioctl(const struct policy *policy, uint32_t cmd)
{
	SIM_FOR_EACH_RULE(policy, rule)
	for (unsigned i = 0; rule->nr == __NR_ioctl && i < tests_of(rule); i++)
		if (rule->test[i].arg == 1 && rule->test[i].value == cmd)
			return true;
	return false;
}

static void test_ioctl_promises(void **state)
{
	(void)state;
	for (unsigned p = 0; policies[p]; p++)
		SIM_FOR_EACH_RULE(policies[p], rule)
	if (rule->nr == __NR_ioctl && tests_of(rule) == 0)
		fail_msg("%s: an ioctl without a command", policies[p]->role);
	SIM_FOR_EACH_RULE(&policy_vcpu, rule)
	if (rule->nr == __NR_ioctl) {
		assert_int_equal(rule->test[0].op, ARG_OWN_FD);
		assert_int_equal(rule->test[0].value, POLICY_FD_OWN);
	}
	for (uint32_t nr = 0; nr < 64; nr++) {
		assert_false(any_ioctl(&policy_vcpu, _IO(VFIO_TYPE, VFIO_BASE + nr)));
		assert_false(any_ioctl(&policy_main, _IO(VFIO_TYPE, VFIO_BASE + nr)));
	}
	assert_false(any_ioctl(&policy_vcpu, KVM_SET_USER_MEMORY_REGION));
	assert_false(any_ioctl(&policy_vfio_worker, KVM_SET_USER_MEMORY_REGION));
	assert_false(any_ioctl(&policy_main, KVM_RUN));
	assert_false(any_ioctl(&policy_vfio_worker, KVM_RUN));
	assert_true(any_ioctl(&policy_vcpu, KVM_RUN));
}

/* A table that libseccomp refuses is reported, and nothing leaks. */
static void test_bad_table(void **state)
{
	static const struct sc_rule twice[] = {
		RULE(read, "two tests of one argument", ARG_IS(0, 1), ARG_IS(0, 2)), RULES_END
	};
	static const struct sc_rule *const parts[] = { twice, NULL };
	static const struct policy bad = { .role = "bad", .parts = parts };
	struct policy_filter filter = { 0 };
	struct err err = { 0 };
	(void)state;

	assert_true(policy_build(&bad, sim_fds, &filter, &err) < 0);
	assert_null(filter.prog);
	assert_non_null(strstr(err.text, "'read'"));
	assert_non_null(strstr(err.text, "'bad'"));
	policy_filter_release(&filter);
	policy_filter_release(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_ioctl_promises),
		cmocka_unit_test(test_bad_table),
		cmocka_unit_test(test_bpf_equals_tables),
		cmocka_unit_test(test_missing_fd),
		cmocka_unit_test(test_foreign_architectures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
