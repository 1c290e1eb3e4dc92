/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_frame.c - where messages begin and end, whichever way the bytes arrive.
 *
 * Every stream is fed whole, byte by byte and in pieces of seven: the outcome must be the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../src/qmp/frame.h"

static char heard[400000]; /* messages joined by '|', what was bad as "!why" */

static void hear(const struct frame *f, enum frame_status status)
{
	if (status == FRAME_MORE)
		return;
	if (heard[0])
		strcat(heard, "|");
	if (status == FRAME_BAD) {
		strcat(heard, "!");
		strcat(heard, f->why);
	} else {
		strncat(heard, f->buf, f->used);
	}
}

static void feed(struct frame *f, const char *data, size_t len, size_t piece)
{
	for (size_t pos = 0; pos < len;) {
		size_t n = len - pos < piece ? len - pos : piece, took;
		enum frame_status status;

		took = frame_feed(f, data + pos, n, &status);
		assert_true(took <= n && (took || status != FRAME_MORE));
		hear(f, status);
		pos += took;
	}
}

static void check_bytes(const char *data, size_t len, const char *want)
{
	static const size_t pieces[] = { SIZE_MAX, 1, 7 };

	for (unsigned i = 0; i < 3; i++) {
		struct frame f;

		assert_int_equal(frame_init(&f), 0);
		heard[0] = '\0';
		feed(&f, data, len, pieces[i]);
		if (strcmp(heard, want) != 0)
			fail_msg("'%.200s' heard as '%.200s', not '%.200s'", data, heard, want);
		frame_release(&f);
	}
}

static void check(const char *data, const char *want)
{
	check_bytes(data, strlen(data), want);
}

static void test_messages(void **state)
{
	(void)state;
	check("{\"a\":1}", "{\"a\":1}");
	check("{\"a\":1}\r\n", "{\"a\":1}");
	check("{\"a\":1}{\"b\":2}", "{\"a\":1}|{\"b\":2}");
	check(" \t{\"a\":\n 1}\r\n\r\n[1]\n", "{\"a\":\n 1}|[1]");
	check("{\"a\":{\"b\":[{},[]]}} {}", "{\"a\":{\"b\":[{},[]]}}|{}");
	check("{\"a", "");
	check("", "");
}

static void test_strings(void **state)
{
	(void)state;
	check("{\"}\":\"]{[\"}{}", "{\"}\":\"]{[\"}|{}");
	check("{\"a\\\"}\":1}{}", "{\"a\\\"}\":1}|{}");
	check("{\"a\\\\\":1}{}", "{\"a\\\\\":1}|{}");
	check("\"a b{\" {}", "\"a b{\"|{}");
	check("{'}':']{['}{}", "{'}':']{['}|{}");
	check("{'a\\'}':1}{}", "{'a\\'}':1}|{}");
	check("{\"it's\":'\"}'}{}", "{\"it's\":'\"}'}|{}");
	check("'a b{' {}", "'a b{'|{}");
	check("can't\n{\"a\":1}", "!control character in a string|{\"a\":1}");
}

static void test_words(void **state)
{
	(void)state;
	check("hello {\"a\":1}", "hello|{\"a\":1}");
	check("hello{\"a\":1}", "hello|{\"a\":1}");
	check("1\n2\n", "1|2");
	check("quit", ""); /* not complete yet */
}

static void test_hopeless(void **state)
{
	(void)state;
	check("}{\"a\":1}", "!unexpected closing bracket|{\"a\":1}");
	check("{\"a\":[}{\"b\":1}", "!unexpected closing bracket|{\"b\":1}");
	check("[}[1]", "!unexpected closing bracket|[1]");
	check("{\"exec\n{\"b\":1}\n", "!control character in a string|{\"b\":1}");
	check_bytes("{\"a\0\"}", 6, "!control character in a string");
}

static void test_resync(void **state)
{
	(void)state;
	check("{\"a\":\"\xff{\"b\":1}", "{\"b\":1}");
	check("\xff\xff{\"b\":1}", "{\"b\":1}");
	check("[[[\xff[1]", "[1]");
}

static void test_too_deep(void **state)
{
	char text[3 * JSON_DEPTH_MAX + 64], want[2 * JSON_DEPTH_MAX + 64];
	unsigned deep = JSON_DEPTH_MAX;
	(void)state;

	memset(text, '[', deep);
	memset(text + deep, ']', deep);
	strcpy(text + 2 * deep, "{}");
	memcpy(want, text, 2 * deep);
	strcpy(want + 2 * deep, "|{}");
	check(text, want);
	deep++;
	memset(text, '[', deep);
	strcpy(text + deep, "\"]]\"");
	memset(text + deep + 4, ']', deep);
	strcpy(text + 2 * deep + 4, "{}");
	check(text, "!it is nested too deeply|{}");
}

static void test_too_large(void **state)
{
	static char text[JSON_MESSAGE_MAX + 64];
	(void)state;

	memset(text, 'x', sizeof(text));
	memcpy(text, "{\"", 2);
	strcpy(text + JSON_MESSAGE_MAX - 1, "}\"}{}");
	check(text, "!it is too large|{}");
	/* a word, and a bracket that was never opened while one is skipped */
	memset(text, 'x', JSON_MESSAGE_MAX + 1);
	strcpy(text + JSON_MESSAGE_MAX + 1, " {}");
	check(text, "!it is too large|{}");
	strcpy(text + JSON_MESSAGE_MAX + 1, "}{}");
	check(text, "!it is too large|{}");
}

static void test_largest(void **state)
{
	static char text[JSON_MESSAGE_MAX + 3], want[JSON_MESSAGE_MAX + 4];
	(void)state;

	memset(text, ' ', sizeof(text));
	text[0] = '{';
	strcpy(text + JSON_MESSAGE_MAX - 1, "}[]");
	memcpy(want, text, JSON_MESSAGE_MAX);
	strcpy(want + JSON_MESSAGE_MAX, "|[]");
	check(text, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_hopeless),
		cmocka_unit_test(test_resync),
		cmocka_unit_test(test_too_deep),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_largest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
