/* SPDX-License-Identifier: Apache-2.0 */
/* opt_action.c - -action: what is done when the guest reboots, powers off or panics. */
#include <errno.h>
#include <string.h>

#include "cli.h"

enum occasion { REBOOT, SHUTDOWN, PANIC, WATCHDOG };

static const char *const occasions[] = { "reboot", "shutdown", "panic", "watchdog", NULL };
static const char *const reboots[] = { "reset", "shutdown", NULL };
static const char *const shutdowns[] = { "poweroff", "pause", NULL };
static const char *const watchdogs[] = { "reset", "shutdown", "poweroff", "pause", "debug", "none",
	"inject-nmi", NULL };

static const struct {
	const char *const *actions;
	const char *hint;
} choices[] = {
	[REBOOT] = { reboots, "reboot is reset or shutdown" },
	[SHUTDOWN] = { shutdowns, "shutdown is poweroff or pause" },
	[PANIC] = { panic_action_names, "panic is shutdown, pause, exit-failure or none" },
	[WATCHDOG] = { watchdogs,
		"there is no watchdog; reset, shutdown, poweroff, pause, debug, none and inject-nmi are taken" },
};

/* The index of word; -1: it is none of them. */
static int find(const char *const *list, const char *word)
{
	for (int i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return i;
	return -1;
}

static int action_pair(struct parse *p, const char *key, const char *value, void *opaque)
{
	const int occasion = find(occasions, key);
	int action;

	(void)opaque;
	if (occasion < 0) {
		unknown_key(p, key, occasions);
		err_hint(p->err, "it takes panic=, reboot= and shutdown=");
		return -EINVAL;
	}
	action = find(choices[occasion].actions, value);
	if (action < 0) {
		option_error(p, "'%s=%s' means nothing", key, value);
		err_hint(p->err, "%s", choices[occasion].hint);
		return -EINVAL;
	}
	if (occasion == REBOOT)
		p->config->no_reboot = action == 1;
	else if (occasion == SHUTDOWN)
		p->config->no_shutdown = action == 1;
	else if (occasion == PANIC)
		p->config->panic_action = (enum panic_action)action;
	return 0;
}

int opt_action(struct parse *p, const char *value)
{
	return option_pairs(p, value, NULL, action_pair, NULL);
}
