/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.h - the kernel's side of the machine: VM, memslots, interrupt routes. Its vCPUs: kvm_vcpu.h;
 * what depends on the architecture: kvm_x86.h.
 *
 * Layer: L1, includes base only; the only module that knows <linux/kvm.h>.
 * Who:   VM set-up and memslots: main. Routes and irqfds: main and workers (one leaf lock inside,
 *        never held across anything but the KVM ioctl).
 * Errors: negative errno; those with a struct err also say what is missing on this host.
 */
#ifndef PORTCULLIS_KVM_H
#define PORTCULLIS_KVM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/kvm_x86.h>
#include <portcullis/msi_route.h>
#include <portcullis/role.h>

struct err;
struct kvm_irq_routing;
struct kvm_topology;

#define KVM_GSI_MAX 4096 /* KVM_MAX_IRQ_ROUTES: entries, whatever their kind */
/* MSI routes take GSIs KVM_GSI_PINS and up; beside the pins' there is room for: */
#define KVM_MSI_MAX (KVM_GSI_MAX - KVM_PIN_ROUTES)

struct kvm_vm {
	int kvm_fd, vm_fd, vfio_fd; /* owned; vfio_fd: the KVM VFIO device, -1: kernel has none */
	size_t run_size;	    /* of struct kvm_run's mapping */
	unsigned max_vcpus, max_memslots;
	uint8_t phys_bits; /* guest physical address width */
	/* No device's DMA reaches it on this host, whichever comes later; end inclusive, 0: none. */
	uint64_t dma_hole_start, dma_hole_end;
	struct kvm_vm_arch arch;
	uint64_t *memslot_used;		/* bitmap of max_memslots bits */
	pthread_mutex_t irq_lock;	/* routes */
	struct kvm_irq_routing *routes; /* what KVM has, less what was freed since */
	struct kvm_irq_routing *next;	/* the same size: the table being made */
	uint16_t route_at[KVM_GSI_MAX]; /* GSI -> its entry in routes, 0: no message */
	uint64_t gsi_used[KVM_GSI_MAX / 64];
};

/* Opens /dev/kvm, checks capabilities, creates VM and interrupt controllers. */
int kvm_vm_init(struct kvm_vm *vm, struct err *err) ON_MAIN;
void kvm_vm_release(struct kvm_vm *vm) ON_MAIN;
/* Before the first kvm_vcpu_init(): does this host's KVM take so many? -E2BIG, -EOPNOTSUPP. */
int kvm_vm_prepare_vcpus(
	struct kvm_vm *vm, const struct kvm_topology *topology, struct err *err) ON_MAIN;

/*
 * Before the first vCPU: one that idles keeps the processor it is on, and sleeps as deep as that can
 * (QEMU's cpu-pm). -EOPNOTSUPP: KVM does not offer it on this host, or not for HLT, and nothing, or
 * not all, of it is on; or KVM's errno.
 */
int kvm_vm_idle_in_guest(struct kvm_vm *vm) ON_MAIN;

/* A memslot. gpa, hva, size page-aligned. *memslot for kvm_memslot_del(). -ENOSPC, or KVM's errno. */
int kvm_memslot_add(struct kvm_vm *vm, uint64_t gpa, void *hva, uint64_t size, bool readonly,
	unsigned *memslot) ON_MAIN;
void kvm_memslot_del(struct kvm_vm *vm, unsigned memslot) ON_MAIN;
unsigned kvm_memslots_free(const struct kvm_vm *vm) ON_MAIN;

/* MSI routes: a GSI without a message is allocated unrouted. -ENOSPC. */
int kvm_gsi_alloc(struct kvm_vm *vm, uint32_t *gsi);
unsigned kvm_gsis_free(struct kvm_vm *vm);
void kvm_gsi_free(struct kvm_vm *vm, uint32_t gsi);
/*
 * Sets the messages of n GSIs, all or none, in one ioctl (none when nothing changes): each waits
 * until every vCPU has left the table before.
 */
int kvm_gsi_set_routes(struct kvm_vm *vm, const struct msi_route *route, unsigned n);
/* resample_fd -1: edge. fds are borrowed until kvm_irqfd_del(). */
int kvm_irqfd_add(struct kvm_vm *vm, uint32_t gsi, int fd, int resample_fd);
int kvm_irqfd_del(struct kvm_vm *vm, uint32_t gsi, int fd);
int kvm_signal_msi(struct kvm_vm *vm, uint64_t addr, uint32_t data);

/* Tells KVM of a VFIO group or device fd. -ENODEV: this KVM does not care; passthrough works. */
int kvm_vfio_add(struct kvm_vm *vm, int fd);
void kvm_vfio_del(struct kvm_vm *vm, int fd);

/*
 * In-kernel irqchip and PIT as at power-on; all vCPUs must be outside KVM_RUN. The TSC and kvmclock
 * run on: they are the VM's, and setting them per vCPU is how clocks come apart.
 */
int kvm_vm_reset(struct kvm_vm *vm) ON_MAIN;

#endif
