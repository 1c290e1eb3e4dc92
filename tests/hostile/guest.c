/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.c - what a vCPU does: routines, picked at random, that put a few accesses into its script.
 * Some are what a driver or the ACPI interpreter does in that order, some have no sense at all.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <linux/pci_regs.h>
#include <string.h>

#include <portcullis/acpi_slots.h>
#include <portcullis/devices.h>
#include <portcullis/memory.h>
#include <portcullis/q35.h>
#include <portcullis/serial.h>

#include "hostile.h"

#define SCRIPT 48
#define DATA_AT 4096 /* of port accesses, in the run page */
#define DEBUG_EXIT_PORT 0xf4

enum op_kind { OP_OUT, OP_IN, OP_WRITE, OP_READ, OP_EXIT, OP_ERROR, OP_HALT };
struct op {
	enum op_kind kind;
	uint64_t addr; /* port, GPA; exit reason, errno, microseconds */
	uint64_t value;
	uint8_t size, count;
};

static struct guest {
	struct op script[SCRIPT];
	unsigned at, n;
} guests[HOSTILE_CPUS];

static void push(struct guest *g, struct op op)
{
	if (g->n < SCRIPT)
		g->script[g->n++] = op;
}

static void out(struct guest *g, uint16_t port, unsigned size, uint64_t value)
{
	push(g, (struct op){ OP_OUT, port, value, (uint8_t)size, 1 });
}

static void in(struct guest *g, uint16_t port, unsigned size)
{
	push(g, (struct op){ OP_IN, port, 0, (uint8_t)size, 1 });
}

static void wr(struct guest *g, uint64_t gpa, unsigned size, uint64_t value)
{
	push(g, (struct op){ OP_WRITE, gpa, value, (uint8_t)size, 1 });
}

static void rd(struct guest *g, uint64_t gpa, unsigned size)
{
	push(g, (struct op){ OP_READ, gpa, 0, (uint8_t)size, 1 });
}

static unsigned some_size(void)
{
	return 1u << chance_below(3);
}

/* Values that mean something more often than not. */
static uint64_t some_value(void)
{
	static const uint64_t values[] = { 0, 1, 2, 4, 7, 0xff, 0xffff, 0xffffffff, 0xfee00000,
		0x80000000, 0xd0000000, 0x10, 0x40, 0x8000, 0xc000 };

	return one_in(3) ? chance() : values[chance_below(sizeof(values) / sizeof(values[0]))];
}

/* --- PCI --- */

static uint8_t some_port(void)
{
	return (uint8_t)((1 + chance_below(HOSTILE_PORTS)) << 3);
}

/* A root port, or what may be behind one. */
static uint64_t some_function(void)
{
	if (one_in(4))
		return (uint64_t)some_port() << 12;
	return (uint64_t)(1 + chance_below(HOSTILE_PORTS)) << 20 |
	       (uint64_t)(one_in(4) ? chance_below(8) : 0) << 12;
}

static unsigned some_register(void)
{
	static const uint16_t registers[] = { PCI_VENDOR_ID, PCI_COMMAND, PCI_COMMAND, PCI_STATUS,
		PCI_STATUS, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30, PCI_PRIMARY_BUS,
		PCI_BRIDGE_CONTROL, PCI_INTERRUPT_LINE, 0x42, 0x40, 0x62, 0x64, 0x70, 0x72, 0x84,
		0x88, 0x8a, 0x90, 0xa0, 0xa2, 0xcc, 0xd0, 0xd2, 0xe8, 0xea, 0x104, 0x108, 0x148 };

	return one_in(4) ? chance_below(4096)
			 : registers[chance_below(sizeof(registers) / sizeof(registers[0]))];
}

static void config(struct guest *g)
{
	for (unsigned n = 1 + chance_below(4); n; n--) {
		uint64_t at = GPA_ECAM + some_function() + some_register();

		if (one_in(6))
			wr(g, at, some_size(), some_value());
		else
			rd(g, at, some_size());
	}
}

static void cf8(struct guest *g)
{
	out(g, 0xcf8, 4, 0x80000000 | (some_function() >> 4 & 0xffff00) | (some_register() & 0xfc));
	if (one_in(3))
		out(g, (uint16_t)(0xcfc + chance_below(4)), some_size(), some_value());
	else
		in(g, (uint16_t)(0xcfc + chance_below(4)), some_size());
}

