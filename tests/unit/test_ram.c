/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ram.c - guest RAM's mapping and the one translation from GPA to HVA.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>

#include "says.h"

#define MIB 0x100000ull
#define GIB 0x40000000ull

static const struct ram_layout two = {
	.count = 2,
	.segment = { { .gpa = 0, .size = 4 * MIB, .offset = 0 },
		{ .gpa = 4 * GIB + 6 * MIB, .size = 2 * MIB, .offset = 4 * MIB } },
	.size = 6 * MIB,
	.top = 4 * GIB + 8 * MIB,
};

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* From HVA to GPA, and nothing but guest RAM. */
static void check_back(struct ram *ram, uint64_t high)
{
	const uint8_t *first = ram->layout.segment[0].hva, *second = ram->layout.segment[1].hva;
	uint64_t gpa = 1;

	assert_true(ram_gpa(ram, first, &gpa));
	assert_int_equal(gpa, 0);
	assert_true(ram_gpa(ram, first + 4 * MIB - 1, &gpa));
	assert_int_equal(gpa, 4 * MIB - 1);
	assert_true(ram_gpa(ram, second + 77, &gpa));
	assert_int_equal(gpa, high + 77);
	assert_false(ram_gpa(ram, first - 1, &gpa));
	assert_false(ram_gpa(ram, first + 4 * MIB, &gpa));
	assert_false(ram_gpa(ram, second - 1, &gpa));
	assert_false(ram_gpa(ram, second + 2 * MIB, &gpa));
	assert_false(ram_gpa(ram, NULL, &gpa));
	assert_false(ram_gpa(ram, &gpa, &gpa));
}

/* Everything that must hold of a mapping of `two`. */
static void check_two(struct ram *ram)
{
	const uint64_t high = 4 * GIB + 6 * MIB;
	uint8_t *low_end = ram_hva(ram, 4 * MIB - 1, 1);

	for (unsigned i = 0; i < ram->layout.count; i++)
		assert_int_equal((uintptr_t)ram->layout.segment[i].hva % GIB,
			ram->layout.segment[i].gpa % GIB);
	assert_ptr_equal(ram_hva(ram, 0, 1), ram->layout.segment[0].hva);
	assert_ptr_equal(ram_hva(ram, 0, 4 * MIB), ram->layout.segment[0].hva);
	assert_non_null(low_end);
	assert_ptr_equal(ram_hva(ram, high + 5, 7), ram->layout.segment[1].hva + 5);
	assert_null(ram_hva(ram, 0, 4 * MIB + 1));
	assert_null(ram_hva(ram, 4 * MIB, 1));
	assert_null(ram_hva(ram, 4 * MIB - 1, 2));
	assert_null(ram_hva(ram, high - 1, 1));
	assert_null(ram_hva(ram, high + 2 * MIB, 1));
	assert_null(ram_hva(ram, high, UINT64_MAX));
	assert_null(ram_hva(ram, UINT64_MAX, 2));
	assert_null(ram_hva(ram, high + 1, UINT64_MAX - high));
	check_back(ram, high);
	*low_end = 0x5a;
	memset(ram_hva(ram, high, 2 * MIB), 0xa5, 2 * MIB);
	assert_int_equal(*low_end, 0x5a);
	assert_int_equal(*(uint8_t *)ram_hva(ram, 0, 1), 0);
}

static void test_anonymous(void **state)
{
	const struct ram_options options[] = { { 0 }, { .share = true } };
	unsigned fds = entries("/proc/self/fd");

	(void)state;
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct ram ram;
		struct err err = { 0 };

		if (ram_init(&ram, &two, &options[i], 1, &err))
			fail_msg("%s", err.text);
		assert_int_equal(ram.backend[0].fd, -1);
		check_two(&ram);
		ram_release(&ram);
		ram_release(&ram); /* a second time does nothing */
	}
	assert_int_equal(entries("/proc/self/fd"), fds);
}

static void test_directory(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX", byte = 0;
	unsigned fds = entries("/proc/self/fd");
	struct ram_options options = { .path = mkdtemp(directory) };
	struct ram ram;
	struct err err = { 0 };

	(void)state;
	if (ram_init(&ram, &two, &options, 1, &err))
		fail_msg("%s", err.text);
	assert_true(ram.backend[0].fd >= 0);
	assert_int_equal(entries(directory), 2); /* . and ..: the file has no name */
	check_two(&ram);
	/* The file is the memory. */
	assert_int_equal(pread(ram.backend[0].fd, &byte, 1, 5 * MIB), 1);
	assert_int_equal((uint8_t)byte, 0xa5);
	ram_release(&ram);
	assert_int_equal(entries("/proc/self/fd"), fds);
	rmdir(directory);
}

