/* SPDX-License-Identifier: Apache-2.0 */
/*
 * low.c - what the first instruction needs below 128 KiB: GDT, page tables, command line.
 */
#include "internal.h"

#include <string.h>

#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define GDT_TSS32 0x00008b0000000067ull /* busy, base 0 */

#define PTE_PRESENT_WRITABLE 0x3ull
#define PTE_LARGE 0x80ull
#define PAGE 4096u
#define LARGE_PAGE 0x200000ull

void low_gdt(uint8_t *low, bool long_mode, struct kvm_entry *entry)
{
	const uint64_t gdt[] = { 0, 0, long_mode ? GDT_CODE64 : GDT_CODE32, GDT_DATA, GDT_TSS32,
		0 };

	memcpy(low + BOOT_GDT, gdt, sizeof(gdt));
	entry->gdt = BOOT_GDT;
	entry->gdt_size = sizeof(gdt);
	entry->code_selector = BOOT_CODE_SELECTOR;
	entry->data_selector = BOOT_DATA_SELECTOR;
}

static void put(uint8_t *low, uint64_t gpa, unsigned index, uint64_t value)
{
	memcpy(low + gpa + index * sizeof(value), &value, sizeof(value));
}

/*
 * The first 4 GiB, identity-mapped with 2 MiB pages: all the kernel may touch before its own
 * tables.
 */
void low_page_tables(uint8_t *low, struct kvm_entry *entry)
{
	const uint64_t pdpt = BOOT_PAGE_TABLE + PAGE, directory = pdpt + PAGE;

	put(low, BOOT_PAGE_TABLE, 0, pdpt | PTE_PRESENT_WRITABLE);
	for (unsigned gib = 0; gib < 4; gib++)
		put(low, pdpt, gib, (directory + gib * PAGE) | PTE_PRESENT_WRITABLE);
	for (unsigned i = 0; i < 4 * 512; i++)
		put(low, directory, i, i * LARGE_PAGE | PTE_PRESENT_WRITABLE | PTE_LARGE);
	entry->page_table = BOOT_PAGE_TABLE;
}

/* The length was checked when the image was read. */
void low_cmdline(uint8_t *low, const char *text)
{
	size_t len = strnlen(text, BOOT_CMDLINE_SIZE - 1);

	memcpy(low + BOOT_CMDLINE, text, len);
	low[BOOT_CMDLINE + len] = 0;
}
