/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_machine_end.c - a machine that is told to end, or whose devices report errors, while they are
 * being opened.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/machine_query.h>
#include <portcullis/sys.h>

#include "machine_start_fixture.h"
#include "says.h"

static struct {
	_Atomic bool hold, inside;
	int (*info)(struct vfio_device_io *io, struct vfio_device_info **out);
	struct loop_timer timer;
	bool abandon;
} slow;

static void hold_here(void)
{
	atomic_store(&slow.inside, true);
	while (atomic_load(&slow.hold))
		usleep(1000);
}

/* Attaching: the kernel asks the card. */
static int slow_info(struct vfio_device_io *io, struct vfio_device_info **out)
{
	hold_here();
	return slow.info(io, out);
}

/* Pinning memory. */
static void slow_map(struct fake_vfio_host *host)
{
	(void)host;
	hold_here();
}

/* On main: a signal, say; the second one. The worker is let go of after that, if at all. */
static void on_timer(void *opaque)
{
	(void)opaque;
	role_enter_main();
	if (!atomic_load(&slow.inside)) {
		loop_timer_set(&rig.m->loop, &slow.timer, 1);
		return;
	}
	machine_shutdown(rig.m, SHUTDOWN_HOST_SIGNAL);
	if (slow.abandon)
		machine_abandon(rig.m, "test");
	else
		atomic_store(&slow.hold, false);
}

static int end_while_made(bool abandon, struct err *err)
{
	slow.timer = (struct loop_timer){ .fn = on_timer };
	slow.abandon = abandon;
	atomic_store(&slow.inside, false);
	atomic_store(&slow.hold, true);
	assert_int_equal(make(err), 0);
	workers_start();
	loop_timer_set(&rig.m->loop, &slow.timer, 1);
	return machine_realize(rig.m, err);
}

static void opened_slowly(void)
{
	static struct vfio_device_io_ops ops;

	begin(PORT CARD CARD2);
	ops = *rig.card[0].io.ops;
	slow.info = ops.info;
	ops.info = slow_info;
	rig.card[0].io.ops = &ops;
}

static void ends_while_a_device_is_opened(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	opened_slowly();
	ret = end_while_made(false, &err);
	if (ret)
		is_told(ret, &err);
	assert_true(machine_ending(rig.m));
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

/* What is left of the mapping is not waited for. */
static void ends_while_memory_is_pinned(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	begin("-m 1G" PORT CARD CARD2);
	rig.host.on_map = slow_map;
	ret = end_while_made(false, &err);
	is_told(ret, &err);
	assert_int_equal(ret, -ECANCELED);
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

/* Who insists is not kept waiting by a kernel that does not let go. */
static void abandoned_while_a_device_is_opened(void **state)
{
	struct err err = { 0 };

	(void)state;
	opened_slowly();
	assert_int_equal(end_while_made(true, &err), -ECANCELED);
	assert_string_equal(err.text, "the machine is ending");
	assert_false(machine_end(rig.m));
	machine_free(rig.m); /* gives back nothing: the worker has it */
	assert_int_equal(fake_kvm.vms, 1);
	atomic_store(&slow.hold, false);
	rig.m->abandoned = false; /* as if it had been a matter of patience */
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

/*
 * The first card reports an error when it is almost realized (and fails, or not), while the second
 * one is slow.
 */
static struct {
	struct vfio_device_io_ops first, second;
	const struct vfio_device_io_ops *real;
	_Atomic bool reported, let_go;
	bool fails;
	struct loop_timer timer;
	unsigned ticks;
} late_error;

static ssize_t report_and_write(
	struct vfio_device_io *io, const void *buf, size_t size, uint64_t at)
{
	if (rig.card[0].err_fd >= 0 && !atomic_exchange(&late_error.reported, true)) {
		sys_eventfd_signal(rig.card[0].err_fd);
		if (late_error.fails)
			return -EIO;
	}
	return late_error.real->pwrite(io, buf, size, at);
}

static ssize_t slow_read(struct vfio_device_io *io, void *buf, size_t size, uint64_t at)
{
	while (!atomic_load(&late_error.let_go))
		usleep(1000);
	return late_error.real->pread(io, buf, size, at);
}

static void let_go_later(void *opaque)
{
	(void)opaque;
	role_enter_main();
	if (atomic_load(&late_error.reported) && ++late_error.ticks > 100)
		atomic_store(&late_error.let_go, true);
	else
		loop_timer_set(&rig.m->loop, &late_error.timer, 1);
}

static int start_with_error(const char *words, bool fails, struct err *err)
{
	begin(words);
	memset(&late_error, 0, sizeof(late_error));
	late_error.fails = fails;
	late_error.real = rig.card[0].io.ops;
	late_error.first = late_error.second = *late_error.real;
	late_error.first.pwrite = report_and_write;
	late_error.second.pread = slow_read;
	rig.card[0].io.ops = &late_error.first;
	rig.card[1].io.ops = &late_error.second;
	assert_int_equal(make(err), 0);
	workers_start();
	late_error.timer = (struct loop_timer){ .fn = let_go_later };
	loop_timer_set(&rig.m->loop, &late_error.timer, 1);
	return machine_realize(rig.m, err);
}

static void end_of_start(void)
{
	machine_end(rig.m);
	machine_gone();
	nothing_is_left();
}

/* Its error would have it unplugged; the start fails with it all the same, and says why. */
static void a_failed_device_is_not_forgotten(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(start_with_error(PORT CARD ",on-error=unplug" CARD2, true, &err), -EIO);
	assert_says(err.text, "vfio-pci 'd0': ");
	end_of_start();
}

/* on-error=stop, the default: the guest does not begin. */
static void an_error_before_the_guest_holds_it(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(start_with_error(PORT CARD CARD2, false, &err), 0);
	assert_true(machine_held(rig.m));
	end_of_start();
	assert_int_equal(start_with_error(PORT CARD ",on-error=report" CARD2, false, &err), 0);
	assert_false(machine_held(rig.m));
	end_of_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_while_a_device_is_opened),
		cmocka_unit_test(ends_while_memory_is_pinned),
		cmocka_unit_test(abandoned_while_a_device_is_opened),
		cmocka_unit_test(a_failed_device_is_not_forgotten),
		cmocka_unit_test(an_error_before_the_guest_holds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
