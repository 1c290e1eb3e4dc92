/* SPDX-License-Identifier: Apache-2.0 */
/* test_plug.c - hot plug and hot unplug, every way they can go, and with a fault at every call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/vfio/host/context.h"
#include "../../src/vfio/device.h"
#include "machine_rig.h"
#include "says.h"

#define ADD "id=d0,host=0000:01:00.0,bus=rp1,addr=0"
#define INS (0x800 + 8 * PCI_DEVFN(1, 0))
#define EJR (INS + 1)

static void plug(struct machine_rig *rig)
{
	struct rig_op add;

	rig_add(rig, &add, ADD);
	rig_settle(rig);
	assert_true(add.done);
	assert_string_equal(add.err.text, "");
	assert_true(rig_plugged(rig, "d0"));
	assert_int_equal(rig_slot_read(rig, INS, 1), 1);
	rig_slot_write(rig, INS, 1, 1);
}

static void expect_event(const struct machine_rig *rig, unsigned i, enum machine_event_kind kind)
{
	assert_true(i < rig->n_events);
	assert_int_equal(rig->event[i].kind, kind);
	assert_string_equal(rig->event[i].device, "d0");
}

/*
 * Room for all its BARs comes with the device: the guest that maps them makes main allocate
 * nothing.
 */
static void add_reserves_the_address_map(void **state)
{
	struct machine_rig *rig = *state;
	struct bus *bus = &rig->m->bus;
	const size_t before = bus->room;
	const uint64_t filler = 0x8000000000;
	struct rig_op del;
	size_t fillers = 0;

	for (; bus->count[BUS_MMIO] < before; fillers++) {
		struct bus_region region = {
			.base = filler + 0x1000 * fillers, .size = 0x1000, .name = "filler"
		};

		assert_int_equal(bus_add(bus, BUS_MMIO, &region), 0);
	}
	plug(rig);
	assert_true(bus->room - bus->count[BUS_MMIO] >= PCI_BARS);
	while (fillers-- > 0)
		assert_int_equal(bus_del(bus, BUS_MMIO, filler + 0x1000 * fillers), 0);
	rig_del(rig, &del, "d0", true);
	rig_settle(rig);
	assert_true(del.done);
}

static void add_tells_the_guest_and_del_asks_it(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug(rig);
	rig_del(rig, &del, "d0", false);
	rig_settle(rig);
	assert_false(del.done);
	/* unplug-timeout's default, in milliseconds */
	assert_in_range(device_find(rig->m, "d0")->deadline.at_ms - loop_now_ms(), 5000, 10001);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 1);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_int_equal(rig->n_events, 1);
	expect_event(rig, 0, MACHINE_DEVICE_DELETED);
	assert_true(rig_clean(rig));
	plug(rig); /* the same again, at once */
	rig_del(rig, &del, "d0", true);
	rig_settle(rig);
	assert_true(del.done);
}

/* Whoever waits for DEVICE_DELETED compares the id. */
static void the_longest_id_is_told_whole(void **state)
{
	struct machine_rig *rig = *state;
	char options[2 * PROP_ID_SIZE], id[PROP_ID_SIZE] = "";
	struct rig_op add, del;

	memset(id, 'd', PROP_ID_MAX);
	snprintf(options, sizeof(options), "id=%s,host=0000:01:00.0,bus=rp1", id);
	rig_add(rig, &add, options);
	rig_settle(rig);
	assert_string_equal(add.err.text, "");
	rig_del(rig, &del, id, true);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(rig->event[0].kind, MACHINE_DEVICE_DELETED);
	assert_string_equal(rig->event[0].device, id);
}

/* device_del would take the port for the device. */
static void a_ports_id_is_taken(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op add;

	rig_add(rig, &add, "id=rp1,host=0000:01:00.0,bus=rp1");
	rig_settle(rig);
	assert_int_equal(add.err.code, EEXIST);
	assert_string_equal(add.err.text, "duplicate device id 'rp1'");
}

