/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_port_offer.c - what a root port completes of what cards in its slot may ask for: every
 * combination of three functions that come and leave, functions of one card, resets. Cards of the
 * start: test_machine.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/pvpanic.h>

#include "machine_rig.h"

#define EJ0 (0x800 + 8 * PCI_DEVFN(1, 0) + 3)
#define TAG10 0x10000u

/* Functions of the guest's slot; the rig has cards for the first two, in slots of their own. */
enum { FUNCTIONS = 3 };
static struct fake_card third;

static struct fake_card *card_of(struct machine_rig *rig, unsigned i)
{
	return i < RIG_CARDS ? &rig->card[i] : &third;
}

/* group: of another function of the same card, or its own. */
static void third_card(struct machine_rig *rig, const char *name, int group)
{
	fake_card_init(&third);
	fake_card_nvme(&third);
	fake_vfio_device(&rig->host, name, group, "vfio-pci");
	fake_vfio_set_io(&rig->host, name, &third.io);
}

static uint32_t offered(struct machine_rig *rig)
{
	const unsigned at = pci_find_cap(&rig->m->ports->root.function, PCI_CAP_ID_EXP);
	const uint32_t devcap2 = rig_config_read(rig, at + PCI_EXP_DEVCAP2, 4);

	/* It takes LTR messages whatever is in the slot. */
	assert_int_equal(devcap2 & ~ROOT_PORT_OFFERS, PCI_EXP_DEVCAP2_LTR);
	return devcap2 & ROOT_PORT_OFFERS;
}

static void add(struct machine_rig *rig, const char *id, const char *host, unsigned fn)
{
	char options[128];
	struct rig_op op;

	snprintf(options, sizeof(options), "id=%s,host=%s,bus=rp1,addr=0.%u%s", id, host, fn,
		fn ? "" : ",multifunction=on");
	rig_add(rig, &op, options);
	rig_settle(rig);
	assert_true(op.done);
	assert_string_equal(op.err.text, "");
}

static void pull(struct machine_rig *rig, const char *id)
{
	struct rig_op op;

	rig_del(rig, &op, id, true);
	rig_settle(rig);
	assert_true(op.done);
	assert_int_equal(op.err.code, 0);
	hotplug_reset(rig->m); /* the guest has let go of it */
	assert_true(rig_clean(rig));
	assert_int_equal(offered(rig), 0);
}

static uint32_t all_of(const uint32_t flags[FUNCTIONS], unsigned functions)
{
	uint32_t all = functions ? 7 : 0;

	for (unsigned i = 0; i < FUNCTIONS; i++)
		if (functions & 1u << i)
			all &= flags[i];
	return all * PCI_EXP_DEVCAP2_ATOMIC_COMP32;
}

static void come_and_leave(
	struct machine_rig *rig, const uint32_t flags[FUNCTIONS], const uint8_t leave[FUNCTIONS])
{
	static const char *const id[] = { "d0", "d1", "d2" };
	static const char *const host[] = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0" };
	unsigned there = 0;

	/* Function 0 last: from then on the guest sees them. */
	for (unsigned i = FUNCTIONS; i--;) {
		card_of(rig, i)->atomics = flags[i];
		add(rig, id[i], host[i], i);
		there |= 1u << i;
		assert_int_equal(offered(rig), all_of(flags, there));
	}
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		rig_slot_write(rig, EJ0, 1, 1u << leave[i]);
		there &= ~(1u << leave[i]);
		assert_int_equal(offered(rig), all_of(flags, there));
		rig_settle(rig);
		assert_int_equal(offered(rig), all_of(flags, there));
	}
	assert_true(rig_clean(rig));
}

