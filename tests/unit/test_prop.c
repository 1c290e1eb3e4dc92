/* SPDX-License-Identifier: Apache-2.0 */
/* test_prop.c - property tables: every kind, from text and from QMP's value types. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/closer.h>
#include <portcullis/err.h>
#include <portcullis/prop.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct thing {
	char *id, *file, *maybe;
	bool on, also_on;
	uint64_t number, size, reserve;
	struct host_bdf host;
	int32_t addr, choice;
};
#define AT(field) offsetof(struct thing, field)

static const char *const choices[] = { "stop", "report", NULL };
static const struct prop props[] = {
	{ .name = "id",
		.kind = PROP_STRING,
		.offset = AT(id),
		.required = true,
		.help = "its name" },
	{ .name = "file",
		.kind = PROP_STRING,
		.offset = AT(file),
		.def = "none",
		.help = "a file" },
	{ .name = "maybe",
		.kind = PROP_STRING,
		.offset = AT(maybe),
		.may_be_empty = true,
		.help = "a file or nothing" },
	{ .name = "on", .kind = PROP_BOOL, .offset = AT(on), .help = "a switch" },
	{ .name = "also-on",
		.kind = PROP_BOOL,
		.offset = AT(also_on),
		.def = "on",
		.help = "another" },
	{ .name = "number",
		.kind = PROP_UINT,
		.offset = AT(number),
		.def = "5",
		.min = 1,
		.max = 100,
		.help = "a count" },
	{ .name = "size",
		.kind = PROP_SIZE,
		.offset = AT(size),
		.def = "4K",
		.min = 4096,
		.help = "bytes" },
	{ .name = "reserve",
		.kind = PROP_SIZE,
		.offset = AT(reserve),
		.def = "18446744073709551615",
		.help = "bytes kept" },
	{ .name = "host",
		.kind = PROP_BDF,
		.offset = AT(host),
		.required = true,
		.help = "host device" },
	{ .name = "addr", .kind = PROP_DEVFN, .offset = AT(addr), .help = "slot" },
	{ .name = "choice",
		.kind = PROP_CHOICE,
		.offset = AT(choice),
		.def = "report",
		.help = "what to do",
		.choices = choices },
	{ .name = NULL },
};
static const struct prop_type type = { "thing", "a thing", NULL, sizeof(struct thing), props };

static void defaults(void **state)
{
	struct thing t;

	(void)state;
	memset(&t, 0xee, sizeof(t));
	assert_int_equal(props_init(&type, &t), 0);
	assert_null(t.id);
	assert_string_equal(t.file, "none");
	assert_false(t.on);
	assert_true(t.also_on);
	assert_int_equal(t.number, 5);
	assert_int_equal(t.size, 4096);
	assert_int_equal(t.reserve, UINT64_MAX);
	assert_false(t.host.set);
	assert_int_equal(t.addr, -1);
	assert_int_equal(t.choice, 1);
	props_release(&type, &t, NULL);
	assert_null(t.file);
	props_release(&type, &t, NULL);
	props_release(&type, NULL, NULL);
}

/* A table whose default is no value of its kind is found by the first test that uses it. */
static void bad_default(void **state)
{
	static const struct prop bad[] = {
		{ .name = "s", .kind = PROP_STRING, .offset = AT(id), .def = "x", .help = "" },
		{ .name = "n", .kind = PROP_UINT, .offset = AT(number), .def = "x", .help = "" },
		{ .name = NULL }
	};
	static const struct prop_type bad_type = { "bad", "", NULL, sizeof(struct thing), bad };
	struct thing t;

	(void)state;
	assert_int_equal(props_init(&bad_type, &t), -EINVAL);
	assert_null(t.id);
}

static void all_from_text(void **state)
{
	struct thing t;
	struct err err;

	(void)state;
	assert_int_equal(props_init(&type, &t), 0);
	assert_int_equal(props_parse(&type, &t, "", &err), 0);
	assert_int_equal(props_parse(&type, &t,
				 "id=net-0.a_b,file=a,,b=c,maybe=,on,noalso-on,number=0x10,size=2M,"
				 "reserve=0,"
				 "host=0000:1a:00.3,addr=3.1,choice=stop",
				 &err),
		0);
	assert_string_equal(t.id, "net-0.a_b");
	assert_string_equal(t.file, "a,b=c");
	assert_string_equal(t.maybe, "");
	assert_true(t.on);
	assert_false(t.also_on);
	assert_int_equal(t.number, 16);
	assert_int_equal(t.size, 2 << 20);
	assert_int_equal(t.reserve, 0);
	assert_int_equal(t.host.bus, 0x1a);
	assert_int_equal(t.addr, 0x19);
	assert_int_equal(t.choice, 0);
	assert_int_equal(props_check(&type, &t, &err), 0);
	props_release(&type, &t, NULL);
}