static void refused(const struct ram_options *options, const struct ram_layout *layout, int code,
	const char *text)
{
	unsigned fds = entries("/proc/self/fd");
	struct ram ram;
	struct err err = { 0 };

	assert_int_equal(ram_init(&ram, layout, options, 1, &err), -code);
	assert_says(err.text, text);
	assert_int_equal(ram.backend[0].fd, -1);
	assert_null(ram.base);
	assert_int_equal(ram_init(&ram, layout, options, 1, NULL), -code);
	assert_int_equal(entries("/proc/self/fd"), fds);
}

static void test_refusals(void **state)
{
	const struct ram_layout huge = {
		.count = 1, .segment = { { .size = 1ull << 46 } }, .size = 1ull << 46
	};
	char long_path[5000];

	(void)state;
	memset(long_path, 'x', sizeof(long_path));
	memcpy(long_path, "/tmp/", 5);
	long_path[sizeof(long_path) - 1] = '\0';
	refused(&(struct ram_options){ .path = "/nonexistent" }, &two, ENOENT, "'/nonexistent'");
	refused(&(struct ram_options){ .path = "/dev/null" }, &two, ENOTDIR, "not a directory");
	refused(&(struct ram_options){ .path = "/proc" }, &two, ENOENT, "'/proc'");
	refused(&(struct ram_options){ .path = long_path }, &two, ENAMETOOLONG, "");
	refused(&(struct ram_options){ 0 }, &huge, ENOMEM, "needs 70368744177664 bytes");
	refused(&(struct ram_options){ .path = "/tmp" }, &huge, ENOMEM, "'/tmp' has ");
}

static void says_of_populating(const struct ram *ram, const struct ram_options *options, int code,
	const char *text, const char *hint)
{
	struct err err = { 0 };

	assert_int_equal(ram_populate_error(ram, 0, options, code, &err), -code);
	assert_int_equal(err.code, code);
	assert_says(err.text, text);
	assert_says(err.hint, hint);
}

/* What of is there too little, for memory of each kind? */
static void test_populate_errors(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	struct ram_options options = { .path = mkdtemp(directory) };
	const struct ram_options anonymous = { .path = NULL },
				 named = { .id = "m0", .policy = RAM_POLICY_BIND };
	struct ram ram = {
		.layout = two, .n_backends = 1, .backend[0] = { .fd = -1, .page_size = 4096 }
	};

	(void)state;
	says_of_populating(&ram, &anonymous, ENOMEM,
		"populating guest RAM: it needs 6291456 bytes, of which this host has ", "");
	says_of_populating(&ram, &anonymous, EHWPOISON, "populating guest RAM: ", "");
	says_of_populating(&ram, &named, ENOMEM, "populating m0: it needs 6291456 bytes", "");
	ram.backend[0].page_size = 2 * MIB;
	says_of_populating(&ram, &options, EFAULT, " the 3 huge pages of 2048 KiB", "cgroup");
	says_of_populating(&ram, &named, EFAULT, "populating m0: cannot have ", "host-nodes");
	assert_int_equal(ram_init(&ram, &two, &options, 1, NULL), 0);
	says_of_populating(&ram, &options, EFAULT, directory, "");
	ram_release(&ram);
	rmdir(directory);
}

static void test_host_available(void **state)
{
	uint64_t bytes = ram_host_available();

	(void)state;
	assert_true(bytes > 16 * MIB && bytes < 1ull << 50);
	assert_int_equal(bytes % 1024, 0);
}

static void fill_and_replace(struct ram *ram)
{
	const uint64_t at = ram->layout.segment[1].gpa + 5 * ram->page_size;
	uint8_t *hva = ram_hva(ram, at, 2 * ram->page_size);

	memset(hva - 1, 0x33, 2 * ram->page_size);
	assert_int_equal(ram_replace(ram, at + 7), 0);
	assert_int_equal(hva[-1], 0x33);
	for (uint64_t i = 0; i < ram->page_size; i++)
		assert_int_equal(hva[i], 0);
	assert_int_equal(hva[ram->page_size], 0x33);
	hva[3] = 1; /* it is memory */
	assert_int_equal(ram_replace(ram, ram->layout.top), -EFAULT);
}

static void test_replace(void **state)
{
	char directory[] = "/tmp/portcullis-test-XXXXXX";
	struct ram_options options = { .path = NULL };
	struct ram ram;

	(void)state;
	assert_int_equal(ram_init(&ram, &two, &options, 1, NULL), 0);
	fill_and_replace(&ram);
	ram_release(&ram);
	options.path = mkdtemp(directory);
	assert_int_equal(ram_init(&ram, &two, &options, 1, NULL), 0);
	fill_and_replace(&ram);
	/* A file that ends too soon: what is behind its end can be replaced, too. */
	assert_int_equal(ftruncate(ram.backend[0].fd, 4 * MIB), 0);
	assert_int_equal(ram_replace(&ram, ram.layout.segment[1].gpa), 0);
	assert_int_equal(*ram.layout.segment[1].hva, 0);
	ram_release(&ram);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_populate_errors),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_host_available),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
