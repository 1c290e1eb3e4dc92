/* SPDX-License-Identifier: Apache-2.0 */
/*
 * panic.c - the device class of pvpanic-pci, and what is done when a guest says that it crashed, as
 * QEMU does it: -action panic.
 */
#include <errno.h>

#include <portcullis/log.h>

#include "plug.h"

static void tell(struct machine *m, enum machine_event_kind kind, const char *action) ON_MAIN
{
	machine_emit(m, &(struct machine_event){ .kind = kind, .action = action });
}

static void panicked(struct machine *m) ON_MAIN
{
	const struct config *config = m->config;
	enum panic_action action = config->panic_action;

	if (action == PANIC_SHUTDOWN && config->no_shutdown)
		action = PANIC_PAUSE;
	log_guest("the guest has panicked (panic: %s)", panic_action_names[action]);
	switch (action) {
	case PANIC_NONE:
		if (!told_lately(&m->panic_told_ms))
			tell(m, MACHINE_GUEST_PANICKED, "run");
		break;
	case PANIC_PAUSE:
		tell(m, MACHINE_GUEST_PANICKED, "pause");
		machine_stop(m, RUNSTATE_GUEST_PANICKED, NULL);
		break;
	case PANIC_EXIT_FAILURE: /* machine_shutdown() knows */
	case PANIC_SHUTDOWN:
		tell(m, MACHINE_GUEST_PANICKED, "poweroff");
		machine_shutdown(m, SHUTDOWN_GUEST_PANIC);
		break;
	}
}

static void on_event(void *opaque, unsigned events)
{
	struct machine *m = opaque;

	role_enter_main();
	if (m->resetting || m->ending)
		return;
	if (events & PVPANIC_PANICKED) {
		panicked(m);
	} else if (events & PVPANIC_CRASH_LOADED) {
		log_guest("the guest has crashed, and its crash kernel takes over");
		if (!told_lately(&m->crash_told_ms))
			tell(m, MACHINE_GUEST_CRASHLOADED, "run");
	} else {
		tell(m, MACHINE_GUEST_PVSHUTDOWN, NULL);
		machine_shutdown(m, SHUTDOWN_GUEST_POWEROFF);
	}
	/* Before its writer is let go: it executes nothing after its last word. */
	if (m->ending)
		vcpus_stop(m);
}

void panic_init(struct machine *m)
{
	m->pvpanic = (struct pvpanic_sink){ .main = &m->loop, .on_event = on_event, .opaque = m };
}

static int create(struct device *device, void *options, struct err *err)
{
	struct machine *m = device->machine;
	struct pvpanic *card;
	int ret = pvpanic_new(&card, options, &m->pvpanic, &m->closer);

	if (ret) /* the id went with the options */
		return err_set(err, -ret, "no memory for a pvpanic-pci device");
	card->function.id = device->id;
	device->card = card;
	return 0;
}

static void card_free(struct device *device)
{
	pvpanic_free(device->card, &device->machine->closer);
}

static struct pci_function *function(const struct device *device)
{
	struct pvpanic *card = device->card;

	return &card->function;
}

const struct device_class pvpanic_class = {
	.type = &pvpanic_type,
	.hot_pluggable = true,
	.create = create,
	.free = card_free,
	.function = function,
};
