/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_life.c - a device's life: every state with every event, against a second reading of the
 * rules, which asks what there is of a device instead of naming the next state; and every walk from
 * device_add to the end, for what each must have done once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/machine/life.h"

/* What there is of a device, and what is being done to it. */
struct has {
	bool hot, cold;		       /* an add is under way */
	bool open, realized, bus;      /* what it has got */
	bool asked, off;	       /* by device_del */
	bool last;		       /* the machine ends */
	bool opening, realizing;       /* its worker's */
	bool fencing, closing, fenced; /* its worker's, and what came of it */
	bool cancelled, closed;
};

static bool busy(const struct has *h)
{
	return h->opening || h->realizing || h->fencing || h->closing;
}

/* The state that a device with all that is in. */
static struct life state_of(const struct has *h)
{
	struct life life = { .stage = DEVICE_NEW };

	if (h->closed)
		life.stage = DEVICE_CLOSED;
	else if (h->off)
		life.stage = h->fenced ? DEVICE_FENCED : DEVICE_RELEASED;
	else if (h->bus)
		life.stage = h->asked ? DEVICE_REQUESTED : DEVICE_PLUGGED;
	else if (h->open)
		life.stage = h->realized ? DEVICE_REALIZED : DEVICE_ATTACHED;
	if (h->opening)
		life.work = h->cold	   ? LIFE_OPENING_COLD
			    : h->cancelled ? LIFE_OPENING_CANCELLED
					   : LIFE_OPENING;
	else if (h->realizing)
		life.work = h->cold	   ? LIFE_REALIZING_COLD
			    : h->cancelled ? LIFE_REALIZING_CANCELLED
					   : LIFE_REALIZING;
	else if (h->fencing)
		life.work = h->last ? LIFE_FENCING_LAST : LIFE_FENCING;
	else if (h->closing)
		life.work = h->last ? LIFE_CLOSING_LAST : LIFE_CLOSING;
	return life;
}

/* An add that came to nothing. */
static unsigned undo(struct has *h)
{
	h->fencing = true;
	return LIFE_RUN;
}

static unsigned worker_did(struct has *h)
{
	if (h->opening) {
		h->opening = false;
		h->open = true;
		if (h->cancelled)
			return undo(h);
		h->realizing = h->hot;
		return h->hot ? LIFE_RUN : LIFE_PLACE;
	}
	if (h->realizing) {
		h->realizing = false;
		if (h->cancelled)
			return undo(h);
		h->realized = true;
		return h->hot ? LIFE_PLACE : 0;
	}
	if (h->fencing) {
		h->fencing = false;
		h->fenced = h->closing = true;
		return LIFE_RUN;
	}
	h->closing = false;
	h->closed = true;
	if (h->last)
		return 0;
	if (h->off)
		return LIFE_STOP_TIMER | LIFE_FREE | LIFE_EMIT_DELETED | LIFE_ANSWER_DEL;
	return LIFE_FREE | LIFE_ANSWER_ADD | LIFE_ANSWER_DEL;
}

/* -1: that cannot happen to what there is. */
static int happens(struct has *h, enum life_event event)
{
	const bool fresh = !h->hot && !h->cold && !h->open && !h->closed && !h->off;
	const bool undone = h->hot && !h->off && !h->bus && (h->fencing || h->closing);

	switch (event) {
	case LIFE_ADD:
	case LIFE_ADD_COLD:
		if (!fresh)
			return -1;
		h->opening = true;
		h->hot = event == LIFE_ADD;
		h->cold = !h->hot;
		return LIFE_RUN;
	case LIFE_RAM_READY: /* a device that was hot-plugged looks the same: nobody asks it */
		if (!h->bus || h->asked || busy(h))
			return -1;
		h->cold = h->realizing = true;
		h->hot = h->realized = false;
		return LIFE_RUN;
	case LIFE_DONE:
		return busy(h) ? (int)worker_did(h) : -1;
	case LIFE_FAILED:
		if (h->opening || h->realizing) {
			h->cold &= !h->opening; /* as before */
			h->opening = h->realizing = false;
			return h->hot ? (int)undo(h) : 0;
		}
		if (h->open && !h->bus && !h->off && !busy(h) && !h->closed)
			return h->realized ? (int)undo(h) : 0;
		return -1;
	case LIFE_PLACED:
		if (!h->open || h->bus || h->off || busy(h) || h->closed)
			return -1;
		h->bus = true;
		return h->realized ? LIFE_ANSWER_ADD : 0;
	case LIFE_CANCEL:
		if (undone)
			return 0;
		if (!h->opening && !h->realizing)
			return -1;
		if (h->realizing && !h->cancelled) {
			h->cancelled = h->hot;
			return LIFE_INTERRUPT;
		}
		h->cancelled = h->hot;
		return 0;
	case LIFE_ASK:
		if (!h->bus || h->asked || busy(h))
			return -1;
		h->asked = true;
		return LIFE_ASK_GUEST | LIFE_START_TIMER;
	case LIFE_TAKE:
		if (!h->bus || busy(h))
			return -1;
		h->bus = h->asked = false;
		h->off = h->fencing = true;
		return LIFE_UNPLUG | LIFE_START_TIMER | LIFE_RUN;
	case LIFE_LATE:
		if (h->asked) {
			h->asked = false;
			return LIFE_WITHDRAW | LIFE_EMIT_NOT_RELEASED | LIFE_ANSWER_DEL;
		}
		if (!h->off || h->last || h->closed)
			return -1;
		return LIFE_EMIT_NOT_RELEASED | LIFE_ANSWER_DEL;
	case LIFE_END:
		if (busy(h) || h->closed || h->off || (h->realized && !h->bus))
			return -1;
		*h = (struct has){ .off = true, .last = true, .fencing = true, .asked = h->asked };
		if (!h->asked)
			return LIFE_RUN;
		h->asked = false;
		return LIFE_STOP_TIMER | LIFE_RUN;
	default:
		fail();
		return -1;
	}
}

