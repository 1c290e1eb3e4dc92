/* SPDX-License-Identifier: Apache-2.0 */
/* commands_fd.c - file descriptors that clients hand over. */
#include <errno.h>
#include <limits.h>

#include <portcullis/closer.h>
#include <portcullis/err.h>

#include "schema.h"

int qmp_cmd_getfd(struct qmp_request *r, struct err *err)
{
	return named_fds_name(&r->session->fds, json_get(r->args, "fdname")->text, err);
}

int qmp_cmd_closefd(struct qmp_request *r, struct err *err)
{
	const char *name = json_get(r->args, "fdname")->text;
	int fd = named_fds_take(&r->session->fds, name);

	if (fd < 0)
		return err_set(err, ENOENT, "File descriptor named '%s' not found", name);
	closer_close(r->context->closer, fd);
	return 0;
}

int qmp_cmd_add_fd(struct qmp_request *r, struct err *err)
{
	const struct json *set = r->args ? json_get(r->args, "fdset-id") : NULL;
	const struct json *opaque = r->args ? json_get(r->args, "opaque") : NULL;
	int fd = named_fds_pop(&r->session->fds);
	int64_t id;

	if (fd < 0)
		return err_set(err, EINVAL, "No file descriptor supplied via SCM_RIGHTS");
	if (set && set->integer < 0) {
		closer_close(r->context->closer, fd);
		return err_set(err, EINVAL, "Parameter 'fdset-id' expects a non-negative value");
	}
	id = fdsets_add(&r->context->fdsets, set ? set->integer : -1, fd,
		opaque ? opaque->text : NULL, err);
	if (id < 0)
		return (int)id;
	json_begin_object(r->out, QMP_RETURN);
	json_put_int(r->out, "fdset-id", id);
	json_put_int(r->out, "fd", fd);
	json_end_object(r->out);
	return 0;
}

int qmp_cmd_remove_fd(struct qmp_request *r, struct err *err)
{
	const struct json *fd = json_get(r->args, "fd");

	if (fd && (fd->integer < 0 || fd->integer > INT_MAX))
		return err_set(err, EINVAL, "Parameter 'fd' expects a file descriptor");
	return fdsets_remove(&r->context->fdsets, json_get(r->args, "fdset-id")->integer,
		fd ? (int)fd->integer : -1, err);
}

int qmp_cmd_query_fdsets(struct qmp_request *r, struct err *err)
{
	(void)err;
	fdsets_put(&r->context->fdsets, r->out, QMP_RETURN);
	return 0;
}
