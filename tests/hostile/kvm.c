/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvm.c - KVM behind the door: the program links with --wrap of the calls of base/sys.c, so src/kvm
 * and threads/vcpu.c are the real ones. Memslots, routes and irqfds keep the kernel's rules.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <portcullis/memory.h>
#include <portcullis/q35.h>
#include <portcullis/sys.h>

#include "hostile.h"
#include "lies.h"

#define RUN_SIZE 12288
#define FIRST_PCI_GSI 16 /* below: the platform's */
#define FDS (4 + HOSTILE_CPUS)
#define IRQFDS_MAX 512
#define ROUTES_MAX 4096 /* KVM_MAX_IRQ_ROUTES */

enum kind { NO_KVM, SYSTEM, VM, DEVICE, VCPU };

struct slot {
	bool used;
	uint64_t gpa, size;
	uint8_t *hva;
	bool readonly;
};

/* KVM holds the eventfds themselves, not numbers: ours are duplicates. */
struct irqfd {
	uint32_t gsi;
	int number, fd, resample;
};

static struct {
	pthread_mutex_t lock;
	struct {
		int fd;
		enum kind kind;
		unsigned vcpu;
	} fds[FDS];
	unsigned n_fds;
	struct kvm_run *run[HOSTILE_CPUS]; /* our own view of it */
	struct irqfd irqfd[IRQFDS_MAX];
	unsigned n_irqfds;
	pthread_rwlock_t slots_lock;
	struct slot slot[HOSTILE_KVM_SLOTS];
	_Atomic uint64_t exits[HOSTILE_CPUS];
} kvm = { .lock = PTHREAD_MUTEX_INITIALIZER, .slots_lock = PTHREAD_RWLOCK_INITIALIZER };

int __real_sys_open(const char *path, int flags, mode_t mode);
int __wrap_sys_open(const char *path, int flags, mode_t mode);
long __real_sys_ioctl(int fd, unsigned long cmd, void *arg);
long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg);
long __real_sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg);
long __wrap_sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg);
long __real_sys_ioctl_once(int fd, unsigned long cmd, unsigned long arg);
long __wrap_sys_ioctl_once(int fd, unsigned long cmd, unsigned long arg);
void __real_sys_close(int fd);
void __wrap_sys_close(int fd);

static int fd_new(enum kind kind, unsigned vcpu)
{
	int fd = memfd_create("fake-kvm", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, RUN_SIZE) < 0)
		violation("no file descriptor for the fake KVM: %s", strerror(errno));
	pthread_mutex_lock(&kvm.lock);
	if (kvm.n_fds == FDS)
		violation("the machine opens more of KVM than it has");
	kvm.fds[kvm.n_fds].fd = fd;
	kvm.fds[kvm.n_fds].vcpu = vcpu;
	kvm.fds[kvm.n_fds++].kind = kind;
	pthread_mutex_unlock(&kvm.lock);
	return fd;
}

static enum kind kind_of(int fd, unsigned *vcpu)
{
	enum kind kind = NO_KVM;

	pthread_mutex_lock(&kvm.lock);
	for (unsigned i = 0; i < kvm.n_fds; i++)
		if (kvm.fds[i].fd == fd) {
			kind = kvm.fds[i].kind;
			*vcpu = kvm.fds[i].vcpu;
		}
	pthread_mutex_unlock(&kvm.lock);
	return kind;
}

/* --- memslots --- */

static bool overlaps(uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < HOSTILE_KVM_SLOTS; i++)
		if (kvm.slot[i].used && gpa < kvm.slot[i].gpa + kvm.slot[i].size &&
			kvm.slot[i].gpa < gpa + size)
			return true;
	return false;
}

