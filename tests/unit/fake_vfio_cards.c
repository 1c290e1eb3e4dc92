/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vfio_cards.c - config space and regions of cards as they are found in the field. */
#include "fake_vfio_device.h"

#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define RWM (RW | VFIO_REGION_INFO_FLAG_MMAP)
#define EVENTFD VFIO_IRQ_INFO_EVENTFD

static void put(struct fake_card *card, unsigned at, unsigned size, uint32_t value)
{
	pci_put(card->config, at, size, value);
}

static void header(struct fake_card *card, uint32_t id, uint32_t class, uint32_t subsystem)
{
	put(card, PCI_VENDOR_ID, 4, id);
	put(card, PCI_CLASS_REVISION, 4, class);
	put(card, PCI_SUBSYSTEM_VENDOR_ID, 4, subsystem);
	put(card, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
	card->irq_count[VFIO_PCI_ERR_IRQ_INDEX] = card->irq_count[VFIO_PCI_REQ_IRQ_INDEX] = 1;
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		card->irq_flags[i] = EVENTFD;
	card->irq_flags[VFIO_PCI_MSI_IRQ_INDEX] |= VFIO_IRQ_INFO_NORESIZE;
	card->region[VFIO_PCI_CONFIG_REGION_INDEX].flags = RW;
}

static void bar(struct fake_card *card, unsigned i, uint64_t size, uint32_t type, uint32_t flags)
{
	put(card, PCI_BASE_ADDRESS_0 + 4 * i, 4, (0xe0000000 + (i << 20)) | type);
	if (type & PCI_BASE_ADDRESS_SPACE_IO)
		put(card, PCI_BASE_ADDRESS_0 + 4 * i, 4, (0xc000 + (i << 8)) | type);
	card->region[i].size = size;
	card->region[i].flags = flags;
	if (size <= 1 << 20)
		card->region[i].bytes = calloc(1, size);
}

void fake_cap(struct fake_card *card, unsigned at, unsigned id, unsigned next)
{
	put(card, at, 2, id | next << 8);
}

void fake_ext_cap(struct fake_card *card, unsigned at, unsigned id, unsigned version, unsigned next)
{
	put(card, at, 4, id | version << 16 | next << 20);
}

static void intx(struct fake_card *card, unsigned pin)
{
	card->config[PCI_INTERRUPT_PIN] = (uint8_t)pin;
	card->irq_count[VFIO_PCI_INTX_IRQ_INDEX] = 1;
	card->irq_flags[VFIO_PCI_INTX_IRQ_INDEX] |=
		VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
}

static void cap_pm(struct fake_card *card, unsigned at, unsigned next)
{
	fake_cap(card, at, CAP_ID_PM, next);
	put(card, at + PCI_PM_PMC, 2, 0xca03); /* PME in D3, D1, no D2 */
	put(card, at + PCI_PM_CTRL, 2, 0x0008);
}

static void cap_msix(struct fake_card *card, unsigned at, unsigned next, unsigned n, uint32_t table,
	uint32_t pba)
{
	fake_cap(card, at, CAP_ID_MSIX, next);
	put(card, at + PCI_MSIX_FLAGS, 2, n - 1);
	put(card, at + PCI_MSIX_TABLE, 4, table);
	put(card, at + PCI_MSIX_PBA, 4, pba);
	card->irq_count[VFIO_PCI_MSIX_IRQ_INDEX] = n;
}

static void cap_msi(struct fake_card *card, unsigned at, unsigned next, uint32_t flags, unsigned n)
{
	fake_cap(card, at, CAP_ID_MSI, next);
	put(card, at + PCI_MSI_FLAGS, 2, flags);
	card->irq_count[VFIO_PCI_MSI_IRQ_INDEX] = n;
}

static void cap_express(struct fake_card *card, unsigned at, unsigned next, unsigned type)
{
	fake_cap(card, at, CAP_ID_EXP, next);
	put(card, at + PCI_EXP_FLAGS, 2, 2 | type << 4);
	put(card, at + PCI_EXP_DEVCAP, 4, 0x10008fc1 | 0x18);
	put(card, at + PCI_EXP_DEVCTL, 2, 0x2810);
	put(card, at + PCI_EXP_LNKCAP, 4, 0x00477843);
	put(card, at + PCI_EXP_LNKCTL, 2, 0x0042);
	put(card, at + PCI_EXP_LNKSTA, 2, 0x1043);
	put(card, at + PCI_EXP_DEVCAP2, 4, 0x0010081f);
	put(card, at + PCI_EXP_LNKCAP2, 4, 0x0000000e);
	put(card, at + PCI_EXP_LNKCTL2, 2, 0x0003);
}

void fake_card_nvme(struct fake_card *card)
{
	header(card, 0x00101b36, 0x01080202, 0x11001af4);
	bar(card, 0, 0x8000, PCI_BASE_ADDRESS_MEM_TYPE_64, RWM);
	put(card, PCI_CAPABILITY_LIST, 1, 0x40);
	cap_msix(card, 0x40, 0x80, 65, 0x2000, 0x3000);
	cap_express(card, 0x80, 0x60, PCI_EXP_TYPE_ENDPOINT);
	cap_pm(card, 0x60, 0);
	fake_ext_cap(card, 0x100, EXT_CAP_ID_AER, 2, 0x148);
	put(card, 0x108, 4, 0x00400000);
	fake_ext_cap(card, 0x148, EXT_CAP_ID_LTR, 1, 0);
	intx(card, 1);
}

void fake_card_e1000e(struct fake_card *card)
{
	header(card, 0x10d38086, 0x02000000, 0xa01f8086);
	bar(card, 0, 0x20000, 0, RWM);
	bar(card, 1, 0x20000, 0, RWM);
	bar(card, 2, 0x20, PCI_BASE_ADDRESS_SPACE_IO, RW);
	bar(card, 3, 0x4000, 0, RWM);
	card->region[PCI_ROM].size = 0x40000;
	card->region[PCI_ROM].flags = VFIO_REGION_INFO_FLAG_READ;
	card->region[PCI_ROM].bytes = calloc(1, 0x40000);
	card->region[PCI_ROM].bytes[0] = 0x55;
	card->region[PCI_ROM].bytes[1] = 0xaa;
	put(card, PCI_CAPABILITY_LIST, 1, 0xc8);
	cap_pm(card, 0xc8, 0xd0);
	cap_msi(card, 0xd0, 0xe0, PCI_MSI_FLAGS_64BIT, 1);
	cap_express(card, 0xe0, 0xa0, PCI_EXP_TYPE_ENDPOINT);
	/* 0xe0 + 0x3c is past the end: the register file stops at 256 */
	cap_msix(card, 0xa0, 0, 5, 3, 3 | 0x2000);
	fake_ext_cap(card, 0x100, EXT_CAP_ID_AER, 1, 0x140);
	fake_ext_cap(card, 0x140, EXT_CAP_ID_DSN, 1, 0);
	put(card, 0x144, 4, 0xff123456);
	put(card, 0x148, 4, 0x52540012);
	intx(card, 1);
}

void fake_card_vf(struct fake_card *card)
{
	header(card, 0x10ca8086, 0x02000001, 0xa03c8086);
	bar(card, 0, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64, RWM);
	bar(card, 3, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64, RWM);
	put(card, PCI_CAPABILITY_LIST, 1, 0x70);
	cap_msix(card, 0x70, 0xa0, 3, 3, 3 | 0x2000);
	cap_express(card, 0xa0, 0, PCI_EXP_TYPE_ENDPOINT);
	fake_ext_cap(card, 0x100, EXT_CAP_ID_AER, 1, 0x150);
	fake_ext_cap(card, 0x150, 0x0e /* ARI */, 1, 0x1a0);
	fake_ext_cap(card, 0x1a0, 0x0f /* ATS */, 1, 0x1d0);
	fake_ext_cap(card, 0x1d0, 0x0d /* ACS */, 1, 0);
	/* NORESIZE: kernels before 6.5 */
	card->irq_flags[VFIO_PCI_MSIX_IRQ_INDEX] |= VFIO_IRQ_INFO_NORESIZE;
}

void fake_card_gpu(struct fake_card *card)
{
	header(card, 0x220810de, 0x030000a1, 0x147d10de);
	bar(card, 0, 0x1000000, 0, RWM);
	bar(card, 1, 1ull << 34, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, RWM);
	bar(card, 3, 1ull << 25, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, RWM);
	bar(card, 5, 0x80, PCI_BASE_ADDRESS_SPACE_IO, RW);
	put(card, PCI_CAPABILITY_LIST, 1, 0x60);
	cap_pm(card, 0x60, 0x68);
	cap_msi(card, 0x68, 0x78, PCI_MSI_FLAGS_64BIT, 1);
	cap_express(card, 0x78, 0xb4, PCI_EXP_TYPE_ENDPOINT);
	fake_cap(card, 0xb4, CAP_ID_VENDOR, 0xc8);
	put(card, 0xb6, 2, 0x5014);
	fake_cap(card, 0xc8, 0x0c /* slot hot plug */, 0xd0);
	fake_cap(card, 0xd0, CAP_ID_VPD, 0);
	fake_ext_cap(card, 0x100, 0x02 /* virtual channel */, 1, 0x258);
	fake_ext_cap(card, 0x258, 0x1e /* L1 substates */, 1, 0x420);
	fake_ext_cap(card, 0x420, EXT_CAP_ID_AER, 2, 0x600);
	fake_ext_cap(card, 0x600, EXT_CAP_ID_VSEC, 1, 0xbb0);
	put(card, 0x604, 4, 0x02410001);
	put(card, 0x608, 4, 0xcafef00d);
	fake_ext_cap(card, 0xbb0, 0x15 /* resizable BAR */, 1, 0xc1c);
	fake_ext_cap(card, 0xc1c, 0x10 /* SR-IOV */, 1, 0);
	intx(card, 1);
}

void fake_card_pci(struct fake_card *card)
{
	header(card, 0x00021b36, 0x07000201, 0x11001af4);
	put(card, PCI_STATUS, 2, 0);
	bar(card, 0, 8, PCI_BASE_ADDRESS_SPACE_IO, RW);
	card->config_size = 256;
	card->flags = VFIO_DEVICE_FLAGS_PCI;
	intx(card, 1);
}

void fake_card_edu(struct fake_card *card)
{
	header(card, 0x11e81234, 0x00ff0010, 0x11001af4);
	bar(card, 0, 0x100000, 0, RWM);
	card->config_size = 256;
	put(card, PCI_CAPABILITY_LIST, 1, 0x40);
	cap_msi(card, 0x40, 0, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT | 5 << 1, 32);
	intx(card, 1);
}
