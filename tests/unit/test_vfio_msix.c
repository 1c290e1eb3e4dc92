/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_msix.c - MSI-X: lazy arming, growth, masking, pending, messages, disable. */
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

#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define TABLE 0x2000u /* of the NVMe-like card, BAR 0 */
#define PBA 0x3000u
#define CTRL (0x40 + PCI_MSIX_FLAGS)

static struct fake_rig rig;

FAKE_RIG_START(start, fake_card_nvme, "pcie.0")

static void fill_old_kernel(struct fake_card *card)
{
	fake_card_nvme(card);
	card->irq_flags[MSIX] |= VFIO_IRQ_INFO_NORESIZE;
}

FAKE_RIG_START(start_old, fill_old_kernel, "pcie.0")

static void fill_many(struct fake_card *card)
{
	fill_old_kernel(card);
	pci_put(card->config, CTRL, 2, 2047);
	pci_put(card->config, 0x40 + PCI_MSIX_PBA, 4, 0);
	pci_put(card->config, 0x40 + PCI_MSIX_TABLE, 4, 0x8000);
	card->irq_count[MSIX] = 2048;
	card->region[0].size = 0x10000;
}

FAKE_RIG_START(start_many, fill_many, "pcie.0")

static uint64_t entry(unsigned vector)
{
	return TABLE + vector * MSIX_ENTRY;
}

static void message(unsigned vector, uint32_t addr, uint32_t data)
{
	fake_bar_write(&rig, 0, entry(vector), 4, addr);
	fake_bar_write(&rig, 0, entry(vector) + 4, 4, 0);
	fake_bar_write(&rig, 0, entry(vector) + 8, 4, data);
}

static bool mask(unsigned vector, bool on)
{
	return fake_bar_write(&rig, 0, entry(vector) + 12, 4, on);
}

static const struct fake_irq_call *last_call(void)
{
	return &rig.card.call[rig.card.n_calls - 1];
}

static const struct vfio_vector *vector(unsigned i)
{
	return &rig.dev->irqs.vector[i];
}

static void test_power_on(void **state)
{
	(void)state;
	assert_int_equal(rig.dev->irqs.msix.n, 65);
	assert_int_equal(fake_config_read(&rig, CTRL, 2), 64);
	for (unsigned i = 0; i < 65; i++)
		assert_int_equal(fake_bar_read(&rig, 0, entry(i) + 12, 4), 1);
	assert_int_equal(rig.card.type, -1);
}

static void test_lazy_arming(void **state)
{
	unsigned calls;

	(void)state;
	/* Enabled with the function masked: the card's MSI-X is on, but nothing is armed. */
	assert_true(
		fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));
	assert_int_equal(rig.card.type, MSIX);
	assert_int_equal(last_call()->fd, -1);
	assert_int_equal(last_call()->count, 1);
	calls = rig.card.n_calls;
	/* Table writes while masked are nobody's business. */
	message(3, 0xfee00000, 0x4021);
	assert_false(mask(3, false));
	assert_int_equal(rig.machine.route_changes, 0);
	assert_int_equal(rig.card.n_calls, calls);
	/* The function is unmasked: vector 3 alone is armed, KVM first. */
	assert_true(fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE));
	assert_int_equal(rig.card.n_calls, calls + 1);
	assert_int_equal(last_call()->start, 3);
	assert_int_equal(last_call()->count, 1);
	assert_int_equal(last_call()->fd, vector(3)->fd);
	assert_int_equal(rig.machine.n_irqfds, 1);
	assert_int_equal(rig.machine.message[vector(3)->gsi].addr, 0xfee00000);
	assert_int_equal(rig.machine.message[vector(3)->gsi].data, 0x4021);
	assert_true(fake_card_fire(&rig.card, 3));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 3), 1);
	assert_false(fake_card_fire(&rig.card, 0));
}

static void enable(void)
{
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE);
}

static void arm(unsigned i)
{
	message(i, 0xfee00000 + (i << 12), 0x40 + i);
	mask(i, false);
}

static void test_resizable_growth(void **state)
{
	(void)state;
	enable();
	for (unsigned i = 0; i < 65; i++)
		arm(i);
	assert_int_equal(rig.card.disables, 0);
	for (unsigned i = 0; i < 65; i++) {
		assert_true(fake_card_fire(&rig.card, i));
		fake_step(&rig);
		assert_int_equal(fake_delivered(&rig, i), 1);
		assert_int_equal(rig.machine.message[vector(i)->gsi].data, 0x40 + i);
	}
}

