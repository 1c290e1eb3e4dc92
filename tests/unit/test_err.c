/* SPDX-License-Identifier: Apache-2.0 */
/* test_err.c - building an error's text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/err.h>

static void set_fills_and_returns(void **state)
{
	struct err err = { .hint = "old" };

	(void)state;
	assert_int_equal(err_set(&err, EBUSY, "group %d of '%s'", 12, "x"), -EBUSY);
	assert_int_equal(err.code, EBUSY);
	assert_string_equal(err.text, "group 12 of 'x'");
	assert_string_equal(err.hint, "");
}

static void errno_is_spelled_out(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set_errno(&err, ENOENT, "file '%s'", "f"), -ENOENT);
	assert_string_equal(err.text, "file 'f': No such file or directory");
	err_set_errno(&err, 99999, "x");
	assert_string_equal(err.text, "x: unknown error");
}

static void prefix_append_hint(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, EPERM, "not permitted");
	err_hint(&err, "ask %s", "root");
	assert_int_equal(err_prefix(&err, "device '%s'", "net"), -EPERM);
	err_append(&err, ", %d more", 2);
	assert_string_equal(err.text, "device 'net': not permitted, 2 more");
	assert_string_equal(err.hint, "ask root");
}

/* An error made of an error: the arguments lie in what is being written. */
static void arguments_may_be_its_own(void **state)
{
	struct err err;

	(void)state;
	err_set(&err, EINVAL, "inner");
	err_hint(&err, "do this");
	err_hint(&err, "first: %s", err.hint);
	assert_string_equal(err.hint, "first: do this");
	err_set(&err, EINVAL, "outer: %s", err.text);
	assert_string_equal(err.text, "outer: inner");
	err_prefix(&err, "%s", err.text);
	assert_string_equal(err.text, "outer: inner: outer: inner");
}

static void long_texts_are_marked(void **state)
{
	char big[2 * ERR_TEXT_MAX];
	struct err err;

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&err, EINVAL, "%s", big);
	assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "a...");
	err_append(&err, "tail");
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "a...");
	err_set(&err, EINVAL, "%.*s", ERR_TEXT_MAX - 1, big); /* fits */
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "aaaa");
	err_set(&err, EINVAL, "%.*s", ERR_TEXT_MAX, big); /* one too many */
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "a...");
	err_prefix(&err, "p");
	assert_int_equal(strncmp(err.text, "p: aaa", 6), 0);
	assert_string_equal(err.text + ERR_TEXT_MAX - 5, "a...");
	err_hint(&err, "%s", big);
	assert_string_equal(err.hint + ERR_HINT_MAX - 5, "a...");
}

/* A path may be as long as it likes; why it is of no use is what the user must hear. */
static void a_reason_is_never_cut(void **state)
{
	char big[2 * ERR_TEXT_MAX];
	struct err err;

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (int len = ERR_TEXT_MAX - 40; len < ERR_TEXT_MAX + 10; len++) {
		const char *reason = ": No such file or directory";

		err_set_errno(&err, ENOENT, "%.*s", len, big);
		assert_string_equal(err.text + strlen(err.text) - strlen(reason), reason);
		assert_true(
			strstr(err.text, "...") || (int)(strlen(err.text) - strlen(reason)) == len);
	}
}

static void nobody_listening(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, EIO, "x"), -EIO);
	assert_int_equal(err_set_errno(NULL, EIO, "x"), -EIO);
	err_prefix(NULL, "x");
	err_append(NULL, "x");
	err_hint(NULL, "x");
}

static void one_line(void **state)
{
	struct err err;
	char buf[64];

	(void)state;
	err_set(&err, EIO, "broken");
	assert_string_equal(err_format(&err, buf, sizeof(buf)), "broken");
	err_hint(&err, "repair it");
	assert_string_equal(err_format(&err, buf, sizeof(buf)), "broken (repair it)");
	assert_string_equal(err_format(&err, buf, 9), "broken (");
}

/* Only when it is the directory that is missing. */
static void missing_directories_are_named(void **state)
{
	struct err err;

	(void)state;
	err_set_errno(&err, ENOENT, "file");
	err_hint_directory(&err, "/nonexistent/vm/file");
	assert_string_equal(err.hint,
		"'/nonexistent/vm' does not exist: make it (mkdir -p /nonexistent/vm), or name another path");
	err_set_errno(&err, ENOENT, "file");
	err_hint_directory(&err, "/dev/file");
	err_hint_directory(&err, "/file");
	err_hint_directory(&err, "file");
	assert_string_equal(err.hint, "");
	err_set_errno(&err, EACCES, "file");
	err_hint_directory(&err, "/nonexistent/vm/file");
	assert_string_equal(err.hint, "");
	err_hint_directory(NULL, "/nonexistent/vm/file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_fills_and_returns),
		cmocka_unit_test(errno_is_spelled_out),
		cmocka_unit_test(prefix_append_hint),
		cmocka_unit_test(arguments_may_be_its_own),
		cmocka_unit_test(long_texts_are_marked),
		cmocka_unit_test(a_reason_is_never_cut),
		cmocka_unit_test(nobody_listening),
		cmocka_unit_test(one_line),
		cmocka_unit_test(missing_directories_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
