/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_firewall.c - the firewall: what a guest sees of a card's registers, and what its writes
 * reach. Which capabilities there are: test_vfio_caps.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/pci_regs.h>

#include "fake_vfio_device.h"

static struct fake_rig rig;

FAKE_RIG_START(nvme_root, fake_card_nvme, "pcie.0")
FAKE_RIG_START(nvme_port, fake_card_nvme, "rp1")
FAKE_RIG_START(e1000e, fake_card_e1000e, "rp1")
FAKE_RIG_START(gpu, fake_card_gpu, "rp1")

static unsigned long denied(void)
{
	return atomic_load(&rig.dev->firewall.denied);
}

static uint32_t device(unsigned offset, unsigned size)
{
	return pci_get(rig.card.config, offset, size);
}

static void test_header(void **state)
{
	(void)state;
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x10d38086);
	assert_int_equal(fake_config_read(&rig, PCI_CLASS_REVISION, 4), 0x02000000);
	assert_int_equal(fake_config_read(&rig, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xa01f8086);
	assert_int_equal(fake_config_read(&rig, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_PIN, 1), 1);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	/* Host addresses never show. */
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(
			fake_config_read(&rig, PCI_BASE_ADDRESS_0 + 4 * i, 4), i == 2 ? 1 : 0);
	/* Read-only registers stay, BIST is not there, the line is a scratch byte. */
	fake_config_write(&rig, PCI_VENDOR_ID, 4, 0);
	fake_config_write(&rig, PCI_CLASS_REVISION, 4, 0xffffffff);
	fake_config_write(&rig, PCI_BIST, 1, 0x40);
	fake_config_write(&rig, PCI_INTERRUPT_LINE, 2, 0x020b);
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x10d38086);
	assert_int_equal(fake_config_read(&rig, PCI_CLASS_REVISION, 4), 0x02000000);
	assert_int_equal(fake_config_read(&rig, PCI_BIST, 1), 0);
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_LINE, 2), 0x010b);
	assert_int_equal(fake_config_read(&rig, 0xffe, 4), 0xffffffff);
}

static void test_bar_sizing(void **state)
{
	(void)state;
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_0, 4), 0xfffe0000);
	fake_config_write(&rig, PCI_BASE_ADDRESS_2, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_2, 4), 0xffffffe1);
	fake_config_write(&rig, PCI_BASE_ADDRESS_4, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_4, 4), 0);
	fake_config_write(&rig, PCI_ROM_ADDRESS, 4, 0xfffff800);
	assert_int_equal(fake_config_read(&rig, PCI_ROM_ADDRESS, 4), 0xfffc0000);
	assert_int_equal(rig.card.config_writes, 2); /* COMMAND, at realize */
	assert_int_equal(denied(), 0);
}

static void test_command(void **state)
{
	const uint32_t idle = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE;

	(void)state;
	/* Decode has been on in the device since it was realized, mastering and INTx off. */
	assert_int_equal(device(PCI_COMMAND, 2), idle);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	assert_int_equal(rig.machine.bar_at[0], 0);
	assert_true(
		fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
	assert_int_equal(rig.machine.bar_at[0], 0xd0000000);
	assert_int_equal(device(PCI_COMMAND, 2), 7);
	assert_true(fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0200000));
	assert_int_equal(rig.machine.bar_at[0], 0xd0200000);
	/* Off in the guest: unmapped there, still on in the device; mastering goes. */
	assert_true(fake_config_write(&rig, PCI_COMMAND, 2, 0));
	assert_int_equal(rig.machine.bar_at[0], 0);
	assert_int_equal(device(PCI_COMMAND, 2), idle);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	assert_true(rig.machine.commits >= 3);
}

/*
 * Cards reset themselves by registers of their own and lose COMMAND by it: a GPU's mode 1, tg3's
 * core clock. Linux writes back what it saved (tg3), or only what it reads changed (amdgpu).
 */
static void test_command_lost(void **state)
{
	const uint32_t on = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	(void)state;
	fake_config_write(&rig, PCI_COMMAND, 2, on);
	assert_int_equal(device(PCI_COMMAND, 2) & on, on);
	pci_put(rig.card.config, PCI_COMMAND, 2, 0);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 1), PCI_COMMAND_MASTER);
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x10d38086);
	fake_config_write(&rig, PCI_COMMAND, 2, on);
	assert_int_equal(device(PCI_COMMAND, 2) & on, on);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), on);
	/* What the device never decoded is not lost, nor is anything of a card that is gone. */
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	fake_config_write(&rig, PCI_COMMAND, 2, on);
	rig.card.fail_at = rig.card.calls + 1;
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), on);
}