static void bad_text(void **state)
{
	static const struct {
		const char *text, *error, *hint;
		int ret;
	} cases[] = { { "ib=x", "thing has no property 'ib'", "did you mean 'id'?", -EINVAL },
		{ "zzzzz=1", "thing has no property 'zzzzz'", "'-device thing,help'", -EINVAL },
		{ "id=a,1", "thing has no property '1'", "written twice: ',,1'", -EINVAL },
		{ "zzzzz", "thing has no property 'zzzzz'", NULL, -EINVAL },
		{ "nozzz", "thing has no property 'nozzz'", NULL, -EINVAL },
		{ "noid", "thing has no property 'noid'", NULL, -EINVAL },
		{ "id", "'id' needs a value", NULL, -EINVAL },
		{ "id=", "'id' cannot be '': it must not be empty", NULL, -EINVAL },
		{ "id=a b", "an id starts with a letter", NULL, -EINVAL },
		{ "id=-a", "an id starts with a letter", NULL, -EINVAL },
		{ "id=a\xc3\xa4", "an id starts with a letter", NULL, -EINVAL },
		{ "on=maybe", "'on' cannot be 'maybe': it is 'on' or 'off'", NULL, -EINVAL },
		{ "on=", "'on' cannot be ''", NULL, -EINVAL },
		{ "number=0", "it must be between 1 and 100", NULL, -ERANGE },
		{ "number=101", "it must be between 1 and 100", NULL, -ERANGE },
		{ "number=99999999999999999999", "it must be between 1 and 100", NULL, -ERANGE },
		{ "number=1K", "it takes a number, decimal or", NULL, -EINVAL },
		{ "number", "'number' needs a value", NULL, -EINVAL },
		{ "size=1K", "it must be between 4096 and 18446744073709551615 bytes", NULL,
			-ERANGE },
		{ "size=big", "it takes a number of bytes", NULL, -EINVAL },
		{ "host=1a:00", "'host' cannot be '1a:00': it takes the address of a host", NULL,
			-EINVAL },
		{ "addr=20", "'addr' cannot be '20': it takes SLOT", NULL, -EINVAL },
		{ "choice=go", "it is one of 'stop', 'report'", NULL, -EINVAL },
		{ "on,on=off", "'on' is given twice", NULL, -EINVAL },
		{ "on,noon", "'on' is given twice", NULL, -EINVAL },
		{ "id=a,,id=b", "an id starts with", NULL, -EINVAL },
		{ ",id=a", "a property name is missing", NULL, -EINVAL },
		{ "id=a,", "a property name is missing", NULL, -EINVAL },
		{ "=a", "a property name is missing", NULL, -EINVAL } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct thing t;
		struct err err = { 0 };
		int ret;

		assert_int_equal(props_init(&type, &t), 0);
		ret = props_parse(&type, &t, cases[i].text, &err);
		if (ret != cases[i].ret || err.code != -ret)
			fail_msg("'%s': %d", cases[i].text, ret);
		if (!strstr(err.text, cases[i].error) || strncmp(err.text, "thing", 5) != 0)
			fail_msg("'%s': %s", cases[i].text, err.text);
		if (cases[i].hint && !strstr(err.hint, cases[i].hint))
			fail_msg("'%s': hint %s", cases[i].text, err.hint);
		props_release(&type, &t, NULL);
	}
}

static int set_int(struct thing *t, const char *name, int64_t number, struct err *err)
{
	struct prop_value value = { .kind = PROP_VALUE_INT, .number = number };

	return prop_set(&type, t, name, &value, err);
}

static int set_bool(struct thing *t, const char *name, bool boolean, struct err *err)
{
	struct prop_value value = { .kind = PROP_VALUE_BOOL, .boolean = boolean };

	return prop_set(&type, t, name, &value, err);
}

/* JSON's numbers and booleans, where the property takes them. */
/* What is told of an id is told whole, so one that would not fit anywhere is refused. */
static void long_ids(void **state)
{
	char id[4 * PROP_ID_SIZE] = "", out[PROP_ID_SIZE];
	struct prop_value value = { .kind = PROP_VALUE_STRING, .string = id };
	struct thing t = { 0 };
	struct err err = { 0 };

	(void)state;
	memset(id, 'a', PROP_ID_MAX);
	assert_int_equal(prop_set(&type, &t, "id", &value, &err), 0);
	assert_string_equal(t.id, id);
	prop_id_copy(out, t.id);
	assert_string_equal(out, id);
	id[PROP_ID_MAX] = 'a';
	assert_int_equal(prop_set(&type, &t, "id", &value, &err), -EINVAL);
	assert_non_null(strstr(err.text, "an id has at most 255 characters"));
	assert_int_equal(strlen(t.id), PROP_ID_MAX);
	/* The reason is told however long the value is. */
	memset(id, 'a', sizeof(id) - 1);
	assert_int_equal(prop_set(&type, &t, "id", &value, &err), -EINVAL);
	assert_non_null(strstr(err.text, "...': an id has at most 255 characters"));
	assert_in_range(strlen(err.text), 64, 64 + 80); /* and not after a page of them */
	assert_int_equal(prop_set(&type, &t, "addr", &value, &err), -EINVAL);
	assert_non_null(strstr(err.text, "it takes SLOT"));
	props_release(&type, &t, NULL);
}

