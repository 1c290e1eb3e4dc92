/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vfio_device.c - the calls of the fake card, with the kernel's rules. */
#include "fake_vfio_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include <portcullis/sys.h>

static struct fake_card *card_of(struct vfio_device_io *io)
{
	return io->opaque;
}

/* True: this call has to fail. Called with the lock. */
static bool fault(struct fake_card *card)
{
	return ++card->calls == card->fail_at;
}

static bool fault_now(struct fake_card *card)
{
	bool fails;

	pthread_mutex_lock(&card->lock);
	fails = fault(card);
	pthread_mutex_unlock(&card->lock);
	return fails;
}

/* Another capability first, as s390 has them; Linux 6.6 says so only of what it has to tell. */
static void put_atomics(struct fake_card *card, struct vfio_device_info *info)
{
	struct {
		struct vfio_info_cap_header other;
		uint32_t pad[2];
		struct vfio_info_cap_header header;
		uint32_t flags, reserved;
	} chain = { .other = { .id = VFIO_DEVICE_INFO_CAP_ZPCI_BASE, .version = 1 },
		.header = { .id = 5, .version = 1 },
		.flags = card->atomics };
	uint32_t at = sizeof(struct vfio_device_info);

	info->flags |= VFIO_DEVICE_FLAGS_CAPS;
	info->cap_offset = (at + 3) & ~3u;
	chain.other.next = info->cap_offset + 16;
	memcpy((uint8_t *)info + info->cap_offset, &chain, sizeof(chain));
}

static int card_info(struct vfio_device_io *io, struct vfio_device_info **out)
{
	struct fake_card *card = card_of(io);
	const size_t bytes = sizeof(**out) + (card->atomics ? 36 : 0);
	struct vfio_device_info *info;

	if (fault_now(card))
		return -card->fail_errno;
	info = calloc(1, bytes);
	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)bytes;
	info->flags = card->flags;
	info->num_regions = VFIO_PCI_NUM_REGIONS;
	info->num_irqs = VFIO_PCI_NUM_IRQS;
	if (card->atomics)
		put_atomics(card, info);
	*out = info;
	return 0;
}

static int card_region_info(
	struct vfio_device_io *io, uint32_t index, struct vfio_region_info **out)
{
	struct fake_card *card = card_of(io);
	struct fake_region *region = &card->region[index];
	struct vfio_region_info_cap_sparse_mmap sparse = {
		.header = { .id = VFIO_REGION_INFO_CAP_SPARSE_MMAP, .version = 1 },
		.nr_areas = region->n_sparse,
	};
	size_t bytes = sizeof(struct vfio_region_info);
	struct vfio_region_info *info;

	if (fault_now(card))
		return -card->fail_errno;
	if (region->n_sparse)
		bytes += sizeof(sparse) + region->n_sparse * sizeof(struct region_span);
	info = calloc(1, bytes);
	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)bytes;
	info->flags = region->flags;
	info->index = index;
	info->size = index == VFIO_PCI_CONFIG_REGION_INDEX ? card->config_size : region->size;
	info->offset = (uint64_t)index << 40;
	if (region->n_sparse) {
		uint8_t *cap = (uint8_t *)info + sizeof(*info);

		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		info->cap_offset = sizeof(*info);
		memcpy(cap, &sparse, sizeof(sparse));
		memcpy(cap + sizeof(sparse), region->sparse,
			region->n_sparse * sizeof(struct region_span));
	}
	*out = info;
	return 0;
}

static int card_irq_info(struct vfio_device_io *io, uint32_t index, struct vfio_irq_info *info)
{
	struct fake_card *card = card_of(io);

	if (fault_now(card))
		return -card->fail_errno;
	if (card->mediated && index > VFIO_PCI_MSI_IRQ_INDEX)
		return -EINVAL;
	info->count = card->irq_count[index];
	info->flags = card->irq_flags[index];
	return 0;
}

static void forget(struct fake_card *card)
{
	for (unsigned i = 0; i < MSIX_VECTORS_MAX; i++)
		card->fd[i] = -1;
	card->type = -1;
	card->block = 0;
	card->unmask_fd = -1;
	card->intx_masked = false;
}

/* Enable is the kernel's in both capabilities; of MSI-X nothing that is written reaches the card. */
static void set_enable(struct fake_card *card, int index, bool on)
{
	const bool msix = index == VFIO_PCI_MSIX_IRQ_INDEX;
	const uint32_t bit = msix ? PCI_MSIX_FLAGS_ENABLE : PCI_MSI_FLAGS_ENABLE;
	const struct cap *cap;
	struct cap_list list;
	uint32_t flags;

	if (index != VFIO_PCI_MSI_IRQ_INDEX && !msix)
		return;
	caps_walk(card->config, &list);
	cap = caps_find(&list, msix ? CAP_ID_MSIX : CAP_ID_MSI);
	if (!cap)
		return;
	flags = pci_get(card->config, cap->offset + 2u, 2) & ~bit;
	pci_put(card->config, cap->offset + 2u, 2, on ? flags | bit : flags);
}

