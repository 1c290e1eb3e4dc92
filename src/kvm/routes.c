/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c - GSI routes and irqfds. KVM takes the routing table only as a whole: it is kept here,
 * ready to be handed over, the fixed pins first and then one entry per MSI route in use. A change is
 * made in a second table of the same size, which takes the first one's place once KVM has it.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/sys.h>

#include "private.h"

static int commit(struct kvm_vm *vm, struct kvm_irq_routing *table)
{
	return (int)sys_ioctl(vm->vm_fd, KVM_SET_GSI_ROUTING, table);
}

static size_t table_size(size_t entries)
{
	return sizeof(struct kvm_irq_routing) + entries * sizeof(struct kvm_irq_routing_entry);
}

int kvm_routes_init(struct kvm_vm *vm, const struct kvm_irq_routing_entry pins[KVM_PIN_ROUTES])
{
	vm->routes = calloc(1, table_size(KVM_GSI_MAX));
	vm->next = calloc(1, table_size(KVM_GSI_MAX));
	if (!vm->routes || !vm->next)
		return -ENOMEM;
	memcpy(vm->routes->entries, pins, KVM_PIN_ROUTES * sizeof(*pins));
	vm->routes->nr = KVM_PIN_ROUTES;
	return commit(vm, vm->routes);
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

static bool is_msi_gsi(uint32_t gsi)
{
	return gsi >= KVM_GSI_PINS && gsi < KVM_GSI_PINS + KVM_MSI_MAX;
}

/*
 * Nothing uses the route any more, so the kernel hears of it with the next change: a commit waits
 * until every vCPU has left the old table. The lock is held.
 */
static void forget(struct kvm_vm *vm, uint32_t gsi)
{
	struct kvm_irq_routing_entry *last = &vm->routes->entries[vm->routes->nr - 1];
	const uint16_t at = vm->route_at[gsi];

	if (!at)
		return;
	vm->routes->entries[at] = *last;
	vm->route_at[last->gsi] = at;
	vm->route_at[gsi] = 0;
	vm->routes->nr--;
}

void kvm_gsi_free(struct kvm_vm *vm, uint32_t gsi)
{
	if (!is_msi_gsi(gsi))
		return;
	pthread_mutex_lock(&vm->irq_lock);
	vm->gsi_used[gsi / 64] &= ~(1ull << gsi % 64);
	forget(vm, gsi);
	pthread_mutex_unlock(&vm->irq_lock);
}

/* Does the entry say the same already? */
static bool same(const struct kvm_irq_routing_entry *e, const struct msi_route *route)
{
	return e->u.msi.address_lo == (uint32_t)route->addr && e->u.msi.data == route->data;
}

/*
 * Puts one route into the next table. True: that changed it. The upper half of a message's address is
 * not the guest's to write: no processor takes messages above 4 GiB, and in KVM's format with 32-bit
 * ids it is more of the destination, refused at a wrong bit.
 */
static bool put(struct kvm_vm *vm, const struct msi_route *route)
{
	uint16_t *at = &vm->route_at[route->gsi];
	struct kvm_irq_routing_entry *e;

	if (*at && same(&vm->next->entries[*at], route))
		return false;
	if (!*at)
		*at = (uint16_t)vm->next->nr++;
	e = &vm->next->entries[*at];
	*e = (struct kvm_irq_routing_entry){ .gsi = route->gsi, .type = KVM_IRQ_ROUTING_MSI };
	e->u.msi.address_lo = (uint32_t)route->addr;
	e->u.msi.data = route->data;
	return true;
}

/* The next table, if KVM takes it, becomes the table; else what it had more is forgotten. */
static int try_next(struct kvm_vm *vm)
{
	struct kvm_irq_routing *old = vm->routes;
	int ret = commit(vm, vm->next);

	if (ret >= 0) {
		vm->routes = vm->next;
		vm->next = old;
		return 0;
	}
	for (uint32_t i = old->nr; i < vm->next->nr; i++)
		vm->route_at[vm->next->entries[i].gsi] = 0;
	return ret;
}

int kvm_gsi_set_routes(struct kvm_vm *vm, const struct msi_route *route, unsigned n)
{
	bool changed = false;
	int ret = 0;

	for (unsigned i = 0; i < n; i++)
		if (!is_msi_gsi(route[i].gsi))
			return -EINVAL;
	pthread_mutex_lock(&vm->irq_lock);
	memcpy(vm->next, vm->routes, table_size(vm->routes->nr));
	for (unsigned i = 0; i < n; i++)
		changed |= put(vm, &route[i]);
	if (changed)
		ret = try_next(vm);
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
		.data = data,
	};
	long r = sys_ioctl(vm->vm_fd, KVM_SIGNAL_MSI, &msi);

	return r < 0 ? (int)r : 0; /* positive: delivered; 0: the guest blocks it */
}
