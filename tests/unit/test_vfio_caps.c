/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_caps.c - the firewall: which of a card's capabilities a guest finds, and in what shape;
 * lists that are broken; the firewall alone, of cards that are odd.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "fake_vfio_device.h"

static struct fake_rig rig;

FAKE_RIG_START(nvme_root, fake_card_nvme, "pcie.0")
FAKE_RIG_START(e1000e, fake_card_e1000e, "rp1")
FAKE_RIG_START(vf, fake_card_vf, "rp1")
FAKE_RIG_START(gpu, fake_card_gpu, "rp1")
FAKE_RIG_START(conventional, fake_card_pci, "pcie.0")

/* The guest's own walk: "id@offset id@offset ...", standard list. */
static const char *list(void)
{
	static char text[512];
	unsigned at = fake_config_read(&rig, PCI_CAPABILITY_LIST, 1), n = 0;

	text[0] = 0;
	if (!(fake_config_read(&rig, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return "none";
	for (; at && n < 48; at = fake_config_read(&rig, at + 1, 1), n++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%02x@%02x",
			n ? " " : "", fake_config_read(&rig, at, 1), at);
	return text;
}

/* And of the extended one. */
static const char *ext_list(void)
{
	static char text[512];
	unsigned n = 0;

	text[0] = 0;
	for (unsigned at = 0x100; at && n < 48; n++) {
		uint32_t head = fake_config_read(&rig, at, 4);

		if (!head)
			break;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%02x@%03x",
			n ? " " : "", head & 0xffff, at);
		at = head >> 20;
	}
	return text;
}

static void test_lists(void **state)
{
	(void)state;
	assert_string_equal(list(), "01@c8 05@d0 10@e0 11@a0");
	assert_string_equal(ext_list(), "01@100 03@140");
	assert_int_equal(rig.dev->firewall.hidden, 0);
	assert_int_equal(fake_config_read(&rig, 0x144, 4), 0xff123456);
}

static void test_gpu_lists(void **state)
{
	(void)state;
	assert_string_equal(list(), "01@60 05@68 10@78 09@b4 03@d0");
	/*
	 * The first is hidden: a null capability in its place; SR-IOV and resizable BAR are gone.
	 */
	assert_string_equal(ext_list(), "00@100 01@420 0b@600");
	assert_int_equal(fake_config_read(&rig, 0x100, 4), 0x42000000);
	assert_int_equal(fake_config_read(&rig, 0xbb0, 4), 0);
	assert_int_equal(fake_config_read(&rig, 0xc1c, 4), 0);
	assert_int_equal(fake_config_read(&rig, 0xc8, 4), 0);
	assert_int_equal(rig.dev->firewall.hidden, 5);
	/* The vendor's are readable, as they are now. */
	assert_int_equal(fake_config_read(&rig, 0x608, 4), 0xcafef00d);
	pci_put(rig.card.config, 0x608, 4, 0x11223344);
	assert_int_equal(fake_config_read(&rig, 0x608, 4), 0x11223344);
	pci_put(rig.card.config, 0xb8, 4, 0x55667788);
	assert_int_equal(fake_config_read(&rig, 0xb8, 4), 0x55667788);
	/* 64-bit prefetchable BARs as they are. */
	assert_int_equal(fake_config_read(&rig, PCI_BASE_ADDRESS_1, 4), 0xc);
	assert_int_equal(rig.dev->fn.bar[1].size, 1ull << 34);
	assert_int_equal(rig.dev->fn.bar[2].kind, PCI_BAR_NONE);
	assert_int_equal(rig.dev->fn.bar[3].kind, PCI_BAR_MEM64);
	assert_int_equal(rig.dev->fn.bar[5].kind, PCI_BAR_IO);
}

static void test_vf(void **state)
{
	(void)state;
	assert_string_equal(list(), "11@70 10@a0");
	assert_string_equal(ext_list(), "01@100");
	assert_int_equal(fake_config_read(&rig, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(fake_config_read(&rig, 0x150, 4), 0);
}

static void test_conventional(void **state)
{
	(void)state;
	assert_string_equal(list(), "none");
	assert_string_equal(ext_list(), "");
	assert_int_equal(fake_config_read(&rig, 0x40, 4), 0);
	assert_int_equal(fake_config_read(&rig, 0x100, 4), 0);
	assert_int_equal(rig.dev->fn.bar[0].kind, PCI_BAR_IO);
}

static void test_express_root(void **state)
{
	uint32_t flags = fake_config_read(&rig, 0x80 + PCI_EXP_FLAGS, 2);

	(void)state;
	assert_int_equal((flags & PCI_EXP_FLAGS_TYPE) >> 4, PCI_EXP_TYPE_RC_END);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCAP, 4), 0);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCTL, 4), 0);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCAP2, 4), 0);
	fake_config_write(&rig, 0x80 + PCI_EXP_LNKCTL, 2, 0x43);
	assert_int_equal(fake_config_read(&rig, 0x80 + PCI_EXP_LNKCTL, 2), 0);
	assert_string_equal(ext_list(), "01@100 18@148");
}