static void test_old_kernel_growth(void **state)
{
	(void)state;
	enable();
	for (unsigned i = 0; i < 65; i++)
		arm(i);
	/* 1, 2, 4, 8, 16, 32, 64, 65: seven growths, not 64. */
	assert_int_equal(rig.card.disables, 7);
	assert_int_equal(rig.card.block, 65);
	for (unsigned i = 0; i < 65; i++) {
		unsigned before;

		fake_step(&rig);
		before = fake_delivered(&rig, i);
		assert_true(fake_card_fire(&rig.card, i));
		fake_step(&rig);
		assert_int_equal(fake_delivered(&rig, i), before + 1);
	}
}

static void test_growth_loses_nothing(void **state)
{
	unsigned before;

	(void)state;
	enable();
	arm(0);
	fake_step(&rig);
	before = fake_delivered(&rig, 0);
	/* The block of one is torn down for vector 1: whatever vector 0 sent meanwhile is lost. */
	arm(1);
	assert_int_equal(rig.card.disables, 1);
	assert_int_equal(rig.card.fd[0], vector(0)->fd);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), before + 1);
}

static void test_function_unmask_grows_once(void **state)
{
	(void)state;
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned i = 0; i < 20; i++)
		arm(i);
	enable();
	assert_int_equal(rig.card.disables, 1);
	assert_int_equal(rig.card.block, 32);
	for (unsigned i = 0; i < 20; i++)
		assert_true(fake_card_fire(&rig.card, i));
}

static void test_growth_refused(void **state)
{
	unsigned disables;

	(void)state;
	rig.card.host_vectors = 5;
	enable();
	for (unsigned i = 0; i < 8; i++)
		arm(i);
	/* Eight do not fit, five do; those armed before the refusal still work. */
	for (unsigned i = 0; i < 8; i++) {
		unsigned before;

		fake_step(&rig);
		before = fake_delivered(&rig, i);
		assert_int_equal(fake_card_fire(&rig.card, i), i < 5);
		fake_step(&rig);
		assert_int_equal(fake_delivered(&rig, i), before + (i < 5));
	}
	assert_int_not_equal(rig.dev->irqs.counts.failures, 0);
	/* Room again: an unmask finds it, but no sooner than a second after the refusal. */
	rig.card.host_vectors = 64;
	disables = rig.card.disables;
	mask(7, true);
	mask(7, false);
	assert_int_equal(rig.card.disables, disables);
	rig.dev->irqs.msix.full_until = 0;
	mask(7, true);
	mask(7, false);
	assert_true(fake_card_fire(&rig.card, 7));
}

static void test_mask_keeps_pending(void **state)
{
	unsigned calls;

	(void)state;
	enable();
	arm(2);
	calls = rig.card.n_calls;
	assert_true(mask(2, true));
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_true(fake_card_fire(&rig.card, 2));
	assert_true(fake_card_fire(&rig.card, 2));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 0);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 1 << 2);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 8), 1 << 2);
	assert_int_equal(fake_bar_read(&rig, 0, PBA + 8, 8), 0);
	assert_true(mask(2, false));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 1);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 0);
	/* Toggling cost no call on the device. */
	assert_int_equal(rig.card.n_calls, calls);
}

static void test_pending_not_seen_yet(void **state)
{
	(void)state;
	enable();
	arm(2);
	mask(2, true);
	/* The worker has not run since: the eventfd still holds it. */
	assert_true(fake_card_fire(&rig.card, 2));
	mask(2, false);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 1);
	/* And nothing more comes of it. */
	mask(2, true);
	mask(2, false);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 2), 1);
}

/* The same without the worker's loop in between. */
static void test_pending_in_the_eventfd(void **state)
{
	struct vfio_vector *v = &rig.dev->irqs.vector[2];

	(void)state;
	enable();
	arm(2);
	vfio_vector_mask(v);
	fake_card_fire(&rig.card, 2);
	assert_int_equal(vfio_vector_connect(v), 0);
	fake_deliver(&rig.machine);
	assert_int_equal(fake_delivered(&rig, 2), 1);
	/* What comes before a vector is dropped is gone with it. */
	vfio_vector_mask(v);
	fake_card_fire(&rig.card, 2);
	vfio_vector_drop(v);
	assert_int_equal(vfio_vector_connect(v), 0);
	fake_deliver(&rig.machine);
	assert_int_equal(fake_delivered(&rig, 2), 1);
}

