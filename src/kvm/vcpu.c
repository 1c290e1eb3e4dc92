/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcpu.c - one vCPU: creation and run; what it is made of is the architecture's.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <portcullis/err.h>
#include <portcullis/sys.h>

#include "private.h"

/* Bits of run->immediate_exit; for KVM any value but 0 means the same. */
#define EXIT_KICK ((uint8_t)1)	/* kvm_vcpu_immediate_exit(): other threads */
#define EXIT_FLUSH ((uint8_t)2) /* our own, while a pending access is completed */

/*
 * At most this many exits come before KVM would enter the guest: of a string instruction it does
 * 1024 rounds by itself, each with an access that may be split in several.
 */
#define FLUSH_MAX 16384

static int vcpu_set_up(struct kvm_vcpu *vcpu, struct kvm_vm *vm,
	const struct kvm_topology *topology, struct err *err)
{
	void *map;
	int ret =
		sys_mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0, &map);

	if (ret < 0)
		return err_set_errno(err, -ret, "mapping vCPU %u's run page", vcpu->index);
	vcpu->run = map;
	vcpu->run_size = vm->run_size;
	return kvm_arch_vcpu_init(vcpu, vm, topology, err);
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu, struct kvm_vm *vm, unsigned index,
	const struct kvm_topology *topology, struct err *err)
{
	long fd;
	int ret;

	memset(vcpu, 0, sizeof(*vcpu));
	vcpu->fd = -1;
	vcpu->index = index;
	fd = sys_ioctl_int(vm->vm_fd, KVM_CREATE_VCPU, kvm_arch_vcpu_id(topology, index));
	/* Out of the low numbers, of which there are few. Nobody can write() to one. */
	if (fd >= 0)
		fd = sys_fd_move((int)fd, FD_ZONE_EVENT);
	if (fd < 0) {
		err_set_errno(err, (int)-fd, "KVM cannot create vCPU %u", index);
		if (err && fd == -EMFILE)
			err_hint(err,
				"each vCPU is an open file: raise the hard limit (ulimit -Hn, or LimitNOFILE= of a service)");
		return (int)fd;
	}
	vcpu->fd = (int)fd;
	ret = vcpu_set_up(vcpu, vm, topology, err);
	if (ret < 0)
		kvm_vcpu_release(vcpu);
	return ret;
}

void kvm_vcpu_release(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		(void)sys_munmap(vcpu->run, vcpu->run_size);
	vcpu->run = NULL;
	kvm_arch_vcpu_release(vcpu);
	sys_closep(&vcpu->fd);
}

static void immediate_exit_bits(struct kvm_vcpu *vcpu, uint8_t set, uint8_t clear)
{
	/* KVM's run page is plain memory shared with other threads: hence the builtins. */
	if (set)
		__atomic_fetch_or(&vcpu->run->immediate_exit, set, __ATOMIC_SEQ_CST);
	if (clear)
		__atomic_fetch_and(&vcpu->run->immediate_exit, (uint8_t)~clear, __ATOMIC_SEQ_CST);
}

void kvm_vcpu_immediate_exit(struct kvm_vcpu *vcpu, bool on)
{
	if (on)
		immediate_exit_bits(vcpu, EXIT_KICK, 0);
	else
		immediate_exit_bits(vcpu, 0, EXIT_KICK);
}

void kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_exit *exit)
{
	/* once: an EINTR that is retried would be a kick that is lost */
	int error = (int)-sys_ioctl_once(vcpu->fd, KVM_RUN, 0);

	if (error <= 0) {
		kvm_exit_decode(vcpu->run, vcpu->run_size, exit);
		vcpu->io_pending = exit->kind == KVM_EXITED_IO || exit->kind == KVM_EXITED_MMIO;
		return;
	}
	vcpu->io_pending = false;
	*exit = (struct kvm_exit){ .kind = KVM_EXITED_INTERRUPTED };
	/* EAGAIN: an application processor that was woken; it goes on with the next call. */
	if (error == EINTR || error == EAGAIN)
		return;
	exit->kind = KVM_EXITED_ERROR;
	exit->error = error;
	exit->reason = vcpu->run->exit_reason;
}

void kvm_vcpu_finish_access(struct kvm_vcpu *vcpu)
{
	struct kvm_exit exit;

	/* immediate_exit keeps the guest from running on. */
	immediate_exit_bits(vcpu, EXIT_FLUSH, 0);
	for (unsigned i = 0; i < FLUSH_MAX && vcpu->io_pending; i++)
		kvm_vcpu_run(vcpu, &exit);
	immediate_exit_bits(vcpu, 0, EXIT_FLUSH);
	vcpu->io_pending = false;
}