static void guest_that_keeps_it(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug(rig);
	rig_del(rig, &del, "d0", false);
	rig_settle(rig);
	rig_deadline(rig, "d0");
	assert_true(del.done);
	assert_int_equal(del.err.code, ETIMEDOUT);
	assert_non_null(strstr(del.err.text, "requested"));
	expect_event(rig, 0, MACHINE_DEVICE_UNPLUG_GUEST_ERROR);
	assert_true(rig_plugged(rig, "d0"));
	assert_int_equal(rig_slot_read(rig, EJR, 1), 0); /* the request is taken back */
	/* It may be asked again, and then lets go. */
	rig_del(rig, &del, "d0", false);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_true(rig_clean(rig));
}

static void force_takes_it_regardless(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op asked, forced;

	plug(rig);
	rig_del(rig, &asked, "d0", false);
	rig_del(rig, &forced, "d0", true);
	rig_settle(rig);
	assert_true(asked.done && forced.done);
	assert_int_equal(asked.err.code, 0);
	assert_int_equal(forced.err.code, 0);
	expect_event(rig, 0, MACHINE_DEVICE_DELETED);
	assert_int_equal(rig->n_events, 1);
	assert_true(rig_clean(rig));
}

static void second_del_is_refused(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op first, second;

	plug(rig);
	rig_del(rig, &first, "d0", false);
	rig_del(rig, &second, "d0", false);
	assert_true(second.done);
	assert_int_equal(second.err.code, EBUSY);
	assert_false(first.done);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(first.done);
}

static void del_while_adding_cancels(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op add, del;

	rig_add(rig, &add, ADD);
	rig_del(rig, &del, "d0", false);
	assert_false(add.done || del.done);
	rig_settle(rig);
	assert_true(add.done && del.done);
	assert_int_equal(add.err.code, ECANCELED);
	assert_int_equal(del.err.code, 0);
	assert_true(rig_clean(rig));
}

static void paused_guest_cannot_answer(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug(rig);
	rig->m->runstate = RUNSTATE_PAUSED;
	rig_del(rig, &del, "d0", false);
	assert_true(del.done);
	assert_int_equal(del.err.code, EAGAIN);
	assert_true(rig_plugged(rig, "d0"));
	rig_del(rig, &del, "d0", true);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
}

static void reset_completes_what_was_asked(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	plug(rig);
	rig_del(rig, &del, "d0", false);
	plug_on_reset(rig->m);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_true(rig_clean(rig));
}

static void guest_ejects_of_its_own_accord(void **state)
{
	struct machine_rig *rig = *state;

	plug(rig);
	rig_slot_write(rig, INS + 3, 1, 1);
	rig_settle(rig);
	expect_event(rig, 0, MACHINE_DEVICE_DELETED);
	assert_true(rig_clean(rig));
}

static void host_wants_it_back(void **state)
{
	struct machine_rig *rig = *state;

	plug(rig);
	rig->m->vfio->env.ops->wants_back(rig->m, passthrough_card(device_find(rig->m, "d0")));
	rig_settle(rig);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 1);
	/* The guest does not care: the host gets it all the same. */
	rig_deadline(rig, "d0");
	rig_settle(rig);
	expect_event(rig, 0, MACHINE_DEVICE_DELETED);
	assert_true(rig_clean(rig));
}

static void functions_wait_for_function_0(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op one, zero, del;

	rig_add(rig, &one, "id=d1,host=0000:02:00.0,bus=rp1,addr=0.1");
	rig_settle(rig);
	assert_true(one.done);
	assert_int_equal(one.err.code, 0);
	assert_int_equal(rig_slot_read(rig, INS, 1), 0);
	rig_add(rig, &zero, "id=d0,host=0000:01:00.0,bus=rp1,addr=0,multifunction=on");
	rig_settle(rig);
	assert_int_equal(zero.err.code, 0);
	assert_int_equal(rig_slot_read(rig, INS, 1), 3);
	/* They go together. */
	rig_del(rig, &del, "d0", false);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(del.done);
	assert_true(rig_clean(rig));
}

