/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plug_slots.c - what the guest is told of a slot: cards that are pulled and replaced, several
 * functions in one, resets in between; and every order of what can happen to a device.
 */
#define PORTCULLIS_FAULTS /* a copy of sys.c of its own, that can be made to fail */
#include "../../src/base/sys.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/log.h>

#include "machine_rig.h"

#define ADD "id=d0,host=0000:01:00.0,bus=rp1,addr=0"
#define ADD_MULTI ADD ",multifunction=on"
#define ADD_SECOND "id=d1,host=0000:02:00.0,bus=rp1,addr=0.1"
#define INS (0x800 + 8 * PCI_DEVFN(1, 0))
#define EJR (INS + 1)
#define PRS (INS + 2)
#define EJ0 (INS + 3)
#define SLTCTL 0x18
#define SLTSTA 0x1a
enum { POWER_OFF_BITS = 0x0400, IND_OFF = 0x0300, IND_BLINK = 0x0200, IND_ON = 0x0100 };
enum { LISTENS = 0x21, PRESSED = 1, PRESENT = 1 << 6 };

static void add(struct machine_rig *rig, const char *options)
{
	struct rig_op op;

	rig_add(rig, &op, options);
	rig_settle(rig);
	assert_true(op.done);
	assert_string_equal(op.err.text, "");
}

static void force(struct machine_rig *rig)
{
	struct rig_op op;

	rig_del(rig, &op, "d0", true);
	rig_settle(rig);
	assert_true(op.done);
	assert_int_equal(op.err.code, 0);
}

static struct port *port_of(struct machine_rig *rig)
{
	return rig->m->ports;
}

/* --- a card that was pulled --- */

static void plug_pull_replace(struct machine_rig *rig)
{
	add(rig, ADD);
	rig_slot_write(rig, INS, 1, 1);
	force(rig);
	assert_true(rig_clean(rig));
	assert_int_equal(rig_slot_read(rig, PRS, 1), 0);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 1);
	add(rig, ADD);
	/* Linux would take the new card for the old one. */
	assert_int_equal(rig_slot_read(rig, INS, 1), 0);
	assert_int_equal(rig_slot_read(rig, PRS, 1), 0);
}

static void new_card_waits_until_the_old_is_let_go_of(void **state)
{
	struct machine_rig *rig = *state;

	plug_pull_replace(rig);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(rig_plugged(rig, "d0"));
	assert_int_equal(rig_slot_read(rig, INS, 1), 1);
	assert_int_equal(rig_slot_read(rig, PRS, 1), 1);
	force(rig);
}

static void new_card_does_not_wait_for_ever(void **state)
{
	struct machine_rig *rig = *state;
	struct port *port = port_of(rig);

	plug_pull_replace(rig);
	assert_true(port->stale_end.armed);
	loop_timer_cancel(&rig->m->loop, &port->stale_end);
	port->stale_end.fn(port->stale_end.opaque);
	assert_int_equal(rig_slot_read(rig, INS, 1), 1);
	/* Or a guest that wakes up late would eject the new one. */
	assert_int_equal(rig_slot_read(rig, EJR, 1), 0);
	force(rig);
}

static void waiting_card_goes_at_once(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug_pull_replace(rig);
	rig_del(rig, &del, "d0", false);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_true(rig_clean(rig));
	rig_guest_ejects(rig);
	assert_int_equal(rig_slot_read(rig, PRS, 1), 0);
}

static void reset_shows_the_waiting_card(void **state)
{
	struct machine_rig *rig = *state;

	plug_pull_replace(rig);
	hotplug_reset(rig->m);
	assert_int_equal(rig_slot_read(rig, PRS, 1), 1);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 0);
	assert_false(port_of(rig)->stale_end.armed);
	force(rig);
}

/* With -S: what the firmware would do is done for it, too. */
static void added_before_the_guest_runs(void **state)
{
	struct machine_rig *rig = *state;
	struct pci_function *fn;

	rig->m->runstate = RUNSTATE_PRELAUNCH;
	add(rig, ADD);
	fn = vfio_pci_function(passthrough_card(device_find(rig->m, "d0")));
	assert_int_not_equal(fn->bar[0].addr, 0);
	assert_true(fn->bar[0].mapped);
	rig->m->runstate = RUNSTATE_RUNNING;
	force(rig);
	assert_true(rig_clean(rig));
}

