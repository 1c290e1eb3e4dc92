/* SPDX-License-Identifier: Apache-2.0 */
/* fds.c - file descriptors that clients handed over. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/closer.h>
#include <portcullis/err.h>

#include "fds.h"
#include "json.h"

void named_fds_init(struct named_fds *fds, struct closer *closer)
{
	*fds = (struct named_fds){ .closer = closer };
	for (unsigned i = 0; i < FDS_MAX; i++)
		fds->named[i].fd = -1;
}

void named_fds_forget_received(struct named_fds *fds)
{
	for (unsigned i = 0; i < fds->n_received; i++)
		closer_close(fds->closer, fds->received[i]);
	fds->n_received = 0;
}

void named_fds_release(struct named_fds *fds)
{
	named_fds_forget_received(fds);
	for (unsigned i = 0; i < FDS_MAX; i++)
		closer_close(fds->closer, fds->named[i].fd);
	named_fds_init(fds, fds->closer);
}

void named_fds_received(struct named_fds *fds, int fd)
{
	if (fds->n_received == FDS_MAX || fd >= FD_ZONE_DEVICE) {
		closer_close(fds->closer, fd);
		return;
	}
	fds->received[fds->n_received++] = fd;
}

int named_fds_pop(struct named_fds *fds)
{
	int fd;

	if (!fds->n_received)
		return -1;
	fd = fds->received[0];
	fds->n_received--;
	memmove(fds->received, fds->received + 1, fds->n_received * sizeof(fds->received[0]));
	return fd;
}

static struct named_fd *find(struct named_fds *fds, const char *name)
{
	for (unsigned i = 0; i < FDS_MAX; i++)
		if (fds->named[i].fd >= 0 && !strcmp(fds->named[i].name, name))
			return &fds->named[i];
	return NULL;
}

static struct named_fd *find_free(struct named_fds *fds)
{
	for (unsigned i = 0; i < FDS_MAX; i++)
		if (fds->named[i].fd < 0)
			return &fds->named[i];
	return NULL;
}

static int name_fd(struct named_fds *fds, const char *name, int fd, struct err *err)
{
	struct named_fd *place = find(fds, name);

	if (!*name || (*name >= '0' && *name <= '9') || strlen(name) >= FD_NAME_MAX)
		return err_set(err, EINVAL,
			"Parameter 'fdname' expects a name not starting with a digit, of at most %d bytes",
			FD_NAME_MAX - 1);
	if (!place)
		place = find_free(fds);
	if (!place)
		return err_set(err, ENOSPC, "no more than %d named file descriptors", FDS_MAX);
	closer_close(fds->closer, place->fd);
	place->fd = fd;
	strcpy(place->name, name);
	return 0;
}

int named_fds_name(struct named_fds *fds, const char *name, struct err *err)
{
	int fd = named_fds_pop(fds), ret;

	if (fd < 0)
		return err_set(err, EINVAL, "No file descriptor supplied via SCM_RIGHTS");
	ret = name_fd(fds, name, fd, err);
	if (ret < 0)
		closer_close(fds->closer, fd);
	return ret;
}

int named_fds_take(struct named_fds *fds, const char *name)
{
	struct named_fd *place = find(fds, name);
	int fd = -1;

	if (place) {
		fd = place->fd;
		place->fd = -1;
	}
	return fd;
}

void fdsets_init(struct fdsets *sets)
{
	*sets = (struct fdsets){ 0 };
	for (unsigned i = 0; i < FDSET_MAX; i++)
		sets->fd[i] = (struct fdset_fd){ .set = -1, .fd = -1 };
}

static void forget(struct fdset_fd *entry)
{
	free(entry->opaque);
	*entry = (struct fdset_fd){ .set = -1, .fd = -1 };
}

void fdsets_release(struct fdsets *sets)
{
	for (unsigned i = 0; i < FDSET_MAX; i++) {
		closer_close(sets->closer, sets->fd[i].fd);
		forget(&sets->fd[i]);
	}
}

static bool set_exists(const struct fdsets *sets, int64_t set)
{
	for (unsigned i = 0; i < FDSET_MAX; i++)
		if (sets->fd[i].set == set)
			return true;
	return false;
}

int64_t fdsets_add(struct fdsets *sets, int64_t set, int fd, const char *opaque, struct err *err)
{
	struct fdset_fd *entry = NULL;

	for (unsigned i = 0; i < FDSET_MAX && !entry; i++)
		if (sets->fd[i].set < 0)
			entry = &sets->fd[i];
	if (!entry) {
		closer_close(sets->closer, fd);
		return err_set(err, ENOSPC, "no more than %d file descriptors in sets", FDSET_MAX);
	}
	if (opaque) {
		entry->opaque = strdup(opaque);
		if (!entry->opaque) {
			closer_close(sets->closer, fd);
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	if (set < 0)
		for (set = 0; set_exists(sets, set);)
			set++;
	entry->set = set;
	entry->fd = fd;
	return set;
}

int fdsets_remove(struct fdsets *sets, int64_t set, int fd, struct err *err)
{
	bool found = false;

	for (unsigned i = 0; i < FDSET_MAX; i++) {
		struct fdset_fd *entry = &sets->fd[i];

		if (entry->set != set || set < 0 || (fd >= 0 && entry->fd != fd))
			continue;
		found = true;
		closer_close(sets->closer, entry->fd);
		forget(entry);
	}
	if (found)
		return 0;
	if (fd >= 0)
		return err_set(err, ENOENT,
			"File descriptor named 'fdset-id:%" PRId64 ", fd:%d' not found", set, fd);
	return err_set(err, ENOENT, "File descriptor named 'fdset-id:%" PRId64 "' not found", set);
}

bool fdsets_take(struct fdsets *sets, int fd)
{
	for (unsigned i = 0; i < FDSET_MAX; i++)
		if (sets->fd[i].set >= 0 && sets->fd[i].fd == fd) {
			forget(&sets->fd[i]);
			return true;
		}
	return false;
}

static bool is_first_of_set(const struct fdsets *sets, unsigned index)
{
	for (unsigned i = 0; i < index; i++)
		if (sets->fd[i].set == sets->fd[index].set)
			return false;
	return sets->fd[index].set >= 0;
}

static void put_set(const struct fdsets *sets, struct json_writer *w, int64_t set)
{
	json_begin_object(w, NULL);
	json_put_int(w, "fdset-id", set);
	json_begin_array(w, "fds");
	for (unsigned i = 0; i < FDSET_MAX; i++) {
		if (sets->fd[i].set != set)
			continue;
		json_begin_object(w, NULL);
		json_put_int(w, "fd", sets->fd[i].fd);
		if (sets->fd[i].opaque)
			json_put_string(w, "opaque", sets->fd[i].opaque);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
}

void fdsets_put(const struct fdsets *sets, struct json_writer *w, const char *key)
{
	json_begin_array(w, key);
	for (unsigned i = 0; i < FDSET_MAX; i++)
		if (is_first_of_set(sets, i))
			put_set(sets, w, sets->fd[i].set);
	json_end_array(w);
}
