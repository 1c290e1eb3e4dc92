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

#include "../unit/machine_rig.h"

/* tests/bench/run divides by these. */
#define ACCESSES 1000
#define PLUGS 20

#define ECAM 0xb0000000u
#define ECAM_SIZE (1u << 28)
/* The fake NVMe drive's: a register, which is the card's, and an entry of the table, ours. */
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
		.size = 4, .write = write, .data = data, .request = &rig.vcpu.request
	};

	bus_dispatch(&rig.m.bus, &rig.vcpu.reader, BUS_MMIO, addr, &access);
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

/* Before the guest runs, so that the card gets its addresses and is mapped at them. */
static void add(void)
{
	struct rig_op op;

	rig.m.runstate = RUNSTATE_PRELAUNCH;
	rig_add(&rig, &op, "id=d0,host=0000:01:00.0,bus=rp1,addr=0");
	rig_settle(&rig);
	rig.m.runstate = RUNSTATE_RUNNING;
	assert_true(op.done && !op.err.code);
}

static void del(void)
{
	struct rig_op op;

	rig_del(&rig, &op, "d0", false);
	rig_guest_ejects(&rig);
	rig_settle(&rig);
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

static void map_ecam(void)
{
	struct bus_region ecam = {
		.base = ECAM, .size = ECAM_SIZE, .fn = pci_host_ecam, .opaque = &rig.m.host
	};

	(void)bus_add(&rig.m.bus, BUS_MMIO, &ecam); /* unless the machine has it */
	bus_publish(&rig.m.bus);
}

int main(void)
{
	const struct pci_function *fn;
	uint64_t bar, config;

	rig_init(&rig, false);
	atomic_store(&rig.vcpu.request.done, 1);
	assert_int_equal(bus_add_reader(&rig.m.bus, &rig.vcpu.reader), 0);
	map_ecam();
	count_plugs();
	add();
	fn = vfio_pci_function(device_find(&rig.m, "d0")->vfio);
	bar = fn->bar[0].place.base;
	config = ECAM + ((uint64_t)rig.m.ports->root.function.config[PCI_SECONDARY_BUS] << 20);
	assert_true(fn->bar[0].place.on_bus);
	assert_int_equal(access_at(config, false, 0), pci_get(fn->config, PCI_VENDOR_ID, 4));
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
