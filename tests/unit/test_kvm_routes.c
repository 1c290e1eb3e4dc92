/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_routes.c - GSIs and their routes, with a KVM that keeps the table it was given last, counts
 * how often that was, and refuses when it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "../../src/kvm/x86/x86.h"

#define VM_FD 77

static struct kvm_vm vm;
static struct {
	unsigned commits, refused;
	int error;    /* of the next calls */
	uint64_t bad; /* an address that is not taken */
	unsigned nr;
	struct kvm_irq_routing_entry entry[KVM_GSI_MAX];
} kvm;

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg);

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	const struct kvm_irq_routing *table = arg;
	bool bad = false;

	assert_int_equal(fd, VM_FD);
	assert_int_equal(cmd, KVM_SET_GSI_ROUTING);
	assert_in_range(table->nr, KVM_PIN_ROUTES, KVM_GSI_MAX);
	for (unsigned i = KVM_PIN_ROUTES; kvm.bad && i < table->nr; i++)
		bad |= table->entries[i].u.msi.address_lo == kvm.bad;
	if (kvm.error || bad) {
		kvm.refused++;
		return kvm.error ? -kvm.error : -EINVAL;
	}
	kvm.commits++;
	kvm.nr = table->nr;
	memcpy(kvm.entry, table->entries, table->nr * sizeof(*kvm.entry));
	return 0;
}

static int start(void **state)
{
	struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES];

	(void)state;
	memset(&kvm, 0, sizeof(kvm));
	memset(&vm, 0, sizeof(vm));
	vm.kvm_fd = vm.vm_fd = vm.vfio_fd = -1;
	pthread_mutex_init(&vm.irq_lock, NULL);
	kvm_pin_routes(pins);
	vm.vm_fd = VM_FD;
	if (kvm_routes_init(&vm, pins) || kvm.commits != 1 || kvm.nr != KVM_PIN_ROUTES)
		return -1;
	kvm.commits = 0;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	vm.vm_fd = -1;
	kvm_vm_release(&vm);
	return 0;
}

/* What KVM has for the GSI. */
static const struct kvm_irq_routing_entry *in_kvm(uint32_t gsi)
{
	const struct kvm_irq_routing_entry *found = NULL;

	for (unsigned i = KVM_PIN_ROUTES; i < kvm.nr; i++) {
		if (kvm.entry[i].gsi != gsi)
			continue;
		assert_null(found);
		found = &kvm.entry[i];
		assert_int_equal(found->type, KVM_IRQ_ROUTING_MSI);
	}
	return found;
}

static void says(uint32_t gsi, uint64_t addr, uint32_t data)
{
	const struct kvm_irq_routing_entry *e = in_kvm(gsi);

	assert_non_null(e);
	assert_int_equal((uint64_t)e->u.msi.address_hi << 32 | e->u.msi.address_lo, addr);
	assert_int_equal(e->u.msi.data, data);
}

static int set(uint32_t gsi, uint64_t addr, uint32_t data)
{
	const struct msi_route route = { .gsi = gsi, .addr = addr, .data = data };

	return kvm_gsi_set_routes(&vm, &route, 1);
}

static void test_numbers(void **state)
{
	uint32_t gsi, n = 0, last = KVM_GSI_PINS - 1;

	(void)state;
	while (kvm_gsi_alloc(&vm, &gsi) == 0) {
		assert_int_equal(gsi, last + 1);
		last = gsi;
		n++;
	}
	/* Pins and messages together fill the kernel's 4096 routes. */
	assert_int_equal(n, 4096 - 40);
	assert_int_equal(kvm_gsi_alloc(&vm, &gsi), -ENOSPC);
	kvm_gsi_free(&vm, 1000);
	kvm_gsi_free(&vm, 5); /* a pin: not ours to free */
	kvm_gsi_free(&vm, 99999);
	assert_int_equal(kvm_gsi_alloc(&vm, &gsi), 0);
	assert_int_equal(gsi, 1000);
	assert_int_equal(kvm_gsi_alloc(&vm, &gsi), -ENOSPC);
	/* Taking and giving back a number costs no call. */
	assert_int_equal(kvm.commits, 0);
}

