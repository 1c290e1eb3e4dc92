/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.c - what a VM has on x86: where KVM keeps its own pages, what its processors can do, its
 * interrupt controllers.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include <portcullis/err.h>
#include <portcullis/q35.h>
#include <portcullis/sys.h>

#include "x86.h"

/* Must be in place before the first vCPU; the pages lie where no RAM or BAR ever is. */
static int set_addresses(struct kvm_vm *vm, struct err *err)
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

static int read_limits(struct kvm_vm *vm, struct err *err)
{
	struct kvm_vm_arch *arch = &vm->arch;
	int cap, ret;

	kvm_cpuid_request_tiles(); /* they count in a vCPU's state */
	cap = kvm_check_extension(vm->vm_fd, KVM_CAP_XSAVE2);
	arch->xsave_size =
		cap > (int)sizeof(struct kvm_xsave) ? (size_t)cap : sizeof(struct kvm_xsave);
	cap = kvm_check_extension(vm->vm_fd, KVM_CAP_NESTED_STATE);
	arch->nested_size = cap > 0 ? (size_t)cap : 0;
	arch->tsc_deadline = kvm_check_extension(vm->vm_fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	arch->has_xcrs = kvm_check_extension(vm->vm_fd, KVM_CAP_XCRS) > 0;
	ret = kvm_cpuid_read(vm->kvm_fd, &arch->cpuid);
	if (ret < 0)
		return err_set_errno(err, -ret, "KVM_GET_SUPPORTED_CPUID");
	kvm_host_read(&arch->host, kvm_cpuid_is_amd(arch->cpuid));
	vm->phys_bits = kvm_cpuid_phys_bits(arch->cpuid);
	(void)kvm_cpuid_dma_hole(arch->cpuid, &vm->dma_hole_start, &vm->dma_hole_end);
	kvm_mce_read_host(vm);
	return 0;
}

int kvm_arch_vm_init(struct kvm_vm *vm, struct err *err)
{
	int ret = set_addresses(vm, err);

	if (ret == 0)
		ret = read_limits(vm, err);
	if (ret == 0)
		ret = kvm_irqchip_create(vm, err);
	return ret;
}

/*
 * APIC ids from 255 up are more than xAPIC's 8 bits, of which 255 is all processors: without this,
 * KVM takes 255 for that in x2APIC mode, too, and cuts the others (Linux's Documentation/virt/kvm/api.rst,
 * KVM_CAP_X2APIC_API).
 */
static int enable_x2apic_ids(struct kvm_vm *vm, uint32_t last, struct err *err)
{
	const uint32_t flags =
		KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X2APIC_API, .args = { flags } };
	uint32_t has = (uint32_t)kvm_check_extension(vm->vm_fd, KVM_CAP_X2APIC_API);
	long r = (has & flags) == flags ? sys_ioctl(vm->vm_fd, KVM_ENABLE_CAP, &cap) : -EOPNOTSUPP;

	if (r < 0) {
		err_set_errno(err, (int)-r,
			"the last vCPU's APIC id is %u, and this host's KVM allows 254 (it lacks KVM_CAP_X2APIC_API)",
			last);
		err_hint(err, "use fewer vCPUs, or a kernel of the host from Linux 4.8 on");
		return (int)r;
	}
	return 0;
}

int kvm_arch_prepare_vcpus(struct kvm_vm *vm, const struct kvm_topology *topology, struct err *err)
{
	const uint32_t last = kvm_apic_id(topology, topology->cpus - 1);
	const int ids = kvm_check_extension(vm->vm_fd, KVM_CAP_MAX_VCPU_ID);

	if (last < 255)
		return 0;
	if (ids && last >= (uint32_t)ids) {
		err_set(err, E2BIG,
			"the last vCPU's APIC id %u is more than this host's KVM allows: %d", last,
			ids - 1);
		err_hint(err, "ids have no gaps when cores and threads are powers of two");
		return -E2BIG;
	}
	return enable_x2apic_ids(vm, last, err);
}

void kvm_arch_vm_release(struct kvm_vm *vm)
{
	free(vm->arch.cpuid);
	free(vm->arch.msrs);
	free(vm->arch.initial);
	vm->arch = (struct kvm_vm_arch){ 0 };
}
