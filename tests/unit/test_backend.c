/* SPDX-License-Identifier: Apache-2.0 */
/* test_backend.c - guest RAM of several backends, and which of the host's nodes it comes from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/sys.h>

#include "../../src/memory/host_nodes.h"
#include "says.h"

#define MIB 0x100000ull
#define GIB 0x40000000ull

static char directory[] = "/tmp/portcullis-test-XXXXXX";

/* 5 MiB around a hole, of two backends: the second begins below it. */
static struct ram_layout split_layout(void)
{
	const uint64_t sizes[] = { 2 * MIB, 3 * MIB };
	struct ram_layout layout = { .count = 2,
		.segment = { { .gpa = 0, .size = 4 * MIB },
			{ .gpa = 4 * GIB, .size = MIB, .offset = 4 * MIB } },
		.size = 5 * MIB,
		.top = 4 * GIB + MIB };

	assert_int_equal(ram_layout_split(&layout, sizes, 2, NULL), 0);
	return layout;
}

static void test_split(void **state)
{
	static const struct ram_segment want[] = { { 0, 2 * MIB, 0, 0, NULL },
		{ 2 * MIB, 2 * MIB, 1, 0, NULL }, { 4 * GIB, MIB, 1, 2 * MIB, NULL } };
	struct ram_layout layout = split_layout();
	uint64_t pages[2 * RAM_SEGMENTS_MAX];

	(void)state;
	assert_int_equal(layout.count, 3);
	for (unsigned i = 0; i < 3; i++) {
		const struct ram_segment *s = &layout.segment[i];

		assert_int_equal(s->gpa, want[i].gpa);
		assert_int_equal(s->size, want[i].size);
		assert_int_equal(s->backend, want[i].backend);
		assert_int_equal(s->offset, want[i].offset);
	}
	assert_int_equal(layout.size, 5 * MIB);
	/* One backend: all is as it was. */
	layout = (struct ram_layout){ .count = 1, .segment = { { .size = MIB } }, .size = MIB };
	pages[0] = MIB;
	assert_int_equal(ram_layout_split(&layout, pages, 1, NULL), 0);
	assert_int_equal(layout.count, 1);
	assert_int_equal(layout.segment[0].size, MIB);
	for (unsigned i = 0; i < 2 * RAM_SEGMENTS_MAX; i++)
		pages[i] = 4096;
	assert_int_equal(ram_layout_split(&layout, pages, 2 * RAM_SEGMENTS_MAX, NULL), -E2BIG);
}

/* Each of them would fit. */
static void test_too_much_together(void **state)
{
	const uint64_t part = ram_host_available() / 3 / (2 * MIB) * (2 * MIB);
	const uint64_t sizes[] = { 2 * part, 2 * part };
	const struct ram_options options[2] = { { .id = "a" }, { .id = "b", .memfd = true } };
	struct ram_layout layout = {
		.count = 1, .segment = { { .size = 4 * part } }, .size = 4 * part
	};
	struct ram ram;
	struct err err = { 0 };
	char needs[64];

	(void)state;
	assert_int_equal(ram_layout_split(&layout, sizes, 2, NULL), 0);
	snprintf(needs, sizeof(needs), "guest RAM needs %llu bytes, this host has ",
		(unsigned long long)(4 * part));
	assert_int_equal(ram_init(&ram, &layout, options, 2, &err), -ENOMEM);
	assert_says(err.text, needs);
	layout.count = 1;
	assert_int_equal(ram_init(&ram, &layout, options, 1, NULL), 0);
	ram_release(&ram);
}

static void test_two_kinds(void **state)
{
	const struct ram_layout layout = split_layout();
	char path[64];
	struct ram_options options[2] = { { .id = "a", .memfd = true, .share = true },
		{ .id = "b", .path = path, .named = true, .share = true } };
	struct ram ram;
	struct err err = { 0 };
	const struct ram_layout huge = {
		.count = 1, .segment = { { .size = 16 * 1024 * GIB } }, .size = 16 * 1024 * GIB
	};
	struct stat st;
	char byte[2] = { 0 };

	(void)state;
	snprintf(path, sizeof(path), "%s/ram", directory);
	if (ram_init(&ram, &layout, options, 2, &err))
		fail_msg("%s", err.text);
	memset(ram_hva(&ram, 2 * MIB - 1, 1), 0x11, 1);
	memset(ram_hva(&ram, 2 * MIB, 1), 0x22, 1);
	memset(ram_hva(&ram, 4 * GIB, 1), 0x33, 1);
	/* Nodes follow each other without a gap, and an access is of one of them. */
	assert_ptr_equal(ram_hva(&ram, 0, 1), (char *)ram_hva(&ram, 2 * MIB, 1) - 2 * MIB);
	assert_null(ram_hva(&ram, 2 * MIB - 1, 2));
	assert_int_equal(pread(ram.backend[0].fd, byte, 1, 2 * MIB - 1), 1);
	assert_int_equal(byte[0], 0x11);
	assert_int_equal(fstat(ram.backend[0].fd, &st), 0);
	assert_int_equal(st.st_size, 2 * MIB);
	ram_release(&ram);
	/* The file stays, with what was written: the second segment behind the first. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 3 * MIB);
	options[1].share = false;
	assert_int_equal(ram_init(&ram, &layout, options, 2, NULL), 0);
	assert_int_equal(*(char *)ram_hva(&ram, 4 * GIB, 1), 0x33);
	assert_int_equal(*(char *)ram_hva(&ram, 2 * MIB - 1, 1), 0);
	/* Not shared: nobody else sees it. */
	memset(ram_hva(&ram, 2 * MIB, 1), 0x44, 1);
	assert_int_equal(pread(ram.backend[1].fd, byte, 1, 0), 1);
	assert_int_equal(byte[0], 0x22);
	ram_release(&ram);
	assert_int_equal(truncate(path, MIB), 0);
	assert_int_equal(ram_init(&ram, &layout, options, 2, &err), -EINVAL);
	assert_says(err.text, "b: file");
	assert_says(err.text, "has 1048576 bytes, fewer than its size=, 3145728 bytes");
	/* What is behind its size= is somebody else's. */
	assert_int_equal(truncate(path, 8 * MIB), 0);
	assert_int_equal(ram_init(&ram, &layout, options, 2, NULL), 0);
	ram_release(&ram);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8 * MIB);
	unlink(path);
	/* What cannot be had leaves no file behind. */
	assert_int_equal(ram_init(&ram, &huge, &options[1], 1, NULL), -ENOMEM);
	assert_int_equal(stat(path, &st), -1);
	/* A directory: a file without a name, as -mem-path. */
	options[1].path = directory;
	assert_int_equal(ram_init(&ram, &layout, options, 2, NULL), 0);
	assert_true(ram.backend[1].fd >= 0);
	ram_release(&ram);
}

