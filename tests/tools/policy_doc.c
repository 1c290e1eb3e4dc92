/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_doc.c - prints docs/seccomp.md from the tables that the filters are built from.
 */
#include <stdio.h>

#include <portcullis/policy.h>

static const char intro[] =
	"# What each thread may ask of the kernel\n\n"
	"Generated from the tables in `seccomp/` by `tests/tools/policy_doc.c`; do not edit.\n\n"
	"One line is one rule; several rules for a call are alternatives. Whatever is not listed "
	"kills\n"
	"the process, but for `clone3`, which answers `ENOSYS`. `arg0` is a call's first "
	"argument.\n"
	"Pinned fds: `POLICY_FD_OWN` is the vCPU's own, `POLICY_FD_VM` and `POLICY_FD_KVM_DEVICE` "
	"are\n"
	"KVM's, `POLICY_FD_LOG` is where messages go. Fds of passed-through devices have numbers "
	"in\n"
	"`FD_ZONE_DEVICE`, eventfds from `FD_ZONE_EVENT` up.\n";

/* A bar would end the table's cell. */
static void print_text(const char *text)
{
	for (; *text; text++)
		printf(*text == '|' ? "\\%c" : "%c", *text);
}

static void print_test(const struct arg_test *test, const char *sep)
{
	switch (test->op) {
	case ARG_MASKED:
		printf("%sarg%u & ", sep, test->arg);
		break;
	case ARG_GE:
		printf("%sarg%u >= ", sep, test->arg);
		break;
	default:
		printf("%sarg%u == ", sep, test->arg);
		break;
	}
	print_text(test->text);
}

static void print_rule(const struct sc_rule *rule)
{
	const size_t max = sizeof(rule->test) / sizeof(rule->test[0]);

	printf("| `%s` | ", rule->name);
	for (size_t i = 0; i < max && rule->test[i].op != ARG_END; i++) {
		print_test(&rule->test[i], i ? "`, `" : "`");
		if (i + 1 == max || rule->test[i + 1].op == ARG_END)
			printf("`");
	}
	printf(" | %s |\n", rule->why);
}

int main(void)
{
	fputs(intro, stdout);
	for (unsigned p = 0; policies[p]; p++) {
		printf("\n## %s\n\n| call | arguments | why |\n|---|---|---|\n", policies[p]->role);
		for (const struct sc_rule *const *part = policies[p]->parts; *part; part++)
			for (const struct sc_rule *rule = *part; rule->why; rule++)
				print_rule(rule);
	}
	return 0;
}
