/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plug.h - hot plug and hot unplug, along the life that life.h describes. (private to src/machine)
 *
 * Layer: L4, main only.
 *
 * A device_del while it is being added cancels the add. `force`, a machine reset while REQUESTED
 * and the host taking the device back all release it without the guest's word. REQUESTED that lasts
 * longer than unplug-timeout goes back to PLUGGED: the device is the guest's again. RELEASED and
 * FENCED that last longer are reported, and finish when the kernel lets them.
 *
 * State first, then tell: an operation's done() may call back in, with the next command of a client
 * that pipelines. So device_event() answers last, when stage, timers, slots and lists are what they
 * will be; the object may be gone when it returns.
 */
#ifndef PORTCULLIS_MACHINE_PLUG_H
#define PORTCULLIS_MACHINE_PLUG_H

#include "state.h"

/* hotplug.c: how the guest hears of it, by ACPI or by the port's own slot registers. */
struct hotplug_ops {
	/* The guest let go of these functions (bitmap): _EJ0, or slot power off. */
	void (*released)(struct port *port, uint8_t functions);
	/* root_port_ops.on_bus_reset() */
	bool (*bus_reset)(struct port *port, struct io_request *request);
};
void hotplug_init(struct machine *m, const struct hotplug_ops *ops) ON_MAIN;
void hotplug_release(struct machine *m);
void hotplug_reset(struct machine *m) ON_MAIN;
/* What the slot shows, as functions are plugged now; tell: the guest is told of the difference. */
void port_update_presence(struct port *port, bool tell) ON_MAIN;
/* port_offer.c: what the port completes, as cards are plugged now. */
void port_update_offer(struct port *port) ON_MAIN;
/*
 * What was behind port is gone without the guest's word: it is told, and a new card waits for it.
 */
void port_surprise_removal(struct port *port) ON_MAIN;
/*
 * Does the guest know of what is behind port? Not so: an incomplete slot, one without power, a card
 * that waits for the guest to let go of the one before.
 */
bool port_guest_has_card(struct port *port) ON_MAIN;
/* Asks the guest to let go of everything behind port / takes that back. */
void port_request_unplug(struct port *port) ON_MAIN;
void port_cancel_unplug(struct port *port) ON_MAIN;

/* unplug.c */
/* Ports and their slots say from now on what the guest does with them. */
void plug_init(struct machine *m) ON_MAIN;
/* Pulls what sits behind device's port without the guest's word. */
void plug_surprise(struct device *device) ON_MAIN;
/* A machine reset completes what the guest had been asked for; no vCPU runs. */
void plug_on_reset(struct machine *m) ON_MAIN;
/* The host asks for the device (VFIO's request event). */
void plug_host_request(struct device *device) ON_MAIN;

/* errors.c */
/* The device reported an error, or was lost in a reset: what its on-error says is done. */
void device_failed(struct device *device, const char *severity, bool lost) ON_MAIN;

/* clients.c */
void machine_emit(struct machine *m, const struct machine_event *event);
/*
 * Were clients told of this within the last second, by *told_ms (0: never)? Else it is now. For what
 * a guest may bring about in a loop.
 */
bool told_lately(uint64_t *told_ms) ON_MAIN;
/* Answers every operation on the list and empties it. See above: state first. */
void ops_done(struct machine_op **ops, const struct err *err);
void ops_push(struct machine_op **ops, struct machine_op *op);

#endif
