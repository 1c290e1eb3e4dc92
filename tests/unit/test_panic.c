/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_panic.c - pvpanic-pci: a card that is plugged, moved, reset and unplugged like any other, and
 * is no VFIO device; and what is done when a guest says by it that it has crashed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>
#include <portcullis/machine_query.h>

#include "machine_rig.h"
#include "says.h"

#define BAR 0xe0000000u

static struct rig_op *add(struct machine_rig *rig, struct rig_op *op, const char *options)
{
	rig_add_type(rig, op, &pvpanic_type, options);
	rig_settle(rig);
	return op;
}

static struct pci_function *function(struct machine_rig *rig)
{
	struct device *device = rig->m->devices;

	assert_non_null(device);
	return device->class->function(device);
}

static uint32_t config(struct machine_rig *rig, unsigned offset, unsigned size)
{
	return pci_function_read(function(rig), offset, size);
}

/* As a vCPU, or main itself: without a request it is finished at once. */
static void config_write(struct machine_rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	struct io_access access = {
		.offset = offset, .size = (uint8_t)size, .data = value, .write = true
	};

	assert_int_equal(pci_function_write(function(rig), offset, size, &access), IO_DONE);
}

static void map(struct machine_rig *rig)
{
	config_write(rig, PCI_BASE_ADDRESS_0, 4, BAR);
	config_write(rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static uint64_t get(struct machine_rig *rig, uint64_t addr)
{
	struct io_access access = { .size = 1 };

	bus_dispatch(&rig->m->bus, &rig->vcpu->reader, BUS_MMIO, addr, &access);
	return access.data;
}

static void put(struct machine_rig *rig, uint64_t addr, uint8_t events)
{
	struct io_access access = { .size = 1, .write = true, .data = events };

	bus_dispatch(&rig->m->bus, &rig->vcpu->reader, BUS_MMIO, addr, &access);
	rig_settle(rig);
}

static void plugged_like_any_other(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op, del;

	add(rig, &op, "id=p,bus=rp1,events=3");
	assert_true(op.done && !op.err.code);
	assert_int_equal(config(rig, PCI_VENDOR_ID, 4), 0x00111b36);
	assert_int_equal(config(rig, PCI_CLASS_REVISION, 4), 0x08800001);
	assert_int_equal(config(rig, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
	assert_int_equal(config(rig, PCI_INTERRUPT_PIN, 1), 0);
	config_write(rig, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(config(rig, PCI_BASE_ADDRESS_0, 4), 0xfffffff0);
	map(rig);
	assert_int_equal(get(rig, BAR), 3);
	assert_int_equal(get(rig, BAR + 1), 0);
	put(rig, BAR + 1, 1); /* no register, no event */
	put(rig, BAR, 0xf8);
	assert_int_equal(rig->n_events, 0);
	rig_del(rig, &del, "p", false);
	rig_settle(rig);
	assert_false(del.done);
	rig_guest_ejects(rig);
	rig_settle(rig);
	assert_true(del.done && !del.err.code);
	assert_int_equal(rig->event[0].kind, MACHINE_DEVICE_DELETED);
	assert_string_equal(rig->event[0].device, "p");
	assert_int_equal(get(rig, BAR), 0xff);
	assert_true(rig_clean(rig));
}

/* QEMU lets a device have no id; it goes as it came. */
static void without_a_name(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	add(rig, &op, "bus=rp1");
	assert_true(op.done && !op.err.code);
	rig_slot_write(rig, 0x800 + 8u * rig->m->ports->root.function.devfn + 3, 1, 1);
	rig_settle(rig);
	assert_int_equal(rig->event[0].kind, MACHINE_DEVICE_DELETED);
	assert_string_equal(rig->event[0].device, "");
	assert_true(rig_clean(rig));
}

/* What the machine calls it is a path, not an id: in no event. */
static void without_a_name_held_back(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;
	char path[PROP_ID_SIZE];

	add(rig, &op, "bus=rp1");
	prop_id_copy(path, rig->m->devices->id);
	rig_del(rig, &op, path, false);
	rig_settle(rig);
	rig_deadline(rig, path);
	assert_true(op.done && op.err.code);
	assert_int_equal(rig->event[0].kind, MACHINE_DEVICE_UNPLUG_GUEST_ERROR);
	assert_string_equal(rig->event[0].device, "");
	rig_del(rig, &op, path, true);
	rig_settle(rig);
	assert_true(op.done && rig_clean(rig));
}

static void wrong_places(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	add(rig, &op, "id=p,bus=pcie.0");
	assert_says(op.err.text, "does not support hot plug");
	add(rig, &op, "id=rp1,bus=rp1");
	assert_says(op.err.text, "duplicate");
	assert_true(rig_clean(rig));
}

/* The bus behind the port is reset: its registers are as at power-on. */
static void reset_with_its_bus(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	add(rig, &op, "id=p,bus=rp1");
	map(rig);
	rig_config_write(rig, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_int_equal(config(rig, PCI_COMMAND, 2), 0);
	assert_int_equal(config(rig, PCI_BASE_ADDRESS_0, 4), 0);
	assert_int_equal(get(rig, BAR), 0xff);
	map(rig);
	assert_int_equal(get(rig, BAR), 7);
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
	assert_true(rig_clean(rig));
}

/* With the machine: it is stopped, and its BAR where firmware puts it. */
static void reset_with_the_machine(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;
	uint64_t bar;

	rig->m->config->panic_action = PANIC_PAUSE;
	add(rig, &op, "id=p,bus=rp1");
	map(rig);
	put(rig, BAR, PVPANIC_PANICKED);
	assert_int_equal(rig->m->runstate, RUNSTATE_GUEST_PANICKED);
	machine_reset(rig->m, SHUTDOWN_HOST_RESET);
	while (rig->m->resetting)
		rig_step(rig);
	assert_int_equal(rig->m->runstate, RUNSTATE_PRELAUNCH);
	bar = config(rig, PCI_BASE_ADDRESS_0, 4);
	assert_true(bar && bar != BAR);
	assert_int_equal(get(rig, bar), 7);
	assert_int_equal(get(rig, BAR), 0xff);
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
	assert_true(op.done && rig_clean(rig));
}

/* Who panicked while a reset was under way did so before it. */
static void void_in_a_reset(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	add(rig, &op, "id=p,bus=rp1");
	map(rig);
	(void)signal(SIGUSR1, SIG_IGN);
	rig->vcpu->thread = pthread_self();
	atomic_store(&rig->vcpu->state, VCPU_RUNNING);
	machine_reset(rig->m, SHUTDOWN_HOST_RESET);
	assert_true(rig->m->resetting);
	put(rig, BAR, PVPANIC_PANICKED);
	assert_int_equal(rig->n_events, 0);
	assert_false(rig->m->ending);
	atomic_store(&rig->vcpu->state, VCPU_PARKED);
	while (rig->m->resetting)
		rig_step(rig);
	assert_int_equal(rig->event[0].kind, MACHINE_RESET);
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
}

/* Later than bus.h allows: an event is told by what outlives the card. */
static void gone_before_it_is_told(void **state)
{
	struct machine_rig *rig = *state;
	struct io_access access = {
		.size = 1, .write = true, .data = PVPANIC_PANICKED, .request = &rig->request
	};
	struct pci_function *fn;
	struct rig_op op;

	rig->m->config->panic_action = PANIC_NONE;
	add(rig, &op, "id=p,bus=rp1");
	fn = function(rig);
	assert_int_equal(fn->ops->bar_access(fn->ops->bar_opaque(fn, 0), &access), IO_DEFER);
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
	assert_true(op.done && rig_clean(rig));
	atomic_store(&rig->request.done, 0);
	io_post(&rig->request);
	rig_settle(rig);
	assert_true(atomic_load(&rig->request.done));
	assert_int_equal(rig->event[1].kind, MACHINE_GUEST_PANICKED);
}

static void what_is_done(void **state)
{
	static const struct {
		enum panic_action action;
		bool no_shutdown, ends;
		const char *told;
		enum runstate runstate;
		int status;
	} cases[] = {
		{ PANIC_SHUTDOWN, false, true, "poweroff", RUNSTATE_RUNNING, 0 },
		{ PANIC_SHUTDOWN, true, false, "pause", RUNSTATE_GUEST_PANICKED, 0 },
		{ PANIC_PAUSE, false, false, "pause", RUNSTATE_GUEST_PANICKED, 0 },
		{ PANIC_EXIT_FAILURE, false, true, "poweroff", RUNSTATE_RUNNING, 1 },
		{ PANIC_EXIT_FAILURE, true, false, "poweroff", RUNSTATE_SHUTDOWN, 0 },
		{ PANIC_NONE, false, false, "run", RUNSTATE_RUNNING, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct machine_rig rig;
		struct rig_op op;

		rig_init(&rig, false);
		rig.m->config->panic_action = cases[i].action;
		rig.m->config->no_shutdown = cases[i].no_shutdown;
		add(&rig, &op, "id=p,bus=rp1");
		map(&rig);
		put(&rig, BAR, PVPANIC_PANICKED | PVPANIC_CRASH_LOADED);
		assert_int_equal(rig.event[0].kind, MACHINE_GUEST_PANICKED);
		assert_string_equal(rig.event[0].action, cases[i].told);
		assert_int_equal(rig.m->ending, cases[i].ends);
		assert_int_equal(rig.m->runstate, cases[i].runstate);
		assert_int_equal(rig.m->exit_status, cases[i].status);
		if (cases[i].ends) {
			assert_int_equal(rig.event[1].kind, MACHINE_SHUTDOWN);
			assert_string_equal(rig.event[1].reason, "guest-panic");
		} else if (cases[i].runstate == RUNSTATE_GUEST_PANICKED) {
			struct err err = { 0 };

			/* As with QEMU it may go on. */
			assert_string_equal(runstate_name(rig.m->runstate), "guest-panicked");
			assert_int_equal(machine_run(rig.m, &err), 0);
		} else if (cases[i].runstate == RUNSTATE_SHUTDOWN) {
			/* What ends the process later is no panic. */
			machine_shutdown(rig.m, SHUTDOWN_HOST_QUIT);
			assert_true(rig.m->ending);
			assert_int_equal(rig.m->exit_status, 0);
		}
		rig.m->ending = false;
		rig_del(&rig, &op, "p", true);
		rig_settle(&rig);
		rig_release(&rig);
	}
}

/* A guest that says it in a loop is told of once a second; every reboot or second later again. */
static void not_without_bound(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	rig->m->config->panic_action = PANIC_NONE;
	add(rig, &op, "id=p,bus=rp1");
	map(rig);
	for (unsigned i = 0; i < 20; i++)
		put(rig, BAR, PVPANIC_PANICKED);
	for (unsigned i = 0; i < 20; i++)
		put(rig, BAR, PVPANIC_CRASH_LOADED);
	assert_int_equal(rig->n_events, 2);
	assert_int_equal(rig->event[1].kind, MACHINE_GUEST_CRASHLOADED);
	assert_string_equal(rig->event[1].action, "run");
	rig->m->panic_told_ms -= 1000;
	put(rig, BAR, PVPANIC_PANICKED);
	assert_int_equal(rig->n_events, 3);
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
}

static void orderly_shutdown(void **state)
{
	struct machine_rig *rig = *state;
	struct rig_op op;

	add(rig, &op, "id=p,bus=rp1");
	map(rig);
	put(rig, BAR, PVPANIC_SHUTDOWN);
	assert_int_equal(rig->event[0].kind, MACHINE_GUEST_PVSHUTDOWN);
	assert_int_equal(rig->event[1].kind, MACHINE_SHUTDOWN);
	assert_string_equal(rig->event[1].reason, "guest-shutdown");
	assert_true(rig->m->ending);
	/* What comes behind it is void. */
	put(rig, BAR, PVPANIC_PANICKED);
	assert_int_equal(rig->n_events, 2);
	rig->m->ending = false;
	rig_del(rig, &op, "p", true);
	rig_settle(rig);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_setup_acpi, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(plugged_like_any_other),
		CASE(without_a_name),
		CASE(without_a_name_held_back),
		CASE(wrong_places),
		CASE(reset_with_its_bus),
		CASE(reset_with_the_machine),
		CASE(void_in_a_reset),
		CASE(gone_before_it_is_told),
		cmocka_unit_test(what_is_done),
		CASE(not_without_bound),
		CASE(orderly_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