/* What a port forwards, as firmware sets it up: all the other routines soon spoil that. */
#define WINDOW(port) ((uint32_t)GPA_PCI32 + 0x1000000u * (port))
static void bridge(struct guest *g, unsigned port)
{
	uint64_t fn = GPA_ECAM + ((uint64_t)port << 15);
	uint32_t base = WINDOW(port) >> 16;

	wr(g, fn + PCI_PRIMARY_BUS, 4, port << 16 | port << 8);
	wr(g, fn + PCI_MEMORY_BASE, 4, (base | 0xf0) << 16 | base);
	wr(g, fn + PCI_BRIDGE_CONTROL, 2, 0);
	wr(g, fn + PCI_COMMAND, 2, 7);
}

/* As an operating system sizes and places BARs; sometimes over one another, or none. */
static void bars(struct guest *g)
{
	unsigned port = 1 + chance_below(HOSTILE_PORTS);
	uint64_t fn = GPA_ECAM + ((uint64_t)port << 20) + (one_in(4) ? 1 << 12 : 0);
	uint32_t at = WINDOW(port) + 0x100000 * chance_below(8);

	bridge(g, port);
	rd(g, fn + PCI_VENDOR_ID, 4);
	wr(g, fn + PCI_COMMAND, 2, 0);
	for (unsigned i = 0; i < 6; i++) {
		wr(g, fn + PCI_BASE_ADDRESS_0 + 4 * i, 4, 0xffffffff);
		rd(g, fn + PCI_BASE_ADDRESS_0 + 4 * i, 4);
		wr(g, fn + PCI_BASE_ADDRESS_0 + 4 * i, 4, one_in(8) ? 0 : at + 0x40000 * i);
	}
	wr(g, fn + PCI_COMMAND, 2, one_in(3) ? chance_below(8) : 7);
}

/* A driver that looks at what only the card itself knows. */
static void live(struct guest *g)
{
	static const uint16_t registers[] = { PCI_COMMAND, PCI_STATUS, PCI_STATUS, 0x64, 0x8a, 0xcc,
		0xea, 0x104, 0x110, 0x150, 0x200 };
	unsigned port = 1 + chance_below(HOSTILE_PORTS);
	uint64_t fn = GPA_ECAM + ((uint64_t)port << 20);

	if (one_in(10))
		bridge(g, port);
	for (unsigned n = 1 + chance_below(20); n; n--)
		rd(g, fn + registers[chance_below(sizeof(registers) / sizeof(registers[0]))],
			one_in(2) ? 4 : 2);
}

/* Where the fake cards have MSI-X, MSI, PM and Express. */
static const struct {
	uint16_t msix, msi, pm, express;
} caps[] = {
	{ 0x40, 0, 0x60, 0x80 },
	{ 0xa0, 0xd0, 0xc8, 0xe0 },
	{ 0x70, 0, 0, 0xa0 },
	{ 0, 0x40, 0, 0 },
};

