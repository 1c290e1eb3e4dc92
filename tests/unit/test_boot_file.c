/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_boot_file.c - -kernel, -initrd and -append as files and text: every mistake has its message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>

#include "boot_fixture.h"
#include "log_capture.h"
#include "says.h"

static char directory[] = "/tmp/portcullis-boot-XXXXXX";
static char path[sizeof(directory) + 16];
static struct fixture_kernel kernel;
static struct boot_image image;
static struct err err;

static int group_setup(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/file", directory);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return rmdir(directory);
}

static int teardown(void **state)
{
	(void)state;
	boot_release(&image);
	(void)unlink(path);
	(void)rmdir(path);
	return 0;
}

static void write_file(const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void write_kernel(void)
{
	fixture_bzimage(&kernel);
	write_file(kernel.bytes, kernel.image.kernel_size);
}

static int last_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

/* Reads path as a kernel, expects this text, and nothing left behind. */
static void expect_refused(int code, const char *text)
{
	int before = last_fd();

	assert_int_equal(boot_read(&image, path, NULL, "", 64u << 20, &err), -code);
	assert_says(err.text, text);
	assert_null(image.kernel);
	assert_null(image.cmdline);
	assert_int_equal(last_fd(), before);
}

static void test_read(void **state)
{
	void *memory[2];

	(void)state;
	write_kernel();
	assert_int_equal(boot_read(&image, path, path, "quiet", 64u << 20, &err), 0);
	assert_int_equal(image.kind, BOOT_BZIMAGE);
	assert_int_equal(image.kernel_size, kernel.image.kernel_size);
	assert_memory_equal(image.kernel, kernel.bytes, image.kernel_size);
	assert_memory_equal(image.initrd, kernel.bytes, image.initrd_size);
	assert_string_equal(image.cmdline, "quiet");
	memory[0] = image.kernel;
	memory[1] = image.initrd;
	boot_release(&image);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(msync(memory[i], 1, MS_ASYNC), -1); /* unmapped */
		assert_int_equal(errno, ENOMEM);
	}
}

static int read_modules(const char *format)
{
	char list[2048], *to = list;

	/* Every '@' is the file's path. */
	for (; *format; format++)
		to += *format == '@' ? sprintf(to, "%s", path) : (*to = *format, 1);
	*to = '\0';
	return boot_read(&image, path, list, "", 64u << 20, &err);
}

/* A Multiboot kernel's -initrd is a list, and its own file as good a module as any. */
static void test_modules(void **state)
{
	static const struct {
		const char *list;
		int code;
		const char *says;
	} bad[] = {
		{ "@,", EINVAL, "file name is missing" },
		{ ",@", EINVAL, "file name is missing" },
		{ "@, x", EINVAL, "file name is missing" },
		{ "@,,b", ENOENT, ",b'" },
		{ "@,/nowhere x", ENOENT, "cannot open module '/nowhere'" },
		{ "@,@,@,@,@,@,@,@,@,@,@,@,@,@,@,@,@", E2BIG, "more than 16 modules" },
	};
	char text[128];
	int before;

	(void)state;
	fixture_multiboot(&kernel);
	write_file(kernel.bytes, kernel.image.kernel_size);
	before = last_fd();
	assert_int_equal(read_modules("@ a=b,,c  d,@"), 0);
	assert_int_equal(image.kind, BOOT_MULTIBOOT);
	assert_int_equal(image.n_modules, 2);
	assert_int_equal(image.module[1].start, kernel.image.kernel_size);
	assert_int_equal(image.module[1].size, kernel.image.kernel_size);
	assert_memory_equal(image.initrd, kernel.bytes, image.module[0].size);
	assert_memory_equal(
		image.initrd + image.module[1].start, kernel.bytes, image.module[1].size);
	(void)snprintf(text, sizeof(text), "%s a=b,c  d", path);
	assert_string_equal(image.module[0].text, text);
	assert_string_equal(image.module[1].text, path);
	boot_release(&image);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_modules(bad[i].list), -bad[i].code);
		assert_says(err.text, bad[i].says);
		assert_null(image.initrd);
		assert_null(image.module[0].text);
	}
	assert_int_equal(last_fd(), before);
}

