/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_errors.c - a device reports an error, or is lost in a reset: each policy, and what is told;
 * the guest resets a bus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/sys.h>

#include "machine_rig.h"

#define ADD "id=d0,host=0000:01:00.0,bus=rp1,addr=0"
#define AER 0x100 /* of fake_card_nvme() */
#define EXPRESS 0x80

static struct machine_rig rig;

static int setup(void **state)
{
	(void)state;
	rig_init(&rig, false);
	return 0;
}

static int teardown(void **state)
{
	struct rig_op del;

	(void)state;
	rig.card[0].dead = false;
	if (device_find(rig.m, "d0")) {
		rig_del(&rig, &del, "d0", true);
		rig_settle(&rig);
	}
	assert_true(rig_clean(&rig));
	rig_release(&rig);
	return 0;
}

static void plug(const char *options)
{
	struct rig_op add;

	rig_add(&rig, &add, options);
	rig_settle(&rig);
	assert_string_equal(add.err.text, "");
	rig.n_events = 0;
	rig.m->runstate = RUNSTATE_RUNNING;
}

/* The registers as an error leaves them, then the kernel's signal. */
static void fail_with(uint32_t status, uint32_t severity, uint32_t devsta)
{
	pci_put(rig.card[0].config, AER + PCI_ERR_UNCOR_STATUS, 4, status);
	pci_put(rig.card[0].config, AER + PCI_ERR_UNCOR_SEVER, 4, severity);
	pci_put(rig.card[0].config, EXPRESS + PCI_EXP_DEVSTA, 2, devsta);
	assert_true(rig.card[0].err_fd >= 0);
	sys_eventfd_signal(rig.card[0].err_fd);
	rig_settle(&rig);
}

static void expect(unsigned i, const char *severity, const char *action)
{
	assert_true(i < rig.n_events);
	assert_int_equal(rig.event[i].kind, MACHINE_VFIO_DEVICE_ERROR);
	assert_string_equal(rig.event[i].device, "d0");
	assert_string_equal(rig.event[i].reason, severity);
	assert_string_equal(rig.event[i].action, action);
}

static void stop_is_the_default(void **state)
{
	struct err err = { 0 };

	(void)state;
	plug(ADD);
	fail_with(PCI_ERR_UNC_DLP, PCI_ERR_UNC_DLP, 0);
	expect(0, "fatal", "stop");
	assert_int_equal(rig.event[1].kind, MACHINE_STOP);
	assert_int_equal(rig.m->runstate, RUNSTATE_PAUSED);
	/* Whoever looked at it may go on. */
	assert_int_equal(machine_run(rig.m, &err), 0);
}

static void severities(void **state)
{
	static const struct {
		uint32_t status, severity, devsta;
		const char *name;
	} rows[] = {
		{ PCI_ERR_UNC_POISON_TLP, PCI_ERR_UNC_DLP, 0, "nonfatal" },
		{ PCI_ERR_UNC_POISON_TLP | PCI_ERR_UNC_DLP, PCI_ERR_UNC_DLP, 0, "fatal" },
		/* Cleared by the host already: the Express capability may still know. */
		{ 0, PCI_ERR_UNC_DLP, PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_NFED, "fatal" },
		{ 0, PCI_ERR_UNC_DLP, PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_CED, "nonfatal" },
		{ 0, PCI_ERR_UNC_DLP, PCI_EXP_DEVSTA_CED, "unknown" },
	};
	unsigned n = sizeof(rows) / sizeof(rows[0]);

	(void)state;
	plug(ADD ",on-error=report");
	for (unsigned i = 0; i < n; i++) {
		fail_with(rows[i].status, rows[i].severity, rows[i].devsta);
		expect(i, rows[i].name, "report");
		device_find(rig.m, "d0")->error_told_ms -= 1000;
	}
	/* A guest that makes its card say the same in a loop is told of once a second. */
	for (unsigned i = 0; i < 20; i++)
		fail_with(0, PCI_ERR_UNC_DLP, PCI_EXP_DEVSTA_NFED);
	expect(n++, "nonfatal", "report");
	assert_int_equal(rig.n_events, n);
	rig.card[0].dead = true; /* behind a dead link every register reads as ones */
	fail_with(0, 0, 0);
	expect(n, "fatal", "report");
	assert_int_equal(rig.n_events, n + 1);
	assert_int_equal(rig.m->runstate, RUNSTATE_RUNNING);
	assert_true(rig_plugged(&rig, "d0"));
}

static void unplug(void **state)
{
	(void)state;
	plug(ADD ",on-error=unplug");
	fail_with(PCI_ERR_UNC_DLP, PCI_ERR_UNC_DLP, 0);
	expect(0, "fatal", "unplug");
	assert_int_equal(rig.event[1].kind, MACHINE_DEVICE_DELETED);
	assert_int_equal(rig.m->runstate, RUNSTATE_RUNNING);
	assert_true(rig_clean(&rig));
}

