/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - reads a kernel or initrd whole, with an error that says what is wrong with the file.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

static int check_file(const struct stat *st, const char *path, const char *what,
	struct file_limit limit, struct err *err)
{
	if (S_ISDIR(st->st_mode))
		return err_set(err, EISDIR, "%s '%s' is a directory, not a file", what, path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, EINVAL, "%s '%s' is not a regular file", what, path);
	if (st->st_size <= 0)
		return err_set(err, ENODATA, "%s '%s' is empty", what, path);
	if ((uint64_t)st->st_size <= limit.max)
		return 0;
	err_set(err, E2BIG, "%s '%s' has %jd bytes, %s %" PRIu64, what, path, (intmax_t)st->st_size,
		limit.why, limit.max);
	err_hint(err, "name the right file, or give the guest more memory (-m)");
	return -E2BIG;
}

static int fill(
	int fd, uint8_t *data, size_t size, const char *path, const char *what, struct err *err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, errno, "cannot read %s '%s'", what, path);
		if (n == 0)
			return err_set(err, EIO,
				"%s '%s' became shorter while it was read: %zu of %zu bytes", what,
				path, done, size);
		done += (size_t)n;
	}
	return 0;
}

int file_read(const char *path, const char *what, struct file_limit limit, uint8_t **data,
	size_t *size, struct err *err)
{
	struct stat st;
	void *memory;
	int fd, ret;

	/* O_NONBLOCK: a FIFO must give its error, not hang. */
	fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return err_set_errno(err, -fd, "cannot open %s '%s'", what, path);
	if (fstat(fd, &st) < 0)
		ret = err_set_errno(err, errno, "cannot examine %s '%s'", what, path);
	else
		ret = check_file(&st, path, what, limit, err);
	if (ret < 0)
		goto out;
	ret = sys_mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &memory);
	if (ret < 0) {
		ret = err_set_errno(err, -ret, "no memory for %s '%s' of %jd bytes", what, path,
			(intmax_t)st.st_size);
		goto out;
	}
	ret = fill(fd, memory, (size_t)st.st_size, path, what, err);
	if (ret < 0) {
		sys_munmap(memory, (size_t)st.st_size);
		goto out;
	}
	*data = memory;
	*size = (size_t)st.st_size;
out:
	sys_close(fd);
	return ret;
}
