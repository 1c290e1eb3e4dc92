/* SPDX-License-Identifier: Apache-2.0 */
/* test_parse.c - numbers, sizes, addresses, switches, near words: right and wrong ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/prop.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t value;
	} cases[] = { { "0", 0, 0 }, { "7", 0, 7 }, { "010", 0, 10 }, { "0x10", 0, 16 },
		{ "0XfF", 0, 255 }, { "18446744073709551615", 0, UINT64_MAX },
		{ "0xffffffffffffffff", 0, UINT64_MAX }, { "18446744073709551616", -ERANGE, 0 },
		{ "0x10000000000000000", -ERANGE, 0 }, { "99999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { "x", -EINVAL, 0 }, { "0x", -EINVAL, 0 }, { " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 }, { "+1", -EINVAL, 0 }, { "-1", -EINVAL, 0 },
		{ "1a", -EINVAL, 0 }, { "0x1g", -EINVAL, 0 }, { "1.5", -EINVAL, 0 },
		{ "99999999999999999999x", -EINVAL, 0 }, { "0x-1", -EINVAL, 0 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t value = UNTOUCHED;

		if (parse_u64(cases[i].text, &value) != cases[i].ret)
			fail_msg("'%s'", cases[i].text);
		assert_int_equal(value, cases[i].ret ? UNTOUCHED : cases[i].value);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t unit;
		int ret;
		uint64_t value;
	} cases[] = { { "5", 1, 0, 5 }, { "5", 1 << 20, 0, 5 << 20 }, { "5B", 1 << 20, 0, 5 },
		{ "1K", 1, 0, 1 << 10 }, { "1k", 1 << 20, 0, 1 << 10 }, { "2M", 1, 0, 2 << 20 },
		{ "3g", 1, 0, 3ull << 30 }, { "4T", 1, 0, 4ull << 40 }, { "1P", 1, 0, 1ull << 50 },
		{ "0x10", 1, 0, 16 }, { "0x1M", 1, 0, 1 << 20 }, { "0", 1, 0, 0 },
		{ "16383P", 1, 0, 16383ull << 50 }, { "16384P", 1, -ERANGE, 0 },
		{ "18446744073709551615", 2, -ERANGE, 0 },
		{ "18446744073709551616", 1, -ERANGE, 0 }, { "", 1, -EINVAL, 0 },
		{ "K", 1, -EINVAL, 0 }, { "1KB", 1, -EINVAL, 0 }, { "1X", 1, -EINVAL, 0 },
		{ "1 K", 1, -EINVAL, 0 }, { "-1K", 1, -EINVAL, 0 }, { "1.5G", 1, -EINVAL, 0 },
		{ "99999999999999999999X", 1, -EINVAL, 0 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t value = UNTOUCHED;

		if (parse_size(cases[i].text, cases[i].unit, &value) != cases[i].ret)
			fail_msg("'%s'", cases[i].text);
		assert_int_equal(value, cases[i].ret ? UNTOUCHED : cases[i].value);
	}
}

static void host_addresses(void **state)
{
	static const struct {
		const char *text, *canonical; /* NULL: malformed */
	} cases[] = { { "0000:1a:00.3", "0000:1a:00.3" }, { "1a:00.3", "0000:1a:00.3" },
		{ "1:2.3", "0000:01:02.3" }, { "abcd:ff:1f.7", "abcd:ff:1f.7" },
		{ "10000:01:00.0", "10000:01:00.0" }, { "FFFFFFFF:01:00.0", "ffffffff:01:00.0" },
		{ "", NULL }, { ":", NULL }, { "1a:00", NULL }, { "00.3", NULL },
		{ "1a:20.0", NULL }, { "1a:00.8", NULL }, { "100:00.0", NULL },
		{ "1a:000.0", NULL }, { "1a:00.00", NULL }, { "0000:1a:00.3 ", NULL },
		{ " 0000:1a:00.3", NULL }, { "0000:1a:00.3.0", NULL },
		{ "0000:0000:1a:00.3", NULL }, { "0x1a:00.3", NULL }, { "100000000:01:00.0", NULL },
		{ "000000001:01:00.0", NULL }, { ":1a:00.3", NULL }, { "0000::00.3", NULL },
		{ "0000:1a:.3", NULL }, { "0000:1a:00.", NULL }, { "0000-1a-00.3", NULL },
		{ "g000:1a:00.3", NULL }, { "net", NULL } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct host_bdf bdf = { 0 };
		char text[HOST_BDF_STRLEN];
		int ret = parse_bdf(cases[i].text, &bdf);

		if (ret != (cases[i].canonical ? 0 : -EINVAL))
			fail_msg("'%s'", cases[i].text);
		assert_int_equal(bdf.set, cases[i].canonical != NULL);
		if (cases[i].canonical)
			assert_string_equal(host_bdf_format(&bdf, text), cases[i].canonical);
	}
}

