/* SPDX-License-Identifier: Apache-2.0 */
/* msix_table.c - MSI-X table and PBA: bytes, masks, pending bits. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/msix_table.h>
#include <portcullis/pci.h>

/* 1: the guest may change this bit. Addresses are dword-aligned; Vector Control is one bit. */
static const uint8_t writable[MSIX_ENTRY] = {
	[PCI_MSIX_ENTRY_LOWER_ADDR] = 0xfc,
	[PCI_MSIX_ENTRY_LOWER_ADDR + 1 ... PCI_MSIX_ENTRY_DATA + 3] = 0xff,
	[PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT,
};

int msix_table_init(struct msix_table *table, unsigned n)
{
	*table = (struct msix_table){ 0 };
	if (!n)
		return 0;
	table->entries = malloc(msix_table_size(n));
	table->pending = malloc(msix_pba_size(n));
	if (!table->entries || !table->pending) {
		msix_table_release(table);
		return -ENOMEM;
	}
	table->n = n;
	msix_table_reset(table);
	return 0;
}

void msix_table_release(struct msix_table *table)
{
	free(table->entries);
	free(table->pending);
	*table = (struct msix_table){ 0 };
}

static uint8_t *entry(const struct msix_table *table, uint64_t vector)
{
	return table->entries + vector * MSIX_ENTRY;
}

static bool masked(const uint8_t *entry)
{
	return entry[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

void msix_table_reset(struct msix_table *table)
{
	if (!table->n)
		return;
	memset(table->entries, 0, msix_table_size(table->n));
	memset(table->pending, 0, msix_pba_size(table->n));
	for (unsigned i = 0; i < table->n; i++)
		entry(table, i)[PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static bool inside(uint64_t at, unsigned size, uint64_t room)
{
	return at <= room && size <= room - at;
}

/* x86: memory order is the guest's. Drivers read dwords: for those nothing is called. */
static uint64_t bytes_read(const void *bytes, uint64_t room, uint64_t at, unsigned size)
{
	const uint8_t *from = bytes;
	uint64_t value = 0;
	uint32_t dword;

	if (!inside(at, size, room))
		return ~0ull >> (64 - 8 * size);
	from += at;
	if (size == sizeof(dword)) {
		memcpy(&dword, from, sizeof(dword));
		return dword;
	}
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

uint64_t msix_table_read(const struct msix_table *table, uint64_t at, unsigned size)
{
	return bytes_read(table->entries, msix_table_size(table->n), at, size);
}

uint64_t msix_pba_read(const struct msix_table *table, uint64_t at, unsigned size)
{
	return bytes_read(table->pending, msix_pba_size(table->n), at, size);
}

static bool function_live(unsigned control)
{
	return (control & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) ==
	       PCI_MSIX_FLAGS_ENABLE;
}

bool msix_table_write(
	struct msix_table *table, unsigned control, uint64_t at, unsigned size, uint64_t data)
{
	bool changed = false;

	if (!inside(at, size, msix_table_size(table->n)))
		return false;
	for (unsigned i = 0; i < size; i++, at++, data >>= 8) {
		uint8_t *e = entry(table, at / MSIX_ENTRY);
		unsigned byte = at % MSIX_ENTRY;
		uint8_t value = (uint8_t)data & writable[byte];

		/* A masked vector's message matters when it is unmasked. */
		if (value != e[byte])
			changed |= byte == PCI_MSIX_ENTRY_VECTOR_CTRL || !masked(e);
		e[byte] = value;
	}
	return changed && function_live(control);
}

bool msix_table_live(const struct msix_table *table, unsigned control, unsigned vector)
{
	return function_live(control) && !masked(entry(table, vector));
}

struct msi_message msix_table_message(const struct msix_table *table, unsigned vector)
{
	const uint8_t *e = entry(table, vector);

	return (struct msi_message){
		.addr = pci_get(e, PCI_MSIX_ENTRY_LOWER_ADDR, 4) |
			(uint64_t)pci_get(e, PCI_MSIX_ENTRY_UPPER_ADDR, 4) << 32,
		.data = pci_get(e, PCI_MSIX_ENTRY_DATA, 4),
	};
}

bool msix_table_set_pending(struct msix_table *table, unsigned vector, bool pending)
{
	uint64_t *word = &table->pending[vector / 64], bit = 1ull << vector % 64;
	bool before = *word & bit;

	*word = pending ? *word | bit : *word & ~bit;
	return before;
}