static bool intx_disabled(const struct fake_card *card)
{
	return pci_get(card->config, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;
}

static int set_event(struct fake_card *card, const struct vfio_irq_set *set, const int32_t *fds)
{
	int32_t *slot = set->index == VFIO_PCI_ERR_IRQ_INDEX ? &card->err_fd : &card->req_fd;

	*slot = set->count ? fds[0] : -1;
	return 0;
}

static int mask_intx(struct fake_card *card, const struct vfio_irq_set *set, const int32_t *fds)
{
	if (card->type != VFIO_PCI_INTX_IRQ_INDEX)
		return -EINVAL;
	if (fds && card->mediated)
		return -ENOTTY;
	if (fds) {
		card->unmask_fd = fds[0];
		return 0;
	}
	card->intx_masked = set->flags & VFIO_IRQ_SET_ACTION_MASK;
	card->line_off = card->intx_masked || intx_disabled(card);
	return 0;
}

static int set_intx(struct fake_card *card, const struct vfio_irq_set *set, const int32_t *fds)
{
	if (set->flags & (VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK))
		return mask_intx(card, set, fds);
	card->type = VFIO_PCI_INTX_IRQ_INDEX;
	card->fd[0] = fds[0];
	card->line_off = intx_disabled(card);
	card->intx_masked = card->intx_at_once;
	if (card->intx_at_once)
		sys_eventfd_signal(fds[0]);
	return 0;
}

static bool resizable(const struct fake_card *card, unsigned index)
{
	return !(card->irq_flags[index] & VFIO_IRQ_INFO_NORESIZE);
}

static int set_block(struct fake_card *card, const struct vfio_irq_set *set, const int32_t *fds)
{
	unsigned end = set->start + set->count;

	if (end > card->irq_count[set->index])
		return -EINVAL;
	if (card->type == -1) {
		if (end > card->host_vectors)
			return (int)card->host_vectors;
		card->type = (int)set->index;
		set_enable(card, card->type, true);
		card->block = end;
		card->line_off = true;
	} else if (end > card->block && !resizable(card, set->index)) {
		return -EINVAL;
	} else if (end > card->host_vectors) {
		return -ENOSPC;
	}
	for (unsigned i = 0; i < set->count; i++)
		card->fd[set->start + i] = fds[i];
	return 0;
}

static void note(struct fake_card *card, const struct vfio_irq_set *set, const int32_t *fds)
{
	struct fake_irq_call *call = &card->call[card->n_calls % FAKE_CALLS_MAX];

	card->n_calls++;
	*call = (struct fake_irq_call){ set->index, set->flags, set->start, set->count,
		fds && set->count ? fds[0] : -2, 0 };
	for (unsigned i = 0; fds && i < set->count; i++)
		call->armed += fds[i] >= 0;
}

static int set_irqs(struct fake_card *card, const struct vfio_irq_set *set)
{
	const int32_t *fds = set->flags & VFIO_IRQ_SET_DATA_EVENTFD
				     ? (const int32_t *)((const uint8_t *)set + sizeof(*set))
				     : NULL;

	note(card, set, fds);
	if (set->argsz < sizeof(*set) + (fds ? set->count * sizeof(int32_t) : 0))
		return -EINVAL;
	if (set->index >= VFIO_PCI_ERR_IRQ_INDEX)
		return set_event(card, set, fds);
	if (!set->count) {
		if (card->type != (int)set->index)
			return -EINVAL;
		card->disables++;
		/* With MSI, Linux closes the line at the start and opens it at the end. */
		card->line_off &= set->index == VFIO_PCI_INTX_IRQ_INDEX;
		card->unhandled += set->index == VFIO_PCI_INTX_IRQ_INDEX && !card->line_off;
		set_enable(card, card->type, false);
		forget(card);
		return 0;
	}
	if (card->type != -1 && card->type != (int)set->index)
		return -EINVAL;
	if (!card->irq_count[set->index])
		return -EINVAL;
	return set->index == VFIO_PCI_INTX_IRQ_INDEX ? set_intx(card, set, fds)
						     : set_block(card, set, fds);
}

static int card_set_irqs(struct vfio_device_io *io, const struct vfio_irq_set *set)
{
	struct fake_card *card = card_of(io);
	bool fails;
	int ret;

	pthread_mutex_lock(&card->lock);
	fails = fault(card);
	fails |= card->fail_irq && --card->fail_irq == 0;
	card->disable_failed |= fails && !set->count;
	ret = fails ? -card->fail_errno : set_irqs(card, set);
	pthread_mutex_unlock(&card->lock);
	return ret;
}

static int card_reset(struct vfio_device_io *io)
{
	struct fake_card *card = card_of(io);
	int ret = 0;

	pthread_mutex_lock(&card->lock);
	if (fault(card)) {
		ret = -card->fail_errno;
	} else {
		card->resets++;
		card->resets_armed += card->type != -1;
		card->silent = card->silent_reads;
		ret = card->reset_error;
	}
	pthread_mutex_unlock(&card->lock);
	return ret;
}

static ssize_t card_pread(struct vfio_device_io *io, void *buf, size_t len, uint64_t offset)
{
	struct fake_card *card = card_of(io);
	unsigned index = (unsigned)(offset >> 40);
	uint64_t at = offset & ((1ull << 40) - 1);
	const uint8_t *from = card->region[index].bytes;
	ssize_t ret = (ssize_t)len;

	pthread_mutex_lock(&card->lock);
	if (fault(card))
		ret = -card->fail_errno;
	else if (card->dead || card->silent)
		memset(buf, 0xff, len);
	else if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		memcpy(buf, card->config + at, len);
	else if (from)
		memcpy(buf, from + at, len);
	else
		memset(buf, 0, len);
	card->silent -= card->silent > 0;
	pthread_mutex_unlock(&card->lock);
	return ret;
}

static ssize_t card_pwrite(struct vfio_device_io *io, const void *buf, size_t len, uint64_t offset)
{
	struct fake_card *card = card_of(io);
	unsigned index = (unsigned)(offset >> 40);
	uint64_t at = offset & ((1ull << 40) - 1);
	ssize_t ret = (ssize_t)len;

	pthread_mutex_lock(&card->lock);
	if (fault(card)) {
		ret = -card->fail_errno;
	} else if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		bool was = intx_disabled(card);

		memcpy(card->config + at, buf, len);
		if (intx_disabled(card) != was)
			card->line_off = !was;
		card->config_writes++;
		card->last_offset = (unsigned)at;
		card->last_value = 0;
		memcpy(&card->last_value, buf, len < 4 ? len : 4);
	} else {
		card->region_writes++;
		if (card->region[index].bytes)
			memcpy(card->region[index].bytes + at, buf, len);
	}
	pthread_mutex_unlock(&card->lock);
	return ret;
}

