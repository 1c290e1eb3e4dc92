/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - the VM object: creation in the order KVM wants it, limits, KVM's VFIO device.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "private.h"

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

static int vm_read_limits(struct kvm_vm *vm, struct err *err)
{
	long size = sys_ioctl_int(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int cap;

	if (size < (long)sizeof(struct kvm_run))
		return err_set(
			err, size < 0 ? (int)-size : EPROTO, "KVM_GET_VCPU_MMAP_SIZE failed");
	vm->run_size = (size_t)size;
	cap = kvm_check_extension(vm->vm_fd, KVM_CAP_MAX_VCPUS);
	if (cap == 0)
		cap = kvm_check_extension(vm->vm_fd, KVM_CAP_NR_VCPUS);
	vm->max_vcpus = cap ? (unsigned)cap : 4; /* what KVM's API says when both are silent */
	cap = kvm_check_extension(vm->vm_fd, KVM_CAP_NR_MEMSLOTS);
	vm->max_memslots = cap ? (unsigned)cap : 32;
	vm->memslot_used = calloc((vm->max_memslots + 63) / 64, sizeof(uint64_t));
	if (!vm->memslot_used)
		return err_set_errno(err, ENOMEM, "memory slots");
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
	ret = kvm_dev_open("/dev/kvm", err);
	if (ret < 0)
		goto fail;
	vm->kvm_fd = ret;
	ret = kvm_dev_check(vm->kvm_fd, err);
	if (ret == 0)
		ret = vm_create(vm, err);
	if (ret == 0)
		ret = vm_read_limits(vm, err);
	if (ret == 0)
		ret = kvm_arch_vm_init(vm, err);
	if (ret < 0)
		goto fail;
	vm_create_vfio_device(vm);
	return 0;
fail:
	kvm_vm_release(vm);
	return ret;
}

int kvm_vm_prepare_vcpus(struct kvm_vm *vm, const struct kvm_topology *topology, struct err *err)
{
	if (topology->cpus > vm->max_vcpus)
		return err_set(err, E2BIG, "%u vCPUs are more than this host's KVM allows: %u",
			topology->cpus, vm->max_vcpus);
	return kvm_arch_prepare_vcpus(vm, topology, err);
}

void kvm_vm_release(struct kvm_vm *vm)
{
	sys_closep(&vm->vfio_fd);
	sys_closep(&vm->vm_fd);
	sys_closep(&vm->kvm_fd);
	kvm_arch_vm_release(vm);
	free(vm->memslot_used);
	free(vm->routes);
	free(vm->next);
	vm->memslot_used = NULL;
	vm->routes = vm->next = NULL;
	pthread_mutex_destroy(&vm->irq_lock);
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
