/* SPDX-License-Identifier: Apache-2.0 */
/* quirks.c - the table of quirks.h. */
#include "quirks.h"

#include <stddef.h>

#include <linux/pci_regs.h>

#include <portcullis/pci.h>

#include "caps.h"

#define ANY 0, 0
#define ONE(id) id, 0xffff
#define DISPLAY 0x03 /* PCI_BASE_CLASS_DISPLAY */
#define CHELSIO 0x1425
#define ATI 0x1002
#define NVIDIA 0x10de
#define INTEL 0x8086

/* clang-format off */
/* Of rows that fit the same card the first counts; all do that are of HOST_ADDRESS. */
static const struct vfio_quirk quirks[] = {
	{ CHELSIO, 0x5800, 0xff00, 0, VFIO_QUIRK_PBA, .at = 0x1000,
	  .why = "T5 virtual functions say 0x8000, in a BAR of 8 KiB",
	  .source = "QEMU hw/vfio/pci.c, vfio_msix_early_setup()" },
	{ 0x1d22, ONE(0x3685), 0, VFIO_QUIRK_PBA, .at = 0xb400,
	  .why = "Kunlun virtual functions say 0x460000, in a BAR of 64 KiB",
	  .source = "QEMU hw/vfio/pci.c, vfio_msix_early_setup()" },

	{ 0x14e4, ONE(0x168e), 0, VFIO_QUIRK_NO_ROM,
	  .why = "guests hang in the BCM57810's expansion ROM",
	  .source = "QEMU hw/vfio/pci-quirks.c; launchpad.net/bugs/1284874" },

	{ CHELSIO, ONE(0x0030), 0, VFIO_QUIRK_INTX_MASK, .why = "T310's INTx disable does not work",
	  .source = "Linux drivers/pci/quirks.c, quirk_broken_intx_masking()" },
	{ 0x1814, ONE(0x0601), 0, VFIO_QUIRK_INTX_MASK, .why = "RT2800's INTx disable does not work",
	  .source = "Linux drivers/pci/quirks.c, quirk_broken_intx_masking()" },
	{ 0x1b7c, ONE(0x0004), 0, VFIO_QUIRK_INTX_MASK, .why = "InfiniTV 4's INTx disable does not work",
	  .source = "Linux drivers/pci/quirks.c, quirk_broken_intx_masking()" },
	{ 0x1102, ONE(0x000b), 0, VFIO_QUIRK_INTX_MASK, .why = "EMU20k2's INTx disable does not work",
	  .source = "Linux drivers/pci/quirks.c, quirk_broken_intx_masking()" },
	{ 0x10ec, ONE(0x8169), 0, VFIO_QUIRK_INTX_MASK, .why = "RTL8169's INTx disable does not work",
	  .source = "Linux drivers/pci/quirks.c, quirk_broken_intx_masking()" },

	{ ATI, ANY, DISPLAY, VFIO_QUIRK_CONFIG_MIRROR, .bar = 2, .at = 0x4000, .size = 0x100,
	  .why = "BAR 2 shows config space",
	  .source = "QEMU hw/vfio/pci-quirks.c, vfio_probe_ati_bar2_quirk()" },
	{ ATI, ANY, DISPLAY, VFIO_QUIRK_CONFIG_WINDOW, .bar = 4, .at = 0, .size = 8, .match = 0x4000,
	  .why = "I/O ports of BAR 4 reach BAR 2, and so config space",
	  .source = "QEMU hw/vfio/pci-quirks.c, vfio_probe_ati_bar4_quirk()" },
	{ NVIDIA, 0x2300, 0xff00, DISPLAY, VFIO_QUIRK_CONFIG_MIRROR, .bar = 0, .at = 0x92000, .size = 0x1000,
	  .why = "BAR 0 shows config space (Hopper)",
	  .source = "NVIDIA open-gpu-kernel-modules, NV_EP_PCFGM" },
	{ NVIDIA, ANY, DISPLAY, VFIO_QUIRK_CONFIG_MIRROR, .bar = 0, .at = 0x88000, .size = 0x1000,
	  .why = "BAR 0 shows config space",
	  .source = "QEMU hw/vfio/pci-quirks.c, vfio_probe_nvidia_bar0_quirk()" },
	{ 0x10ec, ONE(0x8168), 0, VFIO_QUIRK_MSIX_WINDOW, .bar = 2, .at = 0x70, .size = 8, .match = 0x10000,
	  .why = "registers of BAR 2 reach the MSI-X table",
	  .source = "QEMU hw/vfio/pci-quirks.c, vfio_probe_rtl8168_bar2_quirk()" },

	{ INTEL, ANY, DISPLAY, VFIO_QUIRK_HOST_ADDRESS, .integrated = true, .at = 0x5c, .size = 4,
	  .why = "BDSM: guests would take the host's stolen memory for theirs, at the host's address",
	  .source = "QEMU hw/vfio/igd.c, IGD_BDSM; Linux arch/x86/kernel/early-quirks.c, INTEL_BSM" },
	{ INTEL, ANY, DISPLAY, VFIO_QUIRK_HOST_ADDRESS, .integrated = true, .at = 0xc0, .size = 8,
	  .why = "BDSM from generation 11 on",
	  .source = "QEMU hw/vfio/igd.c, IGD_BDSM_GEN11; Linux arch/x86/kernel/early-quirks.c" },
	{ INTEL, ANY, DISPLAY, VFIO_QUIRK_HOST_ADDRESS, .integrated = true, .at = 0xfc, .size = 4,
	  .why = "ASLS: where the host's firmware has its OpRegion",
	  .source = "QEMU hw/vfio/pci.h, IGD_ASLS; Linux drivers/gpu/drm/i915, ASLS" },
};
/* clang-format on */

/* In the host's root complex, with no link above it: no PCI Express, or an endpoint integrated there. */
static bool integrated(const uint8_t *config)
{
	const struct cap *express;
	struct cap_list list;

	caps_walk(config, &list);
	express = caps_find(&list, CAP_ID_EXP);
	return !express || (pci_get(config, express->offset + (unsigned)PCI_EXP_FLAGS, 2) &
				   PCI_EXP_FLAGS_TYPE) >>
					   4 ==
				   PCI_EXP_TYPE_RC_END;
}

static bool fits(const struct vfio_quirk *quirk, enum vfio_quirk_kind kind, const uint8_t *config)
{
	uint32_t device = pci_get(config, PCI_DEVICE_ID, 2);

	return quirk->kind == kind && quirk->vendor == pci_get(config, PCI_VENDOR_ID, 2) &&
	       (device & quirk->device_mask) == quirk->device &&
	       (!quirk->base_class || quirk->base_class == config[PCI_CLASS_DEVICE + 1]) &&
	       (!quirk->integrated || integrated(config));
}

const struct vfio_quirk *vfio_quirk_next(
	enum vfio_quirk_kind kind, const uint8_t *config, const struct vfio_quirk *quirk)
{
	const struct vfio_quirk *end = quirks + sizeof(quirks) / sizeof(quirks[0]);

	for (quirk = quirk ? quirk + 1 : quirks; quirk < end; quirk++)
		if (fits(quirk, kind, config))
			return quirk;
	return NULL;
}

const struct vfio_quirk *vfio_quirk_find(enum vfio_quirk_kind kind, const uint8_t *config)
{
	return vfio_quirk_next(kind, config, NULL);
}