/* A page is replaced by one of its own backend's size. */
static void test_page_sizes(void **state)
{
	struct ram ram = { .layout = split_layout(),
		.backend = { { -1, 4096 }, { -1, 2 * MIB } },
		.n_backends = 2,
		.page_size = 2 * MIB };

	(void)state;
	assert_int_equal(ram_page_start(&ram, MIB + 0x1234), MIB + 0x1000);
	assert_int_equal(ram_page_start(&ram, 3 * MIB + 0x1234), 2 * MIB);
}

static void test_parse(void **state)
{
	struct host_nodes nodes;

	(void)state;
	assert_int_equal(host_nodes_parse(&nodes, "0-2,5,64"), 0);
	assert_int_equal(nodes.bits[0], 0x27);
	assert_int_equal(nodes.bits[1], 1);
	assert_int_equal(host_nodes_parse(&nodes, "1023"), 0);
	assert_int_equal(host_nodes_parse(&nodes, "1024"), -ERANGE);
	assert_int_equal(host_nodes_parse(&nodes, "2-1"), -EINVAL);
	assert_int_equal(host_nodes_parse(&nodes, "x"), -EINVAL);
	assert_int_equal(host_nodes_parse(&nodes, ""), -EINVAL);
	assert_int_equal(host_nodes_parse(&nodes, ",1"), -EINVAL);
	assert_int_equal(host_nodes_parse(&nodes, "18446744073709551615"), -ERANGE);
}

static void test_host(void **state)
{
	struct host_nodes nodes;
	struct err err = { 0 };
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/has_memory", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "0-1,3\n", 6), 6);
	close(fd);
	assert_int_equal(host_nodes_parse(&nodes, "1,3"), 0);
	assert_int_equal(host_nodes_check(&nodes, directory, "m", &err), 0);
	assert_int_equal(host_nodes_parse(&nodes, "1-3"), 0);
	assert_int_equal(host_nodes_check(&nodes, directory, "m", &err), -EINVAL);
	assert_says(err.text, "m: host-nodes has node 2");
	assert_says(err.text, "memory on node 0-1,3 only");
	unlink(path);
	/* A kernel without NUMA. */
	assert_int_equal(host_nodes_parse(&nodes, "0"), 0);
	assert_int_equal(host_nodes_check(&nodes, directory, "m", &err), 0);
	assert_int_equal(host_nodes_parse(&nodes, "1"), 0);
	assert_int_equal(host_nodes_check(&nodes, directory, "m", &err), -EINVAL);
}

/* What the kernel has noted for an address: MPOL_F_ADDR of get_mempolicy(2). */
static int policy_of(void *hva, uint64_t *nodes)
{
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, nodes, HOST_NODES_MAX + 1, hva, 2) ? -errno : mode;
}

static void test_bound(void **state)
{
	const struct ram_layout layout = split_layout();
	struct ram_options options[2] = {
		{ .id = "a", .policy = RAM_POLICY_BIND, .prealloc = true },
		{ .id = "b", .policy = RAM_POLICY_INTERLEAVE }
	};
	uint64_t nodes[HOST_NODES_MAX / 64 + 1] = { 0 };
	struct ram ram;
	struct err err = { 0 };

	(void)state;
	options[0].nodes.bits[0] = options[1].nodes.bits[0] = 1;
	if (policy_of(&ram, nodes) == -ENOSYS) {
		print_message("a kernel without NUMA\n");
		skip();
	}
	if (ram_init(&ram, &layout, options, 2, &err))
		fail_msg("%s", err.text);
	assert_int_equal(policy_of(ram_hva(&ram, 0, 1), nodes), 2);
	assert_int_equal(nodes[0], 1);
	assert_int_equal(policy_of(ram_hva(&ram, 2 * MIB, 1), nodes), 3);
	assert_int_equal(policy_of(ram_hva(&ram, 4 * GIB, 1), nodes), 3);
	ram_release(&ram);
	/* A node that no host has: before anything is opened. */
	options[1].nodes.bits[HOST_NODES_MAX / 64 - 1] = 1ull << 63;
	assert_int_equal(ram_init(&ram, &layout, options, 2, &err), -EINVAL);
	assert_says(err.text, "b: host-nodes has node 1023");
	assert_null(ram.base);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_too_much_together),
		cmocka_unit_test(test_two_kinds),
		cmocka_unit_test(test_page_sizes),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
