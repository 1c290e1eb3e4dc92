/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_reset.c - resetting a function: success, no way, no answer, a busy host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "fake_vfio_device.h"

static struct fake_rig rig;

FAKE_RIG_START(nvme, fake_card_nvme, "pcie.0")
FAKE_RIG_START(no_reset, fake_card_pci, "pcie.0")

static int stop(void **state)
{
	rig.card.dead = false;
	return fake_rig_stop(state);
}

static void use_it(void)
{
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000004);
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	fake_config_write(&rig, 0x40 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_bar_write(&rig, 0, 0x2000, 4, 0xfee00000);
	fake_bar_write(&rig, 0, 0x200c, 4, 0);
	fake_step(&rig);
}

static void test_reset(void **state)
{
	struct err err = { 0 };

	(void)state;
	/* Once at realize, before the guest sees the device. */
	assert_int_equal(rig.card.resets, 1);
	use_it();
	assert_int_equal(rig.machine.n_irqfds, 1);
	assert_int_equal(vfio_pci_reset(rig.dev, &err), 0);
	assert_int_equal(rig.card.resets, 2);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2),
		PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_0, 4), 4);
	assert_int_equal(fake_config_read(&rig, 0x40 + PCI_MSIX_FLAGS, 2), 64);
	assert_int_equal(fake_bar_read(&rig, 0, 0x2000, 4), 0);
	assert_int_equal(fake_bar_read(&rig, 0, 0x200c, 4), 1);
	assert_int_equal(rig.dev->fn.bar[0].addr, 0);
	/* And again, as the next boot does. */
	use_it();
	assert_int_equal(rig.machine.n_irqfds, 1);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 1);
}

static void test_multifunction_bit_stays(void **state)
{
	(void)state;
	pci_unplug(&rig.dev->fn);
	assert_int_equal(pci_plug(&rig.machine.bus, &rig.dev->fn, PCI_DEVFN(3, 0), true, NULL), 0);
	assert_int_equal(vfio_pci_reset(rig.dev, NULL), 0);
	assert_int_equal(fake_config_read(&rig, PCI_HEADER_TYPE, 1), 0x80);
}

static void test_slow(void **state)
{
	(void)state;
	rig.dev->reset_deadline_ms = 10000;
	rig.card.silent_reads = 4;
	assert_int_equal(vfio_reset_function(rig.dev, NULL), 0);
	assert_false(rig.dev->quarantined);
	assert_int_equal(rig.card.silent, 0);
}