static void interrupts(struct vfio_interrupts *out)
{
	struct vfio_pci_info info;

	vfio_pci_query(rig.dev, &info);
	*out = info.interrupts;
}

/* A guest that masks and unmasks in a loop: no call on the device, and it can be counted. */
static void test_toggles_are_counted(void **state)
{
	struct vfio_interrupts before, after;

	(void)state;
	interrupts(&before);
	assert_string_equal(before.mode, "off");
	assert_int_equal(before.vectors, 0);
	enable();
	arm(0);
	arm(5);
	interrupts(&before);
	assert_string_equal(before.mode, "msix");
	assert_int_equal(before.vectors, 65);
	assert_int_equal(before.armed, 2);
	assert_int_equal(before.connected, 2);
	for (unsigned i = 0; i < 100; i++) {
		mask(5, true);
		fake_card_fire(&rig.card, 5);
		fake_step(&rig);
		interrupts(&after);
		assert_int_equal(after.armed, 2);
		assert_int_equal(after.connected, 1);
		assert_int_equal(after.pending, 1);
		mask(5, false);
	}
	interrupts(&after);
	assert_int_equal(after.connected, 2);
	assert_int_equal(after.pending, 0);
	assert_int_equal(after.masked - before.masked, 100);
	assert_int_equal(after.held - before.held, 100);
	assert_int_equal(after.set_irqs, before.set_irqs);
	assert_int_equal(after.failures, 0);
	fake_config_write(&rig, CTRL, 2, 0);
	interrupts(&after);
	assert_int_equal(after.armed + after.connected + after.pending, 0);
	assert_true(after.set_irqs > before.set_irqs);
}

static void test_storm_wakes_once(void **state)
{
	(void)state;
	enable();
	arm(1);
	mask(1, true);
	fake_card_fire(&rig.card, 1);
	fake_step(&rig);
	assert_true(vector(1)->pending);
	/* No longer watched: a storm on a masked vector costs the worker nothing. */
	assert_false(vector(1)->watched);
}

static void test_function_mask(void **state)
{
	(void)state;
	enable();
	arm(0);
	arm(1);
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(rig.machine.n_irqfds, 0);
	fake_card_fire(&rig.card, 1);
	fake_step(&rig);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 1 << 1);
	enable();
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 0);
	assert_int_equal(fake_delivered(&rig, 1), 1);
}

/*
 * Linux' pci_restore_state() after a reset that the card did by registers of its own: VFIO writes the
 * card's table when it is given a vector's eventfd anew, and at no other time.
 */
static void restored(void)
{
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	arm(0);
	arm(1);
	mask(2, true);
	enable();
}

static void test_restored_after_own_reset(void **state)
{
	unsigned calls;

	(void)state;
	enable();
	for (unsigned i = 0; i < 3; i++)
		arm(i);
	mask(2, true);
	calls = rig.card.n_calls;
	restored();
	/* The masked one's, too: it may be unmasked alone. */
	assert_int_equal(rig.card.n_calls, calls + 3);
	assert_int_equal(last_call()->start, 2);
	assert_int_equal(last_call()->fd, vector(2)->fd);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 1);
	/* Once for each time that the function was masked. */
	enable();
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	assert_int_equal(rig.card.n_calls, calls + 3);
}

/* The card lost enable as well: the kernel sets it with the first vector, and then no more. */
static void test_restored_after_own_reset_of_all(void **state)
{
	unsigned disables;

	(void)state;
	enable();
	arm(0);
	arm(1);
	disables = rig.card.disables;
	pci_put(rig.card.config, CTRL, 2, pci_get(rig.card.config, CTRL, 2) & 0x7ff);
	restored();
	assert_int_equal(rig.card.disables, disables + 1);
	assert_true(pci_get(rig.card.config, CTRL, 2) & PCI_MSIX_FLAGS_ENABLE);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(fake_card_fire(&rig.card, i));
		fake_step(&rig);
		assert_int_equal(fake_delivered(&rig, i), 1);
	}
	restored();
	assert_int_equal(rig.card.disables, disables + 1);
}

