/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caps.h - capability lists: bounded walks, and the table that says what a guest may see and write.
 * (private to src/vfio and tests)
 *
 * Pure:  works on a copy of config space. A device's lists are not trusted: they may loop, overlap
 *        or point outside; the walk returns what is well formed and counts the rest.
 * Spec:  PCI Local Bus 3.0 ch. 6.7, PCI Express 5.0 ch. 7.
 */
#ifndef PORTCULLIS_VFIO_CAPS_H
#define PORTCULLIS_VFIO_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#define CAPS_MAX 48	 /* standard capabilities: (256 - 64) / 4 */
#define EXT_CAPS_MAX 128 /* extended; more than any device has */

struct cap {
	uint16_t id, offset;
	uint16_t room;	 /* bytes up to the next capability or the end of the space */
	uint8_t version; /* extended only */
};

struct cap_list {
	unsigned count;
	unsigned broken; /* pointers not followed: outside the space, loops, unaligned */
	struct cap cap[EXT_CAPS_MAX];
};

/* config: 256 bytes. */
void caps_walk(const uint8_t *config, struct cap_list *out);
/* config: size bytes, 256 < size <= 4096; out->count is 0 when there is no extended space. */
void caps_walk_ext(const uint8_t *config, unsigned size, struct cap_list *out);
const struct cap *caps_find(const struct cap_list *list, uint16_t id);

/* What has to happen beyond the bits when a field is written; bits, see firewall.c. */
enum cap_effect {
	CAP_IRQ = 1 << 0,   /* interrupt mode or message may have changed */
	CAP_FLR = 1 << 1,   /* the trigger bit resets the function */
	CAP_POWER = 1 << 2, /* D-state */
	CAP_SLOW = 1 << 3,  /* the device write may take milliseconds: not on a vCPU */
	CAP_VPD = 1 << 4,   /* address register: only reads of the storage are let through */
};

struct cap_field {
	uint8_t offset;	  /* into the capability */
	uint8_t size;	  /* 1, 2 or 4 */
	uint8_t effect;	  /* enum cap_effect bits */
	uint32_t live;	  /* bits read from the device each time; others from our copy */
	uint32_t hide;	  /* bits that read as zero */
	uint32_t keep;	  /* bits the guest may write in our copy */
	uint32_t pass;	  /* bits the guest may write in the device, write-one-to-clear too */
	uint32_t trigger; /* CAP_FLR: bits that do it */
};

struct cap_policy {
	uint16_t id;
	uint16_t size; /* bytes shown; 0: what the capability itself says (vendor-specific) */
	bool live;     /* bytes in no field: read from the device, else from our copy */
	uint8_t pass;  /* bytes from there on: written to the device; 0: none */
	const char *name;
	const struct cap_field *fields; /* ends with size 0 */
};

/* NULL: hidden. */
const struct cap_policy *cap_policy_find(uint16_t id);
const struct cap_policy *cap_policy_find_ext(uint16_t id);

/* Bytes that a capability takes which guests are not shown. */
unsigned cap_hidden_size(const struct cap *cap, bool ext);

/* Offsets and bits that firewall.c itself has to know. */
#define CAP_ID_PM 0x01
#define CAP_ID_VPD 0x03
#define CAP_ID_MSI 0x05
#define CAP_ID_SLOTID 0x04
#define CAP_ID_VENDOR 0x09
#define CAP_ID_SSVID 0x0d
#define CAP_ID_EXP 0x10
#define CAP_ID_MSIX 0x11
#define CAP_ID_SATA 0x12
#define CAP_ID_AF 0x13
/* Newer than Debian 12's <linux/pci_regs.h> (PCIe 5.0 7.5.3.15, 7.5.3.16): 10-bit tags. */
#define PCI_EXP_DEVCAP2_TAG10_COMP 0x00010000
#define PCI_EXP_DEVCAP2_TAG10_REQ 0x00020000
#define PCI_EXP_DEVCTL2_TAG10_REQ_EN 0x1000
#define EXT_CAP_ID_AER 0x01
#define EXT_CAP_ID_DSN 0x03
#define EXT_CAP_ID_VSEC 0x0b
#define EXT_CAP_ID_ACS 0x0d
#define EXT_CAP_ID_ARI 0x0e
#define EXT_CAP_ID_ATS 0x0f
#define EXT_CAP_ID_SRIOV 0x10
#define EXT_CAP_ID_PRI 0x13
#define EXT_CAP_ID_LTR 0x18
#define EXT_CAP_ID_SECPCI 0x19
#define EXT_CAP_ID_PASID 0x1b
#define EXT_CAP_ID_L1SS 0x1e
#define EXT_CAP_ID_PTM 0x1f
#define EXT_CAP_ID_DLF 0x25
#define EXT_CAP_ID_16GT 0x26

#endif