static long set_slot(const struct kvm_userspace_memory_region *region)
{
	struct slot *slot = &kvm.slot[region->slot];
	long ret = 0;

	if (region->slot >= HOSTILE_KVM_SLOTS)
		violation("memslot %u of %u", region->slot, HOSTILE_KVM_SLOTS);
	lie_delay(LIE_MEMSLOT);
	if (region->memory_size && lie_fails())
		return -ENOMEM;
	pthread_rwlock_wrlock(&kvm.slots_lock);
	if (!region->memory_size && !slot->used)
		violation("memslot %u deleted, which is not there", region->slot);
	if (region->memory_size && slot->used)
		violation("memslot %u made twice", region->slot);
	if (!region->memory_size)
		slot->used = false;
	else if (overlaps(region->guest_phys_addr, region->memory_size))
		ret = -EEXIST;
	else
		*slot = (struct slot){ .used = true,
			.gpa = region->guest_phys_addr,
			.size = region->memory_size,
			.hva = (uint8_t *)(uintptr_t)region->userspace_addr,
			.readonly = region->flags & KVM_MEM_READONLY };
	pthread_rwlock_unlock(&kvm.slots_lock);
	return ret;
}

bool kvm_touch(uint64_t gpa, unsigned size, bool write, uint64_t *data)
{
	bool served = false;

	pthread_rwlock_rdlock(&kvm.slots_lock);
	for (unsigned i = 0; i < HOSTILE_KVM_SLOTS && !served; i++) {
		const struct slot *slot = &kvm.slot[i];

		if (!slot->used || gpa < slot->gpa || gpa - slot->gpa >= slot->size ||
			slot->size - (gpa - slot->gpa) < size || (write && slot->readonly))
			continue;
		served = true;
		/* The guest's processors do not synchronise with each other: byte by byte. */
		for (unsigned b = 0; b < size; b++) {
			uint8_t *at = slot->hva + (gpa - slot->gpa) + b;
			uint8_t *byte = (uint8_t *)data + b;

			if (write)
				__atomic_store_n(at, *byte, __ATOMIC_RELAXED);
			else
				*byte = __atomic_load_n(at, __ATOMIC_RELAXED);
		}
	}
	pthread_rwlock_unlock(&kvm.slots_lock);
	return served;
}

uint64_t kvm_some_address(void)
{
	unsigned pick = chance_below(HOSTILE_KVM_SLOTS);
	uint64_t gpa = 0;

	pthread_rwlock_rdlock(&kvm.slots_lock);
	for (unsigned i = 0; i < HOSTILE_KVM_SLOTS; i++) {
		const struct slot *slot = &kvm.slot[(pick + i) % HOSTILE_KVM_SLOTS];

		if (!slot->used || slot->gpa < 0x100000000ull >> 4)
			continue;
		gpa = slot->gpa + (chance() % (slot->size + 0x2000)) - 0x1000;
		break;
	}
	pthread_rwlock_unlock(&kvm.slots_lock);
	return gpa;
}

/* --- interrupts --- */

static long set_irqfd(const struct kvm_irqfd *irqfd)
{
	bool add = !(irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN);
	unsigned i = 0;
	long ret = 0;

	if (add && phase_now() > PHASE_START && lie_fails())
		return -ENOMEM;
	pthread_mutex_lock(&kvm.lock);
	while (i < kvm.n_irqfds && kvm.irqfd[i].number != (int)irqfd->fd)
		i++;
	if (add) {
		if (i < kvm.n_irqfds)
			violation("eventfd %u is an irqfd already", irqfd->fd);
		if (i == IRQFDS_MAX)
			violation("more than %u irqfds", IRQFDS_MAX);
		kvm.irqfd[i] = (struct irqfd){ irqfd->gsi, (int)irqfd->fd, lie_dup((int)irqfd->fd),
			irqfd->flags & KVM_IRQFD_FLAG_RESAMPLE ? lie_dup((int)irqfd->resamplefd)
							       : -1 };
		kvm.n_irqfds++;
	} else if (i == kvm.n_irqfds || kvm.irqfd[i].gsi != irqfd->gsi) {
		violation(
			"irqfd %u of GSI %u taken away, which is not there", irqfd->fd, irqfd->gsi);
	} else {
		close(kvm.irqfd[i].fd);
		if (kvm.irqfd[i].resample >= 0)
			close(kvm.irqfd[i].resample);
		kvm.irqfd[i] = kvm.irqfd[--kvm.n_irqfds];
	}
	pthread_mutex_unlock(&kvm.lock);
	return ret;
}