static void test_nothing(void **state)
{
	static struct boot_load load;
	struct kvm_entry entry;
	struct ram ram = { .page_size = 4096 };

	(void)state;
	assert_int_equal(boot_read(&image, NULL, NULL, NULL, 64u << 20, &err), 0);
	assert_int_equal(image.kind, BOOT_NONE);
	assert_string_equal(image.cmdline, "");
	assert_int_equal(boot_place(&image, &ram, 0, &load, &entry, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nothing to boot"));
	boot_release(&image);
	assert_int_equal(boot_read(&image, NULL, path, NULL, 64u << 20, &err), -EINVAL);
	assert_non_null(strstr(err.text, "without a kernel"));
}

static void test_not_a_file(void **state)
{
	(void)state;
	expect_refused(ENOENT, "cannot open kernel '/tmp/");
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refused(EISDIR, "is a directory");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_refused(EINVAL, "is not a regular file"); /* at once */
	unlink(path);
	write_file("", 0);
	expect_refused(ENODATA, "is empty");
}

static void test_not_a_kernel(void **state)
{
	static uint8_t arm[64];

	(void)state;
	write_file("hello", 5);
	expect_refused(ENOEXEC, "is not a kernel (5 bytes;");
	assert_non_null(strstr(err.hint, "vmlinuz"));
	write_file("\x1f\x8b\x08", 3);
	expect_refused(ENOEXEC, "not a kernel but gzip-compressed data");
	write_file("070701", 6);
	expect_refused(ENOEXEC, "a cpio archive");
	memcpy(arm + 0x38, "ARM\x64", 4);
	write_file(arm, sizeof(arm));
	expect_refused(ENOEXEC, "a kernel for arm64");
	fixture_bzimage(&kernel);
	write_file(kernel.bytes, 0x300);
	expect_refused(ENOEXEC, "truncated: its header promises 10752 bytes, the file has 768");
}

static void test_initrd_is_checked_too(void **state)
{
	(void)state;
	write_kernel();
	assert_int_equal(boot_read(&image, path, directory, "", 64u << 20, &err), -EISDIR);
	assert_non_null(strstr(err.text, "initrd '"));
	assert_null(image.kernel);
}

static void test_long_command_line(void **state)
{
	static char text[0x10000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	fixture_pvh(&kernel);
	write_file(kernel.bytes, kernel.image.kernel_size);
	assert_int_equal(boot_read(&image, path, NULL, text, 64u << 20, &err), -E2BIG);
	assert_non_null(strstr(err.text, "has 65535 bytes; at most"));
	text[sizeof(text) - 1 - strlen(path)] = '\0'; /* with path, space and NUL one too many */
	assert_int_equal(boot_read(&image, path, NULL, text, 64u << 20, &err), -E2BIG);
	text[sizeof(text) - 2 - strlen(path)] = '\0';
	log_capture_start();
	assert_int_equal(boot_read(&image, path, NULL, text, 64u << 20, &err), 0);
	log_capture_stop();
}

/* What is said when a kernel of this kind is given a command line of so many bytes. */
static const char *said_of(void (*fixture)(struct fixture_kernel *), size_t len)
{
	static char text[4096];
	const char *said;

	memset(text, 'x', len);
	text[len] = '\0';
	fixture(&kernel);
	write_file(kernel.bytes, kernel.image.kernel_size);
	log_capture_start();
	assert_int_equal(boot_read(&image, path, NULL, text, 64u << 20, &err), 0);
	said = log_captured();
	log_capture_stop();
	boot_release(&image);
	return said;
}

/* More than Linux keeps: a bzImage says so itself. */
static void test_command_line_that_linux_cuts(void **state)
{
	const char *said;

	(void)state;
	assert_string_equal(said_of(fixture_pvh, 2047), "");
	said = said_of(fixture_pvh, 2048);
	assert_says(said, "the command line (-append) has 2048 bytes");
	assert_says(said, path);
	assert_says(said, "keeps the first 2047");
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* once */
	assert_string_equal(said_of(fixture_multiboot, 4000), "");
}

static void write_sparse(uint64_t size)
{
	write_kernel();
	assert_int_equal(truncate(path, (off_t)size), 0);
}

/* Refused before they are read. */
static void test_files_that_are_too_large(void **state)
{
	char list[100];

	(void)state;
	write_sparse(1ull << 42);
	expect_refused(E2BIG, "file' has 4398046511104 bytes, a kernel has at most 4294967296");
	write_sparse((64u << 20) + 1);
	assert_int_equal(boot_read(&image, path, path, "", 64u << 20, &err), -E2BIG);
	assert_says(err.text, "initrd '");
	assert_says(err.text, "has 67108865 bytes, the guest's memory has 67108864");
	assert_int_equal(boot_read(&image, path, path, "", (64u << 20) + 1, &err), 0);
	boot_release(&image);
	fixture_multiboot(&kernel);
	write_file(kernel.bytes, kernel.image.kernel_size);
	(void)snprintf(list, sizeof(list), "%s one,%s two", path, path);
	assert_int_equal(boot_read(&image, path, list, "", 8191, &err), -E2BIG);
	assert_says(err.text, "module '");
	/* All of them together are what the guest's memory has to hold. */
	assert_int_equal(boot_read(&image, path, list, "", 2 * 8192 - 1, &err), -E2BIG);
	assert_says(err.text, "the guest's memory has beside the modules before it 8191");
	assert_int_equal(boot_read(&image, path, list, "", 2 * 8192, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_read, teardown),
		cmocka_unit_test_teardown(test_modules, teardown),
		cmocka_unit_test_teardown(test_nothing, teardown),
		cmocka_unit_test_teardown(test_not_a_file, teardown),
		cmocka_unit_test_teardown(test_not_a_kernel, teardown),
		cmocka_unit_test_teardown(test_initrd_is_checked_too, teardown),
		cmocka_unit_test_teardown(test_long_command_line, teardown),
		cmocka_unit_test_teardown(test_command_line_that_linux_cuts, teardown),
		cmocka_unit_test_teardown(test_files_that_are_too_large, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