/* However many change: one call. */
static void test_one_call(void **state)
{
	struct msi_route route[KVM_MSI_MAX];

	(void)state;
	for (unsigned i = 0; i < KVM_MSI_MAX; i++) {
		route[i].addr = 0xfee00000 + ((uint64_t)i << 12);
		route[i].data = i;
		assert_int_equal(kvm_gsi_alloc(&vm, &route[i].gsi), 0);
	}
	assert_int_equal(kvm_gsi_set_routes(&vm, route, 128), 0);
	assert_int_equal(kvm.commits, 1);
	assert_int_equal(kvm.nr, KVM_PIN_ROUTES + 128);
	assert_int_equal(kvm_gsi_set_routes(&vm, route, KVM_MSI_MAX), 0);
	assert_int_equal(kvm.commits, 2);
	assert_int_equal(kvm.nr, KVM_GSI_MAX);
	for (unsigned i = 0; i < KVM_MSI_MAX; i++)
		says(route[i].gsi, route[i].addr, route[i].data);
	/* The same again: none. One that differs among them: one. */
	assert_int_equal(kvm_gsi_set_routes(&vm, route, KVM_MSI_MAX), 0);
	assert_int_equal(kvm_gsi_set_routes(&vm, route, 0), 0);
	assert_int_equal(kvm.commits, 2);
	route[77].data = 0x4444;
	assert_int_equal(kvm_gsi_set_routes(&vm, route, KVM_MSI_MAX), 0);
	assert_int_equal(kvm.commits, 3);
	says(route[77].gsi, route[77].addr, 0x4444);
	/* All freed: KVM hears of it with the next change. */
	for (unsigned i = 0; i < KVM_MSI_MAX; i++)
		kvm_gsi_free(&vm, route[i].gsi);
	assert_int_equal(kvm.commits, 3);
	assert_int_equal(kvm_gsi_alloc(&vm, &route[0].gsi), 0);
	assert_int_equal(kvm_gsi_set_routes(&vm, route, 1), 0);
	assert_int_equal(kvm.commits, 4);
	assert_int_equal(kvm.nr, KVM_PIN_ROUTES + 1);
}

/* A commit that fails changes nothing: not the old routes, and there are no new ones. */
static void test_refused(void **state)
{
	const struct msi_route change[] = { { .gsi = 24, .addr = 0xfee07000, .data = 0x71 },
		{ .gsi = 30, .addr = 0xfee08000, .data = 0x81 },
		{ .gsi = 25, .addr = 0xfee09000, .data = 0x91 } };

	(void)state;
	assert_int_equal(set(24, 0xfee01000, 0x41), 0);
	assert_int_equal(set(25, 0x1fee02000, 0x42), 0);
	kvm.error = ENOMEM;
	assert_int_equal(kvm_gsi_set_routes(&vm, change, 3), -ENOMEM);
	assert_int_equal(kvm.refused, 1);
	/* What is there costs no call still, and the next change carries what was, and no more. */
	assert_int_equal(set(24, 0xfee01000, 0x41), 0);
	assert_int_equal(set(25, 0x1fee02000, 0x42), 0);
	assert_int_equal(kvm.refused, 1);
	kvm.error = 0;
	assert_int_equal(set(31, 0xfee00000, 1), 0);
	assert_int_equal(kvm.nr, KVM_PIN_ROUTES + 3);
	says(24, 0xfee01000, 0x41);
	says(25, 0xfee02000, 0x42); /* what a guest writes above 4 GiB is nothing that KVM sees */
	says(31, 0xfee00000, 1);
	assert_null(in_kvm(30));
	/* Of several, one is refused: none is set. Afterwards they are, without it. */
	kvm.bad = 0xfee08000;
	assert_int_equal(kvm_gsi_set_routes(&vm, change, 3), -EINVAL);
	assert_int_equal(kvm_gsi_set_routes(&vm, change, 1), 0);
	assert_int_equal(kvm_gsi_set_routes(&vm, change + 2, 1), 0);
	says(24, 0xfee07000, 0x71);
	says(25, 0xfee09000, 0x91);
	assert_null(in_kvm(30));
	/* No GSI for messages: nothing is tried. */
	kvm.commits = kvm.refused = 0;
	assert_int_equal(set(23, 0xfee01000, 0x41), -EINVAL);
	assert_int_equal(set(4096, 0xfee01000, 0x41), -EINVAL);
	assert_int_equal(kvm.commits + kvm.refused, 0);
}

/* Freeing takes the route out and closes the gap; a GSI that is taken anew has no message. */
static void test_freed(void **state)
{
	(void)state;
	for (uint32_t gsi = 24; gsi < 28; gsi++)
		assert_int_equal(set(gsi, 0xfee00000, gsi), 0);
	kvm_gsi_free(&vm, 25);
	kvm_gsi_free(&vm, 25);
	kvm_gsi_free(&vm, 27); /* the last one, moved into the gap */
	assert_int_equal(kvm.commits, 4);
	assert_int_equal(vm.routes->nr, KVM_PIN_ROUTES + 2);
	assert_int_equal(set(26, 0xfee00000, 0x99), 0);
	assert_null(in_kvm(25));
	assert_null(in_kvm(27));
	says(24, 0xfee00000, 24);
	says(26, 0xfee00000, 0x99);
	assert_int_equal(set(25, 0xfee00000, 25), 0);
	says(25, 0xfee00000, 25);
	assert_int_equal(kvm.commits, 6);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_numbers),
		CASE(test_one_call),
		CASE(test_refused),
		CASE(test_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
