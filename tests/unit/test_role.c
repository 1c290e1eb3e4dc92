/* SPDX-License-Identifier: Apache-2.0 */
/* test_role.c - a thread that does another one's work: debug builds stop. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/role.h>

/* What a child that is this, and does main's work, ends with. */
static int status_of(enum role_kind kind)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL); /* cmocka's would tell a failure */
		role_begin(kind);
		role_enter_main();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void own_work(void **state)
{
	(void)state;
	assert_int_equal(status_of(ROLE_MAIN), 0);
	assert_int_equal(status_of(ROLE_ANY), 0); /* before there are threads, and in tests */
}

static void others_work(void **state)
{
	static const enum role_kind others[] = { ROLE_VCPU, ROLE_WORKER, ROLE_CLOSER };

	(void)state;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		int status = status_of(others[i]);

		if (DEBUG_CHECKS)
			assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		else
			assert_int_equal(status, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_work),
		cmocka_unit_test(others_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
