/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sys.c - the door to the kernel. It is compiled into this program with fault injection, which
 * takes the place of the library's own.
 */
#ifndef PORTCULLIS_FAULTS
#define PORTCULLIS_FAULTS
#endif
#include "../../src/base/sys.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static int setup(void **state)
{
	(void)state;
	sys_fail_nth(0);
	return sys_fd_limit();
}

static void open_and_close(void **state)
{
	int fd = sys_open("/dev/null", O_RDWR, 0);

	(void)state;
	assert_true(fd > 2);
	assert_true(is_cloexec(fd));
	sys_closep(&fd);
	assert_int_equal(fd, -1);
	sys_close(-1);
	assert_int_equal(sys_open("/nonexistent/file", O_RDONLY, 0), -ENOENT);
}

static void ioctl_returns_errno(void **state)
{
	int fd = sys_open("/dev/null", O_RDWR, 0), n;

	(void)state;
	assert_int_equal(sys_ioctl(fd, FIONREAD, &n), -ENOTTY);
	assert_int_equal(sys_ioctl_int(fd, FIONREAD, 0), -ENOTTY);
	assert_int_equal(sys_ioctl_once(fd, FIONREAD, 0), -ENOTTY);
	assert_int_equal(sys_ioctl(-1, FIONREAD, &n), -EBADF);
	sys_close(fd);
}

static void zones(void **state)
{
	int fd, other, again;

	(void)state;
	fd = sys_fd_move(sys_open("/dev/null", O_RDWR, 0), FD_ZONE_DEVICE);
	assert_int_equal((unsigned)fd & FD_ZONE_DEVICE_MASK, FD_ZONE_DEVICE);
	assert_true(is_cloexec(fd));
	assert_int_equal(sys_fd_move(fd, FD_ZONE_DEVICE), fd);

	other = sys_open("/dev/null", O_RDWR, 0);
	again = sys_fd_move(other, FD_ZONE_EVENT);
	assert_true(again >= FD_ZONE_EVENT);
	assert_false(is_open(other));
	assert_int_equal(sys_fd_move(again, FD_ZONE_EVENT), again);
	other = sys_fd_move(again, FD_ZONE_ANY); /* out of the zones */
	assert_in_range(other, 3, FD_ZONE_DEVICE - 1);
	assert_true(is_cloexec(other));
	assert_false(is_open(again));
	assert_int_equal(sys_fd_move(other, FD_ZONE_ANY), other);
	sys_close(fd);
	sys_close(other);
	assert_int_equal(sys_fd_move(-1, FD_ZONE_DEVICE), -EBADF);
}

static void device_zone_full(void **state)
{
	int fds[FD_ZONE_DEVICE_COUNT], fd, source;

	(void)state;
	for (int i = 0; i < FD_ZONE_DEVICE_COUNT; i++) {
		fds[i] = sys_fd_move(sys_open("/dev/null", O_RDWR, 0), FD_ZONE_DEVICE);
		assert_true(fds[i] >= 0);
	}
	source = sys_open("/dev/null", O_RDWR, 0);
	fd = sys_fd_move(source, FD_ZONE_DEVICE);
	assert_int_equal(fd, -EMFILE);
	assert_false(is_open(source));
	assert_false(is_open(FD_ZONE_EVENT)); /* not left where it landed */
	for (int i = 0; i < FD_ZONE_DEVICE_COUNT; i++)
		sys_close(fds[i]);
}

/* A vCPU's filter trusts numbers in the zones: nothing else may get there by accident. */
static void ordinary_files_stay_out_of_zones(void **state)
{
	static int fds[FD_ZONE_DEVICE];
	int n = 0, fd;

	(void)state;
	do {
		fd = sys_open("/dev/null", O_RDWR, 0);
		if (fd >= 0)
			fds[n++] = fd;
	} while (fd >= 0);
	assert_int_equal(fd, -EMFILE);
	assert_int_equal(fds[n - 1], FD_ZONE_DEVICE - 1);
	while (n)
		sys_close(fds[--n]);
}

static void eventfds(void **state)
{
	int fd = sys_eventfd();

	(void)state;
	assert_true(fd >= FD_ZONE_EVENT);
	assert_true(is_cloexec(fd));
	assert_false(sys_eventfd_drain(fd));
	sys_eventfd_signal(fd);
	sys_eventfd_signal(fd);
	assert_true(sys_eventfd_drain(fd));
	assert_false(sys_eventfd_drain(fd));
	/* A full counter does not block. */
	assert_int_equal(write(fd, &(uint64_t){ UINT64_MAX - 1 }, 8), 8);
	sys_eventfd_signal(fd);
	assert_true(sys_eventfd_drain(fd));
	sys_close(fd);
}

/* Bytes of address space this process uses. */
static size_t address_space(void)
{
	char text[64];

	assert_int_equal(sys_read_file("/proc/self/statm", text, sizeof(text)), 0);
	return strtoul(text, NULL, 10) * 4096;
}

