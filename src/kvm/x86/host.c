/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - what the guest's processor has of this host's that KVM_GET_SUPPORTED_CPUID does not tell:
 * its name, its microcode's revision, AMD's caches, whom the third level serves, and how it idles. (Intel SDM
 * vol. 2A CPUID; AMD APM vol. 3 appendix E.)
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include <portcullis/sys.h>

#include "x86.h"

/* Intel's IA32_BIOS_SIGN_ID is AMD's patch level. */
#define MSR_MICROCODE 0x8b

#define LEAF_TOPOLOGY 0xb
#define LEAF_SIZES 0x80000008

/* Logical processors of a package, 0: it does not say. */
static unsigned package(bool amd)
{
	uint32_t eax, ebx = 0, ecx = 0, edx;

	if (amd)
		return __get_cpuid_count(LEAF_SIZES, 0, &eax, &ebx, &ecx, &edx) ? (ecx & 0xff) + 1
										: 0;
	return __get_cpuid_count(LEAF_TOPOLOGY, 1, &eax, &ebx, &ecx, &edx) ? ebx & 0xffff : 0;
}

/* The list goes up to the first that is none: its type, bits 0 to 4, is 0. */
static void read_caches(struct kvm_host *host)
{
	(void)__get_cpuid_count(
		LEAF_L1, 0, &host->l1.eax, &host->l1.ebx, &host->l1.ecx, &host->l1.edx);
	for (unsigned n = 0; n < KVM_HOST_CACHES; n++) {
		struct kvm_cpuid_regs *r = &host->cache[n];

		if (!__get_cpuid_count(LEAF_CACHES, n, &r->eax, &r->ebx, &r->ecx, &r->edx) ||
			!(r->eax & 0x1f))
			return;
		host->n_caches = n + 1;
	}
}

void kvm_host_read(struct kvm_host *host, bool amd)
{
	*host = (struct kvm_host){ .package = package(amd) };
	if (amd)
		read_caches(host);
	for (unsigned i = 0; i < 3; i++) {
		struct kvm_cpuid_regs *r = &host->brand[i];

		host->has_brand =
			__get_cpuid_count(LEAF_BRAND + i, 0, &r->eax, &r->ebx, &r->ecx, &r->edx);
	}
	(void)__get_cpuid_count(LEAF_MWAIT, 0, &host->monitor.eax, &host->monitor.ebx,
		&host->monitor.ecx, &host->monitor.edx);
}

void kvm_host_microcode(const struct kvm_vcpu *vcpu, const struct kvm_vm *vm)
{
	uint64_t revision;

	/* Kernels before 4.18 do not tell; their guests see KVM's own number. */
	if (kvm_msr_get(vm->kvm_fd, MSR_MICROCODE, &revision))
		(void)kvm_msr_set(vcpu->fd, MSR_MICROCODE, revision);
}

int kvm_vm_idle_in_guest(struct kvm_vm *vm)
{
	const int wanted = KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT |
			   KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE;
	const int offered = kvm_check_extension(vm->vm_fd, KVM_CAP_X86_DISABLE_EXITS) & wanted;
	struct kvm_enable_cap enable = { .cap = KVM_CAP_X86_DISABLE_EXITS,
		.args[0] = (unsigned)offered };
	long r = offered ? sys_ioctl(vm->vm_fd, KVM_ENABLE_CAP, &enable) : -EOPNOTSUPP;

	if (r < 0)
		return (int)r;
	vm->arch.host.mwait = offered & KVM_X86_DISABLE_EXITS_MWAIT;
	return offered & KVM_X86_DISABLE_EXITS_HLT ? 0 : -EOPNOTSUPP;
}