static void unseen_function_goes_at_once(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op one, del;

	rig_add(rig, &one, "id=d1,host=0000:02:00.0,bus=rp1,addr=0.1");
	rig_settle(rig);
	rig_del(rig, &del, "d1", false);
	rig_settle(rig);
	assert_true(del.done);
	assert_int_equal(del.err.code, 0);
	assert_true(rig_clean(rig));
}

static void wrong_words(void **state)
{
	static const struct {
		const char *options, *says;
	} bad[] = {
		{ "id=d0,host=0000:01:00.0,bus=nowhere", "nowhere" },
		{ "id=d0,host=0000:01:00.0,bus=pcie.0,addr=4", "hot plug" },
		{ "id=d0,host=0000:01:00.0,bus=rp1,addr=3", "slot" },
		{ "id=d0,host=0000:77:00.0,bus=rp1", "0000:77:00.0" },
		{ "host=0000:01:00.0,bus=rp1", "id" },
	};
	struct machine_rig *rig = *state;
	struct rig_op op;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_add(rig, &op, bad[i].options);
		rig_settle(rig);
		assert_true(op.done);
		assert_int_not_equal(op.err.code, 0);
		assert_says(op.err.text, bad[i].says);
		assert_true(rig_clean(rig));
	}
	rig_del(rig, &op, "nobody", false);
	assert_int_equal(op.err.code, ENODEV);
	rig_del(rig, &op, "rp1", false);
	assert_int_equal(op.err.code, EINVAL);
}

/* The fd that came with a device_add is gone with it, even if no device was made of the words. */
static void failed_add_closes_its_fd(void **state)
{
	static const char *const bad[] = { "id=d0,bus=nowhere,iommufd=i", "bus=rp1,iommufd=i",
		"id=d0,bus=pcie.0,iommufd=i" };
	struct machine_rig *rig = *state;
	char options[128];
	struct rig_op op;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		snprintf(options, sizeof(options), "%s,fd=%d", bad[i], fd);
		rig_add(rig, &op, options);
		rig_settle(rig);
		assert_true(op.done);
		assert_int_not_equal(op.err.code, 0);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		assert_true(rig_clean(rig));
	}
}

/*
 * The n-th call on the host fails, for every n until all succeed: nothing is left, a retry works.
 */
static void fault_at_every_call(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;
	unsigned long n = 0;
	unsigned failures = 0;

	do {
		rig->host.calls = 0;
		rig->host.fail_at = ++n;
		rig->host.fail_errno = ENOMEM;
		rig_add(rig, &op, ADD);
		rig_settle(rig);
		assert_true(op.done);
		rig->host.fail_at = 0;
		if (op.err.code) {
			failures++;
			assert_true(rig_clean(rig));
			assert_true(op.err.text[0]);
			plug(rig);
		}
		rig_del(rig, &op, "d0", true);
		rig_settle(rig);
		assert_true(op.done);
		assert_true(rig_clean(rig));
		rig_guest_ejects(rig);
		rig_slot_write(rig, INS, 1, 1);
	} while (rig->host.calls >= n && n < 1000);
	assert_true(failures > 5);
	assert_true(n < 1000);
}

/* The card answers nothing, or with an error, at any of its calls while it is taken back. */
static void fault_at_every_call_of_an_unplug(void **state)
{
	struct machine_rig *rig = *state;
	struct fake_card *card = &rig->card[0];
	unsigned long n = 0;
	struct rig_op op;

	do {
		plug(rig);
		card->calls = 0;
		card->fail_at = ++n;
		rig_del(rig, &op, "d0", n % 2);
		rig_guest_ejects(rig);
		rig_settle(rig);
		assert_true(op.done);
		assert_int_equal(op.err.code, 0);
		card->fail_at = 0;
		assert_true(rig_clean(rig));
	} while (card->calls >= n && n < 1000);
	assert_true(n > 5 && n < 1000);
}

/* Without fake KVM memslots BARs are trapped: slower, but the device is there. */
static void no_memslots_is_not_fatal(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op del;

	fake_kvm.memslot_limit = 0;
	plug(rig);
	rig_del(rig, &del, "d0", true);
	rig_settle(rig);
	assert_true(rig_clean(rig));
}

