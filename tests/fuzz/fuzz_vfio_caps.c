/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_vfio_caps.c - config space of a hostile card: walks end, and what a guest would be shown is
 * a well-formed pair of lists, whatever the card says.
 *
 * Input: byte 0: bits 0-3 facts (root bus, reset, INTx, conventional), then the card's config
 * space; what is missing is zero. Bit 7: the rest is changes (offset low, high, value) to a good
 * card.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "../unit/fake_vfio_device.h"

static void must(bool what)
{
	if (!what)
		abort();
}

static void make_config(uint8_t *raw, const uint8_t *data, size_t size, bool changes)
{
	static struct fake_card card;

	if (!changes) {
		memset(raw, 0, PCI_CONFIG_SIZE);
		memcpy(raw, data, size < PCI_CONFIG_SIZE ? size : PCI_CONFIG_SIZE);
		return;
	}
	fake_card_init(&card);
	fake_card_gpu(&card);
	memcpy(raw, card.config, PCI_CONFIG_SIZE);
	fake_card_release(&card);
	for (; size >= 3; data += 3, size -= 3)
		raw[(data[0] | data[1] << 8) % PCI_CONFIG_SIZE] = data[2];
}

/* As a guest walks: no loop, nothing outside, nothing that no row of the table opens. */
static void check_standard(const struct pci_function *fn)
{
	unsigned at = fn->config[PCI_CAPABILITY_LIST], n = 0;

	must(!at == !(fn->config[PCI_STATUS] & PCI_STATUS_CAP_LIST));
	for (; at; at = fn->config[at + 1], n++) {
		must(n < 48 && at >= 0x40 && at <= 0xfc && at % 4 == 0);
		must(cap_policy_find(fn->config[at]) != NULL);
	}
}

static void check_extended(const struct pci_function *fn)
{
	unsigned n = 0;

	for (unsigned at = 0x100; at; n++) {
		uint32_t head = pci_get(fn->config, at, 4);

		must(n < 128 && at >= 0x100 && at <= 0xffc && at % 4 == 0);
		must(n == 0 || head);
		must(!(head & 0xffff) ? at == 0x100 : cap_policy_find_ext((uint16_t)head) != NULL);
		at = head >> 20;
	}
}

static void check_masks(const struct vfio_firewall *fw, const struct pci_function *fn)
{
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
		/* One owner per bit: the device's or ours. */
		must(!(fw->live[i] & fn->config[i]) && !(fw->live[i] & fn->wmask[i]));
		must(!(fw->pass[i] & fn->wmask[i]));
	}
	/* The BARs, ROM and COMMAND of the host are out of reach. */
	for (unsigned i = PCI_BASE_ADDRESS_0; i < PCI_CARDBUS_CIS; i++)
		must(!fw->live[i] && !fw->pass[i]);
	must(!fw->pass[PCI_COMMAND] && !fw->live[PCI_COMMAND]);
	must(!pci_get(fw->pass, PCI_ROM_ADDRESS, 4) && !pci_get(fw->live, PCI_ROM_ADDRESS, 4));
}

/* The table is the card's; so is the PBA, or it covers nothing of the card's. */
static void check_msix(const struct vfio_msix *msix, const uint64_t *bar_size)
{
	must(msix->table_at + msix->n * MSIX_ENTRY <= bar_size[msix->table_bar]);
	if (!msix->pba_ours)
		must(msix->pba_at + msix->n / 8 <= bar_size[msix->pba_bar]);
	else /* none is shown behind a BAR that is very large */
		must(msix->pba_end == 0 || msix->pba_at >= bar_size[msix->pba_bar]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t raw[PCI_CONFIG_SIZE];
	static struct vfio_firewall fw;
	static struct pci_function fn;
	static const uint64_t bar_size[6] = { 0x8000, 1 << 20, 0, 0x1000, 16, 1ull << 40 };
	struct vfio_firewall_facts facts;
	struct vfio_msix msix = { 0 };
	struct cap_list list;
	const struct cap *cap;

	if (!size)
		return 0;
	make_config(raw, data + 1, size - 1, data[0] & 0x80);
	facts = (struct vfio_firewall_facts){ .root_bus = data[0] & 1,
		.can_reset = data[0] & 2,
		.intx = data[0] & 4,
		.config_size = data[0] & 8 ? 256 : 4096,
		.msi = data[0] >> 4 & 7,
		.msix = (data[0] >> 4 & 7) * 300 };
	caps_walk(raw, &list);
	cap = caps_find(&list, CAP_ID_MSIX);
	if (cap && cap->room >= 12 && !vfio_msix_locate(&msix, raw, cap->offset, 2048, bar_size))
		check_msix(&msix, bar_size);
	if (vfio_firewall_build(&fw, &fn, raw, &facts))
		return 0;
	check_standard(&fn);
	check_extended(&fn);
	check_masks(&fw, &fn);
	return 0;
}
