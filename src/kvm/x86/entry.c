/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.c - the registers a kernel is entered with. Linux's 64-bit boot protocol
 * (Documentation/arch/x86/boot.rst) and the PVH / Multiboot 32-bit entries.
 */
#include <linux/kvm.h>
#include <string.h>

#include "x86.h"

#define CR0_PE (1ull << 0)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define RFLAGS_RESERVED 2ull /* bit 1 is always set; IF is off */

#define TYPE_CODE 0xb /* execute, read, accessed */
#define TYPE_DATA 0x3 /* read, write, accessed */

static struct kvm_segment flat(uint16_t selector, uint8_t type, bool is_64bit_code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = is_64bit_code,
		.db = !is_64bit_code,
	};
}

void kvm_entry_registers(
	const struct kvm_entry *entry, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	bool is_long = entry->mode == KVM_ENTRY_LONG;

	memset(regs, 0, sizeof(*regs));
	regs->rip = entry->rip;
	regs->rsp = entry->rsp;
	regs->rflags = RFLAGS_RESERVED;
	if (is_long) {
		regs->rsi = entry->arg;
	} else {
		regs->rax = entry->magic;
		regs->rbx = entry->arg;
	}
	/* TR and LDTR stay as after reset: what VMX wants of them holds in both modes. */
	sregs->cs = flat(entry->code_selector, TYPE_CODE, is_long);
	sregs->ds = flat(entry->data_selector, TYPE_DATA, false);
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
	sregs->gdt.base = entry->gdt;
	sregs->gdt.limit = entry->gdt_size ? (uint16_t)(entry->gdt_size - 1) : 0;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	/* The caches must be on: with VFIO's non-coherent DMA, KVM honours CR0.CD. */
	sregs->cr0 = CR0_PE | CR0_ET;
	if (!is_long)
		return;
	sregs->cr0 |= CR0_NE | CR0_PG;
	sregs->cr3 = entry->page_table;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
}
