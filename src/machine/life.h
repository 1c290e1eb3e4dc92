/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h - a device's life from device_add to DEVICE_DELETED: a pure state machine. (private to
 * src/machine and tests)
 *
 * Layer: L4. Pure: no device, no time, nothing is called. device_event() feeds it what happens and
 *        carries out the effects.
 *
 *   device_add:  NEW -open-> ATTACHED -realize-> REALIZED -placed-> PLUGGED
 *   cold plug:   NEW -open-> ATTACHED -placed-> PLUGGED -realize, once RAM is laid out-> PLUGGED
 *   device_del:  PLUGGED -asked-> REQUESTED -taken-> RELEASED -fence-> FENCED -close-> CLOSED
 *                REQUESTED -late-> PLUGGED: the guest did not let go in time
 *   the end:     -ended-> RELEASED from wherever it is
 *
 * An add that fails is fenced and closed where it is: the device never was more than that.
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

/* What its worker does meanwhile; one thing at a time. */
enum life_work {
	LIFE_IDLE,
	LIFE_OPENING,
	LIFE_OPENING_COLD,
	LIFE_OPENING_CANCELLED, /* it will be closed, whatever comes of it */
	LIFE_REALIZING,
	LIFE_REALIZING_CANCELLED,
	LIFE_REALIZING_COLD,
	LIFE_FENCING,
	LIFE_CLOSING,
	LIFE_FENCING_LAST, /* at the end of the machine: nobody is told */
	LIFE_CLOSING_LAST,
	LIFE_WORKS,
};

enum life_event {
	LIFE_ADD,	/* device_add */
	LIFE_ADD_COLD,	/* from the command line */
	LIFE_RAM_READY, /* cold plug: there is memory to map */
	LIFE_DONE,	/* its worker did it */
	LIFE_FAILED,	/* its worker could not, or its place is taken */
	LIFE_PLACED,	/* on its bus */
	LIFE_CANCEL,	/* it is taken away while it is being added */
	LIFE_ASK,	/* the guest has it, and is to let go */
	LIFE_TAKE,	/* the guest let go, never saw it, or is overruled */
	LIFE_LATE,	/* the deadline is over */
	LIFE_END,	/* the machine ends: nobody but its worker touches it any more */
	LIFE_EVENTS,
};

/* What there is to do, in this order: whoever is told comes last, because he may ask again. */
enum life_effect {
	LIFE_POSSIBLE = 1 << 0,	   /* there is such a step */
	LIFE_INTERRUPT = 1 << 1,   /* the worker's job is to end early */
	LIFE_UNPLUG = 1 << 2,	   /* off its bus, and a grace period begins */
	LIFE_STOP_TIMER = 1 << 3,  /* the deadline is void */
	LIFE_START_TIMER = 1 << 4, /* LIFE_LATE comes unless it gets on */
	LIFE_ASK_GUEST = 1 << 5,   /* to let go */
	LIFE_WITHDRAW = 1 << 6,	   /* that question */
	LIFE_RUN = 1 << 7,	   /* life.work is a new job for its worker */
	LIFE_PLACE = 1 << 8,	   /* LIFE_PLACED or LIFE_FAILED is next, at once */
	LIFE_FREE = 1 << 9,	   /* nothing is left of it */
	LIFE_EMIT_DELETED = 1 << 10,
	LIFE_EMIT_NOT_RELEASED = 1 << 11,
	LIFE_ANSWER_ADD = 1 << 12, /* failed, if it is freed */
	LIFE_ANSWER_DEL = 1 << 13, /* failed, unless it is freed */
};
#define LIFE_TELLS                                                                                 \
	(LIFE_FREE | LIFE_EMIT_DELETED | LIFE_EMIT_NOT_RELEASED | LIFE_ANSWER_ADD | LIFE_ANSWER_DEL)

struct life {
	enum device_stage stage;
	enum life_work work;
};

/* The one transition function. Returns effects; 0: nothing of the kind happens, life stays. */
unsigned life_step(struct life *life, enum life_event event);
/* Is there such a step? */
bool life_may(const struct life *life, enum life_event event);
const char *life_stage_name(enum device_stage stage);

#endif
