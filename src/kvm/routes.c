/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c - GSI routes and irqfds. KVM takes the routing table only as a whole: it is kept here,
 * ready to be handed over, the fixed pins first and then one entry per MSI route in use.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "private.h"

static int commit(struct kvm_vm *vm)
{
	return (int)sys_ioctl(vm->vm_fd, KVM_SET_GSI_ROUTING, vm->routes);
}

int kvm_routes_init(struct kvm_vm *vm, const struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES])
{
	struct kvm_irq_routing *t = calloc(1, sizeof(*t) + KVM_GSI_MAX * sizeof(t->entries[0]));

	if (!t)
		return -ENOMEM;
	vm->routes = t;
	memcpy(t->entries, pins, KVM_PIN_ROUTES * sizeof(*pins));
	t->nr = KVM_PIN_ROUTES;
	return commit(vm);
}

int kvm_gsi_alloc(struct kvm_vm *vm, uint32_t *gsi)
{
	int ret = -ENOSPC;

	pthread_mutex_lock(&vm->irq_lock);
	for (uint32_t g = KVM_GSI_PINS; g < KVM_GSI_PINS + KVM_MSI_MAX; g++) {
		if (vm->gsi_used[g / 64] >> g % 64 & 1)
			continue;
		vm->gsi_used[g / 64] |= 1ull << g % 64;
		*gsi = g;
		ret = 0;
		break;
	}
	pthread_mutex_unlock(&vm->irq_lock);
	return ret;
}

unsigned kvm_gsis_free(struct kvm_vm *vm)
{
	unsigned used = 0;

	pthread_mutex_lock(&vm->irq_lock);
	for (unsigned i = 0; i < sizeof(vm->gsi_used) / sizeof(vm->gsi_used[0]); i++)
		used += (unsigned)__builtin_popcountll(vm->gsi_used[i]);
	pthread_mutex_unlock(&vm->irq_lock);
	return KVM_MSI_MAX - used;
}

/* Called with the lock held. */
static struct kvm_irq_routing_entry *find_msi(struct kvm_vm *vm, uint32_t gsi)
{
	for (uint32_t i = KVM_PIN_ROUTES; i < vm->routes->nr; i++) {
		if (vm->routes->entries[i].gsi == gsi)
			return &vm->routes->entries[i];
	}
	return NULL;
}

static bool is_msi_gsi(uint32_t gsi)
{
	return gsi >= KVM_GSI_PINS && gsi < KVM_GSI_PINS + KVM_MSI_MAX;
}

void kvm_gsi_free(struct kvm_vm *vm, uint32_t gsi)
{
	struct kvm_irq_routing_entry *e;

	if (!is_msi_gsi(gsi))
		return;
	pthread_mutex_lock(&vm->irq_lock);
	vm->gsi_used[gsi / 64] &= ~(1ull << gsi % 64);
	e = find_msi(vm, gsi);
	/*
	 * Nothing uses the route any more, so the kernel hears of it with the next change: a commit
	 * waits until every vCPU has left the old table.
	 */
	if (e)
		*e = vm->routes->entries[--vm->routes->nr];
	pthread_mutex_unlock(&vm->irq_lock);
}

int kvm_gsi_set_msi(struct kvm_vm *vm, uint32_t gsi, uint64_t addr, uint32_t data)
{
	struct kvm_irq_routing_entry entry = { .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI };
	struct kvm_irq_routing_entry *e, old = { 0 };
	int ret = 0;

	if (!is_msi_gsi(gsi))
		return -EINVAL;
	entry.u.msi.address_lo = (uint32_t)addr;
	entry.u.msi.address_hi = (uint32_t)(addr >> 32);
	entry.u.msi.data = data;
	pthread_mutex_lock(&vm->irq_lock);
	e = find_msi(vm, gsi);
	if (e && e->u.msi.address_lo == entry.u.msi.address_lo &&
		e->u.msi.address_hi == entry.u.msi.address_hi && e->u.msi.data == data)
		goto out;
	if (e) {
		old = *e;
		*e = entry;
	} else {
		vm->routes->entries[vm->routes->nr++] = entry;
	}
	ret = commit(vm);
	if (ret < 0 && e)
		*e = old;
	else if (ret < 0)
		vm->routes->nr--;
out:
	pthread_mutex_unlock(&vm->irq_lock);
	return ret;
}

int kvm_irqfd_add(struct kvm_vm *vm, uint32_t gsi, int fd, int resample_fd)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = gsi };

	if (resample_fd >= 0) {
		irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
		irqfd.resamplefd = (uint32_t)resample_fd;
	}
	return (int)sys_ioctl(vm->vm_fd, KVM_IRQFD, &irqfd);
}

int kvm_irqfd_del(struct kvm_vm *vm, uint32_t gsi, int fd)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = KVM_IRQFD_FLAG_DEASSIGN,
	};

	return (int)sys_ioctl(vm->vm_fd, KVM_IRQFD, &irqfd);
}

int kvm_signal_msi(struct kvm_vm *vm, uint64_t addr, uint32_t data)
{
	struct kvm_msi msi = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};
	long r = sys_ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &msi);

	return r < 0 ? (int)r : 0; /* positive: delivered; 0: the guest blocks it */
}
