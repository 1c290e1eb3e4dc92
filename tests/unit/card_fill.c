/* SPDX-License-Identifier: Apache-2.0 */
/* card_fill.c - a card of a file as the kernel's vfio-pci would hand it over; see card_file.h. */
#include "card_file.h"

#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#define BYTES_MAX (1u << 20) /* registers in a larger BAR read zero */

/* A capability that the card has, 0: none. */
static unsigned find(const struct card_file *file, unsigned id)
{
	struct cap_list list;
	const struct cap *cap;

	caps_walk(file->config, &list);
	cap = caps_find(&list, (uint16_t)id);
	return cap ? cap->offset : 0;
}

/* Vectors as vfio-pci counts them. */
static unsigned vectors(const struct card_file *file, unsigned index)
{
	unsigned msi = find(file, CAP_ID_MSI), msix = find(file, CAP_ID_MSIX);
	const uint8_t *config = file->config;

	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return config[PCI_INTERRUPT_PIN] ? 1 : 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return msi ? 1u << ((pci_get(config, msi + PCI_MSI_FLAGS, 2) &
					    PCI_MSI_FLAGS_QMASK) >>
				     1)
			   : 0;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return msix ? (pci_get(config, msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1
			    : 0;
	}
	return 1;
}

static void fill_irqs(const struct card_file *file, struct fake_card *card)
{
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++) {
		card->irq_count[i] = file->irq[i] < 0 ? vectors(file, i) : (unsigned)file->irq[i];
		card->irq_flags[i] = VFIO_IRQ_INFO_EVENTFD;
	}
	card->irq_flags[VFIO_PCI_INTX_IRQ_INDEX] |=
		VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	card->irq_flags[VFIO_PCI_MSI_IRQ_INDEX] |= VFIO_IRQ_INFO_NORESIZE;
}

/* Linux offers what fills pages; a smaller BAR only where its page is its own ("map"). */
static bool mappable(const struct card_file *file, unsigned i)
{
	const struct card_bar *bar = &file->bar[i];

	if (i == PCI_ROM || bar->trap ||
		file->config[PCI_BASE_ADDRESS_0 + 4 * i] & PCI_BASE_ADDRESS_SPACE_IO)
		return false;
	return bar->map || bar->size >= REGION_PAGE;
}

void card_file_fill(const struct card_file *file, struct fake_card *card)
{
	memcpy(card->config, file->config, sizeof(card->config));
	card->config_size = file->config_size	       ? file->config_size
			    : file->config_end > 0x100 ? PCI_CONFIG_SIZE
						       : 0x100;
	card->region[VFIO_PCI_CONFIG_REGION_INDEX].flags =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (file->no_reset)
		card->flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	fill_irqs(file, card);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct fake_region *region = &card->region[i];
		uint64_t size = file->bar[i].size;

		if (!size)
			continue;
		region->size = size;
		region->flags = VFIO_REGION_INFO_FLAG_READ;
		region->flags |= i == PCI_ROM ? 0u : VFIO_REGION_INFO_FLAG_WRITE;
		region->flags |= mappable(file, i) ? VFIO_REGION_INFO_FLAG_MMAP : 0u;
		region->bytes = size <= BYTES_MAX ? calloc(1, size) : NULL;
	}
}