static void guest_addresses(void **state)
{
	static const struct {
		const char *text;
		int32_t devfn; /* -1: malformed */
	} cases[] = { { "0x03.0x0", 0x18 }, { "0x3", 0x18 }, { "3", 0x18 }, { "3.7", 0x1f },
		{ "0x1f.0x7", 0xff }, { "10", 0x80 }, { "1F.1", 0xf9 }, { "0", 0 }, { "0x0", 0 },
		{ "000003", 0x18 }, { "", -1 }, { "0x", -1 }, { "20", -1 }, { "0x20", -1 },
		{ "3.8", -1 }, { "3.", -1 }, { ".1", -1 }, { "3.1.1", -1 }, { "3 ", -1 },
		{ "-1", -1 }, { "3.0x", -1 }, { "3,1", -1 }, { "fffffffffffffffffffff", -1 },
		{ "pcie", -1 } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int32_t devfn = -1;
		int ret = parse_devfn(cases[i].text, &devfn);

		if (ret != (cases[i].devfn < 0 ? -EINVAL : 0) || devfn != cases[i].devfn)
			fail_msg("'%s': %d", cases[i].text, devfn);
	}
}

static void pci_ids(void **state)
{
	static const struct {
		const char *text, *back; /* NULL: malformed */
	} cases[] = { { "8086:10d3", "8086:10d3" }, { "8086:10D3:1af4:1", "8086:10d3:1af4:0001" },
		{ "0:0:0:0", "0000:0000:0000:0000" }, { "ffff:ffff", "ffff:ffff" }, { "", NULL },
		{ "8086", NULL }, { "8086:", NULL }, { ":10d3", NULL }, { "8086:10d3:", NULL },
		{ "8086:10d3:1af4", NULL }, { "8086:10d3:1af4:", NULL },
		{ "8086:10d3:1af4:1:2", NULL }, { "18086:10d3", NULL }, { "08086:10d3", NULL },
		{ "0x8086:0x10d3", NULL }, { "8086:10g3", NULL }, { "8086:10d3 ", NULL },
		{ "8086.10d3", NULL }, { "-1:0", NULL } };
	char text[PCI_IDS_STRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct pci_ids ids = { .set = false };
		int ret = parse_pci_ids(cases[i].text, &ids);

		if (ret != (cases[i].back ? 0 : -EINVAL) || ids.set != (cases[i].back != NULL))
			fail_msg("'%s': %d", cases[i].text, ret);
		if (cases[i].back)
			assert_string_equal(pci_ids_format(&ids, text), cases[i].back);
	}
}