/* Once each, on the way to CLOSED. */
struct walk {
	struct has has;
	struct life life;
	unsigned fenced, closed, unplugged, answered_add, freed, deleted;
	bool timer, added, ended;
};

static bool reached[DEVICE_STAGES][LIFE_WORKS];

static void count(struct walk *w, enum life_event event, unsigned effects)
{
	w->fenced += (effects & LIFE_RUN) &&
		     (w->life.work == LIFE_FENCING || w->life.work == LIFE_FENCING_LAST);
	w->closed += (effects & LIFE_RUN) &&
		     (w->life.work == LIFE_CLOSING || w->life.work == LIFE_CLOSING_LAST);
	w->unplugged += (effects & LIFE_UNPLUG) != 0;
	w->answered_add += (effects & LIFE_ANSWER_ADD) != 0;
	w->freed += (effects & LIFE_FREE) != 0;
	w->deleted += (effects & LIFE_EMIT_DELETED) != 0;
	w->added |= event == LIFE_ADD;
	w->ended |= event == LIFE_END;
	if (effects & LIFE_STOP_TIMER || event == LIFE_LATE)
		w->timer = false;
	if (effects & LIFE_START_TIMER)
		w->timer = true;
}

static void check_end(const struct walk *w)
{
	assert_int_equal(w->fenced, 1);
	assert_int_equal(w->closed, 1);
	assert_false(w->timer);
	assert_int_equal(w->freed, !w->ended);
	assert_int_equal(w->deleted, w->unplugged);
	/* The end answers by itself whoever is left. */
	if (w->added && !w->ended)
		assert_int_equal(w->answered_add, 1);
}

/* Every event in w's state; what happens is followed to its end. Loops are cut by depth. */
static void follow(const struct walk *w, unsigned depth)
{
	reached[w->life.stage][w->life.work] = true;
	if (w->life.stage == DEVICE_CLOSED)
		check_end(w);
	for (unsigned e = 0; e < LIFE_EVENTS; e++) {
		const enum life_event event = (enum life_event)e;
		struct walk next = *w;
		int want = happens(&next.has, event);
		unsigned effects;

		if (life_may(&w->life, event) != (want >= 0))
			fail_msg("event %u in stage '%s', work %u: possible?", e,
				life_stage_name(w->life.stage), w->life.work);
		effects = life_step(&next.life, event);
		if (want < 0) {
			assert_int_equal(effects, 0);
			assert_memory_equal(&next.life, &w->life, sizeof(w->life));
			continue;
		}
		if (effects != ((unsigned)want | LIFE_POSSIBLE))
			fail_msg("event %u in stage '%s', work %u: effects %#x, not %#x", e,
				life_stage_name(w->life.stage), w->life.work, effects,
				(unsigned)want | LIFE_POSSIBLE);
		assert_int_equal(next.life.stage, state_of(&next.has).stage);
		assert_int_equal(next.life.work, state_of(&next.has).work);
		count(&next, event, effects);
		if (depth)
			follow(&next, depth - 1);
	}
}

/* Fills reached. */
static void walk_everywhere(void)
{
	struct walk start = { 0 };

	memset(reached, 0, sizeof(reached));
	follow(&start, 12);
}

static void every_walk(void **state)
{
	unsigned n = 0;

	(void)state;
	walk_everywhere();
	for (unsigned s = 0; s < DEVICE_STAGES; s++) {
		for (unsigned work = 0; work < LIFE_WORKS; work++) {
			struct life life = { (enum device_stage)s, (enum life_work)work };

			n += reached[s][work];
			for (unsigned e = 0; e < LIFE_EVENTS && !reached[s][work]; e++)
				assert_int_equal(life_step(&life, (enum life_event)e), 0);
		}
	}
	assert_int_equal(n, 22);
}

/* From wherever it is and whatever its worker says, it comes to an end. */
static void always_an_end(void **state)
{
	(void)state;
	walk_everywhere();
	for (unsigned s = 0; s < DEVICE_STAGES; s++) {
		for (unsigned work = 0; work < LIFE_WORKS; work++) {
			struct life life = { (enum device_stage)s, (enum life_work)work };

			for (unsigned i = 0; reached[s][work] && i < 12; i++)
				if (!life_step(&life, LIFE_DONE) && !life_step(&life, LIFE_PLACED))
					life_step(&life, LIFE_END);
			if (reached[s][work])
				assert_int_equal(life.stage, DEVICE_CLOSED);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_walk),
		cmocka_unit_test(always_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
