/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c - peer to peer: one passed-through device's BARs as targets of another one's DMA.
 *
 * What should be mapped follows from which BARs are set and who is attached; each step maps a part
 * of what is missing, and a step with nothing missing changes nothing. A BAR is mapped only where
 * another device is: a lone one has no use for it. It then stays, until it moves or its owner goes.
 *
 * Older kernels map device memory page by page, seconds for a large BAR. Therefore: pieces,
 * one step's worth at a time, and no waiting for a lock that somebody may hold for as long, so that
 * the worker can serve its device in between.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <portcullis/log.h>

#include "context.h"

#define PIECE_MIN (1ull << 30)

static unsigned count_attachments(const struct vfio_context *context)
{
	unsigned n = 0;

	for (const struct vfio_attachment *at = context->attachments; at; at = at->next)
		n++;
	return n;
}

int vfio_peers_reserve(struct vfio_context *context)
{
	unsigned wanted = count_attachments(context);

	for (struct vfio_container *at = context->containers; at; at = at->next) {
		for (; at->reserved_devices < wanted; at->reserved_devices++) {
			int ret = vfio_container_reserve(at, VFIO_DEVICE_MAPS);

			if (ret < 0)
				return ret;
		}
		for (; at->reserved_devices > wanted; at->reserved_devices--)
			vfio_container_unreserve(at, VFIO_DEVICE_MAPS);
	}
	return 0;
}

/* Somebody in this address space can make use of the device's BARs. */
static bool has_peer(
	const struct vfio_container *container, const struct vfio_attachment *attachment)
{
	for (const struct vfio_attachment *at = container->context->attachments; at; at = at->next)
		if (at != attachment && at->container == container)
			return true;
	return false;
}

static void warn(struct vfio_attachment *attachment, unsigned bar,
	const struct vfio_container *container, const struct ledger_entry *entry, int code)
{
	struct vfio_p2p_bar *p2p = &attachment->p2p[bar];

	if (p2p->warned)
		return;
	p2p->warned = true;
	log_warn(
		"vfio: other devices' DMA will not reach BAR %u of '%s' at 0x%llx (%s: %s); all else works, and x-p2p=off does not try",
		bar, attachment->facts.device.name, (unsigned long long)entry->iova,
		container->ops->name, code == EEXIST ? "guest memory is there" : strerror(code));
}

/* A GiB, or what keeps a BAR of that size within VFIO_BAR_PIECES. */
static uint64_t piece_size(uint64_t size)
{
	uint64_t piece = PIECE_MIN;

	while (size / piece > VFIO_BAR_PIECES)
		piece <<= 1;
	return piece;
}

static uint64_t bar_size(const struct vfio_p2p_bar *p2p)
{
	const struct pci_area *last = &p2p->area[p2p->n_areas - 1];

	return last->offset + last->size;
}

/* A step's work: bytes it may still map; more: it was not enough; later: a device is reset. */
struct step {
	uint64_t left;
	bool more, later;
};

/* False: no use going on with this area. */
static bool map_piece(struct vfio_container *container, struct vfio_attachment *attachment,
	unsigned bar, const struct pci_area *piece, struct step *step)
{
	struct ledger_entry entry = { .iova = attachment->p2p[bar].addr + piece->offset,
		.size = piece->size,
		.kind = LEDGER_BAR,
		.owner = attachment };
	const struct ledger_entry *there = ledger_find(&container->ledger, entry.iova, entry.size);
	int ret;

	if (there && there->owner == attachment && there->iova == entry.iova &&
		there->size == entry.size)
		return true;
	/*
	 * Another device's BAR that has yet to leave, or a guest that does not care: the step after
	 * its own is the next try.
	 */
	if (there && there->kind == LEDGER_BAR)
		return true;
	if (!step->left) {
		step->more = true;
		return false;
	}
	step->left -= entry.size < step->left ? entry.size : step->left;
	ret = vfio_container_map(container, &entry, piece->hva, !piece->readonly);
	if (ret < 0)
		warn(attachment, bar, container, &entry, -ret);
	return ret == 0;
}

