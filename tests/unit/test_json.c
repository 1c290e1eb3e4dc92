/* SPDX-License-Identifier: Apache-2.0 */
/* test_json.c - JSON in and out: values, escapes, caps, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include <portcullis/err.h>

#include "../../src/qmp/json.h"

static struct json_arena arena;

static int setup(void **state)
{
	(void)state;
	return json_arena_init(&arena);
}

static int teardown(void **state)
{
	(void)state;
	json_arena_release(&arena);
	return 0;
}

static const struct json *parse(const char *text)
{
	const struct json *out = NULL;
	struct err err = { 0 };

	if (json_parse(&arena, text, strlen(text), &out, &err) != 0)
		fail_msg("%s: %s", text, err.text);
	return out;
}

static int parse_error(const char *text, size_t len, char why[static ERR_TEXT_MAX])
{
	const struct json *out = NULL;
	struct err err = { 0 };
	int ret = json_parse(&arena, text, len, &out, &err);

	strcpy(why, err.text);
	return ret;
}

static void test_values(void **state)
{
	const struct json *v = parse("{\"a\": [1, -2, 2.5, 1e3, 99999999999999999999, true, false,"
				     "null, \"x\\u00e9\\n\\\\\"], \"b\": {}}");
	const struct json *a = json_get(v, "a")->first;
	(void)state;

	assert_int_equal(v->kind, JSON_OBJECT);
	assert_int_equal(a->kind, JSON_INT);
	assert_int_equal(a->integer, 1);
	a = a->next;
	assert_int_equal(a->integer, -2);
	a = a->next;
	assert_int_equal(a->kind, JSON_NUMBER);
	assert_string_equal(a->text, "2.5");
	a = a->next;
	assert_int_equal(a->kind, JSON_NUMBER);
	a = a->next;
	assert_int_equal(a->kind, JSON_NUMBER);
	assert_string_equal(a->text, "99999999999999999999");
	a = a->next;
	assert_int_equal(a->kind, JSON_BOOL);
	assert_true(a->boolean);
	a = a->next;
	assert_false(a->boolean);
	a = a->next;
	assert_int_equal(a->kind, JSON_NULL);
	a = a->next;
	assert_string_equal(a->text, "x\xc3\xa9\n\\");
	assert_null(a->next);
	assert_int_equal(json_get(v, "b")->kind, JSON_OBJECT);
	assert_null(json_get(v, "c"));
}

static void test_limits_of_int(void **state)
{
	(void)state;
	assert_true(parse("9223372036854775807")->integer == INT64_MAX);
	assert_true(parse("-9223372036854775808")->integer == INT64_MIN);
	assert_int_equal(parse("9223372036854775808")->kind, JSON_NUMBER);
}

static void test_not_json(void **state)
{
	static const char *const bad[] = { "", "{", "}", "[1,]", "{\"a\" 1}", "{a: 1}", "'x\"",
		"tru", "\"\\q\"", "\"\xc3\"", "\"\xff\"", "01", "1 2", "{\"a\":1,\"a\":2}",
		"\"\\u0000\"", "{\"a\\u0000\":1}", "nul", "-", "[1}" };
	char why[ERR_TEXT_MAX];
	(void)state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse_error(bad[i], strlen(bad[i]), why) != -EINVAL)
			fail_msg("'%s' is taken (%s)", bad[i], why);
		assert_memory_equal(why, "JSON parse error, ", 18);
		assert_null(strstr(why + 18, "error: ")); /* not twice */
		assert_null(strchr(why, '\n'));
	}
}

/* QEMU's parser takes them, so clients send them. */
static void test_single_quotes(void **state)
{
	static const struct {
		const char *in, *text;
	} good[] = { { "'x'", "x" }, { "''", "" }, { "'a\"b'", "a\"b" }, { "'\\'\\\"'", "'\"" },
		{ "\"it's\"", "it's" }, { "\"it\\'s\"", "it's" }, { "'\\\\'", "\\" },
		{ "'\\u0041\\n'", "A\n" }, { "'\xc3\xa9'", "\xc3\xa9" } };
	static const char *const bad[] = { "'", "'x", "'x\"", "\"x'", "'x''y'", "'\\'", "'\\q'",
		"{'a':1,\"a\":2}", "'\\u0000'", "'\xff'", "'\\ud83d'", "\\'x'", "['\\']",
		"'a\nb'" };
	char why[ERR_TEXT_MAX];
	const struct json *v;
	(void)state;

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		v = parse(good[i].in);
		assert_int_equal(v->kind, JSON_STRING);
		assert_string_equal(v->text, good[i].text);
	}
	v = parse("{'execute': 'a{b', \"arguments\": {'x': [\"'\", '}']}}");
	assert_string_equal(json_get(v, "execute")->text, "a{b");
	v = json_get(json_get(v, "arguments"), "x")->first;
	assert_string_equal(v->text, "'");
	assert_string_equal(v->next->text, "}");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse_error(bad[i], strlen(bad[i]), why) != -EINVAL)
			fail_msg("'%s' is taken (%s)", bad[i], why);
}

