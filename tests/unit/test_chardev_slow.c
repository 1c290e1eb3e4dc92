/* SPDX-License-Identifier: Apache-2.0 */
/* test_chardev_slow.c - output to a file on a slow disk, on a clock that only its writes turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/chardev.h>
#include <portcullis/err.h>
#include <portcullis/serial.h>
#include <portcullis/sys.h>

#define MS 1000000u

static uint64_t wall_ns = 5000 * MS;
static unsigned write_ms, writes; /* what a write to a file takes, how many there were */

/* Instead of libc's, in the whole program. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){ .tv_sec = (time_t)(wall_ns / 1000000000u),
		.tv_nsec = (long)(wall_ns % 1000000000u) };
	return 0;
}

ssize_t write(int fd, const void *buf, size_t size)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
		writes++;
		wall_ns += (uint64_t)write_ms * MS;
	}
	return syscall(SYS_write, fd, buf, size);
}

struct bench {
	struct loop loop;
	struct serial serial;
	struct chardev *c;
	int irq_fd;
	char path[64];
};

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct chardev_options options = { .kind = CHARDEV_FILE, .path = b->path };
	int fd;

	strcpy(b->path, "/tmp/portcullis-test-XXXXXX");
	fd = mkstemp(b->path);
	close(fd);
	assert_int_equal(loop_init(&b->loop), 0);
	b->irq_fd = sys_eventfd();
	assert_int_equal(serial_init(&b->serial, b->irq_fd, &b->loop), 0);
	assert_int_equal(chardev_new(&b->c, &options, &b->serial, &b->loop, NULL, NULL, NULL), 0);
	writes = 0;
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	chardev_free(b->c);
	serial_release(&b->serial);
	sys_close(b->irq_fd);
	loop_release(&b->loop);
	unlink(b->path);
	free(b);
	return 0;
}

/* All that the ring takes. */
static void print(struct bench *b)
{
	for (unsigned i = 0; i < SERIAL_RING; i++) {
		struct io_access access = { .size = 1, .write = true, .data = i * 7 & 0xff };

		serial_access(&b->serial, &access);
	}
}

static void check_file(const struct bench *b)
{
	static uint8_t got[SERIAL_RING + 1];
	int fd = open(b->path, O_RDONLY);

	assert_int_equal(read(fd, got, sizeof(got)), SERIAL_RING);
	close(fd);
	for (unsigned i = 0; i < SERIAL_RING; i++)
		assert_int_equal(got[i], (uint8_t)(i * 7));
}

static void test_fast_disk(void **state)
{
	struct bench *b = *state;

	write_ms = 0;
	print(b);
	loop_step(&b->loop, 0);
	assert_int_equal(writes, SERIAL_RING / 4096);
	check_file(b);
}

/* Main is away for a write at a time, and all of it is written nevertheless. */
static void test_slow_disk(void **state)
{
	struct bench *b = *state;

	write_ms = 200;
	print(b);
	for (unsigned steps = 1; b->serial.tx_count; steps++) {
		loop_step(&b->loop, 0);
		assert_int_equal(writes, steps);
		wall_ns += 10 * MS;
	}
	assert_int_equal(writes, SERIAL_RING / 4096);
	check_file(b);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fast_disk),
		T(test_slow_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
