/* SPDX-License-Identifier: Apache-2.0 */
/* firewall.c - building the firewall: header, capability lists, what each kind of card needs. */
#include "firewall.h"

#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "quirks.h"

struct build {
	struct vfio_firewall *fw;
	struct pci_function *fn;
	const uint8_t *raw;
	const struct vfio_firewall_facts *facts;
	bool strict;
};

uint32_t vfio_firewall_bits(const uint8_t *mask, unsigned offset, unsigned size)
{
	return pci_get(mask, offset, size);
}

/* Dwords of [offset, offset + size), of the first 256 bytes. */
static uint64_t dwords(unsigned offset, unsigned size)
{
	unsigned first = offset / 4, n = (offset + size + 3) / 4 - first;

	return (n < 64 ? (1ull << n) - 1 : UINT64_MAX) << first;
}

bool vfio_firewall_claimed(const struct vfio_firewall *fw, unsigned offset, unsigned size)
{
	return fw->claimed & dwords(offset, size);
}

static void copy(struct build *b, unsigned offset, unsigned size)
{
	memcpy(b->fn->config + offset, b->raw + offset, size);
}

static void or_bytes(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value)
{
	pci_put(bytes, offset, size, pci_get(bytes, offset, size) | value);
}

static void clear_bytes(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value)
{
	pci_put(bytes, offset, size, pci_get(bytes, offset, size) & ~value);
}

/*
 * Bytes that nobody claims are registers of the device's own: lpfc, tg3, bnx2x and others do not
 * probe without.
 */
static void open_unclaimed(struct build *b, unsigned from, unsigned to)
{
	if (b->strict || to < from)
		return;
	memset(b->fw->live + from, 0xff, to - from);
	memset(b->fw->pass + from, 0xff, to - from);
}

/* They are of a capability, shown or not. */
static void claim(struct build *b, unsigned offset, unsigned size)
{
	memset(b->fw->live + offset, 0, size);
	memset(b->fw->pass + offset, 0, size);
}

