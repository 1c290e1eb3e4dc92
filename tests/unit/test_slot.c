/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_slot.c - the slot's state machine: what Linux's pciehp does with it, step by step, and every
 * (state, event) pair against a second description of what a slot is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "../../src/pci/slot.h"

#define PDS PCI_EXP_SLTSTA_PDS
#define PDC PCI_EXP_SLTSTA_PDC
#define ABP PCI_EXP_SLTSTA_ABP
#define CC PCI_EXP_SLTSTA_CC
#define DLLSC PCI_EXP_SLTSTA_DLLSC
#define PCC PCI_EXP_SLTCTL_PCC
#define PIC PCI_EXP_SLTCTL_PIC
#define IND_ON PCI_EXP_SLTCTL_PWR_IND_ON
#define IND_BLINK PCI_EXP_SLTCTL_PWR_IND_BLINK
#define IND_OFF PCI_EXP_SLTCTL_PWR_IND_OFF
/* What pciehp enables on a slot with a button: that, not presence; link, command completed. */
#define ENABLES                                                                                    \
	(PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_CCIE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_DLLSCE)

static struct slot slot_new(bool native, bool card)
{
	struct slot slot = { .native = native };

	(void)slot_step(&slot, card ? SLOT_RESET_CARD : SLOT_RESET_EMPTY, 0);
	return slot;
}

/* What the guest does in its interrupt handler. */
static uint16_t take_events(struct slot *slot)
{
	uint16_t events = slot->status & (0x1f | DLLSC);

	slot->status &= (uint16_t)~events;
	return events;
}

static struct slot_effects command(struct slot *slot, uint16_t indicator, bool power)
{
	return slot_step(slot, SLOT_CONTROL, (uint16_t)(ENABLES | indicator | (power ? 0 : PCC)));
}

static void test_power_on_state(void **state)
{
	struct slot slot = slot_new(true, false);

	(void)state;
	assert_int_equal(slot.state, SLOT_EMPTY);
	assert_int_equal(slot.status, 0);
	assert_int_equal(slot.control & (PCC | PIC), PCC | IND_OFF);
	assert_false(slot.link);
	slot = slot_new(true, true);
	assert_int_equal(slot.state, SLOT_ON);
	assert_int_equal(slot.status, PDS);
	assert_int_equal(slot.control & (PCC | PIC), IND_ON);
	assert_true(slot.link);
	slot = slot_new(false, true);
	assert_int_equal(slot.control, 0);
	assert_true(slot.link);
}

static void test_hot_plug_as_linux_does_it(void **state)
{
	struct slot slot = slot_new(true, false);
	struct slot_effects e;

	(void)state;
	e = command(&slot, IND_OFF, false); /* notification is enabled */
	assert_true(e.interrupt);
	assert_int_equal(take_events(&slot), CC);
	e = slot_step(&slot, SLOT_INSERT, 0);
	assert_true(e.interrupt);
	assert_false(e.powered_on);
	assert_int_equal(slot.status, PDS | PDC | ABP);
	assert_int_equal(slot.state, SLOT_OFF);
	assert_int_equal(take_events(&slot), PDC | ABP);
	e = command(&slot, IND_OFF, true);
	assert_true(e.interrupt);
	assert_true(e.powered_on);
	assert_true(slot.link);
	assert_int_equal(take_events(&slot), CC | DLLSC);
	e = command(&slot, IND_ON, true);
	assert_false(e.powered_on);
	assert_int_equal(take_events(&slot), CC);
	assert_int_equal(slot.state, SLOT_ON);
}

static struct slot running_slot(void)
{
	struct slot slot = slot_new(true, true);

	(void)command(&slot, IND_ON, true);
	(void)take_events(&slot);
	return slot;
}

static void test_hot_unplug_as_linux_does_it(void **state)
{
	struct slot slot = running_slot();
	struct slot_effects e;

	(void)state;
	e = slot_step(&slot, SLOT_BUTTON, 0);
	assert_true(e.interrupt);
	assert_int_equal(take_events(&slot), ABP);
	e = command(&slot, IND_BLINK, true);
	assert_false(e.powered_off);
	(void)take_events(&slot);
	e = command(&slot, IND_BLINK, false);
	assert_true(e.powered_off);
	assert_true(e.settle);
	assert_false(slot.link);
	assert_int_equal(take_events(&slot), CC | DLLSC);
	(void)slot_step(&slot, SLOT_REMOVE, 0);
	assert_int_equal(slot.status & PDS, 0);
	assert_int_equal(slot.state, SLOT_SETTLING_EMPTY);
	(void)take_events(&slot);
	e = command(&slot, IND_OFF, false);
	assert_false(e.powered_off);
	assert_int_equal(slot.state, SLOT_EMPTY);
	/* The timer of before comes too late to matter. */
	(void)take_events(&slot);
	e = slot_step(&slot, SLOT_SETTLED, 0);
	assert_false(e.interrupt);
	assert_int_equal(slot.state, SLOT_EMPTY);
}