/* A guest writes garbage over everything, in every size, and reads it back: nothing breaks. */
static void test_garbage(void **state)
{
	uint32_t seed = 12345;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		unsigned offset, size;

		seed = seed * 1664525 + 1013904223;
		size = 1u << (seed >> 30) % 3;
		offset = (seed >> 8) % (i % 4 ? 256 : 4096) & ~(size - 1);
		seed = seed * 1664525 + 1013904223;
		fake_config_write(&rig, offset, size, i % 5 ? seed : 0xffffffff);
		(void)fake_config_read(&rig, offset, size);
	}
	/* Identity and lists survive, and so does everything outside what was opened. */
	assert_int_equal(fake_config_read(&rig, PCI_VENDOR_ID, 4), 0x10d38086);
	assert_string_equal(list(), "01@c8 05@d0 10@e0 11@a0");
	assert_string_equal(ext_list(), "01@100 03@140");
	assert_int_equal(pci_get(rig.card.config, PCI_BASE_ADDRESS_0, 4), 0xe0000000);
	assert_int_equal(pci_get(rig.card.config, 0xd0, 4), 0x0080e005);
	assert_int_equal(pci_get(rig.card.config, 0xa0, 4), 0x00040011);
	assert_int_equal(pci_get(rig.card.config, 0x144, 4), 0xff123456);
	assert_int_equal(pci_get(rig.card.config, PCI_COMMAND, 2) & 3, 3);
}

