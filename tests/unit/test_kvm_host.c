/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_host.c - what a guest's processor has of the host's: name, microcode, and idling on its own;
 * with a KVM that answers as it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <cpuid.h>
#include <errno.h>

#include "../../src/kvm/x86/x86.h"

enum { KVM_FD = 70, VM_FD, VCPU_FD };
#define MWAIT KVM_X86_DISABLE_EXITS_MWAIT
#define HLT KVM_X86_DISABLE_EXITS_HLT
#define PAUSE KVM_X86_DISABLE_EXITS_PAUSE
#define CSTATE KVM_X86_DISABLE_EXITS_CSTATE

static struct {
	long offered; /* KVM_CHECK_EXTENSION's answer */
	int error;    /* of KVM_ENABLE_CAP */
	unsigned enables;
	uint64_t enabled;
	bool tells; /* KVM_GET_MSRS on /dev/kvm: since Linux 4.18 */
	unsigned sets;
	uint64_t microcode;
} kvm;

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg);
long __wrap_sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg);

long __wrap_sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg)
{
	assert_int_equal(fd, VM_FD);
	assert_int_equal(cmd, KVM_CHECK_EXTENSION);
	assert_int_equal(arg, KVM_CAP_X86_DISABLE_EXITS);
	return kvm.offered;
}

static long msrs(int fd, unsigned long cmd, struct kvm_msrs *m)
{
	assert_int_equal(m->nmsrs, 1);
	assert_int_equal(m->entries[0].index, 0x8b);
	if (cmd == KVM_GET_MSRS) {
		assert_int_equal(fd, KVM_FD);
		m->entries[0].data = 0x2b00061100000000;
		return kvm.tells ? 1 : -ENOTTY;
	}
	assert_int_equal(fd, VCPU_FD);
	kvm.microcode = m->entries[0].data;
	kvm.sets++;
	return 1;
}

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	const struct kvm_enable_cap *enable = arg;

	if (cmd == KVM_GET_MSRS || cmd == KVM_SET_MSRS)
		return msrs(fd, cmd, arg);
	assert_int_equal(fd, VM_FD);
	assert_int_equal(cmd, KVM_ENABLE_CAP);
	assert_int_equal(enable->cap, KVM_CAP_X86_DISABLE_EXITS);
	assert_int_equal(enable->flags, 0);
	kvm.enabled = enable->args[0];
	kvm.enables++;
	return -kvm.error;
}

static int start(void **state)
{
	(void)state;
	memset(&kvm, 0, sizeof(kvm));
	return 0;
}

static void test_idle(void **state)
{
	static const struct {
		long offered;
		int error, ret;
		uint64_t enabled; /* 0: KVM is not asked */
		bool mwait;
	} rows[] = {
		{ MWAIT | HLT | PAUSE | CSTATE, 0, 0, MWAIT | HLT | PAUSE | CSTATE, true },
		/* What later kernels offer beside these is not for us. */
		{ 0x10 | HLT | PAUSE | CSTATE, 0, 0, HLT | PAUSE | CSTATE, false },
		/* A host whose threads leak into each other: no HLT. What there is, is on. */
		{ PAUSE, 0, -EOPNOTSUPP, PAUSE, false },
		{ 0, 0, -EOPNOTSUPP, 0, false },
		{ 0x10, 0, -EOPNOTSUPP, 0, false },
		{ -EINVAL, 0, -EOPNOTSUPP, 0, false },
		{ MWAIT | HLT, EINVAL, -EINVAL, MWAIT | HLT, false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kvm_vm vm = { .kvm_fd = KVM_FD, .vm_fd = VM_FD };

		start(NULL);
		kvm.offered = rows[i].offered;
		kvm.error = rows[i].error;
		assert_int_equal(kvm_vm_idle_in_guest(&vm), rows[i].ret);
		assert_int_equal(kvm.enables, rows[i].enabled != 0);
		assert_int_equal(kvm.enabled, rows[i].enabled);
		assert_int_equal(vm.arch.host.mwait, rows[i].mwait);
	}
}

static void test_microcode(void **state)
{
	struct kvm_vm vm = { .kvm_fd = KVM_FD, .vm_fd = VM_FD };
	struct kvm_vcpu vcpu = { .fd = VCPU_FD };

	(void)state;
	kvm_host_microcode(&vcpu, &vm);
	assert_int_equal(kvm.sets, 0);
	kvm.tells = true;
	kvm_host_microcode(&vcpu, &vm);
	assert_int_equal(kvm.sets, 1);
	assert_int_equal(kvm.microcode, 0x2b00061100000000);
}

/* This host's own name, whatever it is. */
static void test_name(void **state)
{
	uint32_t name[12] = { 0 };
	struct kvm_host host;

	(void)state;
	memset(&host, 0xee, sizeof(host));
	kvm_host_read(&host, false);
	for (uint32_t i = 0; i < 3; i++)
		host.has_brand &= __get_cpuid(0x80000002 + i, &name[4 * i], &name[4 * i + 1],
			&name[4 * i + 2], &name[4 * i + 3]);
	assert_true(host.has_brand);
	assert_memory_equal(host.brand, name, sizeof(name));
	assert_false(host.mwait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_idle, start),
		cmocka_unit_test_setup(test_microcode, start),
		cmocka_unit_test_setup(test_name, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