static void build_header(struct build *b)
{
	struct pci_function *fn = b->fn;

	copy(b, PCI_VENDOR_ID, 4);
	copy(b, PCI_CLASS_REVISION, 4);
	copy(b, PCI_SUBSYSTEM_VENDOR_ID, 4);
	/* Bit 7 says what shares the guest's slot, not the host's: pci_plug() sets it. */
	fn->config[PCI_HEADER_TYPE] = 0;
	pci_put(fn->wmask, PCI_COMMAND, 2,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
			PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
	pci_put(b->fw->effect, PCI_COMMAND, 2, CAP_IRQ | CAP_IRQ << 8);
	fn->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	fn->wmask[PCI_INTERRUPT_LINE] = 0xff;
	/* Error bits and interrupt status are the device's, write one to clear. */
	pci_put(b->fw->live, PCI_STATUS, 2, 0xf900 | PCI_STATUS_INTERRUPT);
	pci_put(b->fw->pass, PCI_STATUS, 2, 0xf900);
	pci_put(fn->config, PCI_STATUS, 2, pci_get(b->raw, PCI_STATUS, 2) & 0x06a0);
	if (b->facts->intx && b->raw[PCI_INTERRUPT_PIN] <= 4)
		fn->config[PCI_INTERRUPT_PIN] = b->raw[PCI_INTERRUPT_PIN];
	copy(b, PCI_MIN_GNT, 2);
}

static void open_field(struct build *b, unsigned at, const struct cap_field *field)
{
	struct vfio_firewall *fw = b->fw;
	unsigned size = field->size;

	clear_bytes(b->fn->config, at, size, field->hide | field->live);
	clear_bytes(fw->live, at, size, 0xffffffff);
	or_bytes(fw->live, at, size, field->live & ~field->hide);
	or_bytes(b->fn->wmask, at, size, field->keep);
	or_bytes(fw->pass, at, size, field->pass);
	or_bytes(fw->trigger, at, size, field->trigger);
	for (unsigned i = 0; i < size; i++)
		fw->effect[at + i] |= field->effect;
}

/* header: bytes of id and next pointer, which are always ours. */
static void open_cap(struct build *b, const struct cap *cap, const struct cap_policy *policy,
	unsigned size, unsigned header)
{
	copy(b, cap->offset, size);
	if (policy->live) {
		memset(b->fw->live + cap->offset + header, 0xff, size - header);
		memset(b->fn->config + cap->offset + header, 0, size - header);
	}
	if (policy->pass && !b->strict && size > policy->pass)
		memset(b->fw->pass + cap->offset + policy->pass, 0xff, size - policy->pass);
	for (const struct cap_field *f = policy->fields; f->size; f++)
		if ((unsigned)f->offset + f->size <= size)
			open_field(b, cap->offset + f->offset, f);
}

/* Bytes of an MSI capability as its flags say (PCI 3.0, 6.8.1). */
static unsigned msi_size(uint32_t flags)
{
	unsigned size = flags & PCI_MSI_FLAGS_64BIT ? 14 : 10;

	return flags & PCI_MSI_FLAGS_MASKBIT ? size + 10 : size;
}

static unsigned express_size(uint32_t flags)
{
	return (flags & PCI_EXP_FLAGS_VERS) >= 2 ? 0x3c : 0x14;
}

/* What the policy leaves to the capability itself; 0: malformed, hide it. */
static unsigned standard_size(
	const struct build *b, const struct cap *cap, const struct cap_policy *policy)
{
	unsigned size = policy->size;
	uint32_t word = pci_get(b->raw, cap->offset + 2u, 2);

	if (cap->id == CAP_ID_MSI)
		size = msi_size(word);
	else if (cap->id == CAP_ID_EXP)
		size = express_size(word);
	else if (cap->id == CAP_ID_VENDOR)
		size = word & 0xff;
	/* Root-port registers at the end of a version 2 capability may be left out. */
	if (cap->id == CAP_ID_EXP && size > cap->room && cap->room >= 0x14)
		size = cap->room & ~3u;
	if (cap->id == CAP_ID_VENDOR && size > cap->room)
		size = cap->room;
	return size < 2 || size > cap->room ? 0 : size;
}

static void open_msi(struct build *b, unsigned at)
{
	uint32_t flags = pci_get(b->raw, at + PCI_MSI_FLAGS, 2);
	unsigned wide = flags & PCI_MSI_FLAGS_64BIT ? 4 : 0;
	unsigned log = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
	uint8_t *wmask = b->fn->wmask;

	if (log > 5)
		log = 5;
	while (log && 1u << log > b->facts->msi)
		log--;
	flags &= ~(uint32_t)(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_QMASK |
			     0x0600);
	pci_put(b->fn->config, at + PCI_MSI_FLAGS, 2, flags | log << 1);
	memset(b->fn->config + at + 4, 0, msi_size(flags) - 4);
	pci_put(wmask, at + PCI_MSI_ADDRESS_LO, 4, 0xfffffffc);
	if (wide)
		pci_put(wmask, at + PCI_MSI_ADDRESS_HI, 4, 0xffffffff);
	pci_put(wmask, at + PCI_MSI_DATA_32 + wide, 2, 0xffff);
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		pci_put(wmask, at + PCI_MSI_MASK_32 + wide, 4,
			(uint32_t)((1ull << (1u << log)) - 1));
	memset(b->fw->effect + at + 2, CAP_IRQ, msi_size(flags) - 2);
	b->fw->msi = (uint16_t)at;
}

static void open_msix(struct build *b, unsigned at)
{
	unsigned n = (pci_get(b->raw, at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;

	if (n > b->facts->msix)
		n = b->facts->msix;
	pci_put(b->fn->config, at + PCI_MSIX_FLAGS, 2, n - 1);
	b->fw->msix = (uint16_t)at;
}

/* Registers of a link that the guest's place on its bus does not have. */
static void drop_link(struct build *b, unsigned at, unsigned size)
{
	static const struct {
		uint8_t offset, size;
	} link[] = { { PCI_EXP_LNKCAP, 4 }, { PCI_EXP_LNKCTL, 4 }, { PCI_EXP_LNKCAP2, 4 },
		{ PCI_EXP_LNKCTL2, 4 } };

	for (unsigned i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
		unsigned where = at + link[i].offset;

		if ((unsigned)link[i].offset + link[i].size > size)
			continue;
		pci_put(b->fn->config, where, 4, 0);
		pci_put(b->fn->wmask, where, 4, 0);
		pci_put(b->fw->live, where, 4, 0);
	}
}

/*
 * What the host has to take part in, and whether it does is what it has turned on in the device:
 * LTR messages that the port above does not expect are errors of the host's, and tags that somebody
 * on the way cuts off complete other requests. So a guest is shown that the device can do them
 * where the host has them on, turns them on in our copy, and they stay as the host has them.
 */
static void open_agreed(struct build *b, unsigned at, unsigned size)
{
	static const struct {
		uint32_t cap;
		uint16_t control;
	} agreed[] = { { PCI_EXP_DEVCAP2_LTR, PCI_EXP_DEVCTL2_LTR_EN },
		{ PCI_EXP_DEVCAP2_TAG10_REQ, PCI_EXP_DEVCTL2_TAG10_REQ_EN } };
	uint32_t on;

	if (size < PCI_EXP_DEVCTL2 + 2)
		return;
	on = pci_get(b->raw, at + PCI_EXP_DEVCTL2, 2);
	for (unsigned i = 0; i < sizeof(agreed) / sizeof(agreed[0]); i++) {
		clear_bytes(b->fn->config, at + PCI_EXP_DEVCTL2, 2, agreed[i].control);
		if (on & agreed[i].control)
			continue;
		clear_bytes(b->fn->config, at + PCI_EXP_DEVCAP2, 4, agreed[i].cap);
		clear_bytes(b->fn->wmask, at + PCI_EXP_DEVCTL2, 2, agreed[i].control);
	}
	b->fw->tags10 = on & PCI_EXP_DEVCTL2_TAG10_REQ_EN;
}

/*
 * On the root bus an endpoint has no link above it and must be an integrated one; behind a port it
 * must not be (Linux and Windows check the combination).
 */
static void open_express(struct build *b, unsigned at, unsigned size)
{
	uint32_t flags = pci_get(b->raw, at + PCI_EXP_FLAGS, 2);
	unsigned type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
	uint8_t *config = b->fn->config;

	flags &= ~(uint32_t)(PCI_EXP_FLAGS_TYPE | PCI_EXP_FLAGS_SLOT);
	if (b->facts->root_bus) {
		type = PCI_EXP_TYPE_RC_END;
		drop_link(b, at, size);
	} else if (type == PCI_EXP_TYPE_RC_END) {
		type = PCI_EXP_TYPE_ENDPOINT;
		drop_link(b, at, size);
		if (size >= PCI_EXP_LNKSTA + 2) {
			pci_put(config, at + PCI_EXP_LNKCAP, 4,
				PCI_EXP_LNKCAP_SLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
			pci_put(config, at + PCI_EXP_LNKSTA, 2,
				PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
		}
	}
	pci_put(config, at + PCI_EXP_FLAGS, 2, flags | type << 4);
	if (!b->facts->can_reset)
		clear_bytes(config, at + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_FLR);
	open_agreed(b, at, size);
	/* Slot and root registers mean nothing in an endpoint. */
	for (unsigned i = PCI_EXP_SLTCAP; i < PCI_EXP_DEVCAP2 && i < size; i++)
		config[at + i] = 0;
	b->fw->exp = (uint16_t)at;
}

/* False: this device, or this kernel, cannot back the capability. */
static bool cap_usable(const struct build *b, const struct cap *cap)
{
	uint32_t type = (pci_get(b->raw, cap->offset + 2u, 2) & PCI_EXP_FLAGS_TYPE) >> 4;

	switch (cap->id) {
	case CAP_ID_MSI:
		return b->facts->msi > 0;
	case CAP_ID_MSIX:
		return b->facts->msix > 0;
	case CAP_ID_AF:
		return b->facts->can_reset;
	case CAP_ID_EXP:
		/* Legacy endpoints may not sit on the root bus: there they pass as conventional. */
		return type == PCI_EXP_TYPE_ENDPOINT || type == PCI_EXP_TYPE_RC_END ||
		       (type == PCI_EXP_TYPE_LEG_END && !b->facts->root_bus);
	}
	return true;
}

static void open_standard(
	struct build *b, const struct cap *cap, const struct cap_policy *policy, unsigned size)
{
	unsigned at = cap->offset;

	open_cap(b, cap, policy, size, 2);
	switch (cap->id) {
	case CAP_ID_PM:
		clear_bytes(b->fn->config, at + PCI_PM_CTRL, 2, PCI_PM_CTRL_STATE_MASK);
		b->fw->pm = (uint16_t)at;
		break;
	case CAP_ID_MSI:
		open_msi(b, at);
		break;
	case CAP_ID_MSIX:
		open_msix(b, at);
		break;
	case CAP_ID_EXP:
		open_express(b, at, size);
		break;
	case CAP_ID_AF:
		b->fw->af = (uint16_t)at;
		break;
	}
}

/* A second capability of a kind of which one offset is kept would be half emulated. */
static bool cap_repeated(const struct cap_list *list, unsigned i)
{
	if (list->cap[i].id == CAP_ID_VENDOR)
		return false;
	return caps_find(list, list->cap[i].id) != &list->cap[i];
}

static void build_caps(struct build *b)
{
	struct cap_list list;
	unsigned link = PCI_CAPABILITY_LIST;

	caps_walk(b->raw, &list);
	b->fw->broken += list.broken;
	/* Registers that the device has whole (mtty has 255 bytes). */
	open_unclaimed(b, PCI_STD_HEADER_SIZEOF,
		b->facts->config_size < 0x100 ? b->facts->config_size & ~3u : 0x100);
	for (unsigned i = 0; i < list.count; i++) {
		const struct cap *cap = &list.cap[i];
		const struct cap_policy *policy = cap_policy_find(cap->id);
		unsigned size = policy ? standard_size(b, cap, policy) : 0;

		claim(b, cap->offset, size ? size : cap_hidden_size(cap, false));
		b->fw->claimed |= dwords(cap->offset, size ? size : 4);
		if (!size || !cap_usable(b, cap) || cap_repeated(&list, i)) {
			b->fw->hidden++;
			continue;
		}
		open_standard(b, cap, policy, size);
		b->fn->config[link] = (uint8_t)cap->offset;
		link = cap->offset + 1u;
		b->fn->config[link] = 0;
	}
	if (b->fn->config[PCI_CAPABILITY_LIST])
		or_bytes(b->fn->config, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
}

static unsigned ext_size(
	const struct build *b, const struct cap *cap, const struct cap_policy *policy)
{
	unsigned size = policy->size;

	if (cap->room < 8)
		return 0;
	if (cap->id == EXT_CAP_ID_VSEC) {
		size = pci_get(b->raw, cap->offset + 4u, 4) >> 20;
		if (size > cap->room)
			size = cap->room;
	}
	return size < 8 || size > cap->room ? 0 : size & ~3u;
}

static void build_ext_caps(struct build *b)
{
	struct cap_list list;
	unsigned last = 0;

	/* Only an Express function's extended space can be reached. */
	if (!b->fw->exp)
		return;
	caps_walk_ext(b->raw, b->facts->config_size, &list);
	b->fw->broken += list.broken;
	/* Where the list starts, an empty one too, is ours. */
	open_unclaimed(b, 0x104, b->facts->config_size & ~3u);
	for (unsigned i = 0; i < list.count; i++) {
		const struct cap *cap = &list.cap[i];
		const struct cap_policy *policy = cap_policy_find_ext(cap->id);
		unsigned size = policy ? ext_size(b, cap, policy) : 0;

		claim(b, cap->offset, size ? size : cap_hidden_size(cap, true));
		if (!size) {
			b->fw->hidden++;
			continue;
		}
		open_cap(b, cap, policy, size, 4);
		/*
		 * The list starts at 0x100 whatever is there: when the first is hidden, a null
		 * capability that only points on takes its place.
		 */
		if (cap->offset != 0x100)
			or_bytes(b->fn->config, last ? last : 0x100u, 4,
				(uint32_t)cap->offset << 20);
		pci_put(b->fn->config, cap->offset, 4, cap->id | (uint32_t)cap->version << 16);
		last = cap->offset;
	}
}

/* Registers of the device's own that say where something is in the host's memory. */
static void close_host_addresses(struct build *b)
{
	const struct vfio_quirk *quirk = NULL;

	while ((quirk = vfio_quirk_next(VFIO_QUIRK_HOST_ADDRESS, b->raw, quirk)))
		if (!vfio_firewall_claimed(b->fw, quirk->at, quirk->size))
			claim(b, quirk->at, quirk->size);
}

static int build(struct vfio_firewall *fw, struct pci_function *fn, const uint8_t *raw,
	const struct vfio_firewall_facts *facts, bool strict)
{
	struct build b = { .fw = fw, .fn = fn, .raw = raw, .facts = facts, .strict = strict };

	if (raw[PCI_HEADER_TYPE] & 0x7f)
		return -EINVAL;
	memset(fw->live, 0, sizeof(fw->live));
	memset(fw->pass, 0, sizeof(fw->pass));
	memset(fw->effect, 0, sizeof(fw->effect));
	memset(fw->trigger, 0, sizeof(fw->trigger));
	fw->pm = fw->msi = fw->msix = fw->exp = fw->af = 0;
	fw->tags10 = false;
	fw->hidden = fw->broken = 0;
	fw->claimed = 0;
	memset(fn->config, 0, sizeof(fn->config));
	memset(fn->wmask, 0, sizeof(fn->wmask));
	memset(fn->w1cmask, 0, sizeof(fn->w1cmask));
	build_header(&b);
	build_caps(&b);
	close_host_addresses(&b);
	build_ext_caps(&b);
	memcpy(fn->reset_config, fn->config, sizeof(fn->config));
	return 0;
}

int vfio_firewall_build(struct vfio_firewall *fw, struct pci_function *fn, const uint8_t *raw,
	const struct vfio_firewall_facts *facts)
{
	int ret = build(fw, fn, raw, facts, facts->strict);

	/* A list that leads nowhere leaves unsaid what is claimed: nothing is opened. */
	if (!ret && fw->broken && !facts->strict)
		ret = build(fw, fn, raw, facts, true);
	return ret;
}