/* It would forget that it was asked. */
static void guest_in_reset_has_let_go(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	add(rig, ADD);
	rig->m->resetting = true;
	rig_del(rig, &del, "d0", false);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_int_equal(rig->n_events, 1);
	assert_true(rig_clean(rig));
}

/* --- several functions --- */

static void plug_pair(struct machine_rig *rig)
{
	add(rig, ADD_SECOND);
	assert_int_equal(rig_slot_read(rig, INS, 1), 0);
	add(rig, ADD_MULTI);
	assert_int_equal(rig_slot_read(rig, INS, 1), 3);
	rig_slot_write(rig, INS, 1, 3);
}

static void every_del_of_a_slot_is_answered(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op first, second;

	plug_pair(rig);
	rig_del(rig, &first, "d1", false);
	rig_del(rig, &second, "d0", false);
	assert_false(first.done || second.done);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(first.done && second.done);
	assert_int_equal(first.err.code, 0);
	assert_int_equal(second.err.code, 0);
	assert_int_equal(rig->n_events, 2);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rig->event[i].kind, MACHINE_DEVICE_DELETED);
	assert_string_not_equal(rig->event[0].device, rig->event[1].device);
	assert_true(rig_clean(rig));
}

/* One gives up; the guest is still asked for the other, which is the same slot. */
static void one_deadline_does_not_end_the_others_request(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op first, second;

	plug_pair(rig);
	rig_del(rig, &first, "d1", false);
	rig_del(rig, &second, "d0", false);
	rig_deadline(rig, "d1");
	assert_true(first.done);
	assert_int_equal(first.err.code, ETIMEDOUT);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 3);
	rig_deadline(rig, "d0");
	assert_true(second.done);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 0);
	force(rig);
	assert_true(rig_clean(rig));
}

static void host_gets_back_at_once_what_nobody_saw(void **state)
{
	struct machine_rig *rig = *state;

	add(rig, ADD_SECOND);
	plug_host_request(device_find(rig->m, "d1"));
	rig_settle(rig);
	assert_int_equal(rig->n_events, 1);
	assert_true(rig_clean(rig));
	add(rig, ADD);
	rig->m->resetting = true;
	plug_host_request(device_find(rig->m, "d0"));
	rig_settle(rig);
	assert_int_equal(rig->n_events, 2);
	assert_true(rig_clean(rig));
}

static void force_takes_the_whole_slot(void **state)
{
	struct machine_rig *rig = *state;

	plug_pair(rig);
	force(rig);
	assert_int_equal(rig->n_events, 2);
	assert_true(rig_clean(rig));
}

static void reset_takes_the_whole_slot(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug_pair(rig);
	rig_del(rig, &del, "d1", false);
	plug_on_reset(rig->m);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(rig->n_events, 2);
	assert_true(rig_clean(rig));
}

static void function_that_comes_too_late(void **state)
{
	struct machine_rig *rig = *state;
	unsigned long calls;
	struct rig_op late;

	add(rig, ADD_MULTI);
	calls = rig->host.calls;
	rig_add(rig, &late, ADD_SECOND);
	rig_settle(rig);
	assert_true(late.done);
	assert_int_equal(late.err.code, EBUSY);
	assert_non_null(strstr(late.err.text, "d0"));
	assert_int_equal(rig->host.calls, calls); /* found out before anything was opened */
	force(rig);
	/* Both under way: function 0 wins the race, the other is given back. */
	rig_guest_ejects(rig);
	rig_add(rig, &late, ADD_SECOND);
	rig_step(rig);
	assert_false(late.done);
	late.done = false;
	{
		struct rig_op zero;

		rig_add(rig, &zero, ADD_MULTI);
		rig_settle(rig);
		assert_true(zero.done && late.done);
		assert_int_equal(zero.err.code, 0);
		assert_true(late.err.code == 0 || late.err.code == EBUSY);
	}
	force(rig);
	assert_true(rig_clean(rig));
}

/* --- the port's own registers --- */

static unsigned exp_cap(struct machine_rig *rig)
{
	unsigned at = rig_config_read(rig, 0x34, 1);

	while (rig_config_read(rig, at, 1) != 0x10)
		at = rig_config_read(rig, at + 1, 1);
	return at;
}

/* The button, as pciehp serves it. */
static bool pressed(struct machine_rig *rig, unsigned exp)
{
	bool is = rig_config_read(rig, exp + SLTSTA, 2) & PRESSED;

	rig_config_write(rig, exp + SLTSTA, 2, 0x1f);
	return is;
}

