/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_vm.c - memslots and host checks without a KVM: every call to the kernel fails here
 * (the VM's fd is -1), which is what shows that a failure changes nothing, and that what needs no
 * call makes none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <portcullis/err.h>

#include "../../src/kvm/x86/x86.h"
#include "says.h"

static void vm_fake(struct kvm_vm *vm)
{
	struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES];

	memset(vm, 0, sizeof(*vm));
	vm->kvm_fd = vm->vm_fd = vm->vfio_fd = -1;
	pthread_mutex_init(&vm->irq_lock, NULL);
	kvm_pin_routes(pins);
	assert_int_equal(kvm_routes_init(vm, pins), -EBADF);
}

static void test_pins(void **state)
{
	struct kvm_vm vm;
	unsigned pic = 0, ioapic = 0;

	(void)state;
	vm_fake(&vm);
	assert_int_equal(vm.routes->nr, 40);
	for (uint32_t i = 0; i < vm.routes->nr; i++) {
		const struct kvm_irq_routing_entry *e = &vm.routes->entries[i];

		assert_int_equal(e->type, KVM_IRQ_ROUTING_IRQCHIP);
		if (e->u.irqchip.irqchip == KVM_IRQCHIP_IOAPIC) {
			assert_int_equal(e->gsi, e->u.irqchip.pin);
			ioapic++;
		} else {
			assert_int_equal(e->gsi,
				e->u.irqchip.pin +
					(e->u.irqchip.irqchip == KVM_IRQCHIP_PIC_SLAVE ? 8 : 0));
			pic++;
		}
	}
	assert_int_equal(pic, 16);
	assert_int_equal(ioapic, 24);
	kvm_vm_release(&vm);
}

/* Nothing pending, nothing open, no vector among the exceptions' first eight. */
static void test_pic_power_on(void **state)
{
	(void)state;
	for (unsigned slave = 0; slave < 2; slave++) {
		struct kvm_pic_state pic = {
			.irr = 0x12, .isr = 4, .last_irr = 0x12, .elcr_mask = 0xde, .init_state = 3
		};

		kvm_pic_power_on(&pic, slave);
		assert_int_equal(pic.irr | pic.isr | pic.last_irr | pic.init_state, 0);
		assert_int_equal(pic.imr, 0xff);
		assert_int_equal(pic.irq_base, slave ? 0x70 : 0x08);
		assert_int_equal(pic.elcr_mask, 0xde);
	}
}

/* Every capability is missing here, so ids that need one are refused, and the others ask for none. */
static void test_prepare_vcpus(void **state)
{
	static const struct {
		struct kvm_topology topology;
		const char *says; /* NULL: it is done */
	} rows[] = {
		{ { 255, 1, 255, 1 }, NULL },
		{ { 256, 1, 256, 1 }, "APIC id is 255, and this host's KVM allows 254" },
		{ { 150, 2, 75, 1 }, NULL },
		{ { 195, 3, 65, 1 }, "APIC id is 320, and this host's KVM allows 254" },
		{ { 1024, 1, 1024, 1 }, "KVM_CAP_X2APIC_API" },
		{ { 1025, 1, 1025, 1 }, "1025 vCPUs are more than this host's KVM allows: 1024" },
	};
	struct kvm_vm vm;

	(void)state;
	vm_fake(&vm);
	vm.max_vcpus = 1024;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = { 0 };
		int ret = kvm_vm_prepare_vcpus(&vm, &rows[i].topology, &err);

		assert_int_equal(!ret, !rows[i].says);
		if (rows[i].says)
			assert_says(err.text, rows[i].says);
	}
	kvm_vm_release(&vm);
}

static void test_slots(void **state)
{
	uint64_t used[2] = { 0, 0 };
	struct kvm_vm vm = { .vm_fd = -1, .max_memslots = 70, .memslot_used = used };
	unsigned slot = 1234;

	(void)state;
	assert_int_equal(kvm_memslots_free(&vm), 70);
	assert_int_equal(kvm_memslot_add(&vm, 0, &vm, 4096, false, &slot), -EBADF);
	assert_int_equal(kvm_memslot_add(&vm, 0, &vm, 0, false, &slot), -EINVAL);
	assert_int_equal(kvm_memslots_free(&vm), 70);
	assert_int_equal(slot, 1234);
	used[0] = UINT64_MAX;
	used[1] = 0x3f;
	assert_int_equal(kvm_memslots_free(&vm), 0);
	assert_int_equal(kvm_memslot_add(&vm, 0, &vm, 4096, false, &slot), -ENOSPC);
	kvm_memslot_del(&vm, 69);
	assert_int_equal(kvm_memslots_free(&vm), 1);
	assert_int_equal(kvm_memslot_add(&vm, 0, &vm, 4096, false, &slot), -EBADF);
	assert_int_equal(used[1], 0x1f);
}

static void says(const struct err *err, const char *text)
{
	char line[2048];

	assert_says(err_format(err, line, sizeof(line)), text);
}

static void test_no_device(void **state)
{
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(kvm_dev_open("/nonexistent/kvm", &err), -ENOENT);
	says(&err, "'/nonexistent/kvm'");
	assert_true(err.hint[0]); /* the module's name, or that the processor cannot */
	assert_int_equal(kvm_dev_open("/nonexistent/kvm", NULL), -ENOENT);
	/* Something that opens but is no KVM. */
	fd = kvm_dev_open("/dev/null", &err);
	assert_true(fd >= 0);
	assert_true(kvm_dev_check(fd, &err) < 0);
	says(&err, "not the KVM device");
	close(fd);
}

static void test_no_permission(void **state)
{
	char path[] = "/tmp/portcullis-kvm-XXXXXX";
	struct err err = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	if (geteuid() == 0) {
		chmod(path, 0660);
		assert_int_equal(setgroups(0, NULL) | setegid(65534) | seteuid(65534), 0);
		assert_int_equal(kvm_dev_open(path, &err), -EACCES);
		assert_int_equal(seteuid(0) | setegid(0), 0);
		says(&err, "owner root");
		says(&err, "group root, mode 0660");
		says(&err, "usermod -aG root");
	} else {
		chmod(path, 0);
		assert_int_equal(kvm_dev_open(path, &err), -EACCES);
		says(&err, "mode 0000");
		says(&err, "chmod 0660");
	}
	unlink(path);
}

static void test_vfio_without_device(void **state)
{
	struct kvm_vm vm = { .vfio_fd = -1 };

	(void)state;
	assert_int_equal(kvm_vfio_add(&vm, 5), -ENODEV);
	kvm_vfio_del(&vm, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_pic_power_on),
		cmocka_unit_test(test_prepare_vcpus),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_no_permission),
		cmocka_unit_test(test_vfio_without_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
