/* SPDX-License-Identifier: Apache-2.0 */
/* test_irq_sink.c - the machine's irq_sink: what reaches KVM, and where INTA..INTD lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/board.h>

#include "../../src/machine/state.h"

/* What KVM was asked last; it answers answer. */
static struct {
	const char *what;
	struct kvm_vm *vm;
	uint32_t gsi;
	const struct msi_route *route;
	unsigned n;
	int fd, resample_fd;
} asked;
static int answer;

int kvm_gsi_alloc(struct kvm_vm *vm, uint32_t *gsi)
{
	asked.what = "alloc";
	asked.vm = vm;
	*gsi = 77;
	return answer;
}

void kvm_gsi_free(struct kvm_vm *vm, uint32_t gsi)
{
	asked.what = "free";
	asked.vm = vm;
	asked.gsi = gsi;
}

int kvm_gsi_set_routes(struct kvm_vm *vm, const struct msi_route *route, unsigned n)
{
	asked.what = "set_routes";
	asked.vm = vm;
	asked.route = route;
	asked.n = n;
	return answer;
}

int kvm_irqfd_add(struct kvm_vm *vm, uint32_t gsi, int fd, int resample_fd)
{
	asked.what = "add";
	asked.vm = vm;
	asked.gsi = gsi;
	asked.fd = fd;
	asked.resample_fd = resample_fd;
	return answer;
}

int kvm_irqfd_del(struct kvm_vm *vm, uint32_t gsi, int fd)
{
	asked.what = "del";
	asked.vm = vm;
	asked.gsi = gsi;
	asked.fd = fd;
	return answer;
}

static struct machine *m;

static int start(void **state)
{
	(void)state;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -1;
	irq_sink_init(m);
	memset(&asked, 0, sizeof(asked));
	answer = 0;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	free(m);
	return 0;
}

static void test_forwards(void **state)
{
	const struct irq_sink *irq = &m->irq_sink;
	const struct msi_route routes[2] = { { .gsi = 30 }, { .gsi = 31 } };
	uint32_t gsi = 0;

	(void)state;
	for (answer = 0; answer >= -1; answer--) {
		assert_int_equal(irq->gsi_alloc(irq->opaque, &gsi), answer);
		assert_string_equal(asked.what, "alloc");
		assert_ptr_equal(asked.vm, &m->vm);
		assert_int_equal(gsi, 77);
		assert_int_equal(irq->gsi_set_routes(irq->opaque, routes, 2), answer);
		assert_string_equal(asked.what, "set_routes");
		assert_ptr_equal(asked.vm, &m->vm);
		assert_ptr_equal(asked.route, routes);
		assert_int_equal(asked.n, 2);
		assert_int_equal(irq->irqfd_add(irq->opaque, 31, 5, -1), answer);
		assert_string_equal(asked.what, "add");
		assert_ptr_equal(asked.vm, &m->vm);
		assert_int_equal(asked.gsi, 31);
		assert_int_equal(asked.fd, 5);
		assert_int_equal(asked.resample_fd, -1);
		assert_int_equal(irq->irqfd_del(irq->opaque, 32, 6), answer);
		assert_string_equal(asked.what, "del");
		assert_ptr_equal(asked.vm, &m->vm);
		assert_int_equal(asked.gsi, 32);
		assert_int_equal(asked.fd, 6);
		irq->gsi_free(irq->opaque, 33);
		assert_string_equal(asked.what, "free");
		assert_ptr_equal(asked.vm, &m->vm);
		assert_int_equal(asked.gsi, 33);
	}
}

/*
 * As the guest computes it (PCI-to-PCI bridge 1.2, 9.1): every bridge on the way adds the slot of
 * what is below it, and the root bus has the board's four lines in turn.
 */
static void test_intx(void **state)
{
	static const struct board board = { .intx_gsi = { 20, 21, 22, 23 } };
	const struct irq_sink *irq = &m->irq_sink;
	struct pci_function port = { .devfn = PCI_DEVFN(6, 1) }, below = { .devfn = 0 };
	struct pci_function inner = { .devfn = PCI_DEVFN(3, 0) },
			    leaf = { .devfn = PCI_DEVFN(1, 7) };
	struct pci_bus root = { .bridge = NULL }, child = { .bridge = &port };
	struct pci_bus grandchild = { .bridge = &inner };

	(void)state;
	m->board = &board;
	for (unsigned slot = 0; slot < 32; slot++) {
		struct pci_function fn = { .devfn = PCI_DEVFN(slot, slot % 8) };

		atomic_store(&fn.bus, &root);
		for (unsigned pin = 1; pin <= 4; pin++)
			assert_int_equal(
				irq->intx_gsi(irq->opaque, &fn, pin), 20 + (slot + pin - 1) % 4);
	}
	atomic_store(&port.bus, &root);
	atomic_store(&below.bus, &child);
	atomic_store(&inner.bus, &child);
	atomic_store(&leaf.bus, &grandchild);
	for (unsigned pin = 1; pin <= 4; pin++) {
		assert_int_equal(irq->intx_gsi(irq->opaque, &below, pin), 20 + (6 + pin - 1) % 4);
		assert_int_equal(
			irq->intx_gsi(irq->opaque, &leaf, pin), 20 + (6 + 3 + 1 + pin - 1) % 4);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_forwards),
		CASE(test_intx),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