/* A card that does not answer for a moment is not told to keep the ones that were read of it. */
static void test_command_of_ones(void **state)
{
	(void)state;
	pci_put(rig.card.config, PCI_COMMAND, 2, 0xffff);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_int_equal(device(PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_INTX_DISABLE, 7);
}

static void test_status(void **state)
{
	(void)state;
	pci_put(rig.card.config, PCI_STATUS, 2, 0x2818);
	/* Errors and interrupt status are the device's; the list bit is ours. */
	assert_int_equal(fake_config_read(&rig, PCI_STATUS, 2), 0x2818);
	fake_config_write(&rig, PCI_STATUS, 2, 0x2000);
	assert_int_equal(rig.card.last_offset, PCI_STATUS + 1);
	assert_int_equal(rig.card.last_value & 0xf9, 0x20);
	/* A dword write at COMMAND does not carry COMMAND to the device. */
	fake_config_write(&rig, PCI_COMMAND, 4, 0x08000000);
	assert_int_equal(rig.card.last_offset, PCI_STATUS + 1);
}

static void set_strict(struct vfio_pci_options *options)
{
	options->strict_config = true;
}

static int strict_gpu(void **state)
{
	int ret;

	rig.set_options = set_strict;
	ret = gpu(state);
	rig.set_options = NULL;
	return ret;
}

static void test_denied(void **state)
{
	unsigned writes = rig.card.config_writes;

	(void)state;
	/* x-strict-config. Nothing there; a hidden capability; a vendor's register. */
	pci_put(rig.card.config, 0x50, 4, 0x5ec2e7);
	fake_config_write(&rig, 0x50, 4, 0xffffffff);
	fake_config_write(&rig, 0xc1c + 8, 2, 1);
	fake_config_write(&rig, 0xb8, 4, 0x12345678);
	fake_config_write(&rig, 0x608, 4, 0x12345678);
	assert_int_equal(denied(), 4);
	assert_int_equal(rig.card.config_writes, writes);
	assert_int_equal(fake_config_read(&rig, 0x50, 4), 0);
	/* What every kernel does is no offence; changing who the card is would be one. */
	fake_config_write(&rig, PCI_BASE_ADDRESS_5, 4, 0xffffffff);
	fake_config_write(&rig, PCI_COMMAND, 4, 0xffffffff);
	fake_config_write(&rig, PCI_INTERRUPT_LINE, 4, 0xffffffff);
	assert_int_equal(denied(), 4);
	fake_config_write(&rig, PCI_DEVICE_ID, 2, 0x1234);
	fake_config_write(&rig, PCI_SUBSYSTEM_ID, 2, 0x1234);
	fake_config_write(&rig, PCI_CAPABILITY_LIST, 1, 0x40);
	assert_int_equal(denied(), 7);
}

/* What drivers of real cards read and write where no capability is: lpfc, tg3, bnx2x, xhci. */
static void test_unclaimed(void **state)
{
	static const unsigned open[] = { 0x40, 0x5c, 0xd8, 0xf4, 0xffc }; /* 0xd8: behind VPD */
	static const unsigned closed[] = { 0xc8 + 4,  /* hot plug, of unknown size */
		0x108, 0x258 + 16,		      /* virtual channels, L1 substates */
		0xbb0 + 8, 0xc1c + 8, 0xc1c + 0x3c }; /* resizable BARs, SR-IOV */

	(void)state;
	for (unsigned i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		const unsigned at = open[i];

		pci_put(rig.card.config, at, 4, 0x11223344 + i);
		assert_int_equal(fake_config_read(&rig, at, 4), 0x11223344 + i);
		assert_int_equal(fake_config_read(&rig, at + 1, 1), 0x33);
		assert_false(fake_config_write(&rig, at, 4, 0xa5a50000 + i));
		assert_int_equal(device(at, 4), 0xa5a50000 + i);
		fake_config_write(&rig, at + 2, 2, 0x5a5a);
		assert_int_equal(rig.card.last_offset, at + 2);
		assert_int_equal(device(at, 4), 0x5a5a0000 + i);
	}
	assert_int_equal(denied(), 0);
	for (unsigned i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
		const unsigned at = closed[i];

		pci_put(rig.card.config, at, 4, 0x11223344);
		assert_int_equal(fake_config_read(&rig, at, 4), 0);
		fake_config_write(&rig, at, 4, 0xffffffff);
		assert_int_equal(device(at, 4), 0x11223344);
		assert_int_equal(denied(), i + 1);
	}
	/* Behind a hidden one whose size is known. */
	fake_config_write(&rig, 0xc1c + 0x40, 4, 1);
	assert_int_equal(device(0xc1c + 0x40, 4), 1);
	/* Vendors' own: but for the headers, by which they are found. */
	fake_config_write(&rig, 0xb8, 4, 0x12345678);
	assert_int_equal(device(0xb8, 4), 0x12345678);
	fake_config_write(&rig, 0xb4, 4, 0xffffffff);
	assert_int_equal(device(0xb4, 4), 0xff14c809);
	fake_config_write(&rig, 0x608, 4, 0x12345678);
	assert_int_equal(device(0x608, 4), 0x12345678);
	fake_config_write(&rig, 0x604, 4, 0xffffffff);
	assert_int_equal(device(0x604, 4), 0x02410001);
}

/* A list that leads nowhere leaves unsaid what is whose. */
static void fill_broken(struct fake_card *card)
{
	fake_card_gpu(card);
	card->config[0xd1] = 0x60; /* a loop */
	pci_put(card->config, 0x40, 4, 0x5ec2e7);
}
FAKE_RIG_START(broken, fill_broken, "rp1")

static void test_unclaimed_of_a_broken_list(void **state)
{
	(void)state;
	assert_int_equal(fake_config_read(&rig, 0x40, 4), 0);
	fake_config_write(&rig, 0x40, 4, 1);
	assert_int_equal(device(0x40, 4), 0x5ec2e7);
}

/* mtty's config space has 255 bytes: what it does not have whole is not opened. */
static void fill_short(struct fake_card *card)
{
	fake_card_pci(card);
	card->config_size = 255;
	pci_put(card->config, 0xf8, 4, 0x5ec2e7);
}
FAKE_RIG_START(short_space, fill_short, "pcie.0")

static void test_unclaimed_of_a_short_space(void **state)
{
	unsigned writes = rig.card.config_writes;

	(void)state;
	assert_int_equal(fake_config_read(&rig, 0xf8, 4), 0x5ec2e7);
	assert_int_equal(fake_config_read(&rig, 0xfc, 4), 0);
	fake_config_write(&rig, 0xfc, 4, 1);
	assert_int_equal(rig.card.config_writes, writes);
}

/* A conventional card has 256 bytes; on the root bus, or anywhere. */
FAKE_RIG_START(conventional, fake_card_pci, "pcie.0")

static void test_unclaimed_conventional(void **state)
{
	(void)state;
	fake_config_write(&rig, 0xfc, 4, 0x01020304);
	assert_int_equal(device(0xfc, 4), 0x01020304);
	pci_put(rig.card.config, 0x104, 4, 0x5ec2e7);
	assert_int_equal(fake_config_read(&rig, 0x104, 4), 0);
}

#define DEVCAP2 (0x80 + PCI_EXP_DEVCAP2)
#define DEVCTL2 (0x80 + PCI_EXP_DEVCTL2)

static void card_capable(struct fake_card *card)
{
	fake_card_nvme(card);
	pci_put(card->config, DEVCAP2, 4, 0xffffffff);
}

static void card_agreed(struct fake_card *card)
{
	card_capable(card);
	pci_put(card->config, DEVCTL2, 2, 0x1400);
}

/* The host has neither LTR nor 10-bit tags on: the guest cannot, and does not see that it could. */
FAKE_RIG_START(capable, card_capable, "rp1")

static void test_atomics(void **state)
{
	(void)state;
	assert_int_equal(fake_config_read(&rig, DEVCAP2, 4), 0x000103df);
	fake_config_write(&rig, DEVCAP2, 4, 0);
	assert_int_equal(fake_config_read(&rig, DEVCAP2, 4), 0x000103df);
	/* The bit of requests, and nothing but that. */
	fake_config_write(&rig, DEVCTL2, 2, PCI_EXP_DEVCTL2_ATOMIC_REQ);
	assert_int_equal(device(DEVCTL2, 2), PCI_EXP_DEVCTL2_ATOMIC_REQ);
	assert_int_equal(fake_config_read(&rig, DEVCTL2, 2), PCI_EXP_DEVCTL2_ATOMIC_REQ);
	/* Byte by byte, with all that is the host's. */
	fake_config_write(&rig, DEVCTL2, 1, 0xff);
	fake_config_write(&rig, DEVCTL2 + 1, 1, 0xff);
	assert_int_equal(device(DEVCTL2, 2), 0x035f);
	assert_int_equal(fake_config_read(&rig, DEVCTL2, 2), 0x035f);
	fake_config_write(&rig, DEVCTL2, 4, 0);
	assert_int_equal(device(DEVCTL2, 2), 0);
	assert_false(rig.dev->firewall.tags10);
	assert_int_equal(vfio_pci_completes(rig.dev), 0);
}

/* The host has them on, and they stay on, whatever the guest says. */
FAKE_RIG_START(agreed, card_agreed, "rp1")

static void test_agreed(void **state)
{
	(void)state;
	assert_int_equal(fake_config_read(&rig, DEVCAP2, 4), 0x00030bdf);
	assert_int_equal(fake_config_read(&rig, DEVCTL2, 2), 0);
	fake_config_write(&rig, DEVCTL2, 2, 0xffff);
	assert_int_equal(fake_config_read(&rig, DEVCTL2, 2), 0x175f);
	assert_int_equal(device(DEVCTL2, 2), 0x175f);
	fake_config_write(&rig, DEVCTL2, 2, 0);
	assert_int_equal(fake_config_read(&rig, DEVCTL2, 2), 0);
	assert_int_equal(device(DEVCTL2, 2), 0x1400);
	assert_int_equal(vfio_pci_completes(rig.dev), 0x10000);
}

/* Registers end before Device Control 2: a version 1 capability. */
static void card_version_1(struct fake_card *card)
{
	card_agreed(card);
	pci_put(card->config, 0x80 + PCI_EXP_FLAGS, 2, 1);
}

FAKE_RIG_START(version_1, card_version_1, "rp1")

static void test_version_1_agrees_to_nothing(void **state)
{
	(void)state;
	assert_false(rig.dev->firewall.tags10);
	assert_int_equal(vfio_pci_completes(rig.dev), 0);
}

/* What Linux 6.6 says of the path, in its bits, behind a capability of another kind. */
static void card_atomic_path(struct fake_card *card)
{
	fake_card_nvme(card);
	card->atomics = 0xffffff85;
}

FAKE_RIG_START(atomic_path, card_atomic_path, "rp1")

static void test_kernel_says_what_is_completed(void **state)
{
	(void)state;
	assert_int_equal(vfio_pci_completes(rig.dev),
		PCI_EXP_DEVCAP2_ATOMIC_COMP32 | PCI_EXP_DEVCAP2_ATOMIC_COMP128);
}

static void test_express_port(void **state)
{
	uint32_t flags = fake_config_read(&rig, 0x80 + PCI_EXP_FLAGS, 2);

	(void)state;
	assert_int_equal((flags & PCI_EXP_FLAGS_TYPE) >> 4, PCI_EXP_TYPE_ENDPOINT);
	/* The true link. */
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCAP, 4), 0x00477843);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKSTA, 2), 0x1043);
	/* No phantom functions, LTR, OBFF. */
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_DEVCAP, 4), 0x10008fc1);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_DEVCAP2, 4), 0x1f);
	/* Link control is ours alone. */
	fake_config_write(&rig, 0x80 + PCI_EXP_LNKCTL, 2, 0x0003);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCTL, 2), 0x0003);
	assert_int_equal(device(0x80 + PCI_EXP_LNKCTL, 2), 0x0042);
	/* Device control: MPS is ours, MRRS and the enables are the device's. */
	fake_config_write(&rig, 0x80 + PCI_EXP_DEVCTL, 2, 0x5f | 0x3000 | 0x0400);
	assert_int_equal(device(0x80 + PCI_EXP_DEVCTL, 2), 0x3010);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_DEVCTL, 2), 0x305f);
	/* Whether errors reach the host is not the guest's to say. */
	rig.card.config[0x80 + PCI_EXP_DEVCTL] |= 0x0f;
	fake_config_write(&rig, 0x80 + PCI_EXP_DEVCTL, 2, 0);
	assert_int_equal(device(0x80 + PCI_EXP_DEVCTL, 2), 0x000f);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_DEVCTL, 2), 0);
}

