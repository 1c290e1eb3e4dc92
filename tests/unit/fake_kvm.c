/* SPDX-License-Identifier: Apache-2.0 */
/* fake_kvm.c - src/kvm without a kernel: counts what is taken and given back. */
#include <errno.h>
#include <string.h>

#include <portcullis/err.h>

#include "fake_kvm.h"

struct fake_kvm fake_kvm;

void fake_kvm_clear(void)
{
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	fake_kvm.memslot_limit = FAKE_KVM_MEMSLOTS;
	fake_kvm.phys_bits = 40;
}

/* A call that the kernel may refuse. */
static bool refused(void)
{
	return atomic_fetch_add(&fake_kvm.calls, 1) + 1 == fake_kvm.fail_at;
}

int kvm_vm_init(struct kvm_vm *vm, struct err *err)
{
	memset(vm, 0, sizeof(*vm));
	vm->kvm_fd = vm->vm_fd = vm->vfio_fd = -1;
	vm->phys_bits = fake_kvm.phys_bits;
	vm->dma_hole_start = fake_kvm.dma_hole_start;
	vm->dma_hole_end = fake_kvm.dma_hole_end;
	vm->max_vcpus = FAKE_KVM_VCPUS;
	vm->max_memslots = FAKE_KVM_MEMSLOTS;
	if (refused()) {
		vm->max_memslots = 0;
		return err_set(err, EACCES, "the fake KVM cannot be used");
	}
	fake_kvm.vms++;
	return 0;
}

int kvm_vm_idle_in_guest(struct kvm_vm *vm)
{
	(void)vm;
	fake_kvm.idle_asked++;
	fake_kvm.idle_with_vcpus += fake_kvm.vcpus > 0; /* KVM would refuse it */
	return fake_kvm.idle_answer;
}

void kvm_vm_release(struct kvm_vm *vm)
{
	fake_kvm.vms -= vm->max_memslots > 0;
	vm->max_memslots = 0;
}

int kvm_vm_prepare_vcpus(struct kvm_vm *vm, const struct kvm_topology *topology, struct err *err)
{
	(void)vm, (void)topology;
	if (refused())
		return err_set(err, E2BIG, "the fake KVM takes no vCPUs");
	return 0;
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned index,
	const struct kvm_topology *topology, struct err *err)
{
	(void)vm, (void)topology;
	*vcpu = (struct kvm_vcpu){ .fd = -1, .index = index };
	if (refused())
		return err_set(err, ENOMEM, "the fake KVM cannot create vCPU %u", index);
	fake_kvm.vcpus++;
	return 0;
}

void kvm_vcpu_release(struct kvm_vcpu *vcpu)
{
	(void)vcpu;
	fake_kvm.vcpus--;
}

int kvm_memslot_add(
	struct kvm_vm *vm, uint64_t gpa, void *hva, uint64_t size, bool readonly, unsigned *slot)
{
	(void)vm, (void)readonly;
	if (refused())
		return -ENOMEM;
	for (unsigned i = 0; i < fake_kvm.memslot_limit; i++) {
		if (fake_kvm.memslot[i])
			continue;
		fake_kvm.memslot[i] = true;
		fake_kvm.at[i] = (struct fake_memslot){ gpa, size, hva };
		fake_kvm.memslots++;
		*slot = i;
		return 0;
	}
	return -ENOSPC;
}

void kvm_memslot_del(struct kvm_vm *vm, unsigned slot)
{
	(void)vm;
	fake_kvm.memslots -= fake_kvm.memslot[slot];
	fake_kvm.memslot[slot] = false;
}

unsigned kvm_memslots_free(const struct kvm_vm *vm)
{
	return vm->max_memslots - fake_kvm.memslots;
}

int kvm_gsi_alloc(struct kvm_vm *vm, uint32_t *gsi)
{
	(void)vm;
	for (uint32_t i = KVM_GSI_PINS; i < KVM_GSI_MAX; i++) {
		if (atomic_exchange(&fake_kvm.gsi[i], true))
			continue;
		fake_kvm.gsis++;
		*gsi = i;
		return 0;
	}
	return -ENOSPC;
}

void kvm_gsi_free(struct kvm_vm *vm, uint32_t gsi)
{
	(void)vm;
	fake_kvm.gsis -= atomic_exchange(&fake_kvm.gsi[gsi], false);
}

unsigned kvm_gsis_free(struct kvm_vm *vm)
{
	(void)vm;
	return KVM_MSI_MAX - fake_kvm.gsis;
}

int kvm_gsi_set_routes(struct kvm_vm *vm, const struct msi_route *route, unsigned n)
{
	(void)vm, (void)route, (void)n;
	fake_kvm.route_changes++;
	return 0;
}

int kvm_irqfd_add(struct kvm_vm *vm, uint32_t gsi, int fd, int resample_fd)
{
	(void)vm, (void)gsi, (void)fd, (void)resample_fd;
	if (refused())
		return -ENOMEM;
	fake_kvm.irqfds++;
	return 0;
}

int kvm_irqfd_del(struct kvm_vm *vm, uint32_t gsi, int fd)
{
	(void)vm, (void)gsi, (void)fd;
	fake_kvm.irqfds--;
	return 0;
}

int kvm_signal_msi(struct kvm_vm *vm, uint64_t addr, uint32_t data)
{
	(void)vm, (void)addr, (void)data;
	fake_kvm.messages++;
	return 0;
}

int kvm_vfio_add(struct kvm_vm *vm, int fd)
{
	(void)vm, (void)fd;
	fake_kvm.vfio_fds++;
	return 0;
}

void kvm_vfio_del(struct kvm_vm *vm, int fd)
{
	(void)vm, (void)fd;
	fake_kvm.vfio_fds--;
}

int kvm_vm_reset(struct kvm_vm *vm)
{
	(void)vm;
	return 0;
}

void kvm_vcpu_immediate_exit(struct kvm_vcpu *vcpu, bool on)
{
	(void)vcpu, (void)on;
}
