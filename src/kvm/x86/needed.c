/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needed.c - what x86 needs of this host: KVM's capabilities, and a processor with VMX or SVM.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "x86.h"

const struct kvm_needed_cap kvm_arch_needed_caps[] = {
	KVM_NEEDED_CAP(KVM_CAP_SET_TSS_ADDR),
	KVM_NEEDED_CAP(KVM_CAP_SET_IDENTITY_MAP_ADDR),
	KVM_NEEDED_CAP(KVM_CAP_PIT2),
	KVM_NEEDED_CAP(KVM_CAP_PIT_STATE2),
	KVM_NEEDED_CAP(KVM_CAP_EXT_CPUID),
	KVM_NEEDED_CAP(KVM_CAP_MP_STATE),
	KVM_NEEDED_CAP(KVM_CAP_VCPU_EVENTS),
	KVM_NEEDED_CAP(KVM_CAP_DEBUGREGS),
	KVM_NEEDED_CAP(KVM_CAP_XSAVE),
	{ 0, NULL },
};

/* The processor flag that says "hardware virtualisation", as /proc/cpuinfo spells it; or NULL. */
static const char *cpu_virt_flag(void)
{
	char buf[16384]; /* the first processor's paragraph is about 2 KiB */
	int fd = sys_open("/proc/cpuinfo", O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = read(fd, buf, sizeof(buf) - 1);
	sys_close(fd);
	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	return strstr(buf, " vmx") ? "vmx" : strstr(buf, " svm") ? "svm" : NULL;
}

void kvm_arch_hint_missing(struct err *err)
{
	const char *flag = cpu_virt_flag();

	if (!flag)
		err_hint(err,
			"the processor offers no virtualisation (no vmx or svm in /proc/cpuinfo): switch it on in the firmware's settings, or, inside a virtual machine, switch on nested virtualisation in the host around it");
	else
		err_hint(err, "load the module: sudo modprobe %s",
			flag[0] == 'v' ? "kvm_intel" : "kvm_amd");
}
