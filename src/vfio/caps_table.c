/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caps_table.c - the firewall's rules, one row per capability field. What is not here is hidden.
 *
 * The reasons, where a row does not speak for itself:
 * - Power state is kept in our copy and the device stays in D0: in D3 the kernel takes the BAR
 *   mappings away, and an access of the guest would fault in us. Leaving D3 resets the function
 *   unless No_Soft_Reset is set, so a guest sees what it expects.
 * - Link control, MPS and AER masks belong to the host, who owns the link and the root port above.
 *   They are writable in our copy only: drivers that save and restore them work.
 * - Whether the card reports errors (AER) is the host's business as well: it acts on them, and so
 *   does on-error. A guest that turns that off for itself must not turn it off for the host.
 * - AtomicOps pass as the kernel passes them. A guest's drivers turn them on when the port above says
 *   that it completes them, and guests' ports say what the kernel says of the host's
 *   (vfio_pci_completes()). Extended tags (8 bits) pass: every completer has to take those.
 * - VPD can be read; writing it would change the card for whoever gets it next.
 * - Vendors' own capabilities are windows that drivers and tools write through (mlx5's VSC, Xilinx
 *   MCAP, virtio's PCI_CFG): the kernel passes them, and so do we.
 *
 * Hidden capabilities keep their registers to themselves: those that are not as long as they have
 * room for are in hidden_sizes, so that what lies behind them is nobody's. This goes for what is in
 * the lists. vfio-pci takes out of them what it has no length for (Linux 6.1: L1SS, PTM, DPC, DLF,
 * SECPCI, DOE, links of 16 GT/s, and ids that it does not know), and passes those registers raw:
 * from here they are nobody's as well.
 */
#include "caps.h"

#include <stddef.h>

/* clang-format off */
#define RO_LIVE(at, bytes) { .offset = (at), .size = (bytes), .live = 0xffffffff }

static const struct cap_field pm[] = {
	/* PME needs a wake-up path that guests do not have. */
	{ .offset = 2, .size = 2, .hide = 0xf800 },
	{ .offset = 4, .size = 2, .hide = 0xff00, .keep = 0x0003, .effect = CAP_POWER },
	{ .size = 0 },
};

static const struct cap_field vpd[] = {
	{ .offset = 2, .size = 2, .live = 0xffff, .pass = 0xffff, .effect = CAP_VPD | CAP_SLOW },
	RO_LIVE(4, 4),
	{ .size = 0 },
};

/* Address, data and mask depend on the flags: firewall.c opens them. */
static const struct cap_field msi[] = {
	{ .offset = 2, .size = 2, .hide = 0x0600, .keep = 0x0071, .effect = CAP_IRQ },
	{ .size = 0 },
};

static const struct cap_field vendor[] = { { .size = 0 } };
static const struct cap_field ssvid[] = { { .size = 0 } };

static const struct cap_field express[] = {
	/* Device capabilities: no phantom functions. */
	{ .offset = 0x04, .size = 4, .hide = 0x00000018 },
	/*
	 * Device control: error reporting and MPS are the host's; no phantom functions, no aux
	 * power; bit 15 is FLR.
	 */
	{ .offset = 0x08, .size = 1, .live = 0x10, .keep = 0xef, .pass = 0x10 },
	{ .offset = 0x09, .size = 1, .live = 0x79, .hide = 0x86, .pass = 0x79, .effect = CAP_FLR,
	  .trigger = 0x80 },
	/* Device status: the four error bits are write-one-to-clear. */
	{ .offset = 0x0a, .size = 2, .live = 0xffff, .pass = 0x000f },
	/* Link control in our copy; link status is the true one. */
	{ .offset = 0x10, .size = 2, .keep = 0x01cb },
	RO_LIVE(0x12, 2),
	/*
	 * Device capabilities 2: completion timeouts, AtomicOps, LTR, 10-bit tags (no OBFF, TPH,
	 * prefixes). Device control 2: what is the device's own passes, IDO's two bits too; LTR
	 * (bit 10) and 10-bit tags (bit 12): open_agreed() in firewall.c.
	 */
	{ .offset = 0x24, .size = 4, .hide = ~0x00030bdfu },
	{ .offset = 0x28, .size = 2, .live = 0x035f, .hide = 0xe8a0, .keep = 0x1400,
	  .pass = 0x035f },
	{ .offset = 0x30, .size = 2, .keep = 0x0fff },
	RO_LIVE(0x32, 2),
	{ .size = 0 },
};

static const struct cap_field msix[] = {
	{ .offset = 2, .size = 2, .keep = 0xc000, .effect = CAP_IRQ },
	{ .size = 0 },
};

