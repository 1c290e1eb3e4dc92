/* SPDX-License-Identifier: Apache-2.0 */
/* slot.c - the slot's state machine: a table of moves and what each does to the registers. */
#include <linux/pci_regs.h>

#include "slot.h"

/* What can happen to the slot itself; events of the contract are made of these. */
enum move { MOVE_INSERT, MOVE_REMOVE, MOVE_POWER_ON, MOVE_POWER_OFF, MOVE_SETTLED, MOVES };

enum {
	CARD_IN = 1 << 0,  /* presence appears */
	CARD_OUT = 1 << 1, /* presence goes */
	LINK_UP = 1 << 2,
	LINK_DOWN = 1 << 3,
	SAY_ON = 1 << 4, /* effects */
	SAY_OFF = 1 << 5,
	SETTLE = 1 << 6,
	STAY = 1 << 7, /* nothing happens; next is not looked at */
};

struct transition {
	enum slot_state next;
	unsigned what;
};

#define IGNORED                                                                                    \
	{                                                                                          \
		SLOT_EMPTY, STAY                                                                   \
	}
#define ON_LINK (LINK_UP | SAY_ON)

static const struct transition transitions[SLOT_STATES][MOVES] = {
	[SLOT_EMPTY] = {
		[MOVE_INSERT] = { SLOT_OFF, CARD_IN },
		[MOVE_REMOVE] = IGNORED,
		[MOVE_POWER_ON] = IGNORED,
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = IGNORED,
	},
	[SLOT_OFF] = {
		[MOVE_INSERT] = IGNORED,
		[MOVE_REMOVE] = { SLOT_EMPTY, CARD_OUT },
		[MOVE_POWER_ON] = { SLOT_ON, ON_LINK },
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = IGNORED,
	},
	[SLOT_ON] = {
		[MOVE_INSERT] = IGNORED,
		[MOVE_REMOVE] = { SLOT_PULLED, CARD_OUT | LINK_DOWN | SETTLE },
		[MOVE_POWER_ON] = IGNORED,
		[MOVE_POWER_OFF] = { SLOT_SETTLING, LINK_DOWN | SAY_OFF | SETTLE },
		[MOVE_SETTLED] = IGNORED,
	},
	[SLOT_SETTLING] = {
		[MOVE_INSERT] = IGNORED,
		[MOVE_REMOVE] = { SLOT_SETTLING_EMPTY, CARD_OUT },
		[MOVE_POWER_ON] = { SLOT_ON, ON_LINK },
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = { SLOT_OFF, 0 },
	},
	[SLOT_SETTLING_EMPTY] = {
		[MOVE_INSERT] = { SLOT_HELD, 0 },
		[MOVE_REMOVE] = IGNORED,
		[MOVE_POWER_ON] = { SLOT_EMPTY, 0 },
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = { SLOT_EMPTY, 0 },
	},
	[SLOT_HELD] = {
		[MOVE_INSERT] = IGNORED,
		[MOVE_REMOVE] = { SLOT_SETTLING_EMPTY, 0 },
		[MOVE_POWER_ON] = { SLOT_ON, CARD_IN | ON_LINK },
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = { SLOT_OFF, CARD_IN },
	},
	[SLOT_PULLED] = {
		[MOVE_INSERT] = { SLOT_PULLED_HELD, 0 },
		[MOVE_REMOVE] = IGNORED,
		[MOVE_POWER_ON] = IGNORED,
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = { SLOT_EMPTY, 0 },
	},
	[SLOT_PULLED_HELD] = {
		[MOVE_INSERT] = IGNORED,
		[MOVE_REMOVE] = { SLOT_PULLED, 0 },
		[MOVE_POWER_ON] = IGNORED,
		[MOVE_POWER_OFF] = IGNORED,
		[MOVE_SETTLED] = { SLOT_OFF, CARD_IN },
	},
};

/* Is there an event that the guest wants an interrupt for? */
static bool pending(const struct slot *slot)
{
	/* Bits 0..4 of both registers are the same five events. */
	uint16_t wanted = slot->control & 0x1f;

	if (slot->control & PCI_EXP_SLTCTL_DLLSCE)
		wanted |= PCI_EXP_SLTSTA_DLLSC;
	return slot->control & PCI_EXP_SLTCTL_HPIE && slot->status & wanted;
}

