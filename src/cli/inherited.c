/* SPDX-License-Identifier: Apache-2.0 */
/* inherited.c - are the fds that options name open, and named once? */
#include <portcullis/process.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <portcullis/config.h>
#include <portcullis/err.h>
#include <portcullis/unixsock.h>

struct named {
	const char *option;
	int fd;
	enum { ANY, LISTENING, CONNECTED } what;
};

static bool device_fd(const struct config_device *device, int *out)
{
	const int *fd = props_fd(device->type, device->options);

	if (!fd || *fd < 0)
		return false;
	*out = *fd;
	return true;
}

static unsigned collect(const struct config *c, struct named *all)
{
	unsigned n = 0;
	int fd;

	for (unsigned i = 0; i < c->n_qmp; i++)
		if (c->qmp[i].kind == QMP_FD)
			all[n++] = (struct named){ "-qmp", c->qmp[i].fd, LISTENING };
	if (c->serial.kind == SERIAL_FD)
		all[n++] = (struct named){ "-serial", c->serial.fd,
			c->serial.server ? LISTENING : CONNECTED };
	for (unsigned i = 0; i < c->n_objects; i++)
		if (device_fd(&c->objects[i], &fd))
			all[n++] = (struct named){ "-object", fd, ANY };
	for (unsigned i = 0; i < c->n_devices; i++)
		if (device_fd(&c->devices[i], &fd))
			all[n++] = (struct named){ "-device", fd, ANY };
	return n;
}

static int check(const struct named *all, unsigned i, struct err *err)
{
	const struct named *one = &all[i];
	char what[16];

	if (one->fd <= STDERR_FILENO) {
		err_set(err, EINVAL, "%s: fd %d is this program's own: 0 to 2 are not handed over",
			one->option, one->fd);
		err_hint(err, "open it as 3 or higher");
		return -EINVAL;
	}
	for (unsigned j = 0; j < i; j++) {
		if (all[j].fd != one->fd)
			continue;
		err_set(err, EINVAL, "fd %d is handed over once, but %s and %s name it", one->fd,
			all[j].option, one->option);
		err_hint(err, "duplicate it, or name it once");
		return -EINVAL;
	}
	snprintf(what, sizeof(what), "%s:", one->option);
	if (one->what != ANY)
		return unixsock_check(one->fd, one->what == LISTENING, what, err);
	if (fcntl(one->fd, F_GETFD) >= 0)
		return 0;
	err_set(err, EBADF, "%s fd %d is not open", what, one->fd);
	err_hint(err, "start this program with it open, and without close-on-exec");
	return -EBADF;
}

int inherited_take(struct config *c, struct err *err)
{
	unsigned most = c->n_qmp + 1 + c->n_objects + c->n_devices, n;
	struct named *all = calloc(most, sizeof(*all));
	int ret = 0;

	if (!all)
		return err_set(err, ENOMEM, "no memory for the command line");
	n = collect(c, all);
	for (unsigned i = 0; !ret && i < n; i++)
		ret = check(all, i, err);
	free(all);
	c->has_fds = !ret;
	return ret;
}
