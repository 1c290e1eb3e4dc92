/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_machine.c - machine_new() and machine_realize(): whatever fails in them, the error is told
 * whole and nothing stays behind.
 */
#define PORTCULLIS_FAULTS /* a copy of sys.c of its own, that can be made to fail */
#include "../../src/base/sys.c"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include <portcullis/acpi.h>
#include <portcullis/machine_query.h>
#include <portcullis/memory_backend.h>

#include "machine_start_fixture.h"
#include "log_capture.h"
#include "says.h"

#define PANIC " -device pvpanic-pci,addr=5"
#define IOMMUFD " -object iommufd,id=iommu0"
#define DEBUG_EXIT " -device isa-debug-exit,iobase=0xf4,iosize=4"

/* --- what may fail --- */

static struct {
	_Atomic unsigned long calls, fail_at;
} memory;

static bool no_memory(void)
{
	return atomic_fetch_add(&memory.calls, 1) + 1 == atomic_load(&memory.fail_at);
}

/* Of everything that is linked here, and none of libc's own. */
void *__real_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *at, size_t size);
char *__real_strdup(const char *text);
int __real_epoll_create1(int flags);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *at, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_epoll_create1(int flags);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *at, size_t size)
{
	return no_memory() ? NULL : __real_realloc(at, size);
}

char *__wrap_strdup(const char *text)
{
	return no_memory() ? NULL : __real_strdup(text);
}

/* The one fd that does not come through base/sys.c. */
int __wrap_epoll_create1(int flags)
{
	if (no_memory()) {
		errno = ENOMEM;
		return -1;
	}
	return __real_epoll_create1(flags);
}

enum fault { FAULT_MEMORY, FAULT_SYS, FAULT_KVM, FAULT_HOST, FAULT_CARD };

/* The n-th call from now on fails; 0: none. */
static void fail_nth(enum fault fault, unsigned long n)
{
	switch (fault) {
	case FAULT_MEMORY:
		atomic_store(&memory.calls, 0);
		atomic_store(&memory.fail_at, n);
		break;
	case FAULT_SYS:
		sys_fail_nth(n);
		break;
	case FAULT_KVM:
		fake_kvm.calls = 0;
		fake_kvm.fail_at = (unsigned)n;
		break;
	case FAULT_HOST:
		rig.host.calls = 0;
		rig.host.fail_at = n;
		rig.host.fail_errno = EIO;
		break;
	case FAULT_CARD:
		rig.card[0].calls = 0;
		rig.card[0].fail_at = n;
		rig.card[0].fail_errno = EIO;
		break;
	}
}

static unsigned long calls(enum fault fault)
{
	switch (fault) {
	case FAULT_MEMORY:
		return atomic_load(&memory.calls);
	case FAULT_SYS:
		return sys_calls();
	case FAULT_KVM:
		return fake_kvm.calls;
	case FAULT_HOST:
		return rig.host.calls;
	case FAULT_CARD:
		return rig.card[0].calls;
	}
	return 0;
}

/* From begin() until it has ended. */
static int live(enum fault fault, unsigned long n, unsigned long *made, struct err *err)
{
	int ret;

	fail_nth(fault, n);
	ret = make(err);
	if (!ret) {
		workers_start();
		ret = machine_realize(rig.m, err);
	}
	*made = calls(fault);
	fail_nth(fault, 0);
	if (!ret) /* whatever it could do without */
		assert_true(rig_plugged(&rig, "d0"));
	if (rig.m) {
		assert_true(machine_end(rig.m));
		machine_gone();
	}
	return ret;
}

/* --- every call fails once --- */

/* Returns how often the start failed. */
static unsigned each_call_fails(const char *words, enum fault fault)
{
	unsigned failed = 0;
	unsigned long made;

	for (unsigned long n = 1;; n++) {
		struct err err = { 0 };
		int ret;

		begin(words);
		ret = live(fault, n, &made, &err);
		if (ret)
			is_told(ret, &err);
		nothing_is_left();
		failed += ret != 0;
		if (made < n) { /* none has failed */
			assert_int_equal(ret, 0);
			return failed;
		}
		assert_true(n < 5000);
	}
}

static const char *const machines[] = {
	"-smp 2 -append x" PORT DEBUG_EXIT CARD CARD2 PANIC ",id=p0",
	IOMMUFD PORT CARD ",iommufd=iommu0",
};

static void fails_at_any(enum fault fault, unsigned at_least)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		failed += each_call_fails(machines[i], fault);
	assert_true(failed >= at_least);
}

static void no_memory_is_left(void **state)
{
	(void)state;
	fails_at_any(FAULT_MEMORY, 30);
}