static void typed_values(void **state)
{
	struct thing t;
	struct err err;

	(void)state;
	assert_int_equal(props_init(&type, &t), 0);
	assert_int_equal(set_int(&t, "number", 7, &err), 0);
	assert_int_equal(t.number, 7);
	assert_int_equal(set_int(&t, "size", 8192, &err), 0);
	assert_int_equal(t.size, 8192);
	assert_int_equal(set_int(&t, "addr", 0xff, &err), 0);
	assert_int_equal(t.addr, 0xff);
	assert_int_equal(set_bool(&t, "on", true, &err), 0);
	assert_true(t.on);
	assert_int_equal(set_int(&t, "on", 0, &err), 0);
	assert_false(t.on);

	assert_int_equal(set_int(&t, "number", -1, &err), -EINVAL);
	assert_string_equal(err.text, "thing: property 'number' cannot be '-1': it takes a number, "
				      "decimal or 0x hexadecimal");
	assert_int_equal(set_int(&t, "number", 101, &err), -ERANGE);
	assert_int_equal(set_int(&t, "addr", 256, &err), -EINVAL);
	assert_int_equal(set_int(&t, "addr", -1, &err), -EINVAL);
	assert_int_equal(set_int(&t, "on", 2, &err), -EINVAL);
	assert_int_equal(set_int(&t, "on", -1, &err), -EINVAL);
	assert_int_equal(set_int(&t, "id", 5, &err), -EINVAL);
	assert_int_equal(set_int(&t, "host", 5, &err), -EINVAL);
	assert_int_equal(set_int(&t, "choice", 0, &err), -EINVAL);
	assert_int_equal(set_bool(&t, "number", true, &err), -EINVAL);
	assert_string_equal(err.text, "thing: property 'number' cannot be 'true': it takes a "
				      "number, decimal or 0x hexadecimal");
	assert_int_equal(set_bool(&t, "file", false, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot be 'false': it takes a string"));
	assert_int_equal(set_bool(&t, "addr", false, &err), -EINVAL);
	assert_int_equal(t.number, 7);
	assert_int_equal(t.addr, 0xff);
	assert_int_equal(set_bool(&t, "nosuch", false, NULL), -EINVAL);
	props_release(&type, &t, NULL);
}

/* A string set again replaces the first (the leak checker watches). */
static void strings_are_replaced(void **state)
{
	struct thing t;

	(void)state;
	assert_int_equal(props_init(&type, &t), 0);
	assert_int_equal(props_parse(&type, &t, "id=a", NULL), 0);
	assert_int_equal(props_parse(&type, &t, "id=b", NULL), 0);
	assert_string_equal(t.id, "b");
	assert_int_equal(props_parse(&type, &t, "id=", NULL), -EINVAL);
	assert_string_equal(t.id, "b");
	props_release(&type, &t, NULL);
}

static void required(void **state)
{
	struct thing t;
	struct err err;

	(void)state;
	assert_int_equal(props_init(&type, &t), 0);
	assert_int_equal(props_check(&type, &t, &err), -EINVAL);
	assert_string_equal(err.text, "thing needs 'id' (its name)");
	assert_int_equal(props_parse(&type, &t, "id=a", &err), 0);
	assert_int_equal(props_check(&type, &t, &err), -EINVAL);
	assert_string_equal(err.text, "thing needs 'host' (host device)");
	assert_int_equal(props_parse(&type, &t, "host=1:0.0", &err), 0);
	assert_int_equal(props_check(&type, &t, &err), 0);
	props_release(&type, &t, NULL);
}

static void help(void **state)
{
	static const char *const lines[] = { "  id=STRING ", " its name (required)\n",
		" a file (default: none)\n", "  on=on|off ", "  choice=stop|report ",
		"  host=[DDDD:]BB:DD.F ", "  addr=SLOT[.FN] ", " a count (default: 5)\n",
		" bytes kept\n" /* "not given" is no default to show */ };
	char text[4096], little[20];
	size_t n = props_help(&type, text, sizeof(text));

	(void)state;
	assert_int_equal(n, strlen(text));
	for (size_t i = 0; i < COUNT(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no '%s' in:\n%s", lines[i], text);
	assert_int_equal(props_help(&type, little, sizeof(little)), sizeof(little) - 1);
	assert_int_equal(strncmp(text, little, sizeof(little) - 1), 0);
	assert_int_equal(props_help(&type, little, 1), 0);
	assert_int_equal(props_help(&type, little, 0), 0);
}

struct holder {
	char *id;
	int fd;
};
static const struct prop holder_props[] = {
	{ .name = "id",
		.kind = PROP_STRING,
		.offset = offsetof(struct holder, id),
		.help = "name" },
	{ .name = "fd", .kind = PROP_FD, .offset = offsetof(struct holder, fd), .help = "a file" },
	{ .name = NULL },
};
static const struct prop_type holder_type = { "holder", "holds", NULL, sizeof(struct holder),
	holder_props };

static int dev_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* An fd is the object's, until somebody takes it out. */
static void fd_has_one_owner(void **state)
{
	int fd = dev_null();
	struct holder *h;
	char text[32];
	void *obj;

	(void)state;
	assert_int_equal(props_new(&holder_type, &obj), 0);
	h = obj;
	assert_int_equal(h->fd, -1);
	assert_ptr_equal(props_fd(&holder_type, obj), &h->fd);
	assert_null(props_fd(&type, obj));
	props_free(&holder_type, obj, NULL); /* closes nothing: not 0, either */
	assert_true(is_open(0));

	assert_int_equal(props_new(&holder_type, &obj), 0);
	h = obj;
	snprintf(text, sizeof(text), "id=a,fd=%d", fd);
	assert_int_equal(props_parse(&holder_type, obj, text, NULL), 0);
	assert_int_equal(prop_take_fd(&h->fd), fd);
	assert_int_equal(prop_take_fd(&h->fd), -1);
	props_free(&holder_type, obj, NULL);
	assert_true(is_open(fd));

	assert_int_equal(props_new(&holder_type, &obj), 0);
	assert_int_equal(
		prop_set(&holder_type, obj, "fd",
			&(struct prop_value){ .kind = PROP_VALUE_INT, .number = fd }, NULL),
		0);
	props_release(&holder_type, obj, NULL);
	assert_false(is_open(fd));
	props_free(&holder_type, obj, NULL);
	assert_true(is_open(0));
	props_free(&holder_type, NULL, NULL);
}

/* Closing may take as long as a client likes: with a closer it is not done here. */
static void fds_go_to_the_closer(void **state)
{
	struct closer closer;
	int fd = dev_null();
	void *obj;

	(void)state;
	assert_int_equal(closer_init(&closer), 0);
	closer.served = true;
	assert_int_equal(props_new(&holder_type, &obj), 0);
	*props_fd(&holder_type, obj) = fd;
	props_free(&holder_type, obj, &closer);
	assert_true(is_open(fd) && closer_busy(&closer));
	loop_step(&closer.loop, 0);
	assert_false(is_open(fd) || closer_busy(&closer));
	closer_release(&closer);
}

static void bad_fds(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{ "fd=five", "holder: fd 'five' is not the number of a file descriptor" },
		{ "fd=-1", "fd '-1' is not the number" },
		{ "fd=2147483648", "fd '2147483648' is not the number" },
		{ "fd=99999999999999999999", "is not the number" },
		{ "fd=", "property 'fd' cannot be '': it must not be empty" },
		{ "fd=2147483646,fd=2147483645", "property 'fd' is given twice" },
		{ "fd", "property 'fd' needs a value" },
	};
	static const struct prop_value values[] = { { .kind = PROP_VALUE_INT, .number = -1 },
		{ .kind = PROP_VALUE_INT, .number = 1ll << 32 },
		{ .kind = PROP_VALUE_BOOL, .boolean = true } };
	struct err err = { 0 };
	struct holder h;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(props_init(&holder_type, &h), 0);
		assert_int_equal(props_parse(&holder_type, &h, bad[i].line, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			fail_msg("'%s' without '%s'", err.text, bad[i].says);
		props_release(&holder_type, &h, NULL);
	}
	assert_int_equal(props_init(&holder_type, &h), 0);
	for (size_t i = 0; i < COUNT(values); i++) {
		assert_int_equal(prop_set(&holder_type, &h, "fd", &values[i], &err), -EINVAL);
		assert_int_equal(h.fd, -1);
	}
	props_release(&holder_type, &h, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(bad_default),
		cmocka_unit_test(all_from_text),
		cmocka_unit_test(bad_text),
		cmocka_unit_test(long_ids),
		cmocka_unit_test(typed_values),
		cmocka_unit_test(strings_are_replaced),
		cmocka_unit_test(required),
		cmocka_unit_test(help),
		cmocka_unit_test(fd_has_one_owner),
		cmocka_unit_test(fds_go_to_the_closer),
		cmocka_unit_test(bad_fds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