/* Capability lists that a broken or hostile card may have. */
static void test_broken_lists(void **state)
{
	static const struct {
		const char *name;
		uint8_t start;
		struct {
			uint8_t at, id, next;
		} cap[3];
		unsigned count, broken;
	} cases[] = {
		{ "empty", 0, { { 0 } }, 0, 0 },
		{ "itself", 0x40, { { 0x40, 1, 0x40 } }, 1, 1 },
		{ "loop of two", 0x40, { { 0x40, 1, 0x50 }, { 0x50, 9, 0x40 } }, 2, 1 },
		{ "into the header", 0x40, { { 0x40, 1, 0x10 } }, 1, 1 },
		{ "start in the header", 0x0c, { { 0 } }, 0, 1 },
		{ "reserved low bits", 0x43, { { 0x40, 1, 0x52 }, { 0x50, 9, 0 } }, 2, 0 },
		{ "all ones", 0x40, { { 0x40, 0xff, 0xff } }, 0, 1 },
		{ "last dword", 0x40, { { 0x40, 1, 0xfc }, { 0xfc, 9, 0 } }, 2, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t config[256] = { 0 };
		struct cap_list caps;

		config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
		config[PCI_CAPABILITY_LIST] = cases[i].start;
		for (unsigned k = 0; k < 3; k++) {
			if (!cases[i].cap[k].at)
				continue;
			config[cases[i].cap[k].at] = cases[i].cap[k].id;
			config[cases[i].cap[k].at + 1] = cases[i].cap[k].next;
		}
		caps_walk(config, &caps);
		if (caps.count != cases[i].count || caps.broken != cases[i].broken)
			fail_msg("%s: %u caps, %u broken", cases[i].name, caps.count, caps.broken);
	}
}

static void test_broken_ext_lists(void **state)
{
	static uint8_t config[PCI_CONFIG_SIZE];
	struct cap_list caps;

	(void)state;
	memset(config, 0, sizeof(config));
	caps_walk_ext(config, 4096, &caps);
	assert_int_equal(caps.count + caps.broken, 0);
	caps_walk_ext(config, 256, &caps);
	assert_int_equal(caps.count + caps.broken, 0);
	/* A loop, a pointer into the standard space, a pointer behind the end. */
	pci_put(config, 0x100, 4, 0x20010001);
	pci_put(config, 0x200, 4, 0x10010003);
	caps_walk_ext(config, 4096, &caps);
	assert_int_equal(caps.count, 2);
	assert_int_equal(caps.broken, 1);
	assert_int_equal(caps.cap[0].room, 0x100);
	assert_int_equal(caps.cap[1].room, 0xe00);
	pci_put(config, 0x200, 4, 0x04010003);
	caps_walk_ext(config, 4096, &caps);
	assert_int_equal(caps.broken, 1);
	pci_put(config, 0x200, 4, 0xffc10003);
	caps_walk_ext(config, 0x800, &caps);
	assert_int_equal(caps.broken, 1);
	memset(config + 0x100, 0xff, 0xf00);
	caps_walk_ext(config, 4096, &caps);
	assert_int_equal(caps.count + caps.broken, 0);
}

/* Capabilities that overlap or are cut off by the end of the space are hidden, not half shown. */
static void fill_overlap(struct fake_card *card)
{
	fake_card_edu(card);
	pci_put(card->config, PCI_CAPABILITY_LIST, 1, 0x40);
	fake_cap(card, 0x40, CAP_ID_PM, 0x44);
	fake_cap(card, 0x44, CAP_ID_MSI, 0xf8);
	pci_put(card->config, 0x46, 2, PCI_MSI_FLAGS_64BIT);
	fake_cap(card, 0xf8, CAP_ID_MSIX, 0x60);
	fake_cap(card, 0x60, CAP_ID_MSI, 0);
}
FAKE_RIG_START(overlap, fill_overlap, "pcie.0")

static void test_overlap(void **state)
{
	(void)state;
	assert_string_equal(list(), "05@44");
	assert_int_equal(rig.dev->firewall.hidden, 3);
	assert_int_equal(rig.dev->irqs.msix.n, 0);
}

/* The firewall alone, of one card with a few bytes changed. */
static struct vfio_firewall fw;
static struct pci_function fn;

struct change {
	uint16_t at;
	uint8_t size;
	uint32_t value;
};

static void build(void (*fill)(struct fake_card *), const struct vfio_firewall_facts *facts,
	const struct change *changes)
{
	static struct fake_card card;

	fake_card_init(&card);
	fill(&card);
	for (; changes && changes->size; changes++)
		pci_put(card.config, changes->at, changes->size, changes->value);
	assert_int_equal(vfio_firewall_build(&fw, &fn, card.config, facts), 0);
	fake_card_release(&card);
}

static const struct vfio_firewall_facts everything = {
	.config_size = 4096, .can_reset = true, .intx = true, .msi = 32, .msix = 2048
};

static void test_fewer_vectors(void **state)
{
	struct vfio_firewall_facts facts = everything;
	const struct change left_by_host[] = { { 0x44, 4, 0xfee01004 }, { 0x4c, 2, 0x4123 },
		{ 0x42, 2, 0x018b | 2 << 4 }, { 0 } };

	(void)state;
	facts.msi = 6;
	facts.msix = 9;
	build(fake_card_edu, &facts, left_by_host);
	/* Four of 32; off, and nothing of the host's message shows. */
	assert_int_equal(pci_get(fn.config, 0x42, 2), 0x0184);
	assert_int_equal(pci_get(fn.wmask, 0x50, 4), 0xf);
	assert_int_equal(pci_get(fn.config, 0x44, 4), 0);
	assert_int_equal(pci_get(fn.config, 0x4c, 2), 0);
	build(fake_card_nvme, &facts, NULL);
	assert_int_equal(pci_get(fn.config, 0x42, 2), 8);
	facts.msi = facts.msix = 0;
	build(fake_card_edu, &facts, NULL);
	assert_int_equal(fw.msi, 0);
	assert_int_equal(fn.config[PCI_CAPABILITY_LIST], 0);
	build(fake_card_nvme, &facts, NULL);
	assert_int_equal(fw.msix, 0);
	assert_int_equal(fn.config[PCI_CAPABILITY_LIST], 0x80);
}

static void test_express_types(void **state)
{
	static const struct {
		unsigned type;
		bool root;
		int want; /* -1: hidden */
	} cases[] = {
		{ PCI_EXP_TYPE_ENDPOINT, true, PCI_EXP_TYPE_RC_END },
		{ PCI_EXP_TYPE_ENDPOINT, false, PCI_EXP_TYPE_ENDPOINT },
		{ PCI_EXP_TYPE_LEG_END, true, -1 },
		{ PCI_EXP_TYPE_LEG_END, false, PCI_EXP_TYPE_LEG_END },
		{ PCI_EXP_TYPE_RC_END, true, PCI_EXP_TYPE_RC_END },
		{ PCI_EXP_TYPE_RC_END, false, PCI_EXP_TYPE_ENDPOINT },
		{ PCI_EXP_TYPE_ROOT_PORT, false, -1 },
		{ PCI_EXP_TYPE_UPSTREAM, true, -1 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vfio_firewall_facts facts = everything;
		const struct change changes[] = { { 0x82, 2, 0x0102 | cases[i].type << 4 },
			{ 0x80 + PCI_EXP_SLTCAP, 4, 0x12345678 }, { 0 } };

		facts.root_bus = cases[i].root;
		build(fake_card_nvme, &facts, changes);
		if (cases[i].want < 0) {
			assert_int_equal(fw.exp, 0);
			/* Without it nobody gets at the extended space. */
			assert_int_equal(pci_get(fn.config, 0x100, 4), 0);
			continue;
		}
		/* No slot behind an endpoint. */
		assert_int_equal(pci_get(fn.config, 0x82, 2), 2 | cases[i].want << 4);
		assert_int_equal(pci_get(fn.config, 0x80 + PCI_EXP_SLTCAP, 4), 0);
	}
	/* The integrated one behind a port has been given a link: 2.5 GT/s, one lane. */
	build(fake_card_nvme, &everything, (const struct change[]){ { 0x82, 2, 0x92 }, { 0 } });
	assert_int_equal(pci_get(fn.config, 0x80 + PCI_EXP_LNKCAP, 4), 0x11);
	assert_int_equal(pci_get(fn.config, 0x80 + PCI_EXP_LNKSTA, 2), 0x11);
	assert_int_equal(pci_get(fw.live, 0x80 + PCI_EXP_LNKSTA, 2), 0);
}

static void test_no_reset(void **state)
{
	struct vfio_firewall_facts facts = everything;
	const struct change af[] = { { 0x61, 1, 0xe0 }, { 0xe0, 4, 0x03060013 }, { 0 } };

	(void)state;
	build(fake_card_nvme, &facts, af);
	assert_int_equal(fw.af, 0xe0);
	assert_int_equal(pci_get(fn.config, 0x84, 4) & PCI_EXP_DEVCAP_FLR, PCI_EXP_DEVCAP_FLR);
	/* FLR is not promised when it cannot be done. */
	facts.can_reset = false;
	build(fake_card_nvme, &facts, af);
	assert_int_equal(fw.af, 0);
	assert_int_equal(pci_get(fn.config, 0x84, 4) & PCI_EXP_DEVCAP_FLR, 0);
}

static void test_odds(void **state)
{
	const struct change asleep[] = { { 0x64, 2, 0x010b }, { 0 } };
	const struct change extended[] = { { 0x100, 4, 0x00010001 }, { 0 } };

	(void)state;
	/* A card that the host left in D3 is in D0 for the guest; PME enable does not show. */
	build(fake_card_nvme, &everything, asleep);
	assert_int_equal(pci_get(fn.config, 0x64, 2), 0x0008);
	/* Conventional, with something where extended space would be. */
	build(fake_card_edu, &everything, extended);
	assert_int_equal(pci_get(fn.config, 0x100, 4), 0);
}

static void test_bridge(void **state)
{
	static uint8_t raw[PCI_CONFIG_SIZE];
	struct vfio_firewall_facts facts = { .config_size = 256 };

	(void)state;
	raw[PCI_HEADER_TYPE] = 0x81;
	assert_int_equal(vfio_firewall_build(&fw, &fn, raw, &facts), -EINVAL);
	raw[PCI_HEADER_TYPE] = 0x80;
	assert_int_equal(vfio_firewall_build(&fw, &fn, raw, &facts), 0);
	assert_int_equal(fn.config[PCI_HEADER_TYPE], 0);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_lists, e1000e),
		CASE(test_gpu_lists, gpu),
		CASE(test_vf, vf),
		CASE(test_conventional, conventional),
		CASE(test_express_root, nvme_root),
		CASE(test_garbage, e1000e),
		CASE(test_overlap, overlap),
		cmocka_unit_test(test_fewer_vectors),
		cmocka_unit_test(test_express_types),
		cmocka_unit_test(test_no_reset),
		cmocka_unit_test(test_odds),
		cmocka_unit_test(test_broken_lists),
		cmocka_unit_test(test_broken_ext_lists),
		cmocka_unit_test(test_bridge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
