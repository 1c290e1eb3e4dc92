/* SPDX-License-Identifier: Apache-2.0 */
/*
 * q35.h - where things are on the q35 board: guest-physical addresses, ports, GSIs.
 *
 * Layer: below all others, includes nothing.
 * Who:   only what is x86's includes it: src/machine/q35.c, which makes the board of it (board.h),
 *        src/kvm/x86, and src/boot and src/acpi, whose formats are x86's (lint holds it).
 *        Everything else asks the board, or is told.
 * src/acpi/dsdt.asl says some of it again; test_acpi_aml compares.
 */
#ifndef PORTCULLIS_Q35_H
#define PORTCULLIS_Q35_H

/* --- memory: RAM is [0, GPA_LOW_RAM_END) and from GPA_HIGH_RAM on --- */
#define GPA_LOW_RAM_END 0xc0000000ull /* RAM below 4 GiB stops here: 3 GiB */
#define GPA_ECAM 0xc0000000ull	      /* 256 buses, 256 MiB */
#define GPA_ECAM_SIZE 0x10000000ull
#define GPA_PCI32 0xd0000000ull	      /* 32-bit BAR window */
#define GPA_PCI32_END 0xfeb00000ull   /* exclusive */
#define GPA_PLATFORM 0xfeb00000ull    /* our own MMIO registers, 1 MiB: */
#define GED_BASE 0xfeb00000ull	      /* the event device's */
#define ACPI_SLOTS_BASE 0xfeb01000ull /* hot plug's (acpi_slots.h) */
#define GPA_IOAPIC 0xfec00000ull
#define GPA_LAPIC 0xfee00000ull
#define GPA_KVM_IDENTITY 0xfeffc000ull /* KVM_SET_IDENTITY_MAP_ADDR, then 3 TSS pages */
#define GPA_HIGH_RAM 0x100000000ull    /* RAM above 4 GiB starts here */

/* --- ports --- */
#define KEYBOARD_PORT 0x60
#define RTC_PORT 0x70
#define SERIAL_PORT 0x3f8
#define POWER_SLEEP_CONTROL 0x600 /* SLEEP_CONTROL_REG, SLEEP_STATUS_REG: 2 ports */
#define PCI_CF8_PORT 0xcf8
#define POWER_RESET_REG 0xcf9
#define PCI_CFC_PORT 0xcfc
#define PCI_IO_START 0x1000 /* the window for BARs; ports below belong to the platform */
#define PCI_IO_END 0x10000

/* --- GSIs: IOAPIC pins --- */
#define SERIAL_GSI 4
#define RTC_GSI 8
#define GED_GSI 9
#define INTX_GSI 16 /* four: slots' pins take turns */

#endif