static void interrupts(struct guest *g)
{
	unsigned i = chance_below(sizeof(caps) / sizeof(caps[0]));
	uint64_t fn = GPA_ECAM + some_function();

	switch (chance_below(3)) {
	case 0:
		wr(g, fn + caps[i].msix + PCI_MSIX_FLAGS, 2, chance() & 0xc000);
		break;
	case 1:
		wr(g, fn + caps[i].msi + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
		wr(g, fn + caps[i].msi + PCI_MSI_FLAGS, 2, chance() & 0x71);
		break;
	default:
		wr(g, fn + PCI_COMMAND, 2, chance() & 0x407);
		break;
	}
}

static void function_reset(struct guest *g)
{
	unsigned i = chance_below(3);
	uint64_t fn = GPA_ECAM + some_function();

	if (one_in(2))
		wr(g, fn + caps[i].express + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	else
		wr(g, fn + caps[i].pm + PCI_PM_CTRL, 2, chance_below(4));
	/* While it is under way on this vCPU or another. */
	rd(g, fn + PCI_STATUS, 2);
}

static void bus_reset(struct guest *g)
{
	uint64_t port = GPA_ECAM + ((uint64_t)some_port() << 12);

	wr(g, port + PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
	wr(g, port + PCI_BRIDGE_CONTROL, 2, 0);
}

/* BARs: mapped ones directly, trapped pieces (MSI-X tables lie around there) by exits. */
static void memory(struct guest *g)
{
	for (unsigned n = 1 + chance_below(6); n; n--) {
		uint64_t at = kvm_some_address();

		at &= one_in(4) ? UINT64_MAX : ~3ull;
		if (one_in(2))
			wr(g, at, one_in(4) ? 8 : 4, some_value());
		else
			rd(g, at, one_in(4) ? some_size() : 4);
	}
}

/* --- hot plug --- */

#define SLOT(port, reg) (ACPI_SLOTS_BASE + 0x800 + 8u * (port) + (reg))

/* Some guests eject what they are asked for and more, others next to nothing. */
static bool lets_go(void)
{
	return hostile.plan.polite ? !one_in(4) : one_in(200000);
}

/* The DSDT's method, and what an operating system does then. */
static void acpi_event(struct guest *g)
{
	uint8_t port = some_port();

	rd(g, GED_BASE, 4);
	rd(g, ACPI_SLOTS_BASE, 4);
	rd(g, SLOT(port, 0), 1);
	wr(g, SLOT(port, 0), 1, 0xff);
	rd(g, SLOT(port, 1), 1);
	wr(g, SLOT(port, 1), 1, 0xff);
	if (lets_go())
		wr(g, SLOT(port, 3), 1, one_in(2) ? 0xff : 1 << chance_below(8));
	if (one_in(3))
		wr(g, SLOT(port, 4), 4, 3u << 16 | chance_below(3) << 8);
}

static void slots(struct guest *g)
{
	uint64_t at = one_in(2) ? ACPI_SLOTS_BASE + chance_below(ACPI_SLOTS_SIZE)
				: SLOT(some_port(), chance_below(8));

	if (one_in(3) && ((at & 7) != 3 || lets_go()))
		wr(g, at, some_size(), some_value());
	else
		rd(g, at, some_size());
}

/* The root port's Express capability is its first. */
static void pciehp(struct guest *g)
{
	uint64_t exp = GPA_ECAM + ((uint64_t)some_port() << 12) + 0x40;

	rd(g, exp + PCI_EXP_SLTSTA, 2);
	wr(g, exp + PCI_EXP_SLTSTA, 2, chance() & 0x1ff);
	wr(g, exp + PCI_EXP_SLTCTL, 2, chance() & (lets_go() ? 0x17ff : 0x13ff));
	if (lets_go())
		wr(g, exp + PCI_EXP_SLTCTL, 2,
			PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF | 0x3f);
	if (one_in(2))
		wr(g, exp + PCI_EXP_SLTCTL, 2, PCI_EXP_SLTCTL_PWR_IND_ON | 0x3f);
}

static void hotplug(struct guest *g)
{
	if (hostile.plan.native)
		pciehp(g);
	else
		acpi_event(g);
}

/* --- the platform --- */

static void ged(struct guest *g)
{
	if (one_in(4))
		wr(g, GED_BASE + chance_below(8), some_size(), some_value());
	else
		rd(g, GED_BASE + chance_below(8), some_size());
}

static void rtc(struct guest *g)
{
	out(g, RTC_PORT, 1, one_in(2) ? chance_below(14) : chance_below(256));
	if (one_in(2))
		out(g, RTC_PORT + 1, 1, some_value() & 0xff);
	else
		in(g, RTC_PORT + 1, 1);
}

static void serial(struct guest *g)
{
	uint16_t port = (uint16_t)(SERIAL_PORT + chance_below(8));

	if (one_in(3))
		out(g, port, 1, some_value() & 0xff);
	else if (one_in(2))
		in(g, port, 1);
	else
		push(g, (struct op){ OP_OUT, SERIAL_PORT, 'x', 1, (uint8_t)chance_below(64) });
}

static void nonsense(struct guest *g)
{
	if (one_in(2))
		rd(g, chance() & 0xffffffffff, one_in(2) ? 8 : some_size());
	else if (one_in(2))
		wr(g, GPA_PCI32 + (chance() & 0x3fffffff), 4, chance());
	else
		push(g, (struct op){ one_in(2) ? OP_IN : OP_OUT, 0x700 + chance_below(0xf900),
				chance(), (uint8_t)some_size(), (uint8_t)chance_below(8) });
}

static void odd_exits(struct guest *g)
{
	static const struct op odd[] = { { OP_EXIT, KVM_EXIT_HLT, 0, 0, 0 },
		{ OP_EXIT, KVM_EXIT_INTR, 0, 0, 0 }, { OP_EXIT, KVM_EXIT_IRQ_WINDOW_OPEN, 0, 0, 0 },
		{ OP_ERROR, EINTR, 0, 0, 0 }, { OP_ERROR, EAGAIN, 0, 0, 0 } };

	push(g, odd[chance_below(sizeof(odd) / sizeof(odd[0]))]);
}

static void halt(struct guest *g)
{
	push(g, (struct op){ .kind = OP_HALT, .addr = 20 + chance_below(800) });
}

/* --- ends of the guest's, and of everything --- */

static void leave(struct guest *g, uint32_t reason)
{
	push(g, (struct op){ .kind = OP_EXIT, .addr = reason });
}

static void reset(struct guest *g)
{
	unsigned how = 1 + chance_below(7);

	if (how & 1)
		out(g, POWER_RESET_REG, 1, 6);
	if (how & 2)
		out(g, 0x64, 1, 0xfe);
	if (how & 4)
		leave(g, KVM_EXIT_SHUTDOWN);
	if (one_in(8))
		push(g, (struct op){
				OP_EXIT, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_RESET, 0, 0 });
}

static void power_off(struct guest *g)
{
	switch (chance_below(3)) {
	case 0:
		out(g, POWER_SLEEP_CONTROL, 1, 0x34);
		break;
	case 1:
		out(g, DEBUG_EXIT_PORT, 4, chance_below(256));
		break;
	default:
		push(g, (struct op){
				OP_EXIT, KVM_EXIT_SYSTEM_EVENT, KVM_SYSTEM_EVENT_SHUTDOWN, 0, 0 });
		break;
	}
}

static void crash(struct guest *g)
{
	switch (chance_below(4)) {
	case 0:
		leave(g, KVM_EXIT_INTERNAL_ERROR);
		break;
	case 1:
		leave(g, KVM_EXIT_FAIL_ENTRY);
		break;
	case 2:
		leave(g, 77);
		break;
	default:
		push(g, (struct op){ .kind = OP_ERROR, .addr = EFAULT });
		break;
	}
}

static const struct {
	void (*fn)(struct guest *g);
	unsigned weight;
} routines[] = {
	{ live, 40 },
	{ memory, 20 },
	{ config, 15 },
	{ hotplug, 12 },
	{ halt, 8 },
	{ bars, 6 },
	{ serial, 6 },
	{ cf8, 5 },
	{ interrupts, 5 },
	{ rtc, 5 },
	{ slots, 4 },
	{ odd_exits, 4 },
	{ nonsense, 4 },
	{ ged, 3 },
	{ function_reset, 1 },
	{ bus_reset, 1 },
};
#define ROUTINES (sizeof(routines) / sizeof(routines[0]))
#define ENDS_OF 1000 /* plan.resets and .power: times in so many routines */

static void next_routine(struct guest *g)
{
	unsigned pick, total = 0;

	g->at = g->n = 0;
	if (phase_now() == PHASE_RUN) {
		if (atomic_load(&hostile.power_off))
			return power_off(g);
		pick = chance_below(ENDS_OF);
		if (pick < hostile.plan.resets)
			return one_in(40) ? crash(g) : reset(g);
		if (ENDS_OF - 1 - pick < hostile.plan.power)
			return power_off(g);
	}
	for (unsigned i = 0; i < ROUTINES; i++)
		total += routines[i].weight;
	pick = chance_below(total);
	for (unsigned i = 0; i < ROUTINES; i++) {
		if (pick < routines[i].weight)
			return routines[i].fn(g);
		pick -= routines[i].weight;
	}
}

/* --- as exits --- */

static void port_exit(struct kvm_run *run, const struct op *op)
{
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = op->kind == OP_OUT ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	run->io.port = (uint16_t)op->addr;
	run->io.size = op->size;
	run->io.count = op->count ? op->count : 1;
	run->io.data_offset = DATA_AT;
	for (unsigned i = 0; i < run->io.count && op->kind == OP_OUT; i++)
		memcpy((uint8_t *)run + DATA_AT + (size_t)i * op->size, &op->value, op->size);
}

static void memory_exit(struct kvm_run *run, const struct op *op)
{
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = op->addr;
	run->mmio.len = op->size;
	run->mmio.is_write = op->kind == OP_WRITE;
	memcpy(run->mmio.data, &op->value, sizeof(run->mmio.data));
}

static void other_exit(struct kvm_run *run, const struct op *op)
{
	run->exit_reason = (uint32_t)op->addr;
	if (op->addr == KVM_EXIT_SYSTEM_EVENT)
		run->system_event.type = (uint32_t)op->value;
}

int guest_next(unsigned vcpu, struct kvm_run *run)
{
	struct guest *g = &guests[vcpu];

	for (;;) {
		struct op *op;

		if (g->at == g->n)
			next_routine(g);
		if (g->at == g->n)
			continue;
		op = &g->script[g->at++];
		switch (op->kind) {
		case OP_OUT:
		case OP_IN:
			port_exit(run, op);
			return 0;
		case OP_WRITE:
		case OP_READ:
			if (kvm_touch(op->addr, op->size, op->kind == OP_WRITE, &op->value))
				continue;
			memory_exit(run, op);
			return 0;
		case OP_EXIT:
			other_exit(run, op);
			return 0;
		case OP_ERROR:
			return -(int)op->addr;
		case OP_HALT:
			return (int)op->addr;
		}
	}
}

void guest_was_reset(unsigned vcpu)
{
	guests[vcpu].at = guests[vcpu].n = 0;
}

void guests_start(void)
{
	memset(guests, 0, sizeof(guests));
}
