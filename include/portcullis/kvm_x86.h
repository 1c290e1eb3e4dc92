/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm_x86.h - what is x86's of the kernel's side of the machine: interrupt pins, how a kernel is
 * entered, APIC ids, and the architecture's part of a VM and of a vCPU.
 *
 * Layer: L1, the module of kvm.h. kvm.h and kvm_vcpu.h include it, as they would that of another
 *        architecture, for the sizes of what it has in theirs; src/kvm/x86 implements it.
 * Who:   struct kvm_entry is boot's to fill in; the fields of *_arch are src/kvm/x86's alone.
 */
#ifndef PORTCULLIS_KVM_X86_H
#define PORTCULLIS_KVM_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_cpuid2;
struct kvm_msr_list;
struct kvm_topology;
struct kvm_vcpu_state; /* registers, MSRs, LAPIC ... as created */
struct kvm_vm_state;   /* PIC, IOAPIC, PIT as created */

#define KVM_GSI_PINS 24	  /* IOAPIC pins: GSI 0..23 */
#define KVM_PIN_ROUTES 40 /* theirs, and those of the two PICs' lines */

struct kvm_cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

/* The host's processor, as its own CPUID tells of it (src/kvm/x86/host.c). */
#define KVM_HOST_CACHES 8 /* four are usual */
struct kvm_host {
	unsigned package; /* logical processors in one, 0: not known */
	bool has_brand;
	struct kvm_cpuid_regs brand[3]; /* leaves 0x80000002 to 4 */
	struct kvm_cpuid_regs l1; /* leaf 0x80000005 of AMD's, of caches and TLBs; zero: none */
	struct kvm_cpuid_regs monitor;		      /* leaf 5 */
	struct kvm_cpuid_regs cache[KVM_HOST_CACHES]; /* leaf 0x8000001d of AMD's */
	unsigned n_caches;
	bool mwait; /* the guest may use it: kvm_vm_idle_in_guest() */
};

struct kvm_vm_arch {
	struct kvm_host host;
	size_t xsave_size, nested_size; /* bytes of a vCPU's state; nested_size 0: none */
	bool tsc_deadline, has_xcrs;
	uint64_t mcg_cap;	  /* machine checks as the guest is offered them, 0: none (mce.h) */
	struct kvm_cpuid2 *cpuid; /* KVM_GET_SUPPORTED_CPUID, owned */
	struct kvm_msr_list *msrs;    /* those that a vCPU's reset restores, owned */
	struct kvm_vm_state *initial; /* owned */
};

struct kvm_vcpu_arch {
	struct kvm_vcpu_state *initial; /* owned */
	uint64_t mcg_cap; /* IA32_MCG_CAP; 0: this host has no machine checks for guests (mce.h) */
	bool amd;	  /* what the guest takes the processor for */
};

/*
 * The APIC id of a vCPU (0 .. cpus - 1): thread, core and socket each take a whole number of bits,
 * so it equals index whenever threads and cores are powers of two. For MADT and CPUID.
 */
uint32_t kvm_apic_id(const struct kvm_topology *topology, unsigned index);

enum kvm_entry_mode {
	KVM_ENTRY_LONG,	     /* bzImage 64-bit entry: paging on, rsi = arg */
	KVM_ENTRY_PROTECTED, /* PVH, Multiboot: 32-bit flat, paging off, ebx = arg, eax = magic */
};
struct kvm_entry {
	enum kvm_entry_mode mode;
	uint64_t rip, rsp, arg;
	uint32_t magic;
	uint64_t page_table, gdt; /* GPAs prepared by boot, KVM_ENTRY_LONG / both */
	uint32_t gdt_size;
	uint16_t code_selector, data_selector;
};

#endif
