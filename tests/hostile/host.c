/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.c - the host's VFIO: tests/unit's fake host and cards behind calls that fail, take their
 * time and lie. A reset holds config accesses back, as the kernel does.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <portcullis/sys.h>

#include "../../src/vfio/host/iommufd_uapi.h"
#include "../unit/fake_vfio_device.h"
#include "../unit/fake_vfio_host.h"
#include "hostile.h"
#include "lies.h"

#define REFERENCES_MAX 256
/* Instead of 10 s: a card that stays away is seen to do so more than once in a machine's life. */
#define RESET_DEADLINE_MS 400

struct card {
	struct fake_card fake;	       /* first: io->opaque is this */
	pthread_mutex_t busy;	       /* held by a reset; config accesses wait for it */
	int reference[REFERENCES_MAX]; /* eventfds that the kernel holds */
	unsigned n_references;
};

static const struct {
	const char *name;
	int group;
	int cdev; /* -1: it has none */
	void (*fill)(struct fake_card *card);
} kinds[] = {
	{ "0000:01:00.0", 1, -1, fake_card_nvme },
	{ "0000:02:00.0", 2, 1, fake_card_e1000e },
	{ "0000:03:00.0", 3, -1, fake_card_vf },
	{ "0000:04:00.0", 4, 3, fake_card_edu },
	{ "0000:05:00.0", 5, -1, fake_card_nvme },
	{ "0000:05:00.1", 5, -1, fake_card_e1000e },
};
#define CARDS (sizeof(kinds) / sizeof(kinds[0]))

static struct {
	pthread_mutex_t lock; /* around the fake host */
	struct fake_vfio_host fake;
	const struct vfio_host_ops *base;
	struct card card[CARDS];
	const struct vfio_device_io_ops *card_base;
	struct vfio_host lying;
	struct vfio_host_ops lying_ops;
} host = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool on_vcpu(void)
{
	static _Thread_local char name[16];

	if (!name[0])
		prctl(PR_GET_NAME, name);
	return !strncmp(name, "vcpu", 4);
}

/* Who may do what: main nothing that a device could hold up, vCPUs reads and writes. */
static void check_role(const char *what, bool access)
{
	if (phase_now() != PHASE_RUN && phase_now() != PHASE_CALM)
		return;
	if (gettid() == atomic_load(&hostile.main_tid))
		violation("main waits for a device: %s", what);
	if (!access && on_vcpu())
		violation("a vCPU makes a call that is a worker's: %s", what);
}

/* --- cards --- */

static struct card *card_of(struct vfio_device_io *io)
{
	return io->opaque;
}

static int lying_info(struct vfio_device_io *io, struct vfio_device_info **out)
{
	check_role("VFIO_DEVICE_GET_INFO", false);
	return lie_fails() ? -lie_errno() : host.card_base->info(io, out);
}

static int lying_region_info(
	struct vfio_device_io *io, uint32_t index, struct vfio_region_info **out)
{
	check_role("VFIO_DEVICE_GET_REGION_INFO", false);
	return lie_fails() ? -lie_errno() : host.card_base->region_info(io, index, out);
}

static int lying_irq_info(struct vfio_device_io *io, uint32_t index, struct vfio_irq_info *info)
{
	check_role("VFIO_DEVICE_GET_IRQ_INFO", false);
	return lie_fails() ? -lie_errno() : host.card_base->irq_info(io, index, info);
}

static bool referenced(const struct fake_card *card, int fd)
{
	if (fd == card->err_fd || fd == card->req_fd || fd == card->unmask_fd)
		return true;
	for (unsigned i = 0; i < MSIX_VECTORS_MAX; i++)
		if (card->fd[i] == fd)
			return true;
	return false;
}

/* Eventfds that the card does not know any more. */
static void drop_references(struct card *card)
{
	unsigned kept = 0;

	pthread_mutex_lock(&card->fake.lock);
	for (unsigned i = 0; i < card->n_references; i++) {
		if (referenced(&card->fake, card->reference[i]))
			card->reference[kept++] = card->reference[i];
		else
			close(card->reference[i]);
	}
	card->n_references = kept;
	pthread_mutex_unlock(&card->fake.lock);
}

