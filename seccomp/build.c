/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c - tables to BPF, with libseccomp; the only file that knows the library.
 *
 * What had to be learned the hard way:
 *  - a plain EQ compares all 64 bits of the register, and an ioctl command with bit 31 set arrives
 *    sign-extended or not as the caller likes; the kernel looks at the low half. MASKED_EQ with
 *    0xffffffff is what the kernel does.
 *  - the other way round, the kernel ignores the high half of an fd: GE on 64 bits would let
 *    0x100000005 pass as "large". A lower bound is therefore built from power-of-two windows that
 *    compare the whole register.
 *  - SCMP_ACT_KILL kills one thread and leaves its locks held: KILL_PROCESS, for foreign
 *    architectures too.
 *  - two comparisons of one argument in one rule are refused (EINVAL).
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/policy.h>
#include <portcullis/sys.h>

const struct policy *const policies[] = { &policy_main, &policy_vcpu, &policy_vfio_worker,
	&policy_closer, &policy_populator, NULL };

#define TESTS_MAX (sizeof(((struct sc_rule *)NULL)->test) / sizeof(struct arg_test))
#define LOW_HALF 0xffffffffull

static struct scmp_arg_cmp masked(const struct arg_test *test, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){
		.arg = test->arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
	};
}

static struct scmp_arg_cmp compare(const struct arg_test *test, const int fds[static POLICY_FDS])
{
	switch (test->op) {
	case ARG_OWN_FD:
		return masked(test, LOW_HALF, (uint32_t)fds[test->value]);
	case ARG_MASKED:
		return masked(test, test->mask, test->value);
	case ARG_GE: /* the first window; add_rule() makes the others */
		return masked(test, ~((uint64_t)test->value - 1), test->value);
	default:
		return masked(test, LOW_HALF, test->value);
	}
}

/* Alternatives for a lower bound: [v, 2v), [2v, 4v), ... */
static int add_windows(scmp_filter_ctx ctx, const struct sc_rule *rule, struct scmp_arg_cmp *cmp,
	unsigned n, unsigned bound)
{
	for (uint64_t v = rule->test[bound].value; v < ARG_GE_END; v <<= 1) {
		cmp[bound].datum_a = ~(v - 1);
		cmp[bound].datum_b = v;
		int ret = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, rule->nr, n, cmp);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_rule(
	scmp_filter_ctx ctx, const struct sc_rule *rule, const int fds[static POLICY_FDS])
{
	struct scmp_arg_cmp cmp[TESTS_MAX];
	unsigned n = 0, bound = TESTS_MAX;

	for (; n < TESTS_MAX && rule->test[n].op != ARG_END; n++) {
		const struct arg_test *test = &rule->test[n];
		if (test->op == ARG_OWN_FD && (test->value >= POLICY_FDS || fds[test->value] < 0))
			return 0;
		if (test->op == ARG_GE)
			bound = n;
		cmp[n] = compare(test, fds);
	}
	if (bound < n)
		return add_windows(ctx, rule, cmp, n, bound);
	return seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW, rule->nr, n, cmp);
}

static int add_rules(scmp_filter_ctx ctx, const struct policy *policy,
	const int fds[static POLICY_FDS], struct err *err)
{
	for (const struct sc_rule *const *part = policy->parts; *part; part++)
		for (const struct sc_rule *rule = *part; rule->why; rule++) {
			int ret = add_rule(ctx, rule, fds);
			if (ret < 0)
				return err_set_errno(err, -ret,
					"seccomp rule '%s' (%s) of role '%s'", rule->name,
					rule->why, policy->role);
		}
	int ret = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(ENOSYS), __NR_clone3, 0);
	if (ret < 0)
		return err_set_errno(err, -ret, "seccomp rule 'clone3' of role '%s'", policy->role);
	return 0;
}

static int read_whole(int fd, struct sock_fprog **out)
{
	off_t size = lseek(fd, 0, SEEK_END);
	if (size < 0)
		return -errno;
	size_t bytes = (size_t)size, count = bytes / sizeof(struct sock_filter);
	if (count == 0 || count > BPF_MAXINSNS)
		return -E2BIG;
	struct sock_fprog *prog = malloc(sizeof(*prog) + bytes);
	if (!prog)
		return -ENOMEM;
	prog->len = (unsigned short)count;
	prog->filter = (struct sock_filter *)(prog + 1);
	ssize_t got = pread(fd, prog->filter, bytes, 0);
	if (got != size) {
		int ret = got < 0 ? -errno : -EIO;
		free(prog);
		return ret;
	}
	*out = prog;
	return 0;
}

/* libseccomp 2.5.4 exports to a file descriptor only. */
static int export(scmp_filter_ctx ctx, struct sock_fprog **out)
{
	int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int ret = seccomp_export_bpf(ctx, fd);
	if (ret == 0)
		ret = read_whole(fd, out);
	sys_close(fd);
	return ret;
}

int policy_build(const struct policy *policy, const int fds[static POLICY_FDS],
	struct policy_filter *out, struct err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return err_set(
			err, ENOMEM, "no memory for the seccomp filter of role '%s'", policy->role);
	int ret = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (ret < 0) {
		err_set_errno(err, -ret, "seccomp filter of role '%s'", policy->role);
		goto out;
	}
	ret = add_rules(ctx, policy, fds, err);
	if (ret < 0)
		goto out;
	ret = export(ctx, &out->prog);
	if (ret < 0)
		err_set_errno(err, -ret, "exporting the seccomp filter of role '%s'", policy->role);
out:
	seccomp_release(ctx);
	return ret;
}

void policy_filter_release(struct policy_filter *filter)
{
	if (!filter)
		return;
	free(filter->prog);
	filter->prog = NULL;
}