/* Linux drops presence changes for a second after it has cut the power. */
static void test_a_card_that_comes_too_early_is_held(void **state)
{
	struct slot slot = running_slot();
	struct slot_effects e;

	(void)state;
	(void)command(&slot, IND_BLINK, false);
	(void)slot_step(&slot, SLOT_REMOVE, 0);
	(void)take_events(&slot);
	e = slot_step(&slot, SLOT_INSERT, 0);
	assert_false(e.interrupt);
	assert_int_equal(slot.status, 0);
	assert_int_equal(slot.state, SLOT_HELD);
	e = command(&slot, IND_OFF, false);
	assert_true(e.interrupt);
	assert_int_equal(slot.status, PDS | PDC | ABP | CC);
	assert_int_equal(slot.state, SLOT_OFF);
}

static void test_a_guest_without_indicators_settles_by_time(void **state)
{
	struct slot slot = running_slot();
	struct slot_effects e;

	(void)state;
	(void)command(&slot, IND_ON, false);
	(void)slot_step(&slot, SLOT_REMOVE, 0);
	(void)slot_step(&slot, SLOT_INSERT, 0);
	(void)take_events(&slot);
	e = slot_step(&slot, SLOT_SETTLED, 0);
	assert_true(e.interrupt);
	assert_int_equal(slot.status, PDS | PDC | ABP);
	assert_int_equal(slot.state, SLOT_OFF);
}

static void test_power_and_indicator_off_at_once_need_no_settling(void **state)
{
	struct slot slot = running_slot();
	struct slot_effects e = command(&slot, IND_OFF, false);

	(void)state;
	assert_true(e.powered_off);
	assert_int_equal(slot.state, SLOT_OFF);
}

static void test_surprise_removal(void **state)
{
	struct slot slot = running_slot();
	struct slot_effects e = slot_step(&slot, SLOT_REMOVE, 0);

	(void)state;
	assert_true(e.interrupt);
	assert_false(e.powered_off);
	assert_int_equal(slot.status, PDC | DLLSC);
	assert_false(slot.link);
	assert_true(e.settle);
	/* The next card comes while Linux is busy with it. */
	(void)take_events(&slot);
	(void)slot_step(&slot, SLOT_INSERT, 0);
	assert_int_equal(slot.status, 0);
	e = command(&slot, IND_ON, false);
	assert_false(e.powered_off || e.settle);
	e = command(&slot, IND_OFF, false);
	assert_true(e.settle);
	assert_int_equal(slot.status & (PDS | ABP), 0);
	(void)take_events(&slot);
	e = slot_step(&slot, SLOT_SETTLED, 0);
	assert_true(e.interrupt);
	assert_int_equal(slot.status, PDS | PDC | ABP);
	assert_int_equal(slot.state, SLOT_OFF);
}

static void test_interrupts_only_on_the_edge_and_when_enabled(void **state)
{
	struct slot slot = slot_new(true, false);

	(void)state;
	assert_false(slot_step(&slot, SLOT_INSERT, 0).interrupt);
	assert_false(slot_step(&slot, SLOT_BUTTON, 0).interrupt);
	/* Enabling with events waiting is an edge; what comes on top is not. */
	assert_false(slot_step(&slot, SLOT_CONTROL, PCC | PCI_EXP_SLTCTL_PDCE).interrupt);
	assert_true(slot_step(&slot, SLOT_CONTROL, PCC | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE)
			    .interrupt);
	assert_false(slot_step(&slot, SLOT_REMOVE, 0).interrupt);
	(void)take_events(&slot);
	assert_false(slot_step(&slot, SLOT_BUTTON, 0).interrupt); /* not enabled */
	assert_true(slot_step(&slot, SLOT_INSERT, 0).interrupt);
}