static bool powered(const struct slot *slot)
{
	return !(slot->control & PCI_EXP_SLTCTL_PCC);
}

static void set_link(struct slot *slot, bool up)
{
	slot->link = up;
	slot->status |= PCI_EXP_SLTSTA_DLLSC;
}

static void make(struct slot *slot, enum move move, struct slot_effects *effects)
{
	const struct transition *t = &transitions[slot->state][move];

	if (t->what & STAY)
		return;
	slot->state = t->next;
	if (t->what & CARD_IN)
		slot->status |= PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC;
	/*
	 * Where there is a button, Linux listens to it and not to presence: who puts a card in
	 * presses.
	 */
	if (t->what & CARD_IN && t->next == SLOT_OFF && slot->native)
		slot->status |= PCI_EXP_SLTSTA_ABP;
	if (t->what & CARD_OUT) {
		slot->status &= (uint16_t)~PCI_EXP_SLTSTA_PDS;
		slot->status |= PCI_EXP_SLTSTA_PDC;
	}
	if (t->what & (LINK_UP | LINK_DOWN))
		set_link(slot, t->what & LINK_UP);
	effects->powered_on |= (t->what & SAY_ON) != 0;
	effects->powered_off |= (t->what & SAY_OFF) != 0;
	effects->settle |= (t->what & SETTLE) != 0;
}

static void settled(struct slot *slot, struct slot_effects *effects)
{
	make(slot, MOVE_SETTLED, effects);
	/* A card that is shown in a slot with power is on. */
	if (slot->state == SLOT_OFF && powered(slot))
		make(slot, MOVE_POWER_ON, effects);
}

static void control(struct slot *slot, uint16_t value, struct slot_effects *effects)
{
	bool was_on = powered(slot);

	if (!slot->native)
		return;
	slot->control = value;
	/* A command takes no time here. */
	slot->status |= PCI_EXP_SLTSTA_CC;
	if (was_on != powered(slot))
		make(slot, was_on ? MOVE_POWER_OFF : MOVE_POWER_ON, effects);
	if ((value & PCI_EXP_SLTCTL_PIC) != PCI_EXP_SLTCTL_PWR_IND_OFF)
		return;
	if (slot->state == SLOT_PULLED || slot->state == SLOT_PULLED_HELD)
		effects->settle = true;
	else
		make(slot, MOVE_SETTLED, effects);
}

static void reset(struct slot *slot, bool card)
{
	uint16_t off =
		PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PWR_OFF;
	uint16_t on = PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_ON;

	slot->state = card ? SLOT_ON : SLOT_EMPTY;
	slot->control = !slot->native ? 0 : card ? on : off;
	slot->status = card ? PCI_EXP_SLTSTA_PDS : 0;
	slot->link = card;
}

struct slot_effects slot_step(struct slot *slot, enum slot_event event, uint16_t value)
{
	struct slot_effects effects = { 0 };
	bool before = pending(slot);

	switch (event) {
	case SLOT_RESET_EMPTY:
	case SLOT_RESET_CARD:
		reset(slot, event == SLOT_RESET_CARD);
		break;
	case SLOT_INSERT:
		make(slot, MOVE_INSERT, &effects);
		if (slot->state == SLOT_OFF && powered(slot))
			make(slot, MOVE_POWER_ON, &effects);
		break;
	case SLOT_REMOVE:
		make(slot, MOVE_REMOVE, &effects);
		/* Without native hot plug nobody is told, and nobody to wait for. */
		if (!slot->native)
			make(slot, MOVE_SETTLED, &effects);
		effects.settle = effects.settle && slot->native;
		break;
	case SLOT_BUTTON:
		if (slot->native)
			slot->status |= PCI_EXP_SLTSTA_ABP;
		break;
	case SLOT_CONTROL:
		control(slot, value, &effects);
		break;
	case SLOT_SETTLED:
		settled(slot, &effects);
		break;
	case SLOT_EVENTS:
		break;
	}
	effects.interrupt = !before && pending(slot);
	return effects;
}
