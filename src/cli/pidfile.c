/* SPDX-License-Identifier: Apache-2.0 */
/* pidfile.c - -pidfile: who runs this guest, and that somebody does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/process.h>
#include <portcullis/sys.h>

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int busy(int fd, const char *path, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		err_set(err, EBUSY, "pidfile '%s' belongs to process %d, which is running", path,
			(int)lock.l_pid);
	else
		err_set(err, EBUSY, "pidfile '%s' belongs to a running process", path);
	err_hint(err, "end that process, or give this one another -pidfile");
	return -EBUSY;
}

/*
 * Returns the locked fd, or -EAGAIN when the file was removed between opening and locking it (its
 * owner just ended), and a new one has to be made.
 */
static int open_locked(const char *path, struct stat *ours, struct err *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat now;
	int fd = sys_open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644), ret;

	if (fd < 0) {
		err_set_errno(err, -fd, "pidfile '%s'", path);
		err_hint_directory(err, path);
		return fd;
	}
	if (fstat(fd, ours) < 0)
		ret = err_set_errno(err, errno, "pidfile '%s'", path);
	else if (!S_ISREG(ours->st_mode))
		ret = err_set(err, EINVAL, "pidfile '%s' exists and is not a file", path);
	else if (fcntl(fd, F_SETLK, &lock) < 0)
		ret = errno == EAGAIN || errno == EACCES
			      ? busy(fd, path, err)
			      : err_set_errno(err, errno, "pidfile '%s': locking it", path);
	else if (stat(path, &now) < 0 || !same_file(ours, &now))
		ret = -EAGAIN;
	else
		return fd;
	sys_close(fd);
	return ret;
}

int pidfile_create(struct pidfile *pidfile, const char *path, struct err *err)
{
	char text[16];
	size_t len;
	int ret;

	*pidfile = (struct pidfile){ .fd = -1 };
	do {
		ret = open_locked(path, &pidfile->stat, err);
	} while (ret == -EAGAIN);
	if (ret < 0)
		return ret;
	pidfile->fd = ret;
	pidfile->path = path;
	len = (size_t)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(pidfile->fd, 0) < 0 || pwrite(pidfile->fd, text, len, 0) != (ssize_t)len) {
		ret = err_set_errno(err, errno, "pidfile '%s': writing it", path);
		pidfile_remove(pidfile);
		return ret;
	}
	return 0;
}

void pidfile_remove(struct pidfile *pidfile)
{
	struct stat now;

	if (!pidfile->path)
		return;
	if (stat(pidfile->path, &now) == 0 && same_file(&pidfile->stat, &now))
		unlink(pidfile->path);
	sys_closep(&pidfile->fd);
	pidfile->path = NULL;
}