static void a_file_cannot_be_had(void **state)
{
	(void)state;
	fails_at_any(FAULT_SYS, 50);
}

static void kvm_refuses(void **state)
{
	(void)state;
	fails_at_any(FAULT_KVM, 10);
}

static void the_host_refuses(void **state)
{
	(void)state;
	fails_at_any(FAULT_HOST, 20);
}

static void the_card_refuses(void **state)
{
	(void)state;
	fails_at_any(FAULT_CARD, 10);
}

/* --- what is told --- */

static void remove_kernel(void)
{
	fake_vfio_unlink(&rig.host, "kernel");
}

static void empty_kernel(void)
{
	fake_vfio_file(&rig.host, "kernel", "");
}

static void no_vm(void)
{
	fake_kvm.fail_at = 1;
}

static void no_vcpu(void)
{
	fake_kvm.fail_at = 4;
}

static void no_interrupt(void)
{
	fake_kvm.fail_at = 5;
}

static void no_memslot(void)
{
	fake_kvm.memslot_limit = 0;
}

static void no_iommufd(void)
{
	fake_vfio_unlink(&rig.host, "dev/iommu");
}

static void no_driver(void)
{
	fake_vfio_set_driver(&rig.host, "0000:01:00.0", "nvme");
}

static void small_window(void)
{
	rig.host.ranges[0] = (struct range){ 0, (64ull << 20) - 1 };
	rig.host.n_ranges = 1;
}

static void few_address_bits(void)
{
	fake_kvm.phys_bits = 32;
}

static void first_open_fails(void)
{
	rig.host.open_error = EBUSY;
}

static const struct {
	const char *words;
	void (*spoil)(void);
	bool made; /* by machine_new(); it is machine_realize() that fails */
	const char *says;
} starts[] = {
	{ "", remove_kernel, false, "/kernel': No such file" },
	{ "", empty_kernel, false, "/kernel'" },
	{ "", no_vm, false, "the fake KVM cannot be used" },
	{ "-smp 2", no_vcpu, false, "the fake KVM cannot create vCPU 1" },
	{ "-smp 2", no_interrupt, false, "cannot wire interrupt 4: " },
	{ "-serial file:/nonexistent/log", NULL, false, "'/nonexistent/log'" },
	{ "-device pcie-root-port,id=rp1,bus=rp0", NULL, false, "'rp1': bus 'rp0' is not pcie.0" },
	{ PORT " -device pcie-root-port,id=rp2,addr=1", NULL, false, "pcie-root-port 'rp2': " },
	{ PORT ",numa_node=0", NULL, false, "'rp1': numa_node=0: the guest has no such node" },
	{ PORT " -device pcie-root-port,id=rp2,addr=2,native-hotplug=on", NULL, false,
		"'rp2': native-hotplug differs from that of 'rp1'" },
	{ "-device isa-debug-exit,iobase=0x60,iosize=4", NULL, false, "isa-debug-exit" },
	{ IOMMUFD IOMMUFD, NULL, false, "'iommu0'" },
	{ IOMMUFD PORT CARD ",iommufd=iommu0", no_iommufd, true, "iommu" },
	{ PORT CARD ",iommufd=iommu1", NULL, true, "'iommu1'" },
	{ PORT " -device vfio-pci,id=d0,host=0000:0f:00.0,bus=rp1", NULL, true, "0000:0f:00.0" },
	{ CARD, NULL, true, "vfio-pci 'd0': bus 'rp1' not found" },
	{ PANIC ",bus=rp1", NULL, true, "bus 'rp1' not found" },
	{ PANIC PANIC, NULL, true, "pvpanic-pci" },
	{ PORT CARD, no_driver, true, "0000:01:00.0" },
	{ PORT CARD, first_open_fails, true, "vfio-pci 'd0': " },
	{ "-device vfio-pci,id=d0,host=0000:01:00.0,on-error=unplug", NULL, true,
		"on-error=unplug is not possible on bus 'pcie.0'" },
	{ PORT CARD " -device vfio-pci,id=d1,host=0000:02:00.0,bus=rp1", NULL, true,
		"vfio-pci 'd1': " },
	{ PORT CARD, small_window, true, "guest RAM of 128 MiB does not fit" },
	{ "", few_address_bits, true,
		"leave no room for PCI devices in the 32 address bits of this CPU" },
	{ "", no_memslot, true, "cannot give KVM the guest's memory: No space left" },
};