static void reserve(void **state)
{
	size_t before;
	static const size_t aligns[] = { 4096, 2 << 20, 1 << 30 };
	unsigned char vec;
	void *at;

	(void)state;
	for (size_t i = 0; i < sizeof(aligns) / sizeof(aligns[0]); i++) {
		before = address_space();
		assert_int_equal(sys_reserve(3 << 20, aligns[i], &at), 0);
		assert_int_equal((uintptr_t)at & (aligns[i] - 1), 0);
		assert_int_equal(mincore((char *)at + (3 << 20) - 4096, 4096, &vec), 0);
		/* What was mapped around it for the alignment's sake is gone. */
		assert_int_equal(address_space() - before, 3 << 20);
		assert_int_equal(sys_munmap(at, 3 << 20), 0);
	}
	assert_int_equal(sys_reserve(4096, 12288, &at), -EINVAL);
	assert_int_equal(sys_reserve(4096, 1024, &at), -EINVAL);
	assert_int_equal(sys_reserve(0, 4096, &at), -EINVAL);
	assert_int_equal(sys_reserve(SIZE_MAX, 4096, &at), -ENOMEM);
	assert_int_equal(sys_reserve(SIZE_MAX - 8192, 2 << 20, &at), -ENOMEM);
}

static void read_file(void **state)
{
	char path[] = "/tmp/test_sys.XXXXXX", buf[16];
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, "0x8086\n", 7), 7);
	assert_int_equal(sys_read_file(path, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "0x8086");
	assert_int_equal(sys_read_file(path, buf, 8), 0);
	assert_int_equal(sys_read_file(path, buf, 7), -EOVERFLOW);
	assert_int_equal(sys_read_file(path, buf, 0), -EOVERFLOW);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(sys_read_file(path, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	close(fd);
	unlink(path);
	assert_int_equal(sys_read_file(path, buf, sizeof(buf)), -ENOENT);
	assert_int_equal(sys_read_file("/", buf, sizeof(buf)), -EISDIR);
}

static void count_name(const char *name, void *opaque)
{
	assert_string_equal(name, "link");
	(*(unsigned *)opaque)++;
}

static void looks_at_names(void **state)
{
	char path[] = "/tmp/test_sys.XXXXXX", link[64], buf[16];
	unsigned names = 0;
	struct stat st;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(path));
	(void)snprintf(link, sizeof(link), "%s/link", path);
	assert_int_equal(symlink("vfio-pci", link), 0);
	assert_int_equal(sys_read_link(link, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "vfio-pci");
	assert_int_equal(sys_read_link(link, buf, 9), 0);
	assert_int_equal(sys_read_link(link, buf, 8), -ENAMETOOLONG);
	assert_int_equal(sys_read_link(path, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(sys_stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(sys_stat(link, &st), -ENOENT); /* what it leads to */
	dir = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(sys_list(dir, count_name, &names), 0);
	assert_int_equal(names, 1);
	sys_close(dir);
	assert_int_equal(unlink(link), 0);
	dir = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(sys_list(dir, count_name, &names), -ENOENT);
	sys_close(dir);
}

/* Every door fails in its turn, and says so in its own way. */
static void nth_call_fails(void **state)
{
	void *at;
	int fd;

	(void)state;
	sys_fail_nth(1);
	assert_int_equal(sys_open("/dev/null", O_RDWR, 0), -ENOMEM);
	fd = sys_open("/dev/null", O_RDWR, 0);
	assert_true(fd >= 0);
	assert_int_equal(sys_calls(), 2);
	sys_fail_nth(2);
	assert_int_equal(sys_ioctl_int(fd, FIONREAD, 0), -ENOTTY);
	assert_int_equal(sys_ioctl_int(fd, FIONREAD, 0), -ENOMEM);
	sys_fail_nth(1);
	assert_int_equal(sys_mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0, &at), -ENOMEM);
	sys_fail_nth(1);
	assert_int_equal(sys_reserve(4096, 4096, &at), -ENOMEM);
	sys_fail_nth(1);
	assert_int_equal(sys_eventfd(), -ENOMEM);
	sys_fail_nth(1);
	assert_int_equal(sys_ioctl_once(fd, FIONREAD, 0), -ENOTTY);
	assert_int_equal(sys_calls(), 0);
	sys_fail_nth(0);
	sys_close(fd);
}

static void mmap_reports_errno(void **state)
{
	void *at = (void *)1;

	(void)state;
	assert_int_equal(
		sys_mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &at), -EINVAL);
	assert_ptr_equal(at, (void *)1);
	assert_int_equal(
		sys_mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &at), 0);
	assert_int_equal(sys_munmap(at, 4096), 0);
	assert_int_equal(sys_munmap((void *)1, 4096), -EINVAL);
}

/* With a hard limit below the zones there is nothing to be done but say so. */
static void fd_limit(void **state)
{
	struct rlimit before, low;
	int pid, status;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(before.rlim_cur >= FD_LIMIT_MIN);
	pid = fork();
	if (!pid) {
		low = (struct rlimit){ 64, FD_LIMIT_MIN };
		setrlimit(RLIMIT_NOFILE, &low);
		if (sys_fd_limit() != 0 || getrlimit(RLIMIT_NOFILE, &low) ||
			low.rlim_cur != FD_LIMIT_MIN)
			_exit(1);
		low = (struct rlimit){ 64, FD_LIMIT_MIN - 1 };
		setrlimit(RLIMIT_NOFILE, &low);
		if (sys_fd_limit() != -ERANGE)
			_exit(2);
		if (sys_eventfd() != -EMFILE)
			_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_and_close),
		cmocka_unit_test(ioctl_returns_errno),
		cmocka_unit_test(zones),
		cmocka_unit_test(device_zone_full),
		cmocka_unit_test(ordinary_files_stay_out_of_zones),
		cmocka_unit_test(eventfds),
		cmocka_unit_test(reserve),
		cmocka_unit_test(read_file),
		cmocka_unit_test(looks_at_names),
		cmocka_unit_test(nth_call_fails),
		cmocka_unit_test(mmap_reports_errno),
		cmocka_unit_test(fd_limit),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
