/* SPDX-License-Identifier: Apache-2.0 */
/* caps.c - walking capability lists that may be broken. */
#include "caps.h"

#include <linux/pci_regs.h>

#include <portcullis/pci.h>

/* The room of each: up to the nearest capability that starts after it. */
static void measure(struct cap_list *list, unsigned end)
{
	for (unsigned i = 0; i < list->count; i++) {
		unsigned next = end;

		for (unsigned k = 0; k < list->count; k++)
			if (list->cap[k].offset > list->cap[i].offset && list->cap[k].offset < next)
				next = list->cap[k].offset;
		list->cap[i].room = (uint16_t)(next - list->cap[i].offset);
	}
}

void caps_walk(const uint8_t *config, struct cap_list *out)
{
	uint64_t seen = 0; /* a bit per dword of the 256 bytes */
	unsigned at;

	out->count = out->broken = 0;
	if (!(pci_get(config, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST))
		return;
	/* The two low bits of a pointer are reserved and must be ignored (PCI 3.0, 6.7). */
	for (at = config[PCI_CAPABILITY_LIST] & ~3u; at; at = config[at + 1] & ~3u) {
		if (at < 0x40 || (seen >> (at / 4) & 1) || out->count == CAPS_MAX) {
			out->broken++;
			break;
		}
		seen |= 1ull << (at / 4);
		if (config[at] == 0xff) { /* the device does not answer here */
			out->broken++;
			break;
		}
		out->cap[out->count++] = (struct cap){ .id = config[at], .offset = (uint16_t)at };
	}
	measure(out, 256);
}

void caps_walk_ext(const uint8_t *config, unsigned size, struct cap_list *out)
{
	uint64_t seen[PCI_CONFIG_SIZE / 4 / 64] = { 0 };
	unsigned at = 0x100;

	out->count = out->broken = 0;
	if (size <= 0x100)
		return;
	while (at) {
		uint32_t header;

		if (at < 0x100 || at + 4 > size || (seen[at / 256] >> (at / 4 % 64) & 1) ||
			out->count == EXT_CAPS_MAX) {
			out->broken++;
			break;
		}
		seen[at / 256] |= 1ull << (at / 4 % 64);
		header = pci_get(config, at, 4);
		if (header == 0)
			break;
		if (header == 0xffffffff) {
			out->broken += at != 0x100; /* there: conventional PCI, nothing wrong */
			break;
		}
		out->cap[out->count++] = (struct cap){ .id = (uint16_t)header,
			.version = header >> 16 & 0xf,
			.offset = (uint16_t)at };
		at = header >> 20 & ~3u;
	}
	measure(out, size);
}

const struct cap *caps_find(const struct cap_list *list, uint16_t id)
{
	for (unsigned i = 0; i < list->count; i++)
		if (list->cap[i].id == id)
			return &list->cap[i];
	return NULL;
}
