/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errors.c - a device reports an error that the host could not correct (AER), or does not answer
 * any more: what becomes of the guest is the user's choice.
 *
 * By default it stops, as with QEMU: data may be wrong, and somebody should look before it spreads.
 * Unlike there, `cont` is allowed afterwards. `reset` restarts the guest rather than the device
 * alone, because its driver would know nothing of that.
 */
#include <errno.h>

#include <portcullis/log.h>

#include "plug.h"

static enum device_on_error action_for(const struct device *device)
{
	enum device_on_error action = (enum device_on_error)device->options->on_error;

	/* Not (any more) the guest's. */
	if (device->machine->ending || device->failure.code || !device_on_bus(device))
		return ON_ERROR_REPORT;
	/*
	 * A reset under way is the remedy for whatever was wrong; a guest that starts afresh
	 * without the device has lost nothing.
	 */
	if (device->machine->resetting && action != ON_ERROR_UNPLUG)
		return ON_ERROR_REPORT;
	return action;
}

/* What changes nothing for the guest is told again when it is worse, or better. */
static bool report_told(struct device *device, const char *severity) ON_MAIN
{
	if (device->error_told != severity)
		device->error_told_ms = 0;
	device->error_told = severity;
	return told_lately(&device->error_told_ms);
}

void device_failed(struct device *device, const char *severity, bool lost)
{
	struct machine *m = device->machine;
	enum device_on_error action = action_for(device);

	if (action == ON_ERROR_REPORT && report_told(device, severity))
		return;
	log_guest("device '%s' %s (on-error: %s)", device->id,
		lost ? "does not answer after a reset" : "reports an uncorrectable error",
		device_on_error_names[action]);
	machine_emit(m, &(struct machine_event){ .kind = MACHINE_VFIO_DEVICE_ERROR,
				.device = device->id,
				.path = device->id,
				.reason = severity,
				.action = device_on_error_names[action] });
	switch (action) {
	case ON_ERROR_STOP:
		if (m->runstate == RUNSTATE_PRELAUNCH && !m->held) {
			log_guest("the guest is not started: it waits for 'cont'");
			m->held = true;
		}
		machine_stop(m, RUNSTATE_PAUSED, NULL);
		break;
	case ON_ERROR_UNPLUG:
		plug_surprise(device);
		break;
	case ON_ERROR_RESET:
		machine_reset(m, SHUTDOWN_HOST_ERROR);
		break;
	case ON_ERROR_REPORT:
		break;
	}
}