static void map_area(struct vfio_container *container, struct vfio_attachment *attachment,
	unsigned bar, const struct pci_area *area, struct step *step)
{
	uint64_t size = piece_size(bar_size(&attachment->p2p[bar]));

	for (uint64_t at = 0; at < area->size; at += size) {
		struct pci_area piece = { .offset = area->offset + at,
			.size = area->size - at < size ? area->size - at : size,
			.hva = (uint8_t *)area->hva + at,
			.readonly = area->readonly };

		if (!map_piece(container, attachment, bar, &piece, step))
			return;
	}
}

static void map_all(
	struct vfio_container *container, struct vfio_attachment *attachment, struct step *step)
{
	for (unsigned bar = 0; bar < VFIO_P2P_BARS; bar++)
		for (unsigned i = 0; i < attachment->p2p[bar].n_areas; i++)
			map_area(container, attachment, bar, &attachment->p2p[bar].area[i], step);
}

static void step_one(
	struct vfio_container *container, struct vfio_attachment *attachment, struct step *step)
{
	/* Memory comes first: what the guest puts over it must not stand in its way. */
	if (!container->ram_mapped || !has_peer(container, attachment))
		return;
	/* In this order: either we see the reset, or it sees us. */
	atomic_store(&attachment->being_mapped, true);
	if (atomic_load(&attachment->resetting))
		step->later = true;
	else
		map_all(container, attachment, step);
	atomic_store(&attachment->being_mapped, false);
}

void vfio_attachment_reset_begins(struct vfio_attachment *attachment)
{
	const struct timespec tick = { .tv_nsec = 1000000 };

	atomic_store(&attachment->resetting, true);
	while (atomic_load(&attachment->being_mapped))
		nanosleep(&tick, NULL);
}

void vfio_attachment_reset_ends(struct vfio_attachment *attachment)
{
	atomic_store(&attachment->resetting, false);
}

void vfio_peers_forget(struct vfio_attachment *attachment)
{
	for (struct vfio_container *c = attachment->context->containers; c; c = c->next)
		vfio_container_unmap_owner(c, attachment);
}

/* Another BAR of the device that lies there too goes with it, and comes back in the next step. */
static void unmap_within(struct vfio_container *container, const struct vfio_attachment *attachment,
	uint64_t iova, uint64_t size)
{
	for (unsigned i = container->ledger.count; i-- > 0;) {
		struct ledger_entry entry = container->ledger.entries[i];

		if (entry.owner == attachment && entry.iova >= iova && entry.iova - iova < size)
			(void)vfio_container_unmap(container, entry.iova, entry.size);
	}
}

static void unmap_bar(struct vfio_attachment *attachment, unsigned bar)
{
	struct vfio_p2p_bar *p2p = &attachment->p2p[bar];

	if (!p2p->n_areas)
		return;
	for (struct vfio_container *c = attachment->context->containers; c; c = c->next)
		unmap_within(c, attachment, p2p->addr, bar_size(p2p));
	p2p->n_areas = 0;
}

int vfio_attachment_p2p_set(struct vfio_attachment *attachment, unsigned bar, uint64_t addr,
	const struct pci_area *areas, unsigned n)
{
	struct vfio_p2p_bar *p2p = &attachment->p2p[bar];

	if (pthread_mutex_trylock(&attachment->context->lock))
		return -EAGAIN;
	unmap_bar(attachment, bar);
	p2p->addr = addr;
	for (unsigned i = 0; i < n; i++)
		if (areas[i].hva)
			p2p->area[p2p->n_areas++] = areas[i];
	pthread_mutex_unlock(&attachment->context->lock);
	return 0;
}

void vfio_attachment_p2p_unmap(struct vfio_attachment *attachment)
{
	pthread_mutex_lock(&attachment->context->lock);
	for (unsigned bar = 0; bar < VFIO_P2P_BARS; bar++)
		unmap_bar(attachment, bar);
	pthread_mutex_unlock(&attachment->context->lock);
}

int vfio_attachment_p2p_map(struct vfio_attachment *attachment)
{
	struct vfio_context *context = attachment->context;
	struct step step = { .left = PIECE_MIN };

	if (pthread_mutex_trylock(&context->lock))
		return -EAGAIN;
	for (struct vfio_container *c = context->containers; c; c = c->next)
		for (struct vfio_attachment *a = context->attachments; a; a = a->next)
			step_one(c, a, &step);
	pthread_mutex_unlock(&context->lock);
	if (step.more)
		return 1;
	return step.later ? -EAGAIN : 0;
}