static void test_without_native_hot_plug_there_are_no_controls(void **state)
{
	struct slot slot = slot_new(false, false);
	struct slot_effects e;

	(void)state;
	e = slot_step(&slot, SLOT_INSERT, 0);
	assert_false(e.interrupt);
	assert_true(slot.link);
	assert_int_equal(slot.status & PDS, PDS);
	e = slot_step(&slot, SLOT_CONTROL, 0xffff);
	assert_int_equal(slot.control, 0);
	assert_false(e.powered_off);
	(void)slot_step(&slot, SLOT_BUTTON, 0);
	assert_int_equal(slot.status & ABP, 0);
	(void)slot_step(&slot, SLOT_REMOVE, 0);
	assert_false(slot.link);
	assert_int_equal(slot.state, SLOT_EMPTY);
}

/* --- every pair --- */

/*
 * What a slot is, told differently: facts instead of states. in: a card is there; seen: the guest
 * was shown it; settling: power was cut, or (pulled) the card went with power on, and the guest is
 * not done.
 */
struct facts {
	bool in, seen, settling, pulled;
};

static struct facts facts_of(enum slot_state state)
{
	static const struct facts facts[SLOT_STATES] = {
		[SLOT_EMPTY] = { false, false, false, false },
		[SLOT_OFF] = { true, true, false, false },
		[SLOT_ON] = { true, true, false, false },
		[SLOT_SETTLING] = { true, true, true, false },
		[SLOT_SETTLING_EMPTY] = { false, false, true, false },
		[SLOT_HELD] = { true, false, true, false },
		[SLOT_PULLED] = { false, false, true, true },
		[SLOT_PULLED_HELD] = { true, false, true, true },
	};

	return facts[state];
}

static bool is_on(const struct slot *slot)
{
	return !(slot->control & PCC);
}

static struct facts expect(
	const struct slot *before, enum slot_event event, uint16_t value, bool *off)
{
	struct facts f = facts_of(before->state);
	bool was_on = is_on(before), on = was_on;

	*off = false;
	switch (event) {
	case SLOT_RESET_EMPTY:
		return facts_of(SLOT_EMPTY);
	case SLOT_RESET_CARD:
		return facts_of(SLOT_ON);
	case SLOT_INSERT:
		f.in = true;
		break;
	case SLOT_REMOVE:
		f.pulled |= before->native && before->state == SLOT_ON;
		f.settling |= f.pulled;
		f.in = f.seen = false;
		break;
	case SLOT_CONTROL:
		if (!before->native)
			break;
		on = !(value & PCC);
		*off = was_on && !on && f.in && !f.pulled;
		if (*off)
			f.settling = true;
		if (f.pulled)
			break;
		if (on || (value & PIC) == IND_OFF)
			f.settling = false;
		break;
	case SLOT_SETTLED:
		f.settling = f.pulled = false;
		break;
	default:
		break;
	}
	if (!f.settling)
		f.seen = f.in;
	return f;
}

static void check_pair(const struct slot *before, enum slot_event event, uint16_t value)
{
	struct slot slot = *before;
	bool off, changed, link_before = before->link;
	struct facts want = expect(before, event, value, &off), got;
	struct slot_effects e = slot_step(&slot, event, value);
	bool reset = event == SLOT_RESET_EMPTY || event == SLOT_RESET_CARD;

	got = facts_of(slot.state);
	assert_int_equal(got.in, want.in);
	assert_int_equal(got.seen, want.seen);
	assert_int_equal(got.settling, want.settling);
	assert_int_equal((slot.status & PDS) != 0, want.seen);
	assert_int_equal(slot.state == SLOT_ON, want.seen && is_on(&slot));
	assert_int_equal(slot.link, slot.state == SLOT_ON);
	assert_int_equal(e.powered_off, off);
	assert_int_equal(got.pulled, want.pulled);
	assert_int_equal(e.settle,
		off || (want.pulled && !facts_of(before->state).pulled) ||
			(want.pulled && event == SLOT_CONTROL && (value & PIC) == IND_OFF));
	if (reset)
		return;
	/* Every change is told, nothing else is, and no event gets lost. */
	changed = want.seen != facts_of(before->state).seen;
	assert_int_equal((slot.status & PDC) != 0, changed || before->status & PDC);
	if (changed && want.seen && slot.native &&
		(slot.state == SLOT_OFF || event != SLOT_CONTROL))
		assert_true(slot.status & ABP);
	else if (event != SLOT_BUTTON)
		assert_int_equal(slot.status & ABP, before->status & ABP);
	changed = slot.link != link_before;
	assert_int_equal((slot.status & DLLSC) != 0, changed || before->status & DLLSC);
	assert_int_equal(e.powered_on, !link_before && slot.link);
	if (event == SLOT_CONTROL && slot.native) {
		assert_int_equal(slot.control, value);
		assert_true(slot.status & CC);
	} else {
		assert_int_equal(slot.control, before->control);
	}
}