static void native_pair_presses_once(void **state)
{
	struct machine_rig *rig = *state;
	unsigned exp = exp_cap(rig);
	struct rig_op first, second;

	add(rig, ADD_SECOND);
	add(rig, ADD_MULTI);
	rig_config_write(rig, exp + SLTCTL, 2, IND_ON | LISTENS);
	(void)pressed(rig, exp);
	rig_del(rig, &first, "d1", false);
	assert_true(pressed(rig, exp));
	/* A second press would take the first one back. */
	rig_del(rig, &second, "d0", false);
	assert_false(pressed(rig, exp));
	rig_config_write(rig, exp + SLTCTL, 2, IND_BLINK | LISTENS);
	rig_config_write(rig, exp + SLTCTL, 2, POWER_OFF_BITS | IND_OFF | LISTENS);
	rig_settle(rig);
	assert_true(first.done && second.done);
	assert_int_equal(rig->n_events, 2);
	assert_true(rig_clean(rig));
}

static void native_guest_switches_the_card_off(void **state)
{
	struct machine_rig *rig = *state;
	unsigned exp = exp_cap(rig);

	add(rig, ADD);
	rig_config_write(rig, exp + SLTCTL, 2, IND_ON | LISTENS);
	rig_config_write(rig, exp + SLTCTL, 2, POWER_OFF_BITS | IND_OFF | LISTENS);
	rig_settle(rig);
	assert_int_equal(rig->n_events, 1);
	assert_int_equal(rig->event[0].kind, MACHINE_DEVICE_DELETED);
	assert_true(rig_clean(rig));
	/* On again finds nothing; a new card presses. */
	rig_config_write(rig, exp + SLTCTL, 2, IND_ON | LISTENS);
	assert_false(rig_config_read(rig, exp + SLTSTA, 2) & PRESENT);
	rig_config_write(rig, exp + SLTCTL, 2, POWER_OFF_BITS | IND_OFF | LISTENS);
	(void)pressed(rig, exp);
	add(rig, ADD);
	assert_true(rig_config_read(rig, exp + SLTSTA, 2) & PRESENT);
	assert_true(pressed(rig, exp));
	force(rig);
}

/* This process's own calls (eventfds, epoll) fail, from device_add to its answer. */
static void fault_at_every_system_call(void **state)
{
	struct machine_rig *rig = *state;
	unsigned failures = 0;
	unsigned long n = 0, calls;
	struct rig_op op;

	do {
		sys_fail_nth(++n);
		rig_add(rig, &op, ADD);
		rig_settle(rig);
		calls = sys_calls();
		sys_fail_nth(0);
		assert_true(op.done);
		failures += op.err.code != 0;
		assert_true(
			op.err.code ? rig_clean(rig) && op.err.text[0] : rig_plugged(rig, "d0"));
		if (op.err.code)
			add(rig, ADD);
		rig_del(rig, &op, "d0", false);
		rig_guest_ejects(rig);
		rig_settle(rig);
		assert_true(op.done);
		assert_int_equal(op.err.code, 0);
		assert_true(rig_clean(rig));
	} while (calls >= n && n < 1000);
	assert_true(failures > 0);
}

/* --- every order --- */

enum what {
	DO_ADD,
	DO_DEL,
	DO_FORCE,
	DO_EJECT, /* the guest lets go, asked or not */
	DO_DEADLINE,
	DO_RESET,
	DO_RESET_END,
	DO_WANTED, /* by the host */
	DO_PAUSE,
	DO_STEP, /* workers and main get on a little */
	DO_COUNT
};
#define LENGTH 4

/* native: what pciehp does to take a card into use and to let go of it. */
static void guest_lets_go(struct machine_rig *rig)
{
	unsigned exp;

	if (!rig->m->ports->root.options->native_hotplug) {
		rig_slot_write(rig, EJR, 1, rig_slot_read(rig, EJR, 1));
		rig_slot_write(rig, EJ0, 1, 0xff);
		return;
	}
	exp = exp_cap(rig);
	rig_config_write(rig, exp + SLTCTL, 2, IND_ON | LISTENS);
	rig_config_write(rig, exp + SLTCTL, 2, POWER_OFF_BITS | IND_OFF | LISTENS);
}

static void reset_end(struct machine_rig *rig)
{
	hotplug_reset(rig->m);
	topology_program(rig->m);
	rig->m->resetting = false;
}

