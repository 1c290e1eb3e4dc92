/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_machine_memory.c - RAM is given its pages at the start: when, by whom, what is told when that
 * fails or takes long, and how it is ended.
 */
#include <errno.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <portcullis/log.h>
#include <portcullis/thread.h>

#include "machine_start_fixture.h"
#include "says.h"

#define MIB (1ull << 20)
#define DEADLINE_MS 30000

static struct {
	_Atomic unsigned inside;
	struct loop_timer timer;
} slow;

/* The machine as it is when it was realized, or was not. */
static int realized(struct err *err)
{
	assert_int_equal(make(err), 0);
	workers_start();
	return machine_realize(rig.m, err);
}

static void gone(void)
{
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

static void starts(const char *words, unsigned threads, uint64_t populated)
{
	struct err err = { 0 };

	begin(words);
	if (realized(&err))
		fail_msg("%s: %s", words, err.text);
	assert_int_equal(rig.m->n_populators, threads);
	assert_int_equal(start_populated.bytes, populated);
	gone();
}

static void who_needs_pages_at_once(void **state)
{
	(void)state;
	starts("-smp 8 -m 1G", 0, 0);
	starts("-smp 8 -m 1G -device pvpanic-pci,addr=5", 0, 0);
	starts("-smp 8 -m 1G" PORT, 0, 0);
	starts("-smp 8 -m 1G -mem-prealloc", START_CPUS, 1024 * MIB);
	starts("-m 2G -mem-prealloc", START_CPUS, 2 * 1024 * MIB);
	starts("-m 1G" PORT CARD CARD2, START_CPUS, 1024 * MIB);
	starts("-smp 2 -m 1G -mem-prealloc" PORT CARD, START_CPUS, 1024 * MIB);
}

#define BACKEND(id, more) " -object memory-backend-ram,id=" id ",size=512M" more
#define NODES " -m 1G -numa node,memdev=a -numa node,memdev=b"

/* Backends that are asked to, by as many threads as the one says that says most. */
static void of_backends_that_want_it(void **state)
{
	(void)state;
	starts(BACKEND("a", "") BACKEND("b", "") NODES, 0, 0);
	starts(BACKEND("a", ",prealloc-threads=2") BACKEND("b", "") NODES, 0, 0);
	starts(BACKEND("a", "") BACKEND("b", ",prealloc=on") NODES, START_CPUS, 512 * MIB);
	starts(BACKEND("a", ",prealloc-threads=3") BACKEND("b", ",prealloc=on,prealloc-threads=2")
			NODES,
		2, 512 * MIB);
	starts(BACKEND("a", ",prealloc-threads=3") BACKEND("b", ",prealloc-threads=2") NODES
		" -mem-prealloc",
		3, 1024 * MIB);
	starts(BACKEND("a", ",prealloc-threads=1") BACKEND("b", "") NODES PORT CARD, 1, 1024 * MIB);
	starts(BACKEND("a", ",prealloc-threads=4096,prealloc=on") BACKEND("b", "") NODES,
		START_CPUS, 512 * MIB);
}

static int until_all_are_inside(void *hva, size_t size)
{
	static __thread bool counted;

	(void)hva;
	(void)size;
	if (!counted)
		atomic_fetch_add(&slow.inside, 1);
	counted = true;
	for (unsigned i = 0; i < DEADLINE_MS && atomic_load(&slow.inside) < START_CPUS; i++)
		usleep(1000);
	return 0;
}

static void all_at_the_same_time(void **state)
{
	struct err err = { 0 };

	(void)state;
	begin("-smp 8 -m 1G" PORT CARD);
	start_populated.on_piece = until_all_are_inside;
	atomic_store(&slow.inside, 0);
	assert_int_equal(realized(&err), 0);
	assert_int_equal(slow.inside, START_CPUS);
	gone();
}

/* All of it, before any of it is pinned. */
static _Atomic uint64_t populated_at_first_map;

static void note_map(struct fake_vfio_host *host)
{
	(void)host;
	if (!populated_at_first_map)
		populated_at_first_map = start_populated.bytes;
}

static void populated_before_it_is_pinned(void **state)
{
	struct err err = { 0 };

	(void)state;
	begin("-smp 2 -m 1G" PORT CARD);
	rig.host.on_map = note_map;
	populated_at_first_map = 0;
	assert_int_equal(realized(&err), 0);
	assert_int_equal(populated_at_first_map, 1024 * MIB);
	gone();
}

/* What may not be pinned is not populated first, which could take minutes. */
static void limits_are_looked_at_first(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	begin("-smp 2 -m 1G" PORT CARD);
	fake_vfio_file(&rig.host, "proc/limits",
		"Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  8388608  bytes\n");
	fake_vfio_file(
		&rig.host, "proc/status", "VmLck:\t       0 kB\nCapEff:\t0000000000000000\n");
	ret = realized(&err);
	is_told(ret, &err);
	assert_says(err.text, "vfio-pci 'd0': the limit of locked memory is too small");
	assert_int_equal(start_populated.calls, 0);
	gone();
}

static int no_memory(void *hva, size_t size)
{
	(void)hva;
	(void)size;
	return ENOMEM;
}

static void there_is_too_little(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	begin("-smp 2 -m 1G -mem-prealloc" PORT CARD);
	start_populated.on_piece = no_memory;
	ret = realized(&err);
	is_told(ret, &err);
	assert_int_equal(ret, -ENOMEM);
	assert_says(err.text,
		"populating guest RAM: it needs 1073741824 bytes, of which this host has ");
	assert_in_range(start_populated.calls, 1, START_CPUS);
	gone();
	/* Nobody has asked for it: pinning will say so, or not. */
	begin("-smp 2 -m 1G" PORT CARD);
	start_populated.on_piece = no_memory;
	assert_int_equal(realized(&err), 0);
	gone();
}

#ifndef MPOL_BIND
#define MPOL_BIND 2
#define MPOL_F_ADDR 2
#endif

static int policy_of(const void *hva)
{
	unsigned long nodes[HOST_NODES_MAX / 64 + 1];
	int mode = -1;

	return syscall(SYS_get_mempolicy, &mode, nodes, HOST_NODES_MAX + 1, hva, MPOL_F_ADDR)
		       ? -errno
		       : mode;
}

static int is_bound(void *hva, size_t size)
{
	return policy_of(hva) == MPOL_BIND && policy_of((char *)hva + size - 1) == MPOL_BIND ? 0
											     : EIO;
}

/* Pages come from the nodes that they are to come from, whichever thread asks for them. */
static void bound_before_it_is_populated(void **state)
{
	struct err err = { 0 };

	(void)state;
	if (policy_of(&err) == -ENOSYS) {
		print_message("a kernel without NUMA\n");
		skip();
	}
	begin(BACKEND("a", ",policy=bind,host-nodes=0,prealloc=on") BACKEND("b", "") NODES);
	start_populated.on_piece = is_bound;
	if (realized(&err))
		fail_msg("%s", err.text);
	assert_int_equal(start_populated.bytes, 512 * MIB);
	gone();
}

/* The upper half of RAM, node 1's. */
static int none_for_node_1(void *hva, size_t size)
{
	uint64_t gpa;

	(void)size;
	assert_true(ram_gpa(&rig.m->ram, hva, &gpa));
	return gpa >= 512 * MIB ? ENOMEM : 0;
}

static void too_little_for_one_backend(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	begin(BACKEND("a", ",prealloc=on") BACKEND("b", ",prealloc=on") NODES);
	start_populated.on_piece = none_for_node_1;
	ret = realized(&err);
	is_told(ret, &err);
	assert_int_equal(ret, -ENOMEM);
	assert_says(err.text, "populating b: it needs 536870912 bytes, of which this host has ");
	gone();
	/* Populated for the card alone. */
	begin(BACKEND("a", ",prealloc=on") BACKEND("b", "") NODES PORT CARD);
	start_populated.on_piece = none_for_node_1;
	assert_int_equal(realized(&err), 0);
	gone();
}

/* Linux before 5.14; and the file ends before the piece does. */
static int truncated_on_an_old_kernel(void *hva, size_t size)
{
	(void)hva;
	(void)size;
	assert_int_equal(ftruncate(rig.m->ram.backend[0].fd, 4096), 0);
	return EINVAL;
}

static void a_bus_error_is_an_error(void **state)
{
	struct err err = { 0 };
	int ret;

	(void)state;
	sigbus_init();
	begin("-smp 2 -mem-prealloc -mem-path /tmp");
	start_populated.on_piece = truncated_on_an_old_kernel;
	ret = realized(&err);
	is_told(ret, &err);
	assert_int_equal(ret, -EFAULT);
	assert_says(err.text, "'/tmp'");
	gone();
}

static int until_it_ends(void *hva, size_t size)
{
	(void)hva;
	(void)size;
	atomic_fetch_add(&slow.inside, 1);
	for (unsigned i = 0; i < DEADLINE_MS; i++) {
		if (atomic_load(&rig.m->populate.state) == POPULATE_ENDED)
			return 0;
		usleep(1000);
	}
	return EIO;
}

/* On main: a signal. Pieces under way are waited for, and no others begun. */
static void on_signal(void *opaque)
{
	(void)opaque;
	role_enter_main();
	if (atomic_load(&slow.inside) < START_CPUS) {
		loop_timer_set(&rig.m->loop, &slow.timer, 1);
		return;
	}
	machine_shutdown(rig.m, SHUTDOWN_HOST_SIGNAL);
}

static void a_signal_ends_it(void **state)
{
	struct err err = { 0 };

	(void)state;
	begin("-smp 4 -m 2G -mem-prealloc" PORT CARD);
	start_populated.on_piece = until_it_ends;
	slow.timer = (struct loop_timer){ .fn = on_signal };
	atomic_store(&slow.inside, 0);
	assert_int_equal(make(&err), 0);
	workers_start();
	loop_timer_set(&rig.m->loop, &slow.timer, 1);
	assert_int_equal(machine_realize(rig.m, &err), -ECANCELED);
	assert_int_equal(start_populated.calls, START_CPUS);
	gone();
}

/* Main never waits for threads that were never given anything to do. */
static void ends_before_it_begins(void **state)
{
	struct err err = { 0 };

	(void)state;
	begin("-smp 4 -mem-prealloc -device vfio-pci,id=d0,host=0000:0f:00.0");
	is_told(realized(&err), &err);
	assert_int_equal(start_populated.calls, 0);
	gone();
}

/* --- the line on the terminal --- */

static void nap(void)
{
	usleep(100000);
}

static int slow_piece(void *hva, size_t size)
{
	(void)hva;
	(void)size;
	nap();
	return 0;
}

static void slow_map(struct fake_vfio_host *host)
{
	(void)host;
	nap();
}

static struct {
	int master, slave;
	char text[8192];
} terminal;

static void terminal_open(void)
{
	assert_int_equal(openpty(&terminal.master, &terminal.slave, NULL, NULL, NULL), 0);
	log_setup_stderr(terminal.slave, LOG_LEVEL_INFO);
}

/* All that it got. */
static const char *terminal_close(void)
{
	char *text = terminal.text;
	ssize_t n;

	/* An end mark, so that there is something to read. */
	assert_int_equal(write(terminal.slave, "|", 1), 1);
	for (unsigned at = 0; !at || text[at - 1] != '|'; at += (unsigned)n) {
		n = read(terminal.master, text + at, sizeof(terminal.text) - 1 - at);
		assert_true(n > 0);
		text[at + (unsigned)n] = '\0';
	}
	if (log_fd() != terminal.slave)
		close(log_fd());
	log_setup(STDERR_FILENO, LOG_LEVEL_INFO);
	close(terminal.master);
	close(terminal.slave);
	return text;
}

/* What a terminal got while the machine was made. */
static const char *shown(
	const char *words, int (*piece)(void *, size_t), void (*map)(struct fake_vfio_host *))
{
	struct err err = { 0 };
	const char *text;

	begin(words);
	terminal_open();
	start_populated.on_piece = piece;
	rig.host.on_map = map;
	assert_int_equal(realized(&err), 0);
	text = terminal_close();
	gone();
	return text;
}

#define WIPE "\r\033[K"

static void a_terminal_shows_how_far_it_is(void **state)
{
	const char *text;
	const size_t end = strlen(WIPE "|");

	(void)state;
	text = shown("-mem-prealloc" BACKEND("a", ",prealloc-threads=1") BACKEND("b", "") NODES,
		slow_piece, NULL);
	assert_says(text, WIPE "portcullis: preparing memory: ");
	assert_says(text, " of 1024 MiB");
	assert_null(strstr(text, "\n"));
	assert_null(strstr(text, "pinning"));
	/* It is gone at the end. */
	assert_string_equal(text + strlen(text) - end, WIPE "|");
	text = shown("-m 2G" PORT CARD, NULL, slow_map);
	assert_says(text, WIPE "portcullis: pinning memory: ");
	assert_says(text, " of 2048 MiB");
	assert_string_equal(text + strlen(text) - end, WIPE "|");
	/* Nobody waits: nothing is shown. */
	assert_string_equal(shown("-m 1G -mem-prealloc" PORT CARD, NULL, NULL), "|");
}

/* A TiB, and no host that has it. */
static void much_memory_is_told_in_gib(void **state)
{
	struct err err = { 0 };
	const char *text;

	(void)state;
	begin("-m 128M");
	assert_int_equal(make(&err), 0);
	terminal_open();
	rig.m->populate.size = 1ull << 40;
	rig.m->populate.done = 312ull << 30;
	atomic_store(&rig.m->populating, 1);
	progress_begin(rig.m);
	loop_step(&rig.m->loop, DEADLINE_MS);
	progress_end(rig.m);
	atomic_store(&rig.m->populating, 0);
	text = terminal_close();
	workers_start();
	gone();
	assert_string_equal(text, WIPE "portcullis: preparing memory: 312 of 1024 GiB" WIPE "|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_needs_pages_at_once),
		cmocka_unit_test(of_backends_that_want_it),
		cmocka_unit_test(all_at_the_same_time),
		cmocka_unit_test(populated_before_it_is_pinned),
		cmocka_unit_test(limits_are_looked_at_first),
		cmocka_unit_test(bound_before_it_is_populated),
		cmocka_unit_test(there_is_too_little),
		cmocka_unit_test(too_little_for_one_backend),
		cmocka_unit_test(a_bus_error_is_an_error),
		cmocka_unit_test(a_signal_ends_it),
		cmocka_unit_test(ends_before_it_begins),
		cmocka_unit_test(a_terminal_shows_how_far_it_is),
		cmocka_unit_test(much_memory_is_told_in_gib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