/*
 * All states that can be reached, with all relevant control values and all events waiting or none.
 */
static void explore(struct slot *from, bool *seen)
{
	const uint16_t indicators[] = { 0, IND_ON, IND_BLINK, IND_OFF };
	unsigned control = (from->control & PCC ? 1u : 0) + (from->control & ENABLES ? 2u : 0);
	unsigned key = (unsigned)from->state * 4 + control;

	if (seen[key])
		return;
	seen[key] = true;
	for (unsigned event = 0; event < SLOT_EVENTS; event++) {
		for (unsigned i = 0; i < 16; i++) {
			uint16_t value = (uint16_t)(indicators[i & 3] | (i & 4 ? PCC : 0) |
						    (i & 8 ? ENABLES : 0));
			struct slot next = *from;

			check_pair(from, event, value);
			next.status |= 0x1f | DLLSC;
			check_pair(&next, event, value);
			next = *from;
			(void)slot_step(&next, event, value);
			next.status &= PDS;
			explore(&next, seen);
		}
	}
}

static void test_every_state_with_every_event(void **state)
{
	bool seen[SLOT_STATES * 4] = { false };
	struct slot slot = slot_new(true, false);
	unsigned reached = 0;

	(void)state;
	explore(&slot, seen);
	for (unsigned i = 0; i < SLOT_STATES; i++)
		reached += seen[i * 4] || seen[i * 4 + 1] || seen[i * 4 + 2] || seen[i * 4 + 3];
	assert_int_equal(reached, SLOT_STATES);
	memset(seen, 0, sizeof(seen));
	slot = slot_new(false, false);
	explore(&slot, seen);
	/* Without native hot plug: empty or on. */
	for (unsigned i = 0; i < SLOT_STATES * 4; i++)
		assert_int_equal(seen[i], i / 4 == SLOT_EMPTY ? i % 4 == 0
					  : i / 4 == SLOT_ON  ? i % 4 == 0
							      : false);
}

/* Whatever value the guest writes, in every state. */
static void test_any_control_value(void **state)
{
	(void)state;
	for (unsigned first = 0; first < SLOT_STATES; first++) {
		for (uint32_t value = 0; value <= UINT16_MAX; value++) {
			struct slot slot = running_slot();

			if (first == SLOT_PULLED || first == SLOT_PULLED_HELD) {
				(void)slot_step(&slot, SLOT_REMOVE, 0);
				if (first == SLOT_PULLED_HELD)
					(void)slot_step(&slot, SLOT_INSERT, 0);
				assert_int_equal(slot.state, first);
				check_pair(&slot, SLOT_CONTROL, (uint16_t)value);
				continue;
			}
			if (first != SLOT_ON)
				(void)command(&slot, IND_BLINK, false);
			if (first == SLOT_SETTLING_EMPTY || first == SLOT_HELD ||
				first == SLOT_EMPTY)
				(void)slot_step(&slot, SLOT_REMOVE, 0);
			if (first == SLOT_HELD)
				(void)slot_step(&slot, SLOT_INSERT, 0);
			if (first == SLOT_OFF || first == SLOT_EMPTY)
				(void)slot_step(&slot, SLOT_SETTLED, 0);
			assert_int_equal(slot.state, first);
			check_pair(&slot, SLOT_CONTROL, (uint16_t)value);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_on_state),
		cmocka_unit_test(test_hot_plug_as_linux_does_it),
		cmocka_unit_test(test_hot_unplug_as_linux_does_it),
		cmocka_unit_test(test_a_card_that_comes_too_early_is_held),
		cmocka_unit_test(test_a_guest_without_indicators_settles_by_time),
		cmocka_unit_test(test_power_and_indicator_off_at_once_need_no_settling),
		cmocka_unit_test(test_surprise_removal),
		cmocka_unit_test(test_interrupts_only_on_the_edge_and_when_enabled),
		cmocka_unit_test(test_without_native_hot_plug_there_are_no_controls),
		cmocka_unit_test(test_every_state_with_every_event),
		cmocka_unit_test(test_any_control_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
