/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - the table of life.h. */
#include "life.h"

#include <stdint.h>

/* 0: no such step. Nothing leads back to NEW. */
/* clang-format off */
static const uint8_t next[DEVICE_STAGES][LIFE_EVENTS] = {
	[DEVICE_NEW] = {
		[LIFE_OPENED] = DEVICE_ATTACHED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_ATTACHED] = {
		[LIFE_REALIZED] = DEVICE_REALIZED,
		[LIFE_PLACED] = DEVICE_PLUGGED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_REALIZED] = {
		[LIFE_PLACED] = DEVICE_PLUGGED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_PLUGGED] = {
		[LIFE_ASKED] = DEVICE_REQUESTED,
		[LIFE_TAKEN] = DEVICE_RELEASED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_REQUESTED] = {
		[LIFE_KEPT] = DEVICE_PLUGGED,
		[LIFE_TAKEN] = DEVICE_RELEASED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_RELEASED] = {
		[LIFE_FENCED] = DEVICE_FENCED,
		[LIFE_CLOSED] = DEVICE_CLOSED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
	[DEVICE_FENCED] = {
		[LIFE_CLOSED] = DEVICE_CLOSED,
		[LIFE_ENDED] = DEVICE_RELEASED,
	},
};
/* clang-format on */

static const char *const names[] = {
	[DEVICE_NEW] = "new",
	[DEVICE_ATTACHED] = "attached",
	[DEVICE_REALIZED] = "realized",
	[DEVICE_PLUGGED] = "plugged",
	[DEVICE_REQUESTED] = "requested",
	[DEVICE_RELEASED] = "guest-released",
	[DEVICE_FENCED] = "fenced",
	[DEVICE_CLOSED] = "closed",
};

bool life_step(enum device_stage *stage, enum life_event event)
{
	const enum device_stage to = (enum device_stage)next[*stage][event];

	if (to == DEVICE_NEW)
		return false;
	*stage = to;
	return true;
}

const char *life_stage_name(enum device_stage stage)
{
	return names[stage];
}