/* Strings that are no text; what is like them but is. */
static void test_not_text(void **state)
{
	static const char *const bad[] = { "\"\xed\xa0\x80\"", "\"\xc0\x80\"",
		"\"\xf4\x90\x80\x80\"", "\"\xe0\x80\xaf\"", "{\"\xed\xa0\x80\":1}", "\"\\ud83d\"",
		"\"\\ude00\"", "\"\\ude00\\ud83d\"", "\"\\ud83d\\u0041\"",
		"\"\\ud83d\\ud83d\\ude00\"", "\"\\ud83dx\\ude00\"", "\"\\\\\\ud83d\"",
		"{\"\\uDFFF\":1}" };
	char why[ERR_TEXT_MAX];
	(void)state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse_error(bad[i], strlen(bad[i]), why) != -EINVAL)
			fail_msg("'%s' is taken (%s)", bad[i], why);
	assert_string_equal(parse("\"\\ud83d\\ude00\"")->text, "\xf0\x9f\x98\x80");
	assert_string_equal(parse("\"\\uD83D\\uDE00\\ud83d\\ude00\"")->text,
		"\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
	assert_string_equal(parse("\"\\\\ud83d\"")->text, "\\ud83d");
	assert_string_equal(parse("\"\\\\\"")->text, "\\");
	assert_string_equal(parse("\"\\ud7ff\\ue000\"")->text, "\xed\x9f\xbf\xee\x80\x80");
}

static void test_depth(void **state)
{
	char text[2 * JSON_DEPTH_MAX + 8], why[ERR_TEXT_MAX];
	(void)state;

	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(parse_error(text, 2 * JSON_DEPTH_MAX, why), 0);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(parse_error(text, 2 * JSON_DEPTH_MAX + 2, why), -E2BIG);
	assert_non_null(strstr(why, "deeply"));
}

static void test_count(void **state)
{
	static char text[3 * JSON_VALUES_MAX];
	char why[ERR_TEXT_MAX];
	size_t len;
	(void)state;

	for (unsigned values = JSON_VALUES_MAX; values <= JSON_VALUES_MAX + 1; values++) {
		len = 1; /* the array is a value itself */
		text[0] = '[';
		for (unsigned i = 0; i + 1 < values; i++) {
			text[len++] = '1';
			text[len++] = ',';
		}
		text[len - 1] = ']';
		assert_int_equal(
			parse_error(text, len, why), values > JSON_VALUES_MAX ? -E2BIG : 0);
	}
}

static void test_size(void **state)
{
	static char text[JSON_MESSAGE_MAX + 1];
	char why[ERR_TEXT_MAX];
	(void)state;

	memset(text, 'x', sizeof(text));
	text[0] = text[JSON_MESSAGE_MAX - 1] = '"';
	assert_int_equal(parse_error(text, JSON_MESSAGE_MAX, why), 0);
	text[JSON_MESSAGE_MAX - 1] = 'x';
	text[JSON_MESSAGE_MAX] = '"';
	assert_int_equal(parse_error(text, sizeof(text), why), -E2BIG);
}

/* The most that messages within the caps can make us and yajl take: the arena never runs out. */
static void test_worst_case(void **state)
{
	static char text[JSON_MESSAGE_MAX];
	char why[ERR_TEXT_MAX];
	size_t len = 1;
	(void)state;

	/* Many strings, each with an escape so that yajl decodes it. */
	text[0] = '[';
	for (unsigned i = 0; i + 1 < JSON_VALUES_MAX; i++) {
		memcpy(text + len, "\"\\u00e9xxxxxxxxxxxxxxxxxxxxx\",", 30);
		len += 30;
	}
	text[len - 1] = ']';
	assert_int_equal(parse_error(text, len, why), 0);
	assert_true(arena.used < arena.size / 2);
	/* One that is as long as a message, all escapes. */
	text[0] = '"';
	for (len = 1; len + 7 < sizeof(text); len += 6)
		memcpy(text + len, "\\u20ac", 6);
	text[len++] = '"';
	assert_int_equal(parse_error(text, len, why), 0);
	assert_true(arena.used < arena.size / 2);
	/* One in single quotes, every character of which needs an escape in plain JSON. */
	memset(text, '"', sizeof(text));
	text[0] = text[sizeof(text) - 1] = '\'';
	assert_int_equal(parse_error(text, sizeof(text), why), 0);
	assert_true(arena.used < arena.size - 64 * 1024);
}