/* The same call with references of our own: the caller may close its numbers whenever it likes. */
static struct vfio_irq_set *refer(struct card *card, const struct vfio_irq_set *set)
{
	struct vfio_irq_set *copy = malloc(set->argsz);
	int32_t *fds = (int32_t *)((uint8_t *)copy + sizeof(*copy));

	if (!copy)
		abort();
	memcpy(copy, set, set->argsz);
	pthread_mutex_lock(&card->fake.lock);
	for (unsigned i = 0; set->flags & VFIO_IRQ_SET_DATA_EVENTFD && i < set->count; i++) {
		if (fds[i] < 0)
			continue;
		if (card->n_references == REFERENCES_MAX)
			violation("more than %u eventfds for one card", REFERENCES_MAX);
		fds[i] = card->reference[card->n_references++] = lie_dup(fds[i]);
	}
	pthread_mutex_unlock(&card->fake.lock);
	return copy;
}

static int lying_set_irqs(struct vfio_device_io *io, const struct vfio_irq_set *set)
{
	struct card *card = card_of(io);
	struct vfio_irq_set *copy;
	int ret;

	check_role("VFIO_DEVICE_SET_IRQS", false);
	lie_delay(LIE_IRQS);
	if (lie_fails())
		return -lie_errno();
	copy = refer(card, set);
	ret = host.card_base->set_irqs(io, copy);
	free(copy);
	drop_references(card);
	return ret;
}

static int lying_reset(struct vfio_device_io *io)
{
	struct card *card = card_of(io);
	int ret = 0;

	check_role("VFIO_DEVICE_RESET", false);
	pthread_mutex_lock(&card->busy);
	lie_delay(LIE_RESET);
	if (lie_fails())
		ret = -lie_errno();
	pthread_mutex_lock(&card->fake.lock);
	card->fake.silent_reads = one_in(8) ? chance_below(30) : 0;
	card->fake.dead = card->fake.dead ? !one_in(2) : one_in(4 * hostile.plan.fail_one_in);
	pthread_mutex_unlock(&card->fake.lock);
	if (!ret)
		ret = host.card_base->reset(io);
	pthread_mutex_unlock(&card->busy);
	return ret;
}

static bool in_config(uint64_t offset)
{
	return offset >> 40 == VFIO_PCI_CONFIG_REGION_INDEX;
}

/* A config access waits for a reset of the function that is under way. */
static void access_begin(struct card *card, uint64_t offset)
{
	if (in_config(offset)) {
		pthread_mutex_lock(&card->busy);
		pthread_mutex_unlock(&card->busy);
	}
	/* A worker reads all of config space; one register is enough to be held at. */
	if (on_vcpu() || one_in(64))
		lie_delay_access();
}

static ssize_t lying_pread(struct vfio_device_io *io, void *buf, size_t len, uint64_t offset)
{
	uint8_t *bytes = buf;

	check_role("pread", true);
	access_begin(card_of(io), offset);
	if (lie_fails()) {
		switch (chance_below(4)) {
		case 0:
			return (ssize_t)chance_below((unsigned)len);
		case 1:
			for (size_t i = 0; i < len; i++)
				bytes[i] = (uint8_t)chance();
			return (ssize_t)len;
		default:
			return -lie_errno();
		}
	}
	return host.card_base->pread(io, buf, len, offset);
}

static ssize_t lying_pwrite(struct vfio_device_io *io, const void *buf, size_t len, uint64_t offset)
{
	check_role("pwrite", true);
	access_begin(card_of(io), offset);
	if (lie_fails())
		return one_in(4) ? (ssize_t)chance_below((unsigned)len) : -lie_errno();
	return host.card_base->pwrite(io, buf, len, offset);
}

static int lying_map(struct vfio_device_io *io, void *addr, size_t len, int prot, uint64_t offset)
{
	check_role("mmap", false);
	return lie_fails() ? -lie_errno() : host.card_base->map(io, addr, len, prot, offset);
}