void kvm_deliver(void)
{
	pthread_mutex_lock(&kvm.lock);
	for (unsigned i = 0; i < kvm.n_irqfds; i++)
		if (sys_eventfd_drain(kvm.irqfd[i].fd) && kvm.irqfd[i].resample >= 0)
			sys_eventfd_signal(kvm.irqfd[i].resample);
	pthread_mutex_unlock(&kvm.lock);
}

static long set_routes(const struct kvm_irq_routing *routing)
{
	if (routing->nr > ROUTES_MAX)
		violation("%u interrupt routes, at most %u", routing->nr, ROUTES_MAX);
	lie_delay(LIE_ROUTES);
	return phase_now() > PHASE_START && lie_fails() ? -ENOMEM : 0;
}

/* --- ioctls --- */

static long check_extension(unsigned long cap)
{
	switch (cap) {
	case KVM_CAP_MAX_VCPUS:
		return 64;
	case KVM_CAP_NR_MEMSLOTS:
		return HOSTILE_KVM_SLOTS;
	case KVM_CAP_XSAVE2:
	case KVM_CAP_NESTED_STATE:
		return 0;
	default:
		return 1;
	}
}

static long system_ioctl(unsigned long cmd, void *arg)
{
	struct kvm_cpuid2 *cpuid = arg;
	struct kvm_msr_list *msrs = arg;

	switch (cmd) {
	case KVM_GET_API_VERSION:
		return KVM_API_VERSION;
	case KVM_CHECK_EXTENSION:
		return check_extension((unsigned long)arg);
	case KVM_CREATE_VM:
		return fd_new(VM, 0);
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		cpuid->nent = 2;
		cpuid->entries[0] = (struct kvm_cpuid_entry2){ .eax = 0xb };
		cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 40 };
		return 0;
	case KVM_GET_MSR_INDEX_LIST:
		msrs->nmsrs = 1;
		msrs->indices[0] = 0x277;
		return 0;
	}
	return 0;
}

static long vcpu_new(unsigned long id)
{
	int fd;
	void *run;

	if (id >= HOSTILE_CPUS)
		return -EINVAL;
	fd = fd_new(VCPU, (unsigned)id);
	run = mmap(NULL, RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		violation("no memory for a run page");
	kvm.run[id] = run;
	return fd;
}

static long vm_ioctl(unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVM_CHECK_EXTENSION:
		return check_extension((unsigned long)arg);
	case KVM_CREATE_VCPU:
		return vcpu_new((unsigned long)arg);
	case KVM_CREATE_DEVICE:
		((struct kvm_create_device *)arg)->fd = (uint32_t)fd_new(DEVICE, 0);
		return 0;
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(arg);
	case KVM_IRQFD:
		return set_irqfd(arg);
	case KVM_SET_GSI_ROUTING:
		return set_routes(arg);
	case KVM_SIGNAL_MSI:
		return lie_fails() ? -EINVAL : (long)chance_below(2);
	}
	return 0;
}

static long device_ioctl(unsigned long cmd, const struct kvm_device_attr *attr)
{
	int32_t fd;

	if (cmd != KVM_SET_DEVICE_ATTR)
		return -ENOTTY;
	memcpy(&fd, (const void *)(uintptr_t)attr->addr, sizeof(fd));
	host_set_in_kvm(fd, attr->attr == KVM_DEV_VFIO_GROUP_ADD);
	return 0;
}

/* Until something happens, or for as long as a guest halts. */
static long run_vcpu(unsigned vcpu)
{
	struct kvm_run *run = kvm.run[vcpu];
	struct timespec halt = { .tv_nsec = 20000 };

	for (;;) {
		long ret;

		if (__atomic_load_n(&run->immediate_exit, __ATOMIC_SEQ_CST))
			return -EINTR;
		atomic_fetch_add(&kvm.exits[vcpu], 1);
		ret = guest_next(vcpu, run);
		if (ret <= 0)
			return ret;
		/* The guest halts. A kick ends it. */
		halt.tv_nsec = 1000l * (long)ret;
		if (nanosleep(&halt, NULL))
			return -EINTR;
	}
}

