/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts.c - what a trapped access and a plug cost, in instructions: run by tests/bench/run under
 * callgrind, which counts what lies between begin() and end(). On unit tests' machine, in one
 * thread, so that main's and the workers' part is counted too, and each time the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/pci_regs.h>
#include <valgrind/callgrind.h>

#include <portcullis/q35.h>

#include "../unit/machine_rig.h"

/* tests/bench/run divides by these. */
#define ACCESSES 1000
#define PLUGS 20

/* The fake NVMe drive's: its ids, a register, which is the card's, and an entry of the table, ours. */
#define NVME_ID 0x00101b36
#define BAR_REGISTER 0x14
#define TABLE_ENTRY 0x2010

static struct machine_rig rig;

/*
 * The counters start at zero. One round comes before: what is only done the first time (the dynamic
 * linker, the heap) is no cost of an access.
 */
static void begin(void)
{
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
}

static void end(const char *name)
{
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS_AT(name);
}

/* As threads/vcpu.c does. None of these is finished by somebody else. */
static uint64_t access_at(uint64_t addr, bool write, uint64_t data)
{
	struct io_access access = {
		.size = 4, .write = write, .data = data, .request = &rig.vcpu->request
	};

	bus_dispatch(&rig.m->bus, &rig.vcpu->reader, BUS_MMIO, addr, &access);
	return access.data;
}

static void count_accesses(const char *name, uint64_t addr, bool write)
{
	(void)access_at(addr, write, 0);
	begin();
	for (unsigned i = 0; i < ACCESSES; i++)
		(void)access_at(addr, write, 0);
	end(name);
}

/* As rig_settle(), without the loops of workers that have no device: they would sleep. */
static void settle(void)
{
	for (bool again = true; again;) {
		again = device_jobs_running(rig.m);
		loop_step(&rig.m->workers[0].loop, 0);
		loop_step(&rig.m->loop, 0);
	}
}

/* Before the guest runs, so that the card gets its addresses and is mapped at them. */
static void add(void)
{
	struct rig_op op;

	rig.m->runstate = RUNSTATE_PRELAUNCH;
	rig_add(&rig, &op, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
	settle();
	rig.m->runstate = RUNSTATE_RUNNING;
	assert_true(op.done && !op.err.code);
}

static void del(void)
{
	struct rig_op op;

	rig_del(&rig, &op, "d0", false);
	rig_guest_ejects(&rig);
	settle();
	assert_true(op.done && !op.err.code);
}

static void count_plugs(void)
{
	add();
	del();
	begin();
	for (unsigned i = 0; i < PLUGS; i++) {
		add();
		del();
	}
	end("plug-and-unplug");
}

int main(void)
{
	uint64_t bar, config;

	rig_init(&rig, false);
	count_plugs();
	add();
	config = GPA_ECAM + ((uint64_t)rig.m->ports->root.function.config[PCI_SECONDARY_BUS] << 20);
	assert_int_equal(access_at(config + PCI_VENDOR_ID, false, 0), NVME_ID);
	bar = access_at(config + PCI_BASE_ADDRESS_0, false, 0) & PCI_BASE_ADDRESS_MEM_MASK;
	bar |= access_at(config + PCI_BASE_ADDRESS_1, false, 0) << 32;
	/* It is there: what is written is read again. */
	(void)access_at(bar + BAR_REGISTER, true, 0x1234);
	assert_int_equal(access_at(bar + BAR_REGISTER, false, 0), 0x1234);
	count_accesses("bar-read", bar + BAR_REGISTER, false);
	count_accesses("bar-write", bar + BAR_REGISTER, true);
	count_accesses("msix-table-read", bar + TABLE_ENTRY, false);
	count_accesses("config-read", config + PCI_VENDOR_ID, false);
	count_accesses("config-read-card", config + PCI_COMMAND, false);
	count_accesses("config-write", config + PCI_CACHE_LINE_SIZE, true);
	del();
	rig_release(&rig);
	return 0;
}