static void many_cycles_leave_nothing(void **state)
{
	struct machine_rig *rig = *state;
	unsigned fds = fake_process_fds();
	struct rig_op del;

	for (unsigned i = 0; i < 200; i++) {
		plug(rig);
		rig_del(rig, &del, "d0", i % 2);
		rig_guest_ejects(rig);
		rig_settle(rig);
		assert_true(del.done);
		assert_true(rig_clean(rig));
		rig_slot_write(rig, INS, 1, 1);
	}
	assert_int_equal(fake_process_fds(), fds);
}

/* pciehp: Slot Control bits, PCIe 5.0 7.5.3.10 */
enum { POWER_OFF_BITS = 0x0400, IND_OFF = 0x0300, IND_BLINK = 0x0200, IND_ON = 0x0100 };

static unsigned exp_cap(struct machine_rig *rig)
{
	unsigned at = rig_config_read(rig, 0x34, 1);

	while (rig_config_read(rig, at, 1) != 0x10)
		at = rig_config_read(rig, at + 1, 1);
	return at;
}

/* Linux enables the button's interrupt, not presence's, on a slot that has one. */
static void native_plug_presses_the_button(void **state)
{
	struct machine_rig *rig = *state;
	unsigned exp = exp_cap(rig);
	struct rig_op op;

	rig_config_write(rig, exp + 0x18, 2, POWER_OFF_BITS | IND_OFF | 0x21);
	rig_config_write(rig, exp + 0x1a, 2, 0x1f);
	rig_add(rig, &op, ADD);
	rig_settle(rig);
	assert_int_equal(op.err.code, 0);
	assert_true(rig_config_read(rig, exp + 0x1a, 2) & 1); /* attention button pressed */
	rig_del(rig, &op, "d0", true);
	rig_settle(rig);
	assert_true(rig_clean(rig));
}

static void native_slot_by_the_button(void **state)
{
	struct machine_rig *rig = *state;
	unsigned exp = exp_cap(rig);
	struct rig_op op;

	rig_add(rig, &op, ADD);
	rig_settle(rig);
	assert_true(op.done);
	assert_int_equal(op.err.code, 0);
	assert_true(rig_config_read(rig, exp + 0x1a, 2) & 1 << 6); /* presence detect state */
	assert_true(rig_config_read(rig, exp + 0x1a, 2) & 1 << 3); /* presence changed */
	rig_config_write(rig, exp + 0x1a, 2, 0x1f);
	/* The guest powers it and listens to the button. */
	rig_config_write(rig, exp + 0x18, 2, IND_ON | 0x21);
	rig_del(rig, &op, "d0", false);
	rig_settle(rig);
	assert_false(op.done);
	assert_true(rig_config_read(rig, exp + 0x1a, 2) & 1); /* attention button pressed */
	rig_config_write(rig, exp + 0x18, 2, IND_BLINK | 0x21);
	rig_settle(rig);
	assert_false(op.done);
	rig_config_write(rig, exp + 0x18, 2, POWER_OFF_BITS | IND_OFF | 0x21);
	rig_settle(rig);
	assert_true(op.done);
	assert_int_equal(op.err.code, 0);
	assert_true(rig_clean(rig));
	assert_false(rig_config_read(rig, exp + 0x1a, 2) & 1 << 6);
}

#define ACPI_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup_acpi, rig_teardown)

/* --- whoever is answered may ask again at once --- */

struct again {
	struct machine_op op;
	struct machine_rig *rig;
	struct rig_op next;
	struct err err;
};

/* A client that pipelines: its next command is carried out inside the answer to this one. */
static void del_again(struct machine_op *op, const struct err *err)
{
	struct again *again = (struct again *)op;

	again->err = *err;
	rig_del(again->rig, &again->next, "d0", false);
}