static const struct cap_field af[] = {
	{ .offset = 4, .size = 1, .hide = 0xff, .effect = CAP_FLR, .trigger = 0x01 },
	RO_LIVE(5, 1),
	{ .size = 0 },
};

static const struct cap_field aer[] = {
	{ .offset = 0x04, .size = 4, .live = 0xffffffff, .pass = 0xffffffff }, /* uncorrectable, w1c */
	{ .offset = 0x08, .size = 4, .keep = 0xffffffff },
	{ .offset = 0x0c, .size = 4, .keep = 0xffffffff },
	{ .offset = 0x10, .size = 4, .live = 0xffffffff, .pass = 0xffffffff }, /* correctable, w1c */
	{ .offset = 0x14, .size = 4, .keep = 0xffffffff },
	{ .offset = 0x18, .size = 4, .keep = 0x00000140 }, /* ECRC enables */
	RO_LIVE(0x1c, 4), RO_LIVE(0x20, 4), RO_LIVE(0x24, 4), RO_LIVE(0x28, 4), /* header log */
	{ .size = 0 },
};

static const struct cap_field dsn[] = { { .size = 0 } };
static const struct cap_field vsec[] = { { .size = 0 } };
static const struct cap_field ltr[] = {
	{ .offset = 4, .size = 2, .keep = 0x1fff },
	{ .offset = 6, .size = 2, .keep = 0x1fff },
	{ .size = 0 },
};

static const struct cap_policy standard[] = {
	{ CAP_ID_PM, 8, false, 0, "power management", pm },
	{ CAP_ID_VPD, 8, false, 0, "vital product data", vpd },
	{ CAP_ID_MSI, 0, false, 0, "MSI", msi },
	{ CAP_ID_VENDOR, 0, true, 3, "vendor specific", vendor },
	{ CAP_ID_SSVID, 8, false, 0, "subsystem id", ssvid },
	{ CAP_ID_EXP, 0, false, 0, "PCI Express", express },
	{ CAP_ID_MSIX, 12, false, 0, "MSI-X", msix },
	{ CAP_ID_AF, 6, false, 0, "advanced features", af },
};

/*
 * Hidden with a reason: SR-IOV, ARI (bus numbers and routing are the host's), resizable BAR (would
 * move the host's windows), ATS, PRI, PASID (translation belongs to the IOMMU), DPC and DOE (the
 * link's and the platform's), VC, ACS, TPH, L1SS, PTM (need the port above to agree).
 */
static const struct cap_policy extended[] = {
	{ EXT_CAP_ID_AER, 0x2c, false, 0, "advanced error reporting", aer },
	{ EXT_CAP_ID_DSN, 12, false, 0, "serial number", dsn },
	{ EXT_CAP_ID_VSEC, 0, true, 8, "vendor specific", vsec },
	{ EXT_CAP_ID_LTR, 8, false, 0, "latency tolerance", ltr },
};
/* clang-format on */

/* Bytes of capabilities that guests are not shown (PCI 3.0, PCIe 5.0); others take all their room. */
static const struct {
	uint16_t id, size;
	bool ext;
} hidden_sizes[] = {
	{ CAP_ID_SLOTID, 4, false },
	{ CAP_ID_SATA, 8, false },
	{ EXT_CAP_ID_ACS, 8, true },
	{ EXT_CAP_ID_ARI, 8, true },
	{ EXT_CAP_ID_ATS, 8, true },
	{ EXT_CAP_ID_SRIOV, 0x40, true },
	{ EXT_CAP_ID_PRI, 16, true },
	{ EXT_CAP_ID_SECPCI, 0x2c, true },
	{ EXT_CAP_ID_PASID, 8, true },
	{ EXT_CAP_ID_L1SS, 20, true },
	{ EXT_CAP_ID_PTM, 12, true },
	{ EXT_CAP_ID_DLF, 12, true },
	{ EXT_CAP_ID_16GT, 0x30, true },
};

static const struct cap_policy *find(const struct cap_policy *table, size_t n, uint16_t id)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].id == id)
			return &table[i];
	return NULL;
}

const struct cap_policy *cap_policy_find(uint16_t id)
{
	return find(standard, sizeof(standard) / sizeof(standard[0]), id);
}

const struct cap_policy *cap_policy_find_ext(uint16_t id)
{
	return find(extended, sizeof(extended) / sizeof(extended[0]), id);
}

unsigned cap_hidden_size(const struct cap *cap, bool ext)
{
	for (size_t i = 0; i < sizeof(hidden_sizes) / sizeof(hidden_sizes[0]); i++)
		if (hidden_sizes[i].id == cap->id && hidden_sizes[i].ext == ext)
			return hidden_sizes[i].size < cap->room ? hidden_sizes[i].size : cap->room;
	return cap->room;
}
