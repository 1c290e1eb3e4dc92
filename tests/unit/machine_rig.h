/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_rig.h - a machine as machine_new() and machine_realize() make it from a command line, on
 * fakes: KVM (fake_kvm.h), the host's VFIO and cards. It has no threads: main's and the workers'
 * loops are stepped by the test, so every interleaving can be had at will; vCPUs are at the gate.
 *
 * Link: with --wrap=vfio_context_new, which gives the machine the fake host.
 */
#ifndef TESTS_MACHINE_RIG_H
#define TESTS_MACHINE_RIG_H

#include "../../src/machine/plug.h"
#include "cmdline_fixture.h"
#include "fake_kvm.h"
#include "fake_vfio_device.h"
#include "fake_vfio_host.h"

#define RIG_CARDS 2
#define RIG_EVENTS 64

struct rig_event {
	enum machine_event_kind kind;
	char device[512], reason[32], action[32]; /* room for more than ids may have */
	char recipient[16];
	bool required, recursive;
};

/* A device_add or device_del and its answer. */
struct rig_op {
	struct machine_op op;
	bool done;
	struct err err;	   /* code 0: success */
	unsigned at_event; /* events before the answer */
};

struct machine_rig {
	struct machine *m;
	struct cmdline cmdline;
	struct fake_vfio_host host;
	struct fake_card card[RIG_CARDS]; /* 0000:01:00.0, 0000:02:00.0, in groups of their own */
	struct vcpu *vcpu;		  /* the machine's */
	unsigned memslots_at_rest;	  /* memslots and irqfds that the machine itself has */
	int irqfds_at_rest;
	struct rig_event event[RIG_EVENTS];
	unsigned n_events;
	struct io_request request;
};

/* native: the port "rp1" is a pciehp slot, otherwise ACPI. One vCPU. The guest runs. */
void rig_init(struct machine_rig *rig, bool native);
void rig_release(struct machine_rig *rig);
/*
 * The same in steps. The host, with a small kernel in its root directory; the command line that
 * adds words to those any machine needs; main's part of threads/main_loop.c.
 */
void rig_host_init(struct machine_rig *rig);
void rig_host_release(struct machine_rig *rig);
void rig_command_line(struct machine_rig *rig, const char *words);
void rig_start(struct machine_rig *rig, const char *words);
/* The same as cmocka's setup and teardown; *state is the rig. */
int rig_setup_acpi(void **state);
int rig_setup_native(void **state);
int rig_teardown(void **state);

struct rig_op *rig_add(struct machine_rig *rig, struct rig_op *op, const char *options);
void rig_add_type(struct machine_rig *rig, struct rig_op *op, const struct prop_type *type,
	const char *options);
struct rig_op *rig_del(struct machine_rig *rig, struct rig_op *op, const char *id, bool force);
/* Until no job is under way, and main has heard of the last one. */
void rig_settle(struct machine_rig *rig);
/* One turn of every worker's loop, then main's: a few pieces of mail each. */
void rig_step(struct machine_rig *rig);
/* The deadline of the device's stage has come. */
void rig_deadline(struct machine_rig *rig, const char *id);

/* The guest's side. */
uint32_t rig_slot_read(struct machine_rig *rig, unsigned offset, unsigned size);
void rig_slot_write(struct machine_rig *rig, unsigned offset, unsigned size, uint32_t value);
void rig_guest_ejects(struct machine_rig *rig); /* ACPI: _EJ0 on what is asked for */
uint32_t rig_config_read(struct machine_rig *rig, unsigned offset, unsigned size); /* of the port */
void rig_config_write(struct machine_rig *rig, unsigned offset, unsigned size, uint32_t value);

/* Nothing of a device is left: fds, memslots, GSIs, irqfds, mappings. */
bool rig_clean(const struct machine_rig *rig);
bool rig_plugged(struct machine_rig *rig, const char *id);

#endif