static void test_message_change(void **state)
{
	unsigned calls, changes;

	(void)state;
	enable();
	arm(0);
	calls = rig.card.n_calls;
	changes = rig.machine.route_changes;
	/* Masked: only the unmask looks at the message. */
	mask(0, true);
	message(0, 0xfee01000, 0x55);
	assert_int_equal(rig.machine.route_changes, changes);
	mask(0, false);
	assert_int_equal(rig.machine.route_changes, changes + 1);
	assert_int_equal(rig.machine.message[vector(0)->gsi].data, 0x55);
	/* The same again: no change, no commit. */
	mask(0, true);
	mask(0, false);
	assert_int_equal(rig.machine.route_changes, changes + 1);
	/* While unmasked: each write takes effect. */
	assert_true(fake_bar_write(&rig, 0, entry(0) + 8, 4, 0x66));
	assert_int_equal(rig.machine.message[vector(0)->gsi].data, 0x66);
	assert_false(fake_bar_write(&rig, 0, entry(0) + 8, 4, 0x66));
	assert_int_equal(rig.card.n_calls, calls);
}

static void test_disable(void **state)
{
	unsigned before;

	(void)state;
	enable();
	arm(0);
	arm(1);
	mask(1, true);
	fake_step(&rig);
	fake_card_fire(&rig.card, 1);
	fake_step(&rig);
	before = fake_delivered(&rig, 0);
	fake_config_write(&rig, CTRL, 2, 0);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 0);
	/* On again: what was pending is gone, the table is as it was. */
	enable();
	mask(1, false);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 1), 0);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_true(fake_delivered(&rig, 0) > before);
}

/* Turning it on fails, the first vector does it after all: off is off again. */
static void test_enable_refused(void **state)
{
	(void)state;
	rig.card.fail_irq = 1;
	enable();
	assert_int_equal(rig.card.type, -1);
	message(0, 0xfee00000, 0x40);
	rig.card.fail_irq = 1; /* fails again just before the vector is armed */
	mask(0, false);
	assert_int_equal(rig.card.type, MSIX);
	fake_config_write(&rig, CTRL, 2, 0);
	assert_int_equal(rig.card.type, -1);
}

static void test_irqfd_refused(void **state)
{
	(void)state;
	enable();
	rig.machine.irqfd_error = ENOMEM;
	arm(0);
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_int_not_equal(rig.dev->irqs.counts.failures, 0);
	/* Kept, and delivered once KVM can. */
	fake_card_fire(&rig.card, 0);
	fake_step(&rig);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 1);
	rig.machine.irqfd_error = 0;
	mask(0, true);
	mask(0, false);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 1);
}

/* A message that KVM does not take: nothing is delivered by the one before, and nothing is lost. */
static void test_route_refused(void **state)
{
	(void)state;
	enable();
	arm(0);
	fake_step(&rig);
	rig.machine.route_error = EINVAL;
	assert_true(fake_bar_write(&rig, 0, entry(0) + 4, 4, 0x12345678));
	assert_int_equal(rig.machine.n_irqfds, 0);
	assert_int_equal(rig.dev->irqs.counts.failures, 1);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 0);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 1);
	rig.machine.route_error = 0;
	fake_bar_write(&rig, 0, entry(0) + 4, 4, 0);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 0), 1);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 0);
}

/*
 * As Linux does it: enabled with the function masked, messages written, vectors unmasked, and then
 * the function. Each change of routes waits for all vCPUs, so there is one, for all vectors, and
 * none for what comes back as it was.
 */
static void test_one_route_change(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
		for (unsigned i = 0; i < 65; i++)
			arm(i);
		assert_int_equal(rig.machine.route_calls, round);
		enable();
		assert_int_equal(rig.machine.n_irqfds, 65);
		/* The second time only the last one has to be routed: its GSI was given back. */
		assert_int_equal(rig.machine.route_calls, round + 1);
		fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
		assert_int_equal(rig.machine.n_irqfds, 0);
		enable();
		assert_int_equal(rig.machine.n_irqfds, 65);
		fake_config_write(&rig, CTRL, 2, 0);
		assert_int_equal(rig.machine.route_calls, round + 1);
	}
	/* Every message another one, as after a move to other processors. */
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned i = 0; i < 65; i++)
		message(i, 0xfee01000, 0x80 + i);
	enable();
	assert_int_equal(rig.machine.route_calls, 3);
	for (unsigned i = 0; i < 65; i++)
		assert_int_equal(rig.machine.message[vector(i)->gsi].data, 0x80 + i);
}

