/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_msi.c - MSI: several vectors, masks, message changes, modes taking turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "fake_vfio_device.h"

#define MSI VFIO_PCI_MSI_IRQ_INDEX
#define CAP 0x40 /* of the edu-like card: 64 bit, masks, 32 vectors */

static struct fake_rig rig;

FAKE_RIG_START(edu, fake_card_edu, "pcie.0")
FAKE_RIG_START(e1000e, fake_card_e1000e, "pcie.0")

static const struct msi_message *routed(unsigned i)
{
	return &rig.machine.message[rig.dev->irqs.vector[i].gsi];
}

static void message(unsigned cap, uint32_t addr, uint32_t data)
{
	fake_config_write(&rig, cap + PCI_MSI_ADDRESS_LO, 4, addr);
	fake_config_write(&rig, cap + PCI_MSI_ADDRESS_HI, 4, 0);
	fake_config_write(&rig, cap + PCI_MSI_DATA_64, 2, data);
}

static void flags(unsigned cap, uint32_t value)
{
	fake_config_write(&rig, cap + PCI_MSI_FLAGS, 2, value);
}

/* tg3 after a reset of its chip: the enable bit is lost, and written as the driver has it. */
static void test_lost_enable(void **state)
{
	unsigned calls;

	(void)state;
	message(CAP, 0xfee00000, 0x4030);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	calls = rig.card.n_calls;
	pci_put(rig.card.config, CAP + PCI_MSI_FLAGS, 2,
		pci_get(rig.card.config, CAP + PCI_MSI_FLAGS, 2) & ~0x71u);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(pci_get(rig.card.config, CAP + PCI_MSI_FLAGS, 2) & 0x71, 0x21);
	assert_int_equal(rig.card.n_calls, calls);
	/* Off it stays off. */
	flags(CAP, 0);
	flags(CAP, 0);
	assert_int_equal(pci_get(rig.card.config, CAP + PCI_MSI_FLAGS, 2) & 1, 0);
}

/* The kernel had fewer vectors than the guest asked for: the card is told what the kernel told it. */
static void test_lost_enable_of_few(void **state)
{
	(void)state;
	rig.card.host_vectors = 3;
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 3 << 4);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 3 << 4);
	assert_int_equal(pci_get(rig.card.config, CAP + PCI_MSI_FLAGS, 2) & 0x71, 0x21);
}

static void test_one(void **state)
{
	(void)state;
	message(0xd0, 0xfee00000, 0x4031);
	assert_int_equal(rig.card.type, -1);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(rig.card.type, MSI);
	assert_int_equal(rig.card.block, 1);
	assert_int_equal(routed(0)->addr, 0xfee00000);
	assert_int_equal(routed(0)->data, 0x4031);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 1);
	/* More than the one it offers. */
	flags(0xd0, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(rig.card.block, 1);
	/* Re-routed while on: no call on the device. */
	message(0xd0, 0xfee03000, 0x4032);
	assert_int_equal(routed(0)->addr, 0xfee03000);
	assert_int_equal(routed(0)->data, 0x4032);
	assert_int_equal(rig.card.disables, 0);
	flags(0xd0, 0);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
}

static void test_many(void **state)
{
	(void)state;
	message(CAP, 0xfee00000, 0x5f);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 3 << 4);
	assert_int_equal(rig.card.block, 8);
	assert_int_equal(rig.machine.route_calls, 1); /* for all of them: each waits for vCPUs */
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(routed(i)->data, 0x58 + i);
		assert_true(fake_card_fire(&rig.card, i));
	}
	assert_false(fake_card_fire(&rig.card, 8));
	fake_step(&rig);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fake_delivered(&rig, i), 1);
	/* More than the capability offers (it says 32), and a change while on. */
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 7 << 4);
	assert_int_equal(rig.card.block, 32);
	assert_int_equal(rig.machine.n_irqfds, 32);
	flags(CAP, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(rig.card.block, 1);
	assert_int_equal(rig.machine.n_irqfds, 1);
}

