/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_intx.c - INTx: trigger, resample, unmask; when it is on and when not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/sys.h>

#include "fake_vfio_device.h"

#define INTX VFIO_PCI_INTX_IRQ_INDEX

static struct fake_rig rig;

FAKE_RIG_START(serial, fake_card_pci, "pcie.0")

static void use_it(void)
{
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xc000);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
	fake_step(&rig);
}

static void test_on(void **state)
{
	const struct vfio_irqs *irqs = &rig.dev->irqs;

	(void)state;
	/* Nobody uses the function yet. */
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_LINE, 1), 0);
	use_it();
	assert_int_equal(rig.card.type, INTX);
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_LINE, 1), 19);
	/* KVM listens before the card can fire; slot 3, INTA. */
	assert_int_equal(rig.machine.n_irqfds, 1);
	assert_int_equal(rig.machine.irqfd[0].gsi, 19);
	assert_int_equal(rig.machine.irqfd[0].fd, irqs->intx_trigger);
	assert_int_equal(rig.machine.irqfd[0].resample_fd, irqs->intx_resample);
	assert_int_equal(rig.card.fd[0], irqs->intx_trigger);
	assert_int_equal(rig.card.unmask_fd, irqs->intx_resample);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(rig.machine.delivered[19], 1);
	/* Masked by VFIO until KVM resamples. */
	assert_false(fake_card_fire(&rig.card, 0));
}

/* An interrupt in the middle of turning it on must not leave the line masked for ever. */
static void test_fires_at_once(void **state)
{
	(void)state;
	rig.card.intx_at_once = true;
	use_it();
	assert_int_equal(rig.machine.delivered[19], 1);
	assert_true(fake_card_fire(&rig.card, 0));
}

/* Masking by the command register is one write of config space, in the interrupt handler's path. */
static void test_disable_bit(void **state)
{
	unsigned calls;

	(void)state;
	use_it();
	calls = rig.card.n_calls;
	for (unsigned i = 0; i < 3; i++) {
		fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_INTX_DISABLE);
		assert_int_equal(rig.card.type, INTX);
		assert_true(rig.card.line_off);
		assert_false(fake_card_fire(&rig.card, 0));
		fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
		assert_false(rig.card.line_off);
	}
	assert_int_equal(rig.card.n_calls, calls);
	assert_int_equal(rig.machine.n_irqfds, 1);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(rig.machine.delivered[19], 1);
	/* The register is the guest's own after that. */
	fake_config_write(&rig, PCI_INTERRUPT_LINE, 1, 7);
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	use_it();
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_LINE, 1), 7);
}

/* The host's line may be shared: it is closed in the card whenever nobody handles it. */
static void test_quiet_while_off(void **state)
{
	(void)state;
	assert_true(rig.card.line_off);
	use_it();
	assert_false(rig.card.line_off);
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_true(rig.card.line_off);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(rig.card.type, INTX);
	assert_false(rig.card.line_off);
	assert_int_equal(vfio_pci_reset(rig.dev, NULL), 0);
	assert_true(rig.card.line_off);
	use_it();
	vfio_pci_fence(rig.dev);
	assert_true(rig.card.line_off);
	assert_int_equal(rig.card.unhandled, 0);
	assert_true(rig.card.disables >= 3);
}

/* A card that does not answer reads as ones, which must not be written back. */
static void test_dead(void **state)
{
	unsigned writes = rig.card.config_writes;

	(void)state;
	rig.card.dead = true;
	vfio_intx_gate(rig.dev, false);
	vfio_intx_gate(rig.dev, true);
	assert_int_equal(rig.card.config_writes, writes);
	rig.card.dead = false;
}

/* Each of the three calls may fail: nothing is left behind, and the next sync tries again. */
static void test_refused(void **state)
{
	(void)state;
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xc000);
	rig.machine.irqfd_error = ENOMEM;
	use_it();
	assert_int_equal(rig.card.type, -1);
	rig.machine.irqfd_error = 0;
	for (unsigned nth = 1; nth <= 2; nth++) {
		/* Off; then the nth SET_IRQS of what turns it on. */
		fake_config_write(&rig, PCI_COMMAND, 2, 0);
		assert_int_equal(rig.card.type, -1);
		rig.card.fail_irq = nth;
		fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
		assert_int_equal(rig.card.fail_irq, 0);
		fake_step(&rig);
		fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
		assert_int_equal(rig.card.type, INTX);
		assert_int_equal(rig.machine.n_irqfds, 1);
	}
	assert_true(rig.dev->irqs.counts.failures >= 2);
	assert_int_equal(rig.card.unhandled, 0);
}

static void fill_mediated(struct fake_card *card)
{
	fake_card_pci(card);
	card->mediated = true;
}

FAKE_RIG_START(mediated_serial, fill_mediated, "pcie.0")

/* A device that cannot listen to an eventfd: the worker does, and unmasks. */
static void test_unmasked_here(void **state)
{
	(void)state;
	use_it();
	assert_int_equal(rig.card.type, INTX);
	assert_int_equal(rig.card.unmask_fd, -1);
	for (unsigned i = 1; i <= 3; i++) {
		assert_true(fake_card_fire(&rig.card, 0));
		fake_step(&rig);
		assert_int_equal(rig.machine.delivered[19], i);
		assert_false(fake_card_fire(&rig.card, 0));
		sys_eventfd_signal(rig.dev->irqs.intx_resample); /* the guest's EOI */
		fake_step(&rig);
	}
	/* Off and on again: no second watch, none left. */
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	assert_null(rig.dev->irqs.intx_watch.fn);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_non_null(rig.dev->irqs.intx_watch.fn);
}

static void fill_none(struct fake_card *card)
{
	fake_card_nvme(card);
	card->irq_count[INTX] = 0;
}

FAKE_RIG_START(no_intx, fill_none, "pcie.0")

static void test_none(void **state)
{
	(void)state;
	/* The card has a pin, the kernel cannot serve it: the guest sees none. */
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_PIN, 1), 0);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000004);
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	fake_step(&rig);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.dev->irqs.intx_trigger, -1);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_on, serial),
		CASE(test_fires_at_once, serial),
		CASE(test_disable_bit, serial),
		CASE(test_quiet_while_off, serial),
		CASE(test_dead, serial),
		CASE(test_refused, serial),
		CASE(test_none, no_intx),
		CASE(test_unmasked_here, mediated_serial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
