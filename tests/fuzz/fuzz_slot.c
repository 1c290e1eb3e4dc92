/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_slot.c - any sequence of events into the slot's state machine.
 *
 * Input: byte 0, bit 0: native hot plug. Then three bytes per event: kind (SLOT_EVENTS: the guest
 * clears status bits), value.
 */
#include <stdint.h>
#include <stdlib.h>

#include <linux/pci_regs.h>

#include "../../src/pci/slot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static bool settling(const struct slot *slot)
{
	return slot->state == SLOT_SETTLING || slot->state == SLOT_SETTLING_EMPTY ||
	       slot->state == SLOT_HELD || slot->state == SLOT_PULLED ||
	       slot->state == SLOT_PULLED_HELD;
}

static void check(const struct slot *slot, bool card, bool shown)
{
	bool off = slot->control & PCI_EXP_SLTCTL_PCC;

	must(slot->state < SLOT_STATES);
	must(slot->link == (slot->state == SLOT_ON));
	must(shown == (slot->state == SLOT_OFF || slot->state == SLOT_ON ||
			      slot->state == SLOT_SETTLING));
	must(card == (shown || slot->state == SLOT_HELD || slot->state == SLOT_PULLED_HELD));
	must(slot->state != SLOT_ON || !off);
	/* Unless the card was pulled, it settles because power was cut. */
	must(!settling(slot) || off || slot->state >= SLOT_PULLED);
	/* A card that is in and not shown must have a reason. */
	must(!card || shown || settling(slot));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slot slot = { .native = size && data[0] & 1 };
	bool card = false, armed = false;

	(void)slot_step(&slot, SLOT_RESET_EMPTY, 0);
	for (size_t i = 1; i + 3 <= size; i += 3) {
		unsigned event = data[i] % (SLOT_EVENTS + 1);
		uint16_t value = (uint16_t)(data[i + 1] | data[i + 2] << 8);
		bool was_on = slot.link;
		struct slot_effects e;

		if (event == SLOT_EVENTS) {
			slot.status &= (uint16_t) ~(value & (0x1f | PCI_EXP_SLTSTA_DLLSC));
			continue;
		}
		e = slot_step(&slot, event, value);
		card = event == SLOT_INSERT || event == SLOT_RESET_CARD ||
		       (card && event != SLOT_REMOVE && event != SLOT_RESET_EMPTY);
		check(&slot, card, slot.status & PCI_EXP_SLTSTA_PDS);
		must(!e.powered_off || (was_on && !slot.link));
		must(!e.powered_on || (!was_on && slot.link));
		/* Whoever settles has been promised a timer. */
		armed = settling(&slot) && (armed || e.settle);
		must(armed == settling(&slot));
		must(slot.native || (!e.interrupt && !e.powered_off && !slot.control));
	}
	return 0;
}