static void each_error_says_what_it_is_about(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct err err = { 0 };
		int ret;

		begin(starts[i].words);
		if (starts[i].spoil)
			starts[i].spoil();
		ret = make(&err);
		if (!ret != starts[i].made)
			fail_msg("%s: machine_new() says '%s'", starts[i].words, err.text);
		if (!ret) {
			workers_start();
			ret = machine_realize(rig.m, &err);
			assert_true(machine_end(rig.m));
			machine_gone();
		}
		is_told(ret, &err);
		assert_says(err.text, starts[i].says);
		nothing_is_left();
	}
}

static void none_is_freed(void **state)
{
	(void)state;
	machine_free(NULL);
}

/* --- a machine that can run --- */

static void all_is_in_its_place(void **state)
{
	struct err err = { 0 };
	const struct device *d;
	const struct pci_function *panic;

	(void)state;
	begin("-smp 2" PORT CARD CARD2 PANIC);
	assert_int_equal(make(&err), 0);
	workers_start();
	assert_int_equal(machine_realize(rig.m, &err), 0);
	assert_int_equal(machine_runstate(rig.m), RUNSTATE_PRELAUNCH);
	assert_int_equal(fake_kvm.vcpus, 2);
	assert_int_equal(rig.m->ram.layout.size, 128 << 20);
	d = device_find(rig.m, "d0");
	assert_true(rig_plugged(&rig, "d0") && d->port == rig.m->ports);
	assert_true(vfio_pci_function(passthrough_card(d))->place[0].on_bus);
	d = device_find(rig.m, "d1");
	assert_true(rig_plugged(&rig, "d1") && !d->port && d->devfn == PCI_DEVFN(3, 0));
	assert_true(vfio_pci_function(passthrough_card(d))->place[0].on_bus);
	panic = atomic_load(&rig.m->pcie0.function[PCI_DEVFN(5, 0)]);
	assert_true(panic && panic->place[0].on_bus && !panic->place[0].n_memslots);
	/* Each is in a group, and so in a container, of its own: all of RAM is there for both. */
	assert_true(
		fake_vfio_mapped(&rig.host, 1 << 20, 64 << 20, ram_hva(&rig.m->ram, 1 << 20, 1)));
	assert_true(rig.m->gate.load.count > 0 && atomic_load(&rig.m->vcpus[0].needs_reset));
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

#define NODES                                                                                      \
	" -m 256 -object memory-backend-ram,id=m0,size=128M -object "                              \
	"memory-backend-memfd,id=m1,size=128M -numa node,memdev=m0 -numa node,memdev=m1"

static void add_size(const struct machine_memdev *memdev, void *opaque)
{
	*(uint64_t *)opaque += memdev->size;
	assert_int_equal(memdev->share, !strcmp(memdev->id, "m1"));
	assert_string_equal(memdev->policy, "default");
}

static void each_node_has_what_is_its(void **state)
{
	struct err err = { 0 };
	const struct pci_function *port;
	const uint8_t *entry;
	uint64_t size = 0;
	void *options;

	(void)state;
	begin("-smp 2,sockets=2" NODES PORT ",numa_node=1" CARD);
	assert_int_equal(make(&err), 0);
	workers_start();
	assert_int_equal(machine_realize(rig.m, &err), 0);
	assert_int_equal(rig.m->ram.n_backends, 2);
	assert_int_equal(rig.m->ram.layout.segment[1].gpa, 128 << 20);
	assert_int_equal(rig.m->ram.backend[0].fd, -1);
	assert_true(rig.m->ram.backend[1].fd >= 0);
	assert_true(fake_kvm.memslots >= 2);
	/* DMA reaches both, each piece where it is. */
	assert_true(
		fake_vfio_mapped(&rig.host, 1 << 20, 64 << 20, ram_hva(&rig.m->ram, 1 << 20, 1)));
	assert_true(fake_vfio_mapped(
		&rig.host, 129 << 20, 64 << 20, ram_hva(&rig.m->ram, 129 << 20, 1)));
	entry = memmem(ram_hva(&rig.m->ram, ACPI_GPA, 4096), 4096, "SRAT", 4);
	assert_non_null(entry);
	assert_int_equal(entry[48 + 2], 0); /* CPU 0, then CPU 1 */
	assert_int_equal(entry[48 + 16 + 2], 1);
	assert_int_equal(entry[48 + 32 + 40 + 2], 1);	  /* the second piece of memory */
	assert_int_equal(entry[48 + 32 + 40 + 8 + 3], 8); /* at 128 MiB */
	/* The port of node 1 is on a root bus of its own. */
	port = &rig.m->ports->root.function;
	assert_int_equal(port->root_bus, 1);
	assert_null(pci_host_find(&rig.m->host, 0, port->devfn));
	assert_ptr_equal(pci_host_find(&rig.m->host, 1, port->devfn), port);
	assert_non_null(pci_host_find(&rig.m->host, 2, 0));
	machine_query_memdevs(rig.m, add_size, &size);
	assert_int_equal(size, 256 << 20);
	/* They stay what they are. */
	assert_int_equal(machine_object_del(rig.m, "m1", &err), -EBUSY);
	assert_says(err.text, "object 'm1' is in use, can not be deleted");
	assert_int_equal(props_new(&memory_backend_ram_type, &options), 0);
	((struct memory_backend_options *)options)->id = strdup("m2");
	assert_int_equal(
		machine_object_add(rig.m, &memory_backend_ram_type, options, &err), -EINVAL);
	assert_says(err.text, "memory-backend-ram 'm2' cannot be added while the machine runs");
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

/* What VFIO says when a card is opened, and what its registers say when it is realized. */
static void ports_complete_what_their_cards_may_ask_for(void **state)
{
	static const uint32_t offers[] = { 0x10180, 0 };
	struct err err = { 0 };
	struct port *port;
	unsigned i = 0;

	(void)state;
	begin(PORT " -device pcie-root-port,id=rp2,addr=2" CARD CARD2);
	rig.card[0].atomics = 3;
	pci_put(rig.card[0].config, 0x80 + PCI_EXP_DEVCTL2, 2, 0x1000);
	rig.card[1].atomics = 7; /* on pcie.0: there is nobody to say so */
	assert_int_equal(make(&err), 0);
	workers_start();
	assert_int_equal(machine_realize(rig.m, &err), 0);
	for (port = rig.m->ports; port; port = port->next) {
		struct pci_function *fn = &port->root.function;
		unsigned at = pci_find_cap(fn, PCI_CAP_ID_EXP) + PCI_EXP_DEVCAP2;

		assert_int_equal(pci_config_read(fn, at, 4) & ROOT_PORT_OFFERS, offers[i++]);
	}
	assert_int_equal(i, 2);
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

/* -overcommit cpu-pm=on: KVM is asked before there is a vCPU; where it cannot, a line says so. */
static void vcpus_idle_by_themselves(void **state)
{
	static const struct {
		const char *words;
		int asked, answer;
		const char *says;
	} rows[] = {
		{ "-overcommit cpu-pm=off", 0, 0, NULL },
		{ "-overcommit cpu-pm=on", 1, 0, NULL },
		{ "-overcommit cpu-pm=on", 1, -EOPNOTSUPP, "cpu-pm=on: this host's KVM" },
	};
	struct err err = { 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].words);
		fake_kvm.idle_answer = rows[i].answer;
		log_capture_start();
		assert_int_equal(make(&err), 0);
		assert_int_equal(log_captured_lines(), rows[i].says != NULL);
		if (rows[i].says)
			assert_says(log_captured(), rows[i].says);
		log_capture_stop();
		assert_int_equal(fake_kvm.idle_asked, rows[i].asked);
		assert_int_equal(fake_kvm.idle_with_vcpus, 0);
		machine_free(rig.m);
		rig.m = NULL;
		nothing_is_left();
	}
}

/* What DMA never reaches on AMD is left out though no device is there to say so: one may be added. */
static void amds_hole_is_left_out(void **state)
{
	const uint64_t start = 64ull << 20, end = (96ull << 20) - 1;
	struct err err = { 0 };

	(void)state;
	begin("");
	fake_kvm.dma_hole_start = start;
	fake_kvm.dma_hole_end = end;
	assert_int_equal(make(&err), 0);
	workers_start();
	assert_int_equal(machine_realize(rig.m, &err), 0);
	assert_int_equal(rig.m->ram.layout.size, 128 << 20);
	assert_int_equal(rig.m->ram.layout.count, 2);
	assert_int_equal(rig.m->ram.layout.segment[0].size, start);
	assert_int_equal(rig.m->ram.layout.segment[1].gpa, end + 1);
	assert_true(machine_end(rig.m));
	machine_gone();
	nothing_is_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_freed),
		cmocka_unit_test(all_is_in_its_place),
		cmocka_unit_test(amds_hole_is_left_out),
		cmocka_unit_test(each_node_has_what_is_its),
		cmocka_unit_test(ports_complete_what_their_cards_may_ask_for),
		cmocka_unit_test(vcpus_idle_by_themselves),
		cmocka_unit_test(each_error_says_what_it_is_about),
		cmocka_unit_test(no_memory_is_left),
		cmocka_unit_test(a_file_cannot_be_had),
		cmocka_unit_test(kvm_refuses),
		cmocka_unit_test(the_host_refuses),
		cmocka_unit_test(the_card_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