static const struct vfio_device_io_ops lying_card = {
	.info = lying_info,
	.region_info = lying_region_info,
	.irq_info = lying_irq_info,
	.set_irqs = lying_set_irqs,
	.reset = lying_reset,
	.pread = lying_pread,
	.pwrite = lying_pwrite,
	.map = lying_map,
};

/* --- the host --- */

static int lying_open(const struct vfio_host *h, const char *path)
{
	int ret;

	check_role("open", false);
	lie_delay(LIE_OPEN);
	if (lie_fails())
		return -lie_errno();
	pthread_mutex_lock(&host.lock);
	ret = host.base->open(h, path);
	pthread_mutex_unlock(&host.lock);
	return ret;
}

static bool gives_back(unsigned long cmd)
{
	return cmd == VFIO_GROUP_UNSET_CONTAINER || cmd == VFIO_IOMMU_UNMAP_DMA ||
	       cmd == VFIO_DEVICE_DETACH_IOMMUFD_PT || cmd == IOMMU_DESTROY ||
	       cmd == IOMMU_IOAS_UNMAP;
}

static long lying_ioctl(const struct vfio_host *h, int fd, unsigned long cmd, void *arg)
{
	long ret;

	check_role("ioctl", false);
	lie_delay(cmd == VFIO_DEVICE_PCI_HOT_RESET ? LIE_RESET : LIE_MAP_DMA);
	if (!gives_back(cmd) && lie_fails())
		return -lie_errno();
	pthread_mutex_lock(&host.lock);
	ret = host.base->ioctl(h, fd, cmd, arg);
	pthread_mutex_unlock(&host.lock);
	return ret;
}

static struct card *card_of_fd(int number)
{
	const struct fake_fd *fd = fake_fd_find(&host.fake, number);

	if (!fd || (fd->kind != FAKE_FD_DEVICE && fd->kind != FAKE_FD_CDEV))
		return NULL;
	return (struct card *)host.fake.devices[fd->index].io->opaque;
}

static void lying_close(const struct vfio_host *h, int fd)
{
	struct card *card;

	check_role("close", false);
	for (unsigned i = 0; i < 4; i++) /* the more likely: much goes on beside it */
		lie_delay(LIE_CLOSE);
	pthread_mutex_lock(&host.lock);
	card = card_of_fd(fd);
	if (card) {
		fake_card_closed(&card->fake);
		drop_references(card);
	}
	host.base->close(h, fd);
	pthread_mutex_unlock(&host.lock);
}

static int lying_device_io(const struct vfio_host *h, int fd, struct vfio_device_io *io)
{
	int ret;

	pthread_mutex_lock(&host.lock);
	ret = host.base->device_io(h, fd, io);
	pthread_mutex_unlock(&host.lock);
	return ret;
}

static int lying_adopt(const struct vfio_host *h, int fd, dev_t *node)
{
	int ret;

	pthread_mutex_lock(&host.lock);
	ret = host.base->adopt(h, fd, node);
	pthread_mutex_unlock(&host.lock);
	return ret;
}

static void lying_sleep_ms(const struct vfio_host *h, unsigned ms)
{
	(void)h;
	sleep_ms(ms < 5 ? ms : 5);
}

/* Files in sysfs say the truth. */
static void set_lying_ops(struct vfio_host_ops *ops)
{
	*ops = *host.base;
	ops->open = lying_open;
	ops->ioctl = lying_ioctl;
	ops->close = lying_close;
	ops->device_io = lying_device_io;
	ops->adopt = lying_adopt;
	ops->sleep_ms = lying_sleep_ms;
}

/* --- how the machine comes by it --- */

int __real_vfio_context_new(struct vfio_context **out, const struct vfio_env *env);
int __wrap_vfio_context_new(struct vfio_context **out, const struct vfio_env *env);
int __wrap_vfio_context_new(struct vfio_context **out, const struct vfio_env *env)
{
	struct vfio_env ours = *env;

	ours.host = &host.lying;
	return __real_vfio_context_new(out, &ours);
}

int __real_vfio_device_new(struct vfio_pci **out, const struct vfio_env *env,
	struct vfio_pci_options *options, struct loop *worker);