static void a_del_behind_one_that_times_out_asks_again(void **state)
{
	struct machine_rig *rig = *state;
	struct again again = { .op.done = del_again, .rig = rig };

	plug(rig);
	machine_device_del(rig->m, "d0", false, &again.op);
	rig_settle(rig);
	rig_deadline(rig, "d0");
	assert_int_equal(again.err.code, ETIMEDOUT);
	assert_false(again.next.done);
	assert_int_equal(device_find(rig->m, "d0")->life.stage, DEVICE_REQUESTED);
	assert_true(device_find(rig->m, "d0")->deadline.armed);
	assert_int_equal(rig_slot_read(rig, EJR, 1), 1);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(again.next.done);
	assert_int_equal(again.next.err.code, 0);
}

static void workers_step(struct machine_rig *rig)
{
	for (unsigned i = 0; i < rig->m->n_workers; i++)
		loop_step(&rig->m->workers[i].loop, 0);
}

/* The worker has freed what is to be cancelled, and main has not heard of it yet. */
static void del_while_a_failed_add_closes(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op add, del;

	rig->card[0].reset_error = -EIO;
	rig->card[0].dead = true;
	rig_add(rig, &add, ADD);
	workers_step(rig);
	loop_step(&rig->m->loop, 0);
	passthrough_card(device_find(rig->m, "d0"))->reset_deadline_ms = 0;
	workers_step(rig);
	loop_step(&rig->m->loop, 0);
	assert_int_equal(device_find(rig->m, "d0")->life.stage, DEVICE_ATTACHED);
	workers_step(rig); /* fenced */
	loop_step(&rig->m->loop, 0);
	workers_step(rig); /* closed */
	assert_null(passthrough_card(device_find(rig->m, "d0"))->attachment);
	rig_del(rig, &del, "d0", false);
	rig_settle(rig);
	assert_true(add.done && add.err.code == EIO);
	assert_true(del.done && del.err.code == 0);
	rig->card[0].dead = false;
}

/*
 * The same at every step of an add, whether it fails or not: there is one right moment to cancel.
 */
static void del_at_every_step_of_an_add(void **state)
{
	struct machine_rig *rig = *state;

	for (unsigned dead = 0; dead < 2; dead++) {
		for (unsigned steps = 0; steps < 8; steps++) {
			struct rig_op add, del;

			rig->card[0].reset_error = dead ? -EIO : 0;
			rig_add(rig, &add, ADD);
			for (unsigned i = 0; i < steps; i++) {
				if (i & 1)
					loop_step(&rig->m->loop, 0);
				else
					workers_step(rig);
			}
			rig_del(rig, &del, "d0", true);
			rig_settle(rig);
			assert_true(add.done && del.done);
			assert_true(rig_clean(rig));
		}
	}
	rig->card[0].reset_error = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACPI_TEST(add_reserves_the_address_map),
		ACPI_TEST(add_tells_the_guest_and_del_asks_it),
		ACPI_TEST(the_longest_id_is_told_whole),
		ACPI_TEST(a_ports_id_is_taken),
		ACPI_TEST(guest_that_keeps_it),
		ACPI_TEST(force_takes_it_regardless),
		ACPI_TEST(second_del_is_refused),
		ACPI_TEST(del_while_adding_cancels),
		ACPI_TEST(paused_guest_cannot_answer),
		ACPI_TEST(reset_completes_what_was_asked),
		ACPI_TEST(guest_ejects_of_its_own_accord),
		ACPI_TEST(host_wants_it_back),
		ACPI_TEST(functions_wait_for_function_0),
		ACPI_TEST(unseen_function_goes_at_once),
		ACPI_TEST(wrong_words),
		ACPI_TEST(failed_add_closes_its_fd),
		ACPI_TEST(fault_at_every_call),
		ACPI_TEST(fault_at_every_call_of_an_unplug),
		ACPI_TEST(no_memslots_is_not_fatal),
		ACPI_TEST(many_cycles_leave_nothing),
		ACPI_TEST(a_del_behind_one_that_times_out_asks_again),
		ACPI_TEST(del_while_a_failed_add_closes),
		ACPI_TEST(del_at_every_step_of_an_add),
		cmocka_unit_test_setup_teardown(
			native_plug_presses_the_button, rig_setup_native, rig_teardown),
		cmocka_unit_test_setup_teardown(
			native_slot_by_the_button, rig_setup_native, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
