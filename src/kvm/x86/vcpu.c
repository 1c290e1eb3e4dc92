/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - what a vCPU is on x86: CPUID, clock, microcode and machine checks at its creation, its reset, its
 * registers as text.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "x86.h"

/*
 * Firmware hands over in x2APIC mode where ids do not fit into xAPIC's 8 bits (Intel SDM vol. 3A,
 * x2APIC); Linux ignores the MADT's x2APIC structures otherwise. The first vCPU's id is 0, which
 * reads the same in both formats of the LAPIC's state; the others are as INIT leaves them.
 */
#define APIC_BASE_X2APIC (1u << 10)

static int set_cpuid(
	struct kvm_vcpu *vcpu, const struct kvm_vm *vm, const struct kvm_topology *topology)
{
	const size_t room = vm->arch.cpuid->nent + KVM_CPUID_ROOM;
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + room * sizeof(c->entries[0]));
	long r;

	if (!c)
		return -ENOMEM;
	kvm_cpuid_build(
		vm->arch.cpuid, &vm->arch.host, topology, vcpu->index, vm->arch.tsc_deadline, c);
	r = sys_ioctl(vcpu->fd, KVM_SET_CPUID2, c);
	free(c);
	return (int)r;
}

/*
 * A kernel that has refined its TSC's frequency since KVM was loaded (KVM built in, say) refuses
 * the one that KVM itself gives a new vCPU, and leaves it with a scaling of 0: its clock stands
 * still and its timers never fire. So each is given the host's of now, which 0 asks for.
 */
static void set_tsc_frequency(struct kvm_vcpu *vcpu)
{
	/* A host that cannot has nothing to scale. */
	(void)sys_ioctl_int(vcpu->fd, KVM_SET_TSC_KHZ, 0);
}

uint32_t kvm_arch_vcpu_id(const struct kvm_topology *topology, unsigned index)
{
	return kvm_apic_id(topology, index);
}

int kvm_arch_vcpu_init(struct kvm_vcpu *vcpu, struct kvm_vm *vm,
	const struct kvm_topology *topology, struct err *err)
{
	int ret = set_cpuid(vcpu, vm, topology);

	if (ret < 0)
		return err_set_errno(err, -ret, "KVM_SET_CPUID2 for vCPU %u", vcpu->index);
	set_tsc_frequency(vcpu);
	kvm_host_microcode(vcpu, vm);
	kvm_mce_set_up(vcpu, vm);
	ret = kvm_state_save(vcpu, vm);
	if (ret < 0)
		return err_set_errno(err, -ret, "saving vCPU %u's initial state", vcpu->index);
	if (vcpu->index == 0 && kvm_apic_id(topology, topology->cpus - 1) >= 255)
		vcpu->arch.initial->sregs.apic_base |= APIC_BASE_X2APIC;
	return 0;
}

void kvm_arch_vcpu_release(struct kvm_vcpu *vcpu)
{
	kvm_state_free(vcpu->arch.initial);
	vcpu->arch.initial = NULL;
}

void kvm_vcpu_resumed(struct kvm_vcpu *vcpu)
{
	/* EINVAL: the guest has no kvmclock, so it has nobody to ask. */
	(void)sys_ioctl_int(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

int kvm_vcpu_reset(struct kvm_vcpu *vcpu, const struct kvm_entry *entry)
{
	struct kvm_regs regs = vcpu->arch.initial->regs;
	struct kvm_sregs sregs = vcpu->arch.initial->sregs;

	if (vcpu->index == 0)
		kvm_entry_registers(entry, &regs, &sregs);
	return kvm_state_restore(vcpu, &regs, &sregs);
}

void kvm_arch_describe_registers(struct kvm_vcpu *vcpu, char *buf, size_t size)
{
	struct kvm_regs r;
	struct kvm_sregs s;

	if (sys_ioctl(vcpu->fd, KVM_GET_REGS, &r) < 0 || sys_ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return;
	snprintf(buf, size,
		"; vcpu %u rip %llx rsp %llx rflags %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx cs %x rax %llx rbx %llx rcx %llx rdx %llx rsi %llx rdi %llx",
		vcpu->index, (unsigned long long)r.rip, (unsigned long long)r.rsp,
		(unsigned long long)r.rflags, (unsigned long long)s.cr0, (unsigned long long)s.cr2,
		(unsigned long long)s.cr3, (unsigned long long)s.cr4, (unsigned long long)s.efer,
		s.cs.selector, (unsigned long long)r.rax, (unsigned long long)r.rbx,
		(unsigned long long)r.rcx, (unsigned long long)r.rdx, (unsigned long long)r.rsi,
		(unsigned long long)r.rdi);
}