static void test_never_back(void **state)
{
	struct err err = { 0 };

	(void)state;
	use_it();
	rig.card.dead = true;
	assert_int_equal(vfio_pci_reset(rig.dev, &err), -EIO);
	assert_true(rig.dev->quarantined);
	assert_non_null(strstr(err.text, "'card'"));
	assert_non_null(strstr(err.text, "does not answer"));
	assert_true(err.hint[0]);
	/* Interrupts stay off whatever the guest does. */
	fake_config_write(&rig, 0x40 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_int_equal(rig.card.type, -1);
	/* It came back by the next reset. */
	rig.card.dead = false;
	assert_int_equal(vfio_pci_reset(rig.dev, &err), 0);
	assert_false(rig.dev->quarantined);
}

/* The ids alone are no sign of life: VFIO answers those of a virtual function from memory. */
static void test_ids_from_memory(void **state)
{
	uint32_t class = pci_get(rig.card.config, PCI_CLASS_REVISION, 4);

	(void)state;
	pci_put(rig.card.config, PCI_CLASS_REVISION, 4, 0xffffffff);
	assert_int_equal(vfio_reset_function(rig.dev, NULL), -EIO);
	pci_put(rig.card.config, PCI_CLASS_REVISION, 4, class);
}

static void test_kernel_refuses(void **state)
{
	struct err err = { 0 };

	(void)state;
	rig.card.reset_error = -ENODEV;
	assert_int_equal(vfio_reset_function(rig.dev, &err), -ENODEV);
	assert_non_null(strstr(err.text, "cannot reset"));
	/* Busy: tried until the deadline. */
	rig.dev->reset_deadline_ms = 500;
	rig.card.reset_error = -EAGAIN;
	rig.card.resets = 0;
	assert_int_equal(vfio_reset_function(rig.dev, &err), -EAGAIN);
	assert_true(rig.card.resets > 2);
	rig.card.reset_error = 0;
}

static void test_no_way(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(rig.card.resets, 0);
	assert_false(vfio_reset_possible(rig.dev));
	assert_int_equal(vfio_reset_function(rig.dev, &err), -ENOTTY);
	/* The machine's reset is not held up by it. */
	assert_int_equal(vfio_pci_reset(rig.dev, &err), 0);
	assert_int_equal(rig.card.resets, 0);
}

static void test_realize_needs_the_reset(void **state)
{
	struct fake_rig broken = { .set_options = NULL };
	struct err err = { 0 };

	(void)state;
	fake_card_init(&broken.card);
	fake_machine_init(&broken.machine);
	fake_card_nvme(&broken.card);
	broken.card.dead = true;
	assert_int_equal(fake_rig_realize(&broken, "pcie.0", &err), -EIO);
	assert_non_null(strstr(err.text, "vfio-pci 'card': the device does not answer"));
	broken.card.dead = false;
	fake_rig_release(&broken);
	assert_int_equal(broken.machine.gsis, 0);
}

/* --- a reset that the running guest asks for --- */

#define DEVCTL (0x80 + PCI_EXP_DEVCTL)

static struct io_request flr;

static void guest_writes_flr(void)
{
	struct io_access access = { .offset = DEVCTL,
		.size = 2,
		.data = PCI_EXP_DEVCTL_BCR_FLR,
		.write = true,
		.request = &flr };

	flr = (struct io_request){ .done = 1 };
	assert_int_equal(pci_function_write(&rig.dev->fn, DEVCTL, 2, &access), IO_DEFER);
	io_post(&flr);
}

static void worker_step(void)
{
	loop_step(&rig.machine.worker, 0);
}

static void main_step(void)
{
	loop_step(&rig.machine.main, 0);
}

/* Nobody may be in the device while the kernel resets it: it would hold them. */
static void test_nobody_is_in_it_meanwhile(void **state)
{
	unsigned resets = rig.card.resets;

	(void)state;
	use_it();
	fake_bar_write(&rig, 0, 0x1000, 4, 0x1234);
	guest_writes_flr();
	worker_step();
	assert_false(vfio_device_absent(rig.dev));
	main_step();
	/* Prepared: trapped, and answered without the kernel. */
	assert_true(rig.machine.trapped);
	assert_int_equal(rig.card.resets, resets);
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 0, 0x1000, 4), 0xffffffff);
	assert_false(fake_config_write(&rig, DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR));
	assert_int_equal(rig.machine.waited_for, 0);
	worker_step();
	assert_int_equal(rig.machine.waited_for, rig.machine.graces);
	assert_int_equal(rig.card.resets, resets + 1);
	assert_true(rig.machine.trapped);
	assert_false(atomic_load(&flr.done));
	main_step();
	assert_false(rig.machine.trapped);
	assert_true(atomic_load(&flr.done));
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 2), pci_get(rig.card.config, 0, 2));
}

/* Two vCPUs at once: it is trapped until the second reset is done. */
static void test_resets_overlap(void **state)
{
	(void)state;
	use_it();
	vfio_pci_reset_prepare(rig.dev);
	vfio_pci_reset_prepare(rig.dev);
	assert_int_equal(rig.machine.traps, 1);
	vfio_pci_reset_done(rig.dev);
	assert_true(rig.machine.trapped && vfio_device_absent(rig.dev));
	vfio_pci_reset_done(rig.dev);
	assert_false(rig.machine.trapped || vfio_device_absent(rig.dev));
}

static void test_unplugged_before_its_reset(void **state)
{
	unsigned resets = rig.card.resets;

	(void)state;
	use_it();
	guest_writes_flr();
	worker_step();
	pci_unplug(&rig.dev->fn);
	main_step(); /* there is nothing to prepare */
	vfio_pci_fence(rig.dev);
	worker_step();
	assert_true(atomic_load(&flr.done));
	assert_int_equal(rig.card.resets, resets);
}

static void test_unplugged_while_it_is_reset(void **state)
{
	(void)state;
	use_it();
	guest_writes_flr();
	worker_step();
	main_step();
	worker_step();
	pci_unplug(&rig.dev->fn);
	main_step();
	assert_true(atomic_load(&flr.done));
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_reset, nvme),
		CASE(test_multifunction_bit_stays, nvme),
		CASE(test_slow, nvme),
		CASE(test_never_back, nvme),
		CASE(test_ids_from_memory, nvme),
		CASE(test_kernel_refuses, nvme),
		CASE(test_no_way, no_reset),
		CASE(test_nobody_is_in_it_meanwhile, nvme),
		CASE(test_resets_overlap, nvme),
		CASE(test_unplugged_before_its_reset, nvme),
		CASE(test_unplugged_while_it_is_reset, nvme),
		cmocka_unit_test(test_realize_needs_the_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