static int card_map(struct vfio_device_io *io, void *addr, size_t len, int prot, uint64_t offset)
{
	struct fake_card *card = card_of(io);
	struct fake_region *region = &card->region[offset >> 40];
	uint64_t at = offset & ((1ull << 40) - 1);
	void *got;

	if (fault_now(card))
		return -card->fail_errno;
	if (card->map_error)
		return -card->map_error;
	if (!(region->flags & VFIO_REGION_INFO_FLAG_MMAP) || len % PCI_PAGE || at % PCI_PAGE ||
		at + len > ((region->size + PCI_PAGE - 1) & ~(PCI_PAGE - 1ull)))
		return -EINVAL;
	got = mmap(addr, len, prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	region->mapped = got != MAP_FAILED;
	return got == MAP_FAILED ? -errno : 0;
}

static const struct vfio_device_io_ops card_ops = {
	.info = card_info,
	.region_info = card_region_info,
	.irq_info = card_irq_info,
	.set_irqs = card_set_irqs,
	.reset = card_reset,
	.pread = card_pread,
	.pwrite = card_pwrite,
	.map = card_map,
};

void fake_card_init(struct fake_card *card)
{
	memset(card, 0, sizeof(*card));
	card->io = (struct vfio_device_io){ .ops = &card_ops, .fd = -1, .opaque = card };
	pthread_mutex_init(&card->lock, NULL);
	card->config_size = PCI_CONFIG_SIZE;
	card->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	card->host_vectors = MSIX_VECTORS_MAX;
	card->err_fd = card->req_fd = -1;
	card->fail_errno = EIO;
	forget(card);
}

void fake_card_release(struct fake_card *card)
{
	for (unsigned i = 0; i < VFIO_PCI_NUM_REGIONS; i++)
		free(card->region[i].bytes);
	pthread_mutex_destroy(&card->lock);
}

void fake_card_closed(struct fake_card *card)
{
	pthread_mutex_lock(&card->lock);
	forget(card);
	card->err_fd = card->req_fd = -1;
	pthread_mutex_unlock(&card->lock);
}

bool fake_card_fire(struct fake_card *card, unsigned vector)
{
	bool ok = false;

	pthread_mutex_lock(&card->lock);
	if (card->type != -1 && card->fd[vector] >= 0 && !card->intx_masked &&
		!(card->type == VFIO_PCI_INTX_IRQ_INDEX && card->line_off)) {
		card->intx_masked = card->type == VFIO_PCI_INTX_IRQ_INDEX;
		sys_eventfd_signal(card->fd[vector]);
		ok = true;
	}
	pthread_mutex_unlock(&card->lock);
	return ok;
}
