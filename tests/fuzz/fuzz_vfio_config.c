/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_vfio_config.c - a hostile guest: any sequence of config and BAR accesses, interrupts, resets
 * and refusals of the kernel leaves the host's side whole.
 *
 * Input: byte 0: which card. Then records of 8 bytes: operation, size and BAR, offset (2), value
 * (4).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>

#include "../unit/fake_vfio_device.h"

static void must(bool what)
{
	if (!what)
		abort();
}

struct record {
	uint8_t op, how;
	uint8_t offset[2], value[4];
};

static void play(struct fake_rig *rig, const struct record *r)
{
	unsigned offset = r->offset[0] | (unsigned)r->offset[1] << 8, size = 1u << (r->how & 3);
	unsigned bar = (r->how >> 2) % PCI_BARS;
	uint32_t value = pci_get(r->value, 0, 4);

	switch (r->op % 8) {
	case 0:
	case 1:
		fake_config_write(rig, offset % PCI_CONFIG_SIZE, size, value);
		break;
	case 2:
		(void)fake_config_read(rig, offset, size);
		break;
	case 3:
	case 4:
		fake_bar_write(rig, bar, offset, size, value * 0x100000001ull);
		break;
	case 5:
		(void)fake_bar_read(rig, bar, offset, size);
		break;
	case 6:
		fake_card_fire(&rig->card, offset % 8);
		fake_step(rig);
		break;
	case 7:
		/* One of the next calls fails; a later record clears it. */
		rig->card.fail_at = value & 1 ? rig->card.calls + offset % 8 : 0;
		rig->card.host_vectors = 1 + offset % 80;
		if (value & 2)
			vfio_pci_reset(rig->dev, NULL);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const cards[])(struct fake_card *) = { fake_card_e1000e, fake_card_nvme,
		fake_card_edu, fake_card_vf, fake_card_pci };
	static struct fake_rig rig;

	if (!size)
		return 0;
	log_setup(2, LOG_LEVEL_ERROR);
	must(fake_rig_init(&rig, cards[data[0] % 5], data[0] & 0x80 ? "rp1" : "pcie.0") == 0);
	rig.dev->reset_deadline_ms = 0;
	data++;
	size--;
	for (; size >= sizeof(struct record);
		data += sizeof(struct record), size -= sizeof(struct record))
		play(&rig, (const struct record *)data);
	must(rig.machine.violation[0] == 0);
	/* A card that was lost in a reset (a call failed in it) comes back with one that works. */
	rig.card.fail_at = 0;
	if (rig.dev->quarantined)
		must(fake_config_read(&rig, PCI_VENDOR_ID, 4) == 0xffffffff &&
			vfio_pci_reset(rig.dev, NULL) == 0);
	/* Host addresses and identity stay what they were. */
	must(pci_get(rig.card.config, PCI_VENDOR_ID, 4) ==
		fake_config_read(&rig, PCI_VENDOR_ID, 4));
	must((pci_get(rig.card.config, PCI_BASE_ADDRESS_0, 4) & ~0xfu) % 0x100 == 0);
	fake_rig_release(&rig);
	must(rig.machine.gsis == 0 && rig.machine.n_irqfds == 0 && rig.machine.violation[0] == 0);
	must(rig.card.type == -1 || rig.card.disable_failed);
	return 0;
}
