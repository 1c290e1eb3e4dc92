/* SPDX-License-Identifier: Apache-2.0 */
/* machine_start_fixture.c - see machine_start_fixture.h. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <portcullis/thread.h>

#include "machine_start_fixture.h"

struct machine_rig rig;

static _Atomic long mapped; /* bytes */

/* Of everything that is linked here, and none of libc's own. */
void *__real_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);

/* What is fixed lies over what was mapped before. */
void *__wrap_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *map = __real_mmap(at, size, prot, flags, fd, offset);

	if (map != MAP_FAILED && !(flags & MAP_FIXED))
		atomic_fetch_add(&mapped, (long)((size + 4095) & ~4095ul));
	return map;
}

int __wrap_munmap(void *at, size_t size)
{
	int ret = __real_munmap(at, size);

	if (!ret)
		atomic_fetch_sub(&mapped, (long)((size + 4095) & ~4095ul));
	return ret;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct start_populated start_populated;

int __real_madvise(void *at, size_t size, int advice);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);

int __wrap_madvise(void *at, size_t size, int advice)
{
	struct start_populated *p = &start_populated;
	int code;

	if (advice != MADV_POPULATE_WRITE)
		return __real_madvise(at, size, advice);
	atomic_fetch_add(&p->bytes, size);
	atomic_fetch_add(&p->calls, 1);
	code = p->on_piece ? p->on_piece(at, size) : 0;
	errno = code;
	return code ? -1 : 0;
}

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	(void)size;
	CPU_ZERO(set);
	for (unsigned i = 0; i < START_CPUS; i++)
		CPU_SET(i, set);
	return 0;
}

static struct {
	unsigned fds;
	long mapped;
} before;

void begin(const char *words)
{
	start_populated.on_piece = NULL;
	atomic_store(&start_populated.bytes, 0);
	atomic_store(&start_populated.calls, 0);
	rig_host_init(&rig);
	for (unsigned i = 0; i < 2; i++)
		fake_vfio_cdev(&rig.host, i ? "0000:02:00.0" : "0000:01:00.0", i);
	rig_command_line(&rig, words);
	before.fds = fake_process_fds();
	before.mapped = atomic_load(&mapped);
}

void workers_start(void)
{
	for (unsigned i = 0; i < rig.m->n_workers; i++) {
		struct worker *w = &rig.m->workers[i];

		assert_int_equal(pthread_create(&w->thread, NULL, vfio_worker_thread, w), 0);
	}
	for (unsigned i = 0; i < rig.m->n_populators; i++) {
		struct populator *p = &rig.m->populators[i];

		assert_int_equal(pthread_create(&p->thread, NULL, populator_thread, p), 0);
	}
}

static void workers_join(void)
{
	populators_end(rig.m);
	for (unsigned i = 0; i < rig.m->n_populators; i++)
		pthread_join(rig.m->populators[i].thread, NULL);
	for (unsigned i = 0; i < rig.m->n_workers; i++) {
		loop_end(&rig.m->workers[i].loop);
		pthread_join(rig.m->workers[i].thread, NULL);
	}
}

void machine_gone(void)
{
	workers_join();
	machine_free(rig.m);
	rig.m = NULL;
	/* What devices had of KVM. The machine's own goes with the VM. */
	assert_int_equal(fake_kvm.gsis, 0);
	assert_int_equal(fake_kvm.vfio_fds, 0);
	assert_int_equal(fake_kvm.irqfds, rig.irqfds_at_rest);
}

void nothing_is_left(void)
{
	assert_int_equal(fake_process_fds(), before.fds);
	assert_int_equal(atomic_load(&mapped), before.mapped);
	assert_int_equal(fake_kvm.vms, 0);
	assert_int_equal(fake_kvm.vcpus, 0);
	assert_true(fake_vfio_idle(&rig.host));
	cmdline_release(&rig.cmdline);
	rig_host_release(&rig);
}

int make(struct err *err)
{
	int ret = machine_new(&rig.m, &rig.cmdline.config, err);

	rig.irqfds_at_rest = fake_kvm.irqfds;
	return ret;
}

/* An error is a sentence; what it is about stands before the errno's text. */
void is_told(int ret, const struct err *err)
{
	const size_t n = strlen(err->text);

	assert_true(ret < 0);
	assert_int_equal(err->code, -ret);
	assert_in_range(n, 10, ERR_TEXT_MAX - 1);
	assert_null(strstr(err->text, "(null)"));
	assert_true(err->text[n - 1] != ':' && err->text[n - 1] != ' ' && err->text[0] != ':');
}