static void reset_the_guest(void **state)
{
	(void)state;
	plug(ADD ",on-error=reset");
	device_failed(device_find(rig.m, "d0"), "fatal", false);
	expect(0, "fatal", "reset");
	assert_true(rig.m->resetting);
	assert_int_equal(rig.m->reset_cause, SHUTDOWN_HOST_ERROR);
	/* Another one meanwhile changes nothing: the remedy is under way. */
	device_failed(device_find(rig.m, "d0"), "fatal", false);
	expect(1, "fatal", "report");
	rig_settle(&rig);
	assert_int_equal(rig.card[0].resets, 1);
	assert_int_equal(rig.n_events, 3);
	assert_int_equal(rig.event[2].kind, MACHINE_RESET);
	assert_false(rig.m->resetting);
	assert_int_equal(machine_runstate(rig.m), RUNSTATE_RUNNING);
}

static void reset_the_machine(void)
{
	machine_reset(rig.m, SHUTDOWN_HOST_RESET);
	rig_settle(&rig);
	assert_false(rig.m->resetting);
	assert_int_equal(rig.event[rig.n_events - 1].kind, MACHINE_RESET);
}

/* The guest goes on without a device that does not come back, and it is told once. */
static void lost_in_a_reset(void **state)
{
	struct device *device;
	struct pci_function *fn;

	(void)state;
	plug(ADD);
	device = device_find(rig.m, "d0");
	fn = vfio_pci_function(passthrough_card(device));
	passthrough_card(device)->reset_deadline_ms = 20;
	rig.card[0].dead = true;
	reset_the_machine();
	expect(0, "lost", "report");
	assert_int_equal(pci_function_read(fn, PCI_VENDOR_ID, 4), 0xffffffff);
	reset_the_machine();
	/* The next reset may bring it back. */
	rig.card[0].dead = false;
	reset_the_machine();
	/* Of all three, and once. */
	assert_int_equal(rig.n_events, 1 + 3);
	assert_int_equal(pci_function_read(fn, PCI_VENDOR_ID, 4), 0x00101b36);
}

static void a_dead_card_is_not_added(void **state)
{
	struct rig_op add;

	(void)state;
	rig.card[0].dead = true;
	rig_add(&rig, &add, ADD);
	/* Not the ten seconds it would get. */
	passthrough_card(device_find(rig.m, "d0"))->reset_deadline_ms = 20;
	rig_settle(&rig);
	assert_true(add.done);
	assert_int_equal(add.err.code, EIO);
	assert_non_null(strstr(add.err.text, "does not answer"));
	assert_true(rig_clean(&rig));
}

/* The guest's write to the port's bridge control is done when the card has been reset. */
static void guest_resets_the_bus(void **state)
{
	struct io_access access = { .offset = (uint64_t)PCI_DEVFN(1, 0) << 12 | PCI_BRIDGE_CONTROL,
		.size = 2,
		.data = PCI_BRIDGE_CTL_BUS_RESET,
		.write = true,
		.request = &rig.request };
	struct pci_function *fn;
	unsigned resets;

	(void)state;
	plug(ADD);
	resets = rig.card[0].resets;
	fn = vfio_pci_function(passthrough_card(device_find(rig.m, "d0")));
	pci_put(fn->config, PCI_BASE_ADDRESS_0, 4, 0xd0000004);
	pci_put(fn->config, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_update_mappings(fn);
	assert_true(fake_kvm.memslots > rig.memslots_at_rest);
	atomic_store(&rig.request.done, 0);
	assert_int_equal(pci_host_ecam(&rig.m->host, &access), IO_DEFER);
	loop_post(rig.request.owner, &rig.request.mail);
	loop_step(&rig.m->loop, 0);
	assert_int_equal(atomic_load(&rig.request.done), 0);
	assert_int_equal(rig.card[0].resets, resets);
	rig_settle(&rig);
	assert_int_equal(atomic_load(&rig.request.done), 1);
	assert_int_equal(rig.card[0].resets, resets + 1);
	assert_int_equal(pci_get(fn->config, PCI_BASE_ADDRESS_0, 4), 4);
	assert_int_equal(fake_kvm.memslots, rig.memslots_at_rest);
	/* Released, and again. */
	rig_config_write(&rig, PCI_BRIDGE_CONTROL, 2, 0);
	rig_config_write(&rig, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_int_equal(rig.card[0].resets, resets + 2);
}

static void bus_reset_of_nothing(void **state)
{
	(void)state;
	rig_config_write(&rig, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_int_equal(rig_config_read(&rig, PCI_BRIDGE_CONTROL, 2), PCI_BRIDGE_CTL_BUS_RESET);
}

static void unplug_needs_a_port(void **state)
{
	struct device_options options = { .id = "d0", .on_error = ON_ERROR_UNPLUG };
	struct device device = { .machine = rig.m, .class = &passthrough_class };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(device_check_policy(&device, &options, &err), -EINVAL);
	assert_non_null(strstr(err.text, "on-error=unplug"));
	assert_non_null(strstr(err.hint, "pcie-root-port"));
	device.port = rig.m->ports;
	assert_int_equal(device_check_policy(&device, &options, &err), 0);
	device.port = NULL;
	options.on_error = ON_ERROR_RESET;
	assert_int_equal(device_check_policy(&device, &options, &err), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(stop_is_the_default),
		CASE(severities),
		CASE(unplug),
		CASE(reset_the_guest),
		CASE(lost_in_a_reset),
		CASE(a_dead_card_is_not_added),
		CASE(guest_resets_the_bus),
		CASE(bus_reset_of_nothing),
		CASE(unplug_needs_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