static long vcpu_ioctl(unsigned vcpu, unsigned long cmd, void *arg)
{
	switch (cmd) {
	case KVM_RUN:
		return run_vcpu(vcpu);
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		return (long)((struct kvm_msrs *)arg)->nmsrs;
	case KVM_SET_REGS:
		guest_was_reset(vcpu);
		return lie_fails() ? -EINVAL : 0;
	}
	return 0;
}

static bool answer(int fd, unsigned long cmd, void *arg, long *ret)
{
	unsigned vcpu = 0;

	if (_IOC_TYPE(cmd) != KVMIO)
		return false;
	switch (kind_of(fd, &vcpu)) {
	case NO_KVM:
		return false;
	case SYSTEM:
		*ret = system_ioctl(cmd, arg);
		break;
	case VM:
		*ret = vm_ioctl(cmd, arg);
		break;
	case DEVICE:
		*ret = device_ioctl(cmd, arg);
		break;
	case VCPU:
		*ret = vcpu_ioctl(vcpu, cmd, arg);
		break;
	}
	return true;
}

long __wrap_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	long ret = 0;

	return answer(fd, cmd, arg, &ret) ? ret : __real_sys_ioctl(fd, cmd, arg);
}

long __wrap_sys_ioctl_int(int fd, unsigned long cmd, unsigned long arg)
{
	long ret = 0;

	return answer(fd, cmd, (void *)arg, &ret) ? ret : __real_sys_ioctl_int(fd, cmd, arg);
}

long __wrap_sys_ioctl_once(int fd, unsigned long cmd, unsigned long arg)
{
	long ret = 0;

	return answer(fd, cmd, (void *)arg, &ret) ? ret : __real_sys_ioctl_once(fd, cmd, arg);
}

int __wrap_sys_open(const char *path, int flags, mode_t mode)
{
	return strcmp(path, "/dev/kvm") ? __real_sys_open(path, flags, mode) : fd_new(SYSTEM, 0);
}

uint64_t kvm_exits(unsigned vcpu)
{
	return atomic_load(&kvm.exits[vcpu]);
}

void kvm_world_start(void)
{
	kvm.n_fds = 0;
}

void kvm_check_empty(void)
{
	unsigned bars = 0;

	pthread_rwlock_rdlock(&kvm.slots_lock);
	for (unsigned i = 0; i < HOSTILE_KVM_SLOTS; i++)
		bars += kvm.slot[i].used && kvm.slot[i].gpa >= GPA_PCI32;
	pthread_rwlock_unlock(&kvm.slots_lock);
	if (bars)
		violation("%u memslots of BARs are left", bars);
	pthread_mutex_lock(&kvm.lock);
	for (unsigned i = 0; i < kvm.n_irqfds; i++)
		if (kvm.irqfd[i].gsi >= FIRST_PCI_GSI)
			violation("an irqfd of GSI %u is left", kvm.irqfd[i].gsi);
	pthread_mutex_unlock(&kvm.lock);
}

void kvm_world_end(void)
{
	/* Memslots and the platform's irqfds go with the VM. */
	memset(kvm.slot, 0, sizeof(kvm.slot));
	for (unsigned i = 0; i < kvm.n_irqfds; i++) {
		if (kvm.irqfd[i].gsi >= FIRST_PCI_GSI)
			violation("an irqfd of GSI %u is left", kvm.irqfd[i].gsi);
		close(kvm.irqfd[i].fd);
	}
	kvm.n_irqfds = 0;
	for (unsigned i = 0; i < HOSTILE_CPUS; i++) {
		if (kvm.run[i])
			munmap(kvm.run[i], RUN_SIZE);
		kvm.run[i] = NULL;
	}
}