static void uuids(void **state)
{
	static const struct {
		const char *text, *back; /* NULL: malformed */
	} cases[] = { { "01234567-89ab-cdef-0123-456789abcdef",
			      "01234567-89ab-cdef-0123-456789abcdef" },
		{ "01234567-89AB-CDEF-0123-456789ABCDEF", "01234567-89ab-cdef-0123-456789abcdef" },
		{ "", NULL }, { "auto", NULL }, { "01234567-89ab-cdef-0123-456789abcde", NULL },
		{ "01234567-89ab-cdef-0123-456789abcdef0", NULL },
		{ "01234567-89ab-cdef-0123-456789abcdef ", NULL },
		{ "0123456789abcdef0123456789abcdef", NULL },
		{ "01234567-89ab-cdef-0123-456789abcdeg", NULL },
		{ "01234567089ab-cdef-0123-456789abcdef", NULL },
		{ "{01234567-89ab-cdef-0123-456789abcdef}", NULL } };
	char text[UUID_STRLEN];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct uuid uuid = { .set = false };
		int ret = parse_uuid(cases[i].text, &uuid);

		if (ret != (cases[i].back ? 0 : -EINVAL) || uuid.set != (cases[i].back != NULL))
			fail_msg("'%s': %d", cases[i].text, ret);
		if (cases[i].back)
			assert_string_equal(uuid_format(uuid.byte, text), cases[i].back);
	}
}

static void switches(void **state)
{
	static const char *const on[] = { "on", "true", "yes", "1" };
	static const char *const off[] = { "off", "false", "no", "0" };
	static const char *const bad[] = { "", "On", "enable", "2", "o", "on " };
	bool value;

	(void)state;
	for (size_t i = 0; i < COUNT(on); i++) {
		value = false;
		assert_int_equal(parse_bool(on[i], &value), 0);
		assert_true(value);
	}
	for (size_t i = 0; i < COUNT(off); i++) {
		value = true;
		assert_int_equal(parse_bool(off[i], &value), 0);
		assert_false(value);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(parse_bool(bad[i], &value), -EINVAL);
}

static void near_words(void **state)
{
	static const char *const list[] = { "kernel", "initrd", "append", "multifunction", "host",
		"S", "no-reboot", "a-word-that-is-too-long-to-be-compared-with-anything", NULL };
	static const struct {
		const char *word, *near;
	} cases[] = { { "kernal", "kernel" }, { "krenel", "kernel" }, { "Kernel", "kernel" },
		{ "intird", "initrd" }, { "multi-function", "multifunction" }, { "hots", "host" },
		{ "hst", "host" }, { "noreboot", "no-reboot" }, { "zzz", NULL }, { "k", NULL },
		{ "", NULL }, { "s", NULL }, { "host", "host" },
		{ "a-word-that-is-too-long-to-be-compared-with-anythinG", NULL } };
	static const char *const empty[] = { NULL };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *near = nearest_word(cases[i].word, list);

		if (!cases[i].near)
			assert_null(near);
		else if (!near)
			fail_msg("nothing is near '%s'", cases[i].word);
		else
			assert_string_equal(near, cases[i].near);
	}
	assert_null(nearest_word("kernel", empty));
}

static void pairs(void **state)
{
	static const struct {
		const char *text, *pairs; /* KEY or KEY=VALUE, each ends in ";" */
	} cases[] = { { "a=b,c", "a=b;c;" }, { "a=b=c", "a=b=c;" }, { "a=b,,c,d=", "a=b,c;d=;" },
		{ "", ";" }, { ",", ";;" }, { "a,", "a;;" }, { "=x", "=x;" },
		{ "a,,b=1", "a,b=1;" }, { "a=,,", "a=,;" }, { "a=1,,,b=2", "a=1,;b=2;" } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[32], seen[64] = "", *cursor = text, *key, *value;

		strcpy(text, cases[i].text);
		while ((key = prop_next_pair(&cursor, &value))) {
			strcat(seen, key);
			if (value)
				strcat(strcat(seen, "="), value);
			strcat(seen, ";");
		}
		assert_string_equal(seen, cases[i].pairs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(sizes),
		cmocka_unit_test(host_addresses),
		cmocka_unit_test(guest_addresses),
		cmocka_unit_test(pci_ids),
		cmocka_unit_test(uuids),
		cmocka_unit_test(switches),
		cmocka_unit_test(near_words),
		cmocka_unit_test(pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