int __wrap_vfio_device_new(struct vfio_pci **out, const struct vfio_env *env,
	struct vfio_pci_options *options, struct loop *worker);
int __wrap_vfio_device_new(struct vfio_pci **out, const struct vfio_env *env,
	struct vfio_pci_options *options, struct loop *worker)
{
	int ret = __real_vfio_device_new(out, env, options, worker);

	if (!ret)
		(*out)->reset_deadline_ms = RESET_DEADLINE_MS;
	return ret;
}

void host_set_in_kvm(int number, bool in)
{
	struct fake_fd *fd;

	pthread_mutex_lock(&host.lock);
	fd = fake_fd_find(&host.fake, number);
	if (!fd)
		violation("KVM is told of fd %d, which is not VFIO's", number);
	if (fd->in_kvm == in)
		violation("KVM is told twice that fd %d is %s", number, in ? "there" : "gone");
	fd->in_kvm = in;
	pthread_mutex_unlock(&host.lock);
}

/* --- of their own accord --- */

static void ring_event(struct fake_card *card)
{
	int fd;

	pthread_mutex_lock(&card->lock);
	fd = one_in(2) ? card->err_fd : card->req_fd;
	if (fd >= 0)
		sys_eventfd_signal(fd);
	pthread_mutex_unlock(&card->lock);
}

static void unmask_intx(struct fake_card *card)
{
	pthread_mutex_lock(&card->lock);
	if (card->unmask_fd >= 0 && sys_eventfd_drain(card->unmask_fd))
		card->intx_masked = false;
	pthread_mutex_unlock(&card->lock);
}

void host_ring(unsigned i)
{
	struct fake_card *card = &host.card[i].fake;

	if (one_in(hostile.plan.pull_one_in))
		ring_event(card);
	else
		(void)fake_card_fire(card, chance_below(70));
	unmask_intx(card);
}

const char *host_card_name(unsigned i)
{
	return kinds[i].name;
}

unsigned host_cards(void)
{
	return CARDS;
}

void host_start(void)
{
	fake_vfio_host_init(&host.fake);
	host.base = host.fake.host.ops;
	host.lying = host.fake.host;
	set_lying_ops(&host.lying_ops);
	host.lying.ops = &host.lying_ops;
	for (unsigned i = 0; i < CARDS; i++) {
		struct card *card = &host.card[i];

		fake_card_init(&card->fake);
		kinds[i].fill(&card->fake);
		host.card_base = card->fake.io.ops;
		card->fake.io.ops = &lying_card;
		card->n_references = 0;
		pthread_mutex_init(&card->busy, NULL);
		fake_vfio_device(&host.fake, kinds[i].name, kinds[i].group, "vfio-pci");
		fake_vfio_set_io(&host.fake, kinds[i].name, &card->fake.io);
		if (kinds[i].cdev >= 0)
			fake_vfio_cdev(&host.fake, kinds[i].name, (unsigned)kinds[i].cdev);
	}
}

void host_check_empty(void)
{
	static const enum fake_fd_kind kinds_of_devices[] = { FAKE_FD_DEVICE, FAKE_FD_CDEV,
		FAKE_FD_GROUP };

	pthread_mutex_lock(&host.lock);
	for (unsigned i = 0; i < 3; i++)
		if (fake_vfio_open_fds(&host.fake, kinds_of_devices[i]))
			violation("no device is left, but a file descriptor of one (kind %u)",
				kinds_of_devices[i]);
	pthread_mutex_unlock(&host.lock);
}

void host_end(void)
{
	if (host.fake.violation[0])
		violation("the host kernel was misused: %s", host.fake.violation);
	if (!fake_vfio_idle(&host.fake))
		violation("file descriptors or address spaces of the host are left");
	for (unsigned i = 0; i < CARDS; i++) {
		if (host.card[i].n_references)
			violation("the host still holds eventfds for %s", kinds[i].name);
		pthread_mutex_destroy(&host.card[i].busy);
		fake_card_release(&host.card[i].fake);
	}
	fake_vfio_host_release(&host.fake);
}
