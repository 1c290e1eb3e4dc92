/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - the VM object: creation in the order KVM wants it, and the machine-wide part of a reset.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/memory.h>
#include <portcullis/sys.h>

#include "private.h"

#define IRQCHIPS 3 /* PIC master, PIC slave, IOAPIC */

struct kvm_vm_state {
	struct kvm_irqchip irqchip[IRQCHIPS];
	struct kvm_pit_state2 pit;
};

static int vm_create(struct kvm_vm *vm, struct err *err)
{
	long fd = sys_ioctl_int(vm->kvm_fd, KVM_CREATE_VM, 0);

	if (fd < 0) {
		err_set_errno(err, (int)-fd, "KVM cannot create a virtual machine");
		if (err && fd == -EBUSY)
			err_hint(err,
				"another hypervisor holds the processor's virtualisation: end it");
		return (int)fd;
	}
	vm->vm_fd = (int)fd;
	return 0;
}

/* Must be in place before the first vCPU; the pages lie where no RAM or BAR ever is. */
static int vm_set_addresses(struct kvm_vm *vm, struct err *err)
{
	uint64_t identity = GPA_KVM_IDENTITY;
	long r = sys_ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);

	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_SET_IDENTITY_MAP_ADDR");
	r = sys_ioctl_int(vm->vm_fd, KVM_SET_TSS_ADDR, GPA_KVM_IDENTITY + 0x1000);
	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_SET_TSS_ADDR");
	return 0;
}