static void test_device_status(void **state)
{
	(void)state;
	pci_put(rig.card.config, 0x80 + PCI_EXP_DEVSTA, 2, 0x0009);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_DEVSTA, 2), 0x0009);
	fake_config_write(&rig, 0x80 + PCI_EXP_DEVSTA, 2, 0x0001);
	assert_int_equal(rig.card.last_offset, 0x80 + PCI_EXP_DEVSTA);
	assert_int_equal(rig.card.last_value & 0xf, 1);
}

static void test_flr(void **state)
{
	unsigned resets = rig.card.resets;

	(void)state;
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000004);
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	fake_config_write(&rig, 0x40 + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(rig.machine.bar_at[0], 0xd0000000);
	assert_true(
		fake_config_write(&rig, 0x80 + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR | 0x2810));
	assert_int_equal(rig.card.resets, resets + 1);
	/* As after power-on; the bit reads as zero; nothing is mapped, nothing interrupts. */
	assert_int_equal(
		fake_config_read(&rig, 0x80 + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_0, 4), 4);
	assert_int_equal(fake_config_read(&rig, 0x40 + PCI_MSIX_FLAGS, 2), 64);
	assert_int_equal(rig.machine.bar_at[0], 0);
	assert_int_equal(rig.card.type, -1);
	assert_int_equal(device(PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(rig.card.resets_armed, 0);
	/* The bit itself never reaches the device: the reset is ours to do. */
	assert_int_equal(device(0x80 + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
}

static void test_power(void **state)
{
	unsigned resets = rig.card.resets;

	(void)state;
	/* No PME; the state is ours, the device stays in D0. */
	assert_int_equal(fake_config_read(&rig, 0xc8 + PCI_PM_PMC, 2) & PCI_PM_CAP_PME_MASK, 0);
	fake_config_write(&rig, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	assert_true(fake_config_write(&rig, 0xc8 + PCI_PM_CTRL, 2, 0x0103));
	assert_int_equal(fake_config_read(&rig, 0xc8 + PCI_PM_CTRL, 2), 0x000b);
	assert_int_equal(device(0xc8 + PCI_PM_CTRL, 2), 0x0008);
	assert_int_equal(device(PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	/* No_Soft_Reset is set: coming back resets nothing. */
	assert_true(fake_config_write(&rig, 0xc8 + PCI_PM_CTRL, 2, 0));
	assert_int_equal(device(PCI_COMMAND, 2) & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
	assert_int_equal(rig.card.resets, resets);
	/* It has D1, and no D2. */
	fake_config_write(&rig, 0xc8 + PCI_PM_CTRL, 2, 1);
	assert_int_equal(fake_config_read(&rig, 0xc8 + PCI_PM_CTRL, 2), 0x0009);
	fake_config_write(&rig, 0xc8 + PCI_PM_CTRL, 2, 2);
	assert_int_equal(fake_config_read(&rig, 0xc8 + PCI_PM_CTRL, 2), 0x0009);
}

static void fill_soft_reset(struct fake_card *card)
{
	fake_card_nvme(card);
	pci_put(card->config, 0x60 + PCI_PM_CTRL, 2, 0);
}
FAKE_RIG_START(soft_reset, fill_soft_reset, "rp1")

static void test_power_resets(void **state)
{
	unsigned resets = rig.card.resets;

	(void)state;
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000004);
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	fake_config_write(&rig, 0x60 + PCI_PM_CTRL, 2, 3);
	assert_int_equal(rig.card.resets, resets);
	assert_int_equal(rig.machine.bar_at[0], 0xd0000000);
	assert_int_equal(rig.machine.traps, 0);
	fake_config_write(&rig, 0x60 + PCI_PM_CTRL, 2, 0);
	assert_int_equal(rig.card.resets, resets + 1);
	/* Prepared, like any reset. */
	assert_int_equal(rig.machine.traps, 1);
	assert_int_equal(rig.machine.waited_for, rig.machine.graces);
	assert_false(rig.machine.trapped);
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 0);
	assert_int_equal(rig.machine.bar_at[0], 0);
}

static void test_vpd(void **state)
{
	unsigned writes = rig.card.config_writes;

	(void)state;
	assert_true(fake_config_write(&rig, 0xd2, 2, 0x0010));
	assert_int_equal(device(0xd2, 2), 0x0010);
	pci_put(rig.card.config, 0xd2, 2, 0x8010);
	pci_put(rig.card.config, 0xd4, 4, 0x41424344);
	assert_int_equal(fake_config_read(&rig, 0xd2, 2), 0x8010);
	assert_int_equal(fake_config_read(&rig, 0xd4, 4), 0x41424344);
	/* As one dword with the header: same thing. */
	assert_true(fake_config_write(&rig, 0xd0, 4, 0x00200000));
	assert_int_equal(device(0xd2, 2), 0x0020);
	assert_int_equal(rig.card.config_writes, writes + 2);
	/* Storing, half a register, and the data: refused. */
	fake_config_write(&rig, 0xd2, 2, 0x8010);
	fake_config_write(&rig, 0xd3, 1, 0x80);
	fake_config_write(&rig, 0xd3, 1, 0x00);
	fake_config_write(&rig, 0xd4, 4, 0x31323334);
	assert_int_equal(rig.card.config_writes, writes + 2);
	assert_true(denied() >= 4);
}

static void test_aer(void **state)
{
	(void)state;
	pci_put(rig.card.config, 0x110, 4, 0x00002001);
	assert_int_equal(fake_config_read(&rig, 0x110, 4), 0x00002001);
	fake_config_write(&rig, 0x110, 4, 0x00000001);
	assert_int_equal(rig.card.last_offset, 0x110);
	assert_int_equal(rig.card.last_value, 1);
	/* Masks are the host's: the guest has a copy. */
	assert_int_equal(fake_config_read(&rig, 0x108, 4), 0x00400000);
	fake_config_write(&rig, 0x108, 4, 0xffffffff);
	assert_int_equal(fake_config_read(&rig, 0x108, 4), 0xffffffff);
	assert_int_equal(device(0x108, 4), 0x00400000);
}

static void test_dead_device(void **state)
{
	(void)state;
	rig.card.dead = true;
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x00101b36);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKSTA, 2), 0xffff);
	rig.card.dead = false;
	rig.card.fail_at = rig.card.calls + 1;
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKSTA, 2), 0xffff);
}

static void fill_no_flr(struct fake_card *card)
{
	fake_card_nvme(card);
	card->flags = VFIO_DEVICE_FLAGS_PCI;
}
FAKE_RIG_START(no_flr, fill_no_flr, "rp1")

static void test_flr_impossible(void **state)
{
	(void)state;
	fake_config_write(&rig, PCI_COMMAND, 2, 6);
	assert_false(fake_config_write(&rig, 0x80 + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR));
	assert_int_equal(fake_config_read(&rig, PCI_COMMAND, 2), 6);
}

/* What a kernel, or a mediated device, may say about BARs. */
static void fill_odd_bars(struct fake_card *card)
{
	fake_card_nvme(card);
	card->region[0].size = 0x6000;
	card->region[1].size = 0x1000;
	card->region[2].size = 8;
	card->region[PCI_ROM].size = 0x800;
	card->region[PCI_ROM].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
}
FAKE_RIG_START(odd_bars, fill_odd_bars, "rp1")

static void test_odd_bars(void **state)
{
	(void)state;
	/* Sizes are powers of two, at least 16; the upper half of a 64-bit BAR is none itself. */
	assert_int_equal(rig.dev->fn.bar[0].size, 0x8000);
	assert_int_equal(rig.dev->fn.bar[1].kind, PCI_BAR_NONE);
	assert_int_equal(rig.dev->fn.bar[2].size, 16);
	/* Past what the device has: ones. */
	assert_int_equal(fake_bar_read(&rig, 0, 0x6000, 4), 0xffffffff);
	/* A ROM is read-only even if the kernel would write it. */
	fake_bar_write(&rig, PCI_ROM, 0, 4, 1);
	assert_int_equal(rig.card.region_writes, 0);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_header, e1000e),
		CASE(test_bar_sizing, e1000e),
		CASE(test_command, e1000e),
		CASE(test_command_lost, e1000e),
		CASE(test_command_of_ones, e1000e),
		CASE(test_status, e1000e),
		CASE(test_denied, strict_gpu),
		CASE(test_unclaimed, gpu),
		CASE(test_unclaimed_of_a_broken_list, broken),
		CASE(test_unclaimed_conventional, conventional),
		CASE(test_unclaimed_of_a_short_space, short_space),
		CASE(test_atomics, capable),
		CASE(test_agreed, agreed),
		CASE(test_version_1_agrees_to_nothing, version_1),
		CASE(test_kernel_says_what_is_completed, atomic_path),
		CASE(test_express_port, nvme_port),
		CASE(test_device_status, nvme_port),
		CASE(test_flr, nvme_root),
		CASE(test_power, e1000e),
		CASE(test_power_resets, soft_reset),
		CASE(test_vpd, gpu),
		CASE(test_aer, nvme_port),
		CASE(test_dead_device, nvme_port),
		CASE(test_flr_impossible, no_flr),
		CASE(test_odd_bars, odd_bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
