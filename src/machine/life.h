/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h - where a passed-through device is in its life, as one table. (private to src/machine and
 * tests)
 *
 * Layer: L4. Pure: no device, no time, nothing is called.
 *
 *   device_add:  NEW -opened-> ATTACHED -realized-> REALIZED -placed-> PLUGGED
 *   cold plug:   NEW -opened-> ATTACHED -placed-> PLUGGED: the next device's slot check sees it
 *   device_del:  PLUGGED -asked-> REQUESTED -taken-> RELEASED -fenced-> FENCED -closed-> CLOSED
 *                REQUESTED -kept-> PLUGGED when the guest does not let go in time
 *   the end:     -ended-> RELEASED from wherever it is; its worker fences and closes in one
 *
 * An add that fails is closed where it is: the device never was more than that.
 */
#ifndef PORTCULLIS_MACHINE_LIFE_H
#define PORTCULLIS_MACHINE_LIFE_H

#include <stdbool.h>

/* query-vfio shows it. */
enum device_stage {
	DEVICE_NEW,	  /* options only */
	DEVICE_ATTACHED,  /* open: the host cannot take it back silently any more */
	DEVICE_REALIZED,  /* RAM mapped, reset, guest view made; not on a bus */
	DEVICE_PLUGGED,	  /* on its bus, in the guest's hands */
	DEVICE_REQUESTED, /* the guest was asked to let go */
	DEVICE_RELEASED,  /* the guest let go (or was overruled); off the bus */
	DEVICE_FENCED,	  /* cannot write memory nor interrupt */
	DEVICE_CLOSED,	  /* every fd closed: the host may have it */
	DEVICE_STAGES,
};

enum life_event {
	LIFE_OPENED,
	LIFE_REALIZED,
	LIFE_PLACED, /* on its bus */
	LIFE_ASKED,  /* the guest was asked to let go */
	LIFE_KEPT,   /* it did not in time: the device is its again */
	LIFE_TAKEN,  /* off the bus: the guest let go, or was overruled */
	LIFE_FENCED,
	LIFE_CLOSED,
	LIFE_ENDED, /* the machine ends: nobody but its worker touches it any more */
	LIFE_EVENTS,
};

/* False: nothing of the kind happens in that stage, which stays. */
bool life_step(enum device_stage *stage, enum life_event event);
const char *life_stage_name(enum device_stage stage);

#endif