static void happen(struct machine_rig *rig, enum what what, struct rig_op *op)
{
	struct device *device = device_find(rig->m, "d0");

	op->done = true;
	switch (what) {
	case DO_ADD:
		rig_add(rig, op, ADD);
		break;
	case DO_DEL:
	case DO_FORCE:
		rig_del(rig, op, "d0", what == DO_FORCE);
		break;
	case DO_EJECT:
		guest_lets_go(rig);
		break;
	case DO_DEADLINE:
		if (device && device->deadline.armed)
			rig_deadline(rig, "d0");
		break;
	case DO_RESET:
		rig->m->resetting = true;
		plug_on_reset(rig->m);
		break;
	case DO_RESET_END:
		if (rig->m->resetting)
			reset_end(rig);
		break;
	case DO_WANTED:
		if (device && device->life.stage >= DEVICE_PLUGGED &&
			device->life.stage < DEVICE_CLOSED)
			plug_host_request(device);
		break;
	case DO_PAUSE:
		rig->m->runstate =
			rig->m->runstate == RUNSTATE_PAUSED ? RUNSTATE_RUNNING : RUNSTATE_PAUSED;
		break;
	case DO_STEP:
		rig_step(rig);
		break;
	default:
		break;
	}
}

/* Whatever happened, every answer comes, and the device can be had and given back again. */
static void end(struct machine_rig *rig, struct rig_op *ops, const enum what *order)
{
	struct rig_op del;

	if (rig->m->resetting)
		reset_end(rig);
	rig->m->runstate = RUNSTATE_RUNNING;
	rig_settle(rig);
	if (device_find(rig->m, "d0")) {
		rig_del(rig, &del, "d0", true);
		rig_settle(rig);
		assert_true(del.done);
	}
	for (unsigned i = 0; i < LENGTH; i++)
		if (!ops[i].done)
			fail_msg("no answer to step %u of %d %d %d %d", i, order[0], order[1],
				order[2], order[3]);
	guest_lets_go(rig);
	rig_settle(rig);
	if (!rig_clean(rig))
		fail_msg("left behind by %d %d %d %d", order[0], order[1], order[2], order[3]);
	hotplug_reset(rig->m);
	rig->n_events = 0;
}

static void every_order(void **state)
{
	struct machine_rig *rig = *state;
	unsigned total = 1;

	for (unsigned i = 0; i < LENGTH - 1; i++)
		total *= DO_COUNT;
	for (unsigned n = 0; n < total; n++) {
		enum what order[LENGTH] = { DO_ADD }; /* nothing else would be interesting */
		struct rig_op ops[LENGTH];
		unsigned rest = n;

		for (unsigned i = 1; i < LENGTH; i++, rest /= DO_COUNT)
			order[i] = rest % DO_COUNT;
		/* Before the device is there, and when it is plugged. */
		for (unsigned plugged = 0; plugged < 2; plugged++) {
			for (unsigned i = 0; i < LENGTH; i++) {
				happen(rig, order[i], &ops[i]);
				if (i == 0 && plugged)
					rig_settle(rig);
			}
			end(rig, ops, order);
		}
	}
}

#define ACPI_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_acpi, rig_teardown)
#define NATIVE_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_native, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACPI_TEST(new_card_waits_until_the_old_is_let_go_of),
		ACPI_TEST(new_card_does_not_wait_for_ever),
		ACPI_TEST(waiting_card_goes_at_once),
		ACPI_TEST(reset_shows_the_waiting_card),
		ACPI_TEST(added_before_the_guest_runs),
		ACPI_TEST(guest_in_reset_has_let_go),
		ACPI_TEST(every_del_of_a_slot_is_answered),
		ACPI_TEST(one_deadline_does_not_end_the_others_request),
		ACPI_TEST(host_gets_back_at_once_what_nobody_saw),
		ACPI_TEST(force_takes_the_whole_slot),
		ACPI_TEST(reset_takes_the_whole_slot),
		ACPI_TEST(function_that_comes_too_late),
		NATIVE_TEST(native_pair_presses_once),
		NATIVE_TEST(native_guest_switches_the_card_off),
		ACPI_TEST(fault_at_every_system_call),
		ACPI_TEST(every_order),
		{ "every_order_native", every_order, rig_setup_native, rig_teardown, NULL },
	};

	log_setup(2, LOG_LEVEL_ERROR); /* some thousand warnings are part of it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