static void test_masks(void **state)
{
	unsigned calls;

	(void)state;
	message(CAP, 0xfee00000, 0x40);
	fake_config_write(&rig, CAP + PCI_MSI_MASK_64, 4, 1 << 2);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(rig.machine.n_irqfds, 3);
	calls = rig.card.n_calls;
	assert_true(fake_card_fire(&rig.card, 2));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 0);
	assert_int_equal(fake_config_read(&rig, CAP + PCI_MSI_PENDING_64, 4), 1 << 2);
	fake_config_write(&rig, CAP + PCI_MSI_MASK_64, 4, 0);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 1);
	assert_int_equal(fake_config_read(&rig, CAP + PCI_MSI_PENDING_64, 4), 0);
	/* Pending bits cannot be written. */
	fake_config_write(&rig, CAP + PCI_MSI_PENDING_64, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, CAP + PCI_MSI_PENDING_64, 4), 0);
	assert_int_equal(rig.card.n_calls, calls);
}

static void test_fewer_on_host(void **state)
{
	(void)state;
	rig.card.host_vectors = 4;
	message(CAP, 0xfee00000, 0x40);
	flags(CAP, PCI_MSI_FLAGS_ENABLE | 5 << 4);
	assert_int_equal(rig.card.block, 4);
	assert_true(fake_card_fire(&rig.card, 3));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 3), 1);
}

static void test_refused(void **state)
{
	(void)state;
	message(CAP, 0xfee00000, 0x40);
	rig.card.fail_errno = ENOSPC;
	rig.card.fail_irq = 1;
	flags(CAP, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.dev->irqs.counts.failures, 1);
	/* Off and on again finds it working. */
	flags(CAP, 0);
	flags(CAP, PCI_MSI_FLAGS_ENABLE);
	assert_true(fake_card_fire(&rig.card, 0));
}

static void test_modes(void **state)
{
	(void)state;
	/* INTx, then MSI, then MSI-X, then back: one at a time, as the kernel insists. */
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	fake_step(&rig);
	assert_int_equal(rig.card.type, VFIO_PCI_INTX_IRQ_INDEX);
	message(0xd0, 0xfee00000, 0x41);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(rig.card.type, MSI);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(rig.card.type, VFIO_PCI_MSIX_IRQ_INDEX);
	flags(0xd0, 0);
	assert_int_equal(rig.card.type, VFIO_PCI_MSIX_IRQ_INDEX);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(rig.card.type, MSI);
	assert_int_equal(rig.machine.n_irqfds, 1);
	flags(0xd0, 0);
	assert_int_equal(rig.card.type, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(rig.machine.n_irqfds, 1);
}

/* What the kernel does with INTx disable around MSI leaves the line open: it is closed again. */
static void test_line_after_msi(void **state)
{
	(void)state;
	assert_true(rig.card.line_off);
	message(0xd0, 0xfee00000, 0x41);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	assert_true(rig.card.line_off);
	flags(0xd0, 0);
	assert_int_equal(rig.card.type, -1);
	assert_true(rig.card.line_off);
	/*
	 * The guest's own bit decides while MSI is on: Linux leaves it for cards it breaks MSI of.
	 */
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	assert_false(rig.card.line_off);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	assert_true(rig.card.line_off);
	flags(0xd0, 0);
	fake_config_write(&rig, 0xa0 + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(rig.card.type, -1);
	assert_true(rig.card.line_off);
	flags(0xd0, PCI_MSI_FLAGS_ENABLE);
	vfio_pci_fence(rig.dev);
	assert_true(rig.card.line_off);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_one, e1000e),
		CASE(test_many, edu),
		CASE(test_lost_enable, edu),
		CASE(test_lost_enable_of_few, edu),
		CASE(test_masks, edu),
		CASE(test_fewer_on_host, edu),
		CASE(test_refused, edu),
		CASE(test_modes, e1000e),
		CASE(test_line_after_msi, e1000e),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