/* One message that KVM does not take is that vector's loss, and no other's; it is found in few calls. */
static void test_one_route_refused(void **state)
{
	(void)state;
	rig.machine.bad_addr = 0xfee00000 + (33 << 12);
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned i = 0; i < 65; i++)
		arm(i);
	enable();
	assert_int_equal(rig.machine.n_irqfds, 64);
	assert_int_equal(rig.dev->irqs.counts.failures, 1);
	assert_in_range(rig.machine.route_calls, 2, 15);
	for (unsigned i = 0; i < 65; i++)
		assert_true(fake_card_fire(&rig.card, i));
	fake_step(&rig);
	for (unsigned i = 0; i < 65; i++)
		assert_int_equal(fake_delivered(&rig, i), i != 33);
	/* It was kept, and goes where the guest says next. */
	message(33, 0xfee00000, 0x99);
	fake_step(&rig);
	assert_int_equal(fake_delivered(&rig, 33), 1);
}

static void test_table_bits(void **state)
{
	(void)state;
	fake_bar_write(&rig, 0, entry(4) + 12, 4, 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 0, entry(4) + 12, 4), 1);
	fake_bar_write(&rig, 0, entry(4), 4, 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 0, entry(4), 4), 0xfffffffc);
	fake_bar_write(&rig, 0, entry(4) + 8, 8, 0x00000000deadbeefull);
	assert_int_equal(fake_bar_read(&rig, 0, entry(4) + 8, 4), 0xdeadbeef);
	assert_int_equal(fake_bar_read(&rig, 0, entry(4) + 12, 4), 0);
	/* PBA: writes are dropped. */
	fake_bar_write(&rig, 0, PBA, 4, 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 0);
	/* Across the end of the table: ones, and no harm. */
	assert_int_equal(fake_bar_read(&rig, 0, entry(65) - 4, 8), ~0ull);
	fake_bar_write(&rig, 0, entry(65) - 4, 8, 0);
	assert_int_equal(fake_bar_read(&rig, 0, entry(64) + 12, 4), 1);
	/* The rest of the page belongs to the card. */
	fake_bar_write(&rig, 0, entry(65) + 8, 4, 0x12345678);
	assert_int_equal(pci_get(rig.card.region[0].bytes, (unsigned)entry(65) + 8, 4), 0x12345678);
	assert_int_equal(fake_bar_read(&rig, 0, entry(65) + 8, 4), 0x12345678);
	/* And the table never reaches it. */
	assert_int_equal(pci_get(rig.card.region[0].bytes, (unsigned)entry(4), 4), 0);
}

static void test_pba_of_the_card(void **state)
{
	(void)state;
	/* A vector that was never armed: its pending bit is in the card. */
	pci_put(rig.card.region[0].bytes, PBA, 4, 1 << 9);
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 1 << 9);
	rig.card.dead = true;
	assert_int_equal(fake_bar_read(&rig, 0, PBA, 4), 0);
	rig.card.dead = false;
}

static void test_many(void **state)
{
	(void)state;
	assert_int_equal(rig.dev->irqs.msix.n, 2048);
	/* A device holds 64 GSIs; others come when they are needed and go with MSI-X. */
	assert_int_equal(rig.machine.gsis, IRQ_GSI_RESERVE);
	enable();
	for (unsigned i = 0; i < 2048; i += 31)
		fake_bar_write(&rig, 0, 0x8000 + i * MSIX_ENTRY + 12, 4, 0);
	assert_int_equal(rig.machine.gsis, IRQ_GSI_RESERVE + 2048 / 31 - 2);
	for (unsigned i = 0; i < 2048; i += 31)
		assert_true(fake_card_fire(&rig.card, i));
	fake_bar_write(&rig, 0, 0x8000 + 31 * 60 * MSIX_ENTRY + 8, 4, 0x1234);
	fake_config_write(&rig, CTRL, 2, 0);
	assert_int_equal(rig.machine.gsis, IRQ_GSI_RESERVE);
	/*
	 * On again: a GSI that is taken anew needs its route, also when the message is the old one.
	 */
	enable();
	assert_int_equal(rig.machine.message[vector(31 * 60)->gsi].data, 0x1234);
}

