/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slot.h - a hot-pluggable slot as PCIe 5.0 6.7 describes it: a pure state machine.
 * (private to src/pci and tests)
 *
 * It knows the slot's registers and nothing else: no lock, no time, no PCI function. Its owner
 * feeds it events and does what the effects say. Any value the guest writes is safe in any state.
 *
 * Without native hot plug the guest has no controls: the slot is powered whenever a card is in.
 *
 * The states that settle exist for Linux: after it has cut the power it waits a second, throws away
 * presence and link changes that came meanwhile, and only then turns the power indicator off. A
 * card that is inserted before that would never be noticed, so it is held until then. A card that
 * is shown comes with its attention button pressed: on a slot that has one, Linux enables the
 * button's interrupt only.
 *
 * A card that is pulled out of a powered slot makes Linux do the same, and when the indicator is
 * off it looks once more whether there is a card, and if so takes it into use. A button pressed
 * meanwhile would be heard afterwards, and end that after five seconds. So a new card is held for
 * SLOT_SETTLE_MS after the last that Linux does.
 */
#ifndef PORTCULLIS_PCI_SLOT_H
#define PORTCULLIS_PCI_SLOT_H

#include <stdbool.h>
#include <stdint.h>

enum slot_state {
	SLOT_EMPTY,
	SLOT_OFF,	     /* a card, no power */
	SLOT_ON,	     /* a card, power, link up */
	SLOT_SETTLING,	     /* power was just cut, the card is still in */
	SLOT_SETTLING_EMPTY, /* the same, the card is gone */
	SLOT_HELD,	     /* the same, and a new card waits to be shown */
	SLOT_PULLED,	     /* the card was pulled, and the guest is not done with that */
	SLOT_PULLED_HELD,    /* the same, and a new card waits to be shown */
	SLOT_STATES,
};

enum slot_event {
	SLOT_RESET_EMPTY, /* machine reset without / with a card in the slot */
	SLOT_RESET_CARD,
	SLOT_INSERT,
	SLOT_REMOVE,
	SLOT_BUTTON,  /* attention button pressed */
	SLOT_CONTROL, /* the guest wrote Slot Control: value is the new register */
	SLOT_SETTLED, /* SLOT_SETTLE_MS after the last effects.settle */
	SLOT_EVENTS,
};

/* Linux waits 1 s between cutting the power and turning the indicator off. */
#define SLOT_SETTLE_MS 3000

struct slot {
	enum slot_state state;
	bool native;
	uint16_t control,
		status; /* Slot Control and Slot Status; PCI_EXP_SLTCTL_*, PCI_EXP_SLTSTA_* */
	bool link;	/* data link layer active */
};

struct slot_effects {
	bool interrupt;	  /* an MSI is due */
	bool powered_on;  /* the guest switched the card on */
	bool powered_off; /* the guest switched the card off: it has let go */
	bool settle;	  /* send SLOT_SETTLED in SLOT_SETTLE_MS; a time that runs starts anew */
};

/* The one transition function. value: for SLOT_CONTROL, else ignored. */
struct slot_effects slot_step(struct slot *slot, enum slot_event event, uint16_t value);

#endif
