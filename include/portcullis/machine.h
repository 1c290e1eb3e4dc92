/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - the machine object: everything one guest is made of, and what can be done to it.
 *
 * Layer: L4, the only place that wires modules together. May include any lower layer.
 * Who:   the main thread owns it; vCPUs and workers see only their own struct vcpu / struct worker
 *        and the objects those point to. No other mutable global state exists.
 */
#ifndef PORTCULLIS_MACHINE_H
#define PORTCULLIS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/config.h>
#include <portcullis/role.h>

struct err;
struct loop;
struct machine;
struct prop_type;
struct vcpu;
struct worker;
struct populator;

#define MACHINE_CPUS_MAX 4096

enum runstate {
	RUNSTATE_PRELAUNCH,
	RUNSTATE_RUNNING,
	RUNSTATE_PAUSED,
	RUNSTATE_SHUTDOWN,
	RUNSTATE_INTERNAL_ERROR,
	RUNSTATE_GUEST_PANICKED
};

enum shutdown_cause {
	SHUTDOWN_GUEST_POWEROFF,
	SHUTDOWN_GUEST_RESET,
	SHUTDOWN_GUEST_PANIC,
	SHUTDOWN_HOST_QUIT,
	SHUTDOWN_HOST_SIGNAL,
	SHUTDOWN_HOST_RESET,
	SHUTDOWN_HOST_ERROR
};

/* Things QMP tells its clients. Strings are borrowed for the call. */
enum machine_event_kind {
	MACHINE_SHUTDOWN,
	MACHINE_POWERDOWN,
	MACHINE_RESET,
	MACHINE_STOP,
	MACHINE_RESUME,
	MACHINE_DEVICE_DELETED,
	MACHINE_DEVICE_UNPLUG_GUEST_ERROR,
	MACHINE_VFIO_DEVICE_ERROR,
	MACHINE_MEMORY_FAILURE,
	MACHINE_GUEST_PANICKED,
	MACHINE_GUEST_CRASHLOADED,
	MACHINE_GUEST_PVSHUTDOWN,
};
struct machine_event {
	enum machine_event_kind kind;
	bool guest;	    /* RESET, SHUTDOWN: asked by the guest? */
	const char *reason; /* SHUTDOWN, RESET: QEMU's ShutdownCause; *_ERROR: stage or severity */
	const char *device; /* id */
	const char *path;
	const char *action; /* VFIO_DEVICE_ERROR, MEMORY_FAILURE, GUEST_*: what is done about it */
	const char *recipient;		 /* MEMORY_FAILURE: QEMU's MemoryFailureRecipient */
	bool action_required, recursive; /* MEMORY_FAILURE: its flags */
};

/*
 * An operation that ends later. The caller owns it until done() was called (on main); done with
 * err == NULL means success. Cancelling is not possible: a client that is gone leaves it be.
 */
struct machine_op {
	struct machine_op *next; /* machine's */
	void (*done)(struct machine_op *op, const struct err *err);
};

/*
 * Builds the machine from config (borrowed, must outlive it; device options are moved out of it).
 * Errors are complete sentences for the user. On failure nothing is left behind.
 */
int machine_new(struct machine **out, struct config *config, struct err *err) ON_MAIN;
/*
 * After all threads were joined. Devices are reset and closed, memory unmapped. Of an abandoned
 * machine nothing is given back: other threads hold it.
 */
void machine_free(struct machine *machine) ON_MAIN;

struct loop *machine_loop(struct machine *machine);
unsigned machine_vcpus(struct machine *machine, struct vcpu **out);
unsigned machine_workers(struct machine *machine, struct worker **out);
unsigned machine_populators(struct machine *machine, struct populator **out);
/* For whatever clients handed over; its thread is joined after machine_end_clients(). */
struct closer *machine_closer(struct machine *machine);
/* fds[POLICY_FDS] that filters are pinned to. */
void machine_policy_fds(struct machine *machine, int fds[]) ON_MAIN;

/*
 * After workers and populators run: opens and plugs the -device devices, of every class, lays out
 * RAM around their constraints, has it populated and pinned, finds room for the kernel, which the
 * first vCPU loads. Then the machine can run, and populators are no more needed.
 */
int machine_realize(struct machine *machine, struct err *err) ON_MAIN;
/*
 * Stops the vCPUs and closes the devices (reset, given back) while the workers still run; what was
 * deferred is completed and what was asked is answered. False: the kernel does not let go of a
 * thread (MACHINE_END_MS, or machine_abandon()): no thread can be joined, only the process be
 * ended.
 */
#define MACHINE_END_MS 30000
bool machine_end(struct machine *machine) ON_MAIN;
/*
 * After QMP's clients were let go of: the serial port's one too, and what they all had handed over
 * is closed. False as above.
 */
bool machine_end_clients(struct machine *machine) ON_MAIN;
/* Does not wait any longer for the end; why is logged. */
void machine_abandon(struct machine *machine, const char *why) ON_MAIN;
/* Lets populators return. */
void populators_end(struct machine *machine) ON_MAIN;
/* Lets the vCPU threads return; they are parked. */
void vcpus_end(struct machine *machine) ON_MAIN;

/* cont. -EPERM: a reset is required first; -EBUSY: the machine is ending. */
int machine_run(struct machine *machine, struct err *err) ON_MAIN;
/*
 * stop. op (NULL: nobody waits) is done, never with an error, when no vCPU executes the guest; or
 * does again, because somebody's cont overtook it; or when the machine ends.
 */
void machine_pause(struct machine *machine, struct machine_op *op) ON_MAIN;
void machine_reset(struct machine *machine, enum shutdown_cause cause) ON_MAIN;
void machine_powerdown(struct machine *machine) ON_MAIN; /* power button */
/* Leaves the main loop; the exit status is set by cause. */
void machine_shutdown(struct machine *machine, enum shutdown_cause cause) ON_MAIN;
/* -action: what is done when the guest reboots, powers off or panics, from the next time on. */
struct machine_actions {
	bool no_reboot, no_shutdown;
	enum panic_action panic;
};
struct machine_actions machine_actions(const struct machine *machine) ON_MAIN;
void machine_set_actions(struct machine *machine, const struct machine_actions *actions) ON_MAIN;
/* Did a device with on-error=stop fail before the guest began? It is not to be run then. */
bool machine_held(const struct machine *machine) ON_MAIN;
bool machine_ending(const struct machine *machine) ON_MAIN;
enum runstate machine_runstate(const struct machine *machine) ON_MAIN;
const struct config *machine_config(const struct machine *machine);
int machine_exit_status(const struct machine *machine);

/* One subscriber (QMP). */
void machine_on_event(struct machine *machine,
	void (*fn)(void *opaque, const struct machine_event *event), void *opaque) ON_MAIN;

/*
 * Hot plug. device_add: type/options as prop tables make them; takes options in every case.
 * done() may be called before the function returns (errors found at once).
 */
void machine_device_add(struct machine *machine, const struct prop_type *type, void *options,
	struct machine_op *op) ON_MAIN;
void machine_device_del(
	struct machine *machine, const char *id, bool force, struct machine_op *op) ON_MAIN;

/*
 * object-add: options as the type's table makes them; takes options in every case. -EEXIST;
 * object-del: -ENOENT, -EBUSY while a device uses it.
 */
int machine_object_add(struct machine *machine, const struct prop_type *type, void *options,
	struct err *err) ON_MAIN;
int machine_object_del(struct machine *machine, const char *id, struct err *err) ON_MAIN;

#endif
