/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memslots.c - KVM memslots: a bitmap of numbers and one ioctl.
 */
#include <errno.h>
#include <linux/kvm.h>

#include <portcullis/sys.h>

#include "private.h"

/* The lowest free number, max_memslots when there is none. */
static unsigned memslot_find(const struct kvm_vm *vm)
{
	unsigned i = 0;

	while (i < vm->max_memslots && vm->memslot_used[i / 64] >> i % 64 & 1)
		i++;
	return i;
}

int kvm_memslot_add(
	struct kvm_vm *vm, uint64_t gpa, void *hva, uint64_t size, bool readonly, unsigned *slot)
{
	unsigned n = memslot_find(vm);
	struct kvm_userspace_memory_region region = {
		.slot = n,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)(uintptr_t)hva,
	};
	long r;

	if (n == vm->max_memslots)
		return -ENOSPC;
	if (size == 0) /* to KVM that means "delete" */
		return -EINVAL;
	r = sys_ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
	if (r < 0)
		return (int)r;
	vm->memslot_used[n / 64] |= 1ull << n % 64;
	*slot = n;
	return 0;
}

void kvm_memslot_del(struct kvm_vm *vm, unsigned slot)
{
	struct kvm_userspace_memory_region region = { .slot = slot };

	(void)sys_ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
	vm->memslot_used[slot / 64] &= ~(1ull << slot % 64);
}

unsigned kvm_memslots_free(const struct kvm_vm *vm)
{
	unsigned used = 0;

	for (unsigned i = 0; i * 64 < vm->max_memslots; i++)
		used += (unsigned)__builtin_popcountll(vm->memslot_used[i]);
	return vm->max_memslots - used;
}