static void every_combination(void **state)
{
	static const uint8_t order[][FUNCTIONS] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		{ 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct machine_rig *rig = *state;

	third_card(rig, "0000:03:00.0", 3);
	for (uint32_t i = 0; i < 512; i++) {
		const uint32_t flags[FUNCTIONS] = { i & 7, i >> 3 & 7, i >> 6 };

		come_and_leave(rig, flags, order[i % 6]);
	}
	fake_card_release(&third);
}

/* A GPU and its audio function, of which Linux says nothing; then a card from elsewhere. */
static void functions_of_one_card(void **state)
{
	struct machine_rig *rig = *state;

	third_card(rig, "0000:01:00.1", 1);
	rig->card[0].atomics = 3;
	rig->card[1].atomics = 0;
	add(rig, "audio", "0000:01:00.1", 1);
	assert_int_equal(offered(rig), 0);
	add(rig, "gpu", "0000:01:00.0", 0);
	assert_int_equal(
		offered(rig), PCI_EXP_DEVCAP2_ATOMIC_COMP32 | PCI_EXP_DEVCAP2_ATOMIC_COMP64);
	/* The GPU leaves, and its word with it. */
	rig_slot_write(rig, EJ0, 1, 1);
	rig_settle(rig);
	assert_int_equal(offered(rig), 0);
	pull(rig, "audio");
	add(rig, "other", "0000:02:00.0", 2);
	add(rig, "audio", "0000:01:00.1", 1);
	add(rig, "gpu", "0000:01:00.0", 0);
	assert_int_equal(offered(rig), 0);
	pull(rig, "gpu");
	fake_card_release(&third);
}

/* The host's say on 10-bit tags is in the card's own register, read when it is realized. */
static void tags(void **state)
{
	struct machine_rig *rig = *state;
	const unsigned at = 0x80 + PCI_EXP_DEVCTL2;

	pci_put(rig->card[0].config, at, 2, 0x1000);
	add(rig, "d0", "0000:01:00.0", 0);
	assert_int_equal(offered(rig), TAG10);
	pull(rig, "d0");
	add(rig, "d1", "0000:02:00.0", 1);
	add(rig, "d0", "0000:01:00.0", 0);
	assert_int_equal(offered(rig), 0);
	pull(rig, "d0");
}

/* A card of ours sends nothing of the kind. */
static void emulated_function(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	rig->card[0].atomics = 4;
	rig_add_type(rig, &op, &pvpanic_type, "id=p,bus=rp1,addr=0.1");
	rig_settle(rig);
	assert_string_equal(op.err.text, "");
	assert_int_equal(offered(rig), 0);
	add(rig, "d0", "0000:01:00.0", 0);
	assert_int_equal(offered(rig), PCI_EXP_DEVCAP2_ATOMIC_COMP128);
	pull(rig, "d0");
}

/* An add that fails, at whatever call: nothing stays on offer. */
static void failed_add(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op = { .done = false };

	rig->card[0].atomics = 7;
	for (unsigned long n = 1; !op.done || op.err.code; n++) {
		rig->card[0].calls = 0;
		rig->card[0].fail_at = n;
		rig_add(rig, &op, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
		rig_settle(rig);
		assert_true(op.done);
		assert_true(n < 1000);
		assert_int_equal(offered(rig) != 0, !op.err.code);
	}
	rig->card[0].fail_at = 0;
	pull(rig, "d0");
}

/* The guest starts anew with the same cards, and its port is as it was at power-on. */
static void machine_resets(void **state)
{
	struct machine_rig *rig = *state;

	rig->card[0].atomics = 5;
	add(rig, "d0", "0000:01:00.0", 0);
	for (unsigned i = 0; i < 2; i++) {
		machine_reset(rig->m, SHUTDOWN_HOST_RESET);
		rig_settle(rig);
		assert_false(rig->m->resetting);
		assert_int_equal(offered(rig),
			PCI_EXP_DEVCAP2_ATOMIC_COMP32 | PCI_EXP_DEVCAP2_ATOMIC_COMP128);
	}
	pull(rig, "d0");
}

#define ACPI(name) cmocka_unit_test_setup_teardown(name, rig_setup_acpi, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACPI(every_combination),
		ACPI(functions_of_one_card),
		ACPI(tags),
		ACPI(emulated_function),
		ACPI(failed_add),
		ACPI(machine_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