/* More than the host has, at once: the guest gets what there is, for a few calls. */
static void test_more_than_the_host_has(void **state)
{
	unsigned calls;

	(void)state;
	rig.card.host_vectors = 200;
	fake_config_write(&rig, CTRL, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	for (unsigned i = 0; i < 2048; i++)
		fake_bar_write(&rig, 0, 0x8000 + i * MSIX_ENTRY + 12, 4, 0);
	calls = rig.card.n_calls;
	enable();
	for (unsigned i = 0; i < 2048; i++)
		assert_int_equal(fake_card_fire(&rig.card, i), i < 200);
	assert_int_equal(rig.dev->irqs.counts.armed, 200);
	assert_in_range(rig.card.n_calls - calls, 200, 210);
	assert_int_equal(rig.dev->irqs.counts.failures, 2048 - 200);
}

static void test_no_more_gsis(void **state)
{
	(void)state;
	rig.machine.gsi_limit = IRQ_GSI_RESERVE;
	enable();
	fake_bar_write(&rig, 0, 0x8000 + 2000 * MSIX_ENTRY + 12, 4, 0);
	assert_int_not_equal(rig.dev->irqs.counts.failures, 0);
	fake_bar_write(&rig, 0, 0x8000 + 12, 4, 0);
	assert_true(fake_card_fire(&rig.card, 0));
	fake_step(&rig);
	assert_true(fake_delivered(&rig, 0) >= 1);
}

static void test_locate(void **state)
{
	static const struct {
		uint32_t flags, table, pba;
		int want;
	} cases[] = {
		{ 64, 0x2000, 0x3000, 0 },
		{ 64, 0x2000, 0x2800, 0 },
		{ 64, 0x7c00, 0x3000, -EINVAL },     /* past the end */
		{ 63, 0x7c00, 0x3000, 0 },	     /* just fits */
		{ 64, 0x2000, 0x8000, 0 },	     /* no PBA, but vectors */
		{ 64, 0x2000 | 1, 0x3000, -EINVAL }, /* BAR that is not there */
		{ 64, 0x2000 | 6, 0x3000, -EINVAL }, /* reserved BIR */
		{ 64, 0x2000, 0x3000 | 7, -EINVAL },
		{ 64, 0xfffffff8, 0x3000, -EINVAL },
		{ 2047, 0x8, 0x3000, -EINVAL },
	};
	uint64_t bar_size[6] = { 0x8000 };
	uint8_t raw[64] = { 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfio_msix msix = { 0 };

		pci_put(raw, PCI_MSIX_FLAGS, 2, cases[i].flags);
		pci_put(raw, PCI_MSIX_TABLE, 4, cases[i].table);
		pci_put(raw, PCI_MSIX_PBA, 4, cases[i].pba);
		assert_int_equal(vfio_msix_locate(&msix, raw, 0, 2048, bar_size), cases[i].want);
		assert_int_equal(msix.n, cases[i].want ? 0 : cases[i].flags + 1);
		/* One of ours goes behind the BAR of the table. */
		if (!cases[i].want) {
			assert_int_equal(msix.pba_ours, cases[i].pba >= 0x8000);
			assert_true(!msix.pba_ours || msix.pba_at == bar_size[msix.table_bar]);
		}
		assert_false(vfio_msix_covers(&msix, 0, 0, 4));
	}
}

#define CASE(name) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)
#define CASE_OLD(name)                                                                             \
	cmocka_unit_test_prestate_setup_teardown(name, start_old, fake_rig_stop, &rig)
#define CASE_MANY(name)                                                                            \
	cmocka_unit_test_prestate_setup_teardown(name, start_many, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_power_on),
		CASE(test_lazy_arming),
		CASE(test_resizable_growth),
		CASE_OLD(test_old_kernel_growth),
		CASE_OLD(test_growth_loses_nothing),
		CASE_OLD(test_function_unmask_grows_once),
		CASE_OLD(test_growth_refused),
		CASE(test_mask_keeps_pending),
		CASE_OLD(test_mask_keeps_pending),
		CASE(test_pending_not_seen_yet),
		CASE(test_pending_in_the_eventfd),
		CASE(test_toggles_are_counted),
		CASE_OLD(test_toggles_are_counted),
		CASE(test_storm_wakes_once),
		CASE(test_function_mask),
		CASE(test_restored_after_own_reset),
		CASE(test_restored_after_own_reset_of_all),
		CASE(test_message_change),
		CASE(test_disable),
		CASE_OLD(test_disable),
		CASE(test_enable_refused),
		CASE(test_irqfd_refused),
		CASE(test_route_refused),
		CASE(test_one_route_change),
		CASE_OLD(test_one_route_change),
		CASE(test_one_route_refused),
		CASE(test_table_bits),
		CASE(test_pba_of_the_card),
		CASE_MANY(test_many),
		CASE_MANY(test_more_than_the_host_has),
		CASE_MANY(test_no_more_gsis),
		cmocka_unit_test(test_locate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