static void expect(struct json_writer *w, const char *text)
{
	assert_false(w->failed);
	if (w->used != strlen(text) || memcmp(w->buf, text, w->used) != 0)
		fail_msg("'%.*s' is not '%s'", (int)w->used, w->buf, text);
}

static void test_writer(void **state)
{
	struct json_writer w;
	(void)state;

	json_writer_init(&w, 1000);
	json_begin_object(&w, NULL);
	json_put_int(&w, "i", INT64_MIN);
	json_put_uint(&w, "u", UINT64_MAX);
	json_put_bool(&w, "t", true);
	json_put_null(&w, "n");
	json_begin_array(&w, "a");
	json_put_string(&w, NULL, "x");
	json_begin_array(&w, NULL);
	json_end_array(&w);
	json_put_raw(&w, NULL, "{}");
	json_end_array(&w);
	json_begin_object(&w, "o");
	json_end_object(&w);
	json_put_bool(&w, "f", false);
	json_end_object(&w);
	json_put_newline(&w);
	expect(&w, "{\"i\": -9223372036854775808, \"u\": 18446744073709551615, \"t\": true, "
		   "\"n\": null, \"a\": [\"x\", [], {}], \"o\": {}, \"f\": false}\r\n");
	json_writer_release(&w);
}

static void test_escapes(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "a\"b\\c/", "\"a\\\"b\\\\c/\"" },
		{ "\b\t\n\f\r\x01\x1f\x7f", "\"\\b\\t\\n\\f\\r\\u0001\\u001F\\u007F\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xaa", "\"\\u00E9\\u20AC\\uD83D\\uDEAA\"" },
		{ "\xf4\x8f\xbf\xbf\xf0\x90\x80\x80\xef\xbf\xbf\xc2\x80",
			"\"\\uDBFF\\uDFFF\\uD800\\uDC00\\uFFFF\\u0080\"" },
		/* cut short, overlong, surrogate, beyond Unicode, stray continuation */
		{ "\xc3", "\"\\uFFFD\"" },
		{ "\xe2\x82", "\"\\uFFFD\\uFFFD\"" },
		{ "\xc0\xaf", "\"\\uFFFD\\uFFFD\"" },
		{ "\xe0\x80\xaf", "\"\\uFFFD\\uFFFD\\uFFFD\"" },
		{ "\xed\xa0\x80", "\"\\uFFFD\\uFFFD\\uFFFD\"" },
		{ "\xf0\x80\x80\x80", "\"\\uFFFD\\uFFFD\\uFFFD\\uFFFD\"" },
		{ "\xf4\x90\x80\x80", "\"\\uFFFD\\uFFFD\\uFFFD\\uFFFD\"" },
		{ "\xf5\x80", "\"\\uFFFD\\uFFFD\"" },
		{ "\x80"
		  "a",
			"\"\\uFFFDa\"" },
	};
	(void)state;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_writer w;
		json_writer_init(&w, 1000);
		json_put_string(&w, NULL, cases[i].in);
		expect(&w, cases[i].out);
		json_writer_release(&w);
	}
}

static void test_round_trip(void **state)
{
	static const char text[] = "{\"a\": [1, 2.50, 1e400, -0, true, null, \"\\\"\\u0001\"], "
				   "\"b\": {\"c\": {}}}";
	struct json_writer w;
	(void)state;

	json_writer_init(&w, 1000);
	json_put_value(&w, NULL, parse(text));
	expect(&w, text);
	json_writer_release(&w);
}

static void test_writer_limit(void **state)
{
	struct json_writer w;
	struct json_mark mark;
	(void)state;

	json_writer_init(&w, 2000);
	json_begin_array(&w, NULL);
	mark = json_writer_mark(&w);
	for (unsigned i = 0; i < 3000; i++)
		json_put_int(&w, NULL, 1);
	assert_true(w.failed);
	assert_true(w.used <= 2000);
	json_writer_rewind(&w, mark);
	json_put_int(&w, NULL, 7);
	json_end_array(&w);
	expect(&w, "[7]");
	json_writer_release(&w);
	json_writer_release(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_limits_of_int),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_single_quotes),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_worst_case),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_writer_limit),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