static int vm_create_chips(struct kvm_vm *vm, struct err *err)
{
	/* The speaker's port is polled by kernels that calibrate clocks with the PIT. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	long r = sys_ioctl_int(vm->vm_fd, KVM_CREATE_IRQCHIP, 0);
	int ret;

	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_CREATE_IRQCHIP");
	r = sys_ioctl(vm->vm_fd, KVM_CREATE_PIT2, &pit);
	if (r < 0)
		return err_set_errno(err, (int)-r, "KVM_CREATE_PIT2");
	ret = kvm_routes_init(vm);
	if (ret < 0)
		return err_set_errno(err, -ret, "setting the interrupt routes");
	return 0;
}

void kvm_pic_power_on(struct kvm_pic_state *pic, bool slave)
{
	*pic = (struct kvm_pic_state){
		.imr = 0xff,
		.irq_base = slave ? 0x70 : 0x08,
		.init4 = 1,
		.elcr_mask = pic->elcr_mask,
	};
}

/* What machine reset puts back, from now on. */
static int vm_save_chips(struct kvm_vm *vm, struct err *err) ON_MAIN
{
	struct kvm_vm_state *state = calloc(1, sizeof(*state));
	long r = 0;

	if (!state)
		return err_set_errno(err, ENOMEM, "saving the interrupt controllers");
	vm->initial = state;
	for (unsigned i = 0; i < IRQCHIPS && r >= 0; i++) {
		state->irqchip[i].chip_id = i;
		r = sys_ioctl(vm->vm_fd, KVM_GET_IRQCHIP, &state->irqchip[i]);
	}
	if (r >= 0)
		r = sys_ioctl(vm->vm_fd, KVM_GET_PIT2, &state->pit);
	if (r >= 0) {
		kvm_pic_power_on(&state->irqchip[KVM_IRQCHIP_PIC_MASTER].chip.pic, false);
		kvm_pic_power_on(&state->irqchip[KVM_IRQCHIP_PIC_SLAVE].chip.pic, true);
		r = kvm_vm_reset(vm);
	}
	if (r < 0)
		return err_set_errno(err, (int)-r, "setting up the interrupt controllers");
	return 0;
}

static int vm_read_limits(struct kvm_vm *vm, struct err *err)
{
	long size = sys_ioctl_int(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int ret, cap;

	if (size < (long)sizeof(struct kvm_run))
		return err_set(
			err, size < 0 ? (int)-size : EPROTO, "KVM_GET_VCPU_MMAP_SIZE failed");
	vm->run_size = (size_t)size;
	cap = kvm_host_cap(vm->vm_fd, KVM_CAP_MAX_VCPUS);
	if (cap == 0)
		cap = kvm_host_cap(vm->vm_fd, KVM_CAP_NR_VCPUS);
	vm->max_vcpus = cap ? (unsigned)cap : 4; /* what KVM's API says when both are silent */
	cap = kvm_host_cap(vm->vm_fd, KVM_CAP_NR_MEMSLOTS);
	vm->max_slots = cap ? (unsigned)cap : 32;
	vm->slot_used = calloc((vm->max_slots + 63) / 64, sizeof(uint64_t));
	if (!vm->slot_used)
		return err_set_errno(err, ENOMEM, "memory slots");
	cap = kvm_host_cap(vm->vm_fd, KVM_CAP_XSAVE2);
	vm->xsave_size =
		cap > (int)sizeof(struct kvm_xsave) ? (size_t)cap : sizeof(struct kvm_xsave);
	cap = kvm_host_cap(vm->vm_fd, KVM_CAP_NESTED_STATE);
	vm->nested_size = cap > 0 ? (size_t)cap : 0;
	vm->tsc_deadline = kvm_host_cap(vm->vm_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	vm->has_xcrs = kvm_host_cap(vm->vm_fd, KVM_CAP_XCRS) > 0;
	ret = kvm_cpuid_read(vm->kvm_fd, &vm->cpuid);
	if (ret < 0)
		return err_set_errno(err, -ret, "KVM_GET_SUPPORTED_CPUID");
	vm->phys_bits = kvm_cpuid_phys_bits(vm->cpuid);
	kvm_mce_read_host(vm);
	return 0;
}

/* Made now and not when first needed, so that filters can be pinned to its number. */
static void vm_create_vfio_device(struct kvm_vm *vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };

	if (sys_ioctl(vm->vm_fd, KVM_CREATE_DEVICE, &device) >= 0)
		vm->vfio_fd = (int)device.fd;
}

int kvm_vm_init(struct kvm_vm *vm, struct err *err)
{
	int ret;

	memset(vm, 0, sizeof(*vm));
	vm->kvm_fd = vm->vm_fd = vm->vfio_fd = -1;
	pthread_mutex_init(&vm->irq_lock, NULL);
	ret = kvm_host_open("/dev/kvm", err);
	if (ret < 0)
		goto fail;
	vm->kvm_fd = ret;
	ret = kvm_host_check(vm->kvm_fd, err);
	if (ret == 0)
		ret = vm_create(vm, err);
	if (ret == 0)
		ret = vm_set_addresses(vm, err);
	if (ret == 0)
		ret = vm_read_limits(vm, err);
	if (ret == 0)
		ret = vm_create_chips(vm, err);
	if (ret == 0)
		ret = vm_save_chips(vm, err);
	if (ret < 0)
		goto fail;
	vm_create_vfio_device(vm);
	return 0;
fail:
	kvm_vm_release(vm);
	return ret;
}

void kvm_vm_release(struct kvm_vm *vm)
{
	sys_closep(&vm->vfio_fd);
	sys_closep(&vm->vm_fd);
	sys_closep(&vm->kvm_fd);
	free(vm->cpuid);
	free(vm->msrs);
	free(vm->initial);
	free(vm->slot_used);
	free(vm->routes);
	vm->cpuid = NULL;
	vm->msrs = NULL;
	vm->initial = NULL;
	vm->slot_used = NULL;
	vm->routes = NULL;
	pthread_mutex_destroy(&vm->irq_lock);
}

int kvm_vm_reset(struct kvm_vm *vm)
{
	/* The slave first: restoring the master hands on to it what the slave still has. */
	static const unsigned order[IRQCHIPS] = { KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_PIC_MASTER,
		KVM_IRQCHIP_IOAPIC };

	for (unsigned i = 0; i < IRQCHIPS; i++) {
		struct kvm_irqchip chip = vm->initial->irqchip[order[i]];
		long r = sys_ioctl(vm->vm_fd, KVM_SET_IRQCHIP, &chip);

		if (r < 0)
			return (int)r;
	}
	return (int)sys_ioctl(vm->vm_fd, KVM_SET_PIT2, &vm->initial->pit);
}

static int vfio_attr(struct kvm_vm *vm, uint64_t attr, int fd)
{
	int32_t arg = fd;
	struct kvm_device_attr a = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = attr,
		.addr = (uint64_t)(uintptr_t)&arg,
	};

	if (vm->vfio_fd < 0)
		return -ENODEV;
	return (int)sys_ioctl(vm->vfio_fd, KVM_SET_DEVICE_ATTR, &a);
}

int kvm_vfio_add(struct kvm_vm *vm, int fd)
{
	return vfio_attr(vm, KVM_DEV_VFIO_GROUP_ADD, fd);
}

void kvm_vfio_del(struct kvm_vm *vm, int fd)
{
	(void)vfio_attr(vm, KVM_DEV_VFIO_GROUP_DEL, fd);
}
