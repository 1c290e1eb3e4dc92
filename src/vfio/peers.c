/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c - peer to peer: one passed-through device's BARs as targets of another one's DMA.
 *
 * What should be mapped follows from what is shown and who is attached; vfio_peers_sync() makes it
 * so, and doing it twice changes nothing. A BAR is mapped only where another device is: a large one
 * takes the kernel long, page by page, and a lone device has no use for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <portcullis/log.h>

#include "context.h"

static unsigned count_attachments(const struct vfio_context *context)
{
	unsigned n = 0;

	for (const struct vfio_attachment *at = context->attachments; at; at = at->next)
		n++;
	return n;
}

int vfio_peers_make_room(struct vfio_context *context)
{
	unsigned wanted = count_attachments(context);

	for (struct vfio_container *at = context->containers; at; at = at->next) {
		for (; at->rooms < wanted; at->rooms++) {
			int ret = vfio_container_reserve(at, VFIO_DEVICE_MAPS);

			if (ret < 0)
				return ret;
		}
		for (; at->rooms > wanted; at->rooms--)
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
	struct vfio_shown_bar *shown = &attachment->shown[bar];

	if (shown->warned)
		return;
	shown->warned = true;
	log_warn("vfio: other devices' DMA will not reach BAR %u of '%s' at 0x%" PRIx64
		 " (%s: %s); all else works",
		bar, attachment->device.name, entry->iova, container->ops->name,
		code == EEXIST ? "guest memory is there" : strerror(code));
}

static void map_piece(struct vfio_container *container, struct vfio_attachment *attachment,
	unsigned bar, const struct vfio_area *area)
{
	struct ledger_entry entry = { .iova = attachment->shown[bar].addr + area->offset,
		.size = area->size,
		.kind = LEDGER_BAR,
		.owner = attachment };
	const struct ledger_entry *there = ledger_find(&container->ledger, entry.iova, entry.size);
	int ret;

	if (there && there->owner == attachment && there->iova == entry.iova &&
		there->size == entry.size)
		return;
	/* Another device's BAR that has yet to leave, or a guest that does not care: its worker's
	 * next sync is the next try. */
	if (there && there->kind == LEDGER_BAR)
		return;
	ret = vfio_container_map(container, &entry, area->hva, !area->readonly);
	if (ret < 0)
		warn(attachment, bar, container, &entry, -ret);
}

static void sync_one(struct vfio_container *container, struct vfio_attachment *attachment)
{
	/* Memory comes first: what the guest puts over it must not stand in its way. */
	if (!container->ram_mapped || !has_peer(container, attachment)) {
		vfio_container_unmap_owner(container, attachment);
		return;
	}
	for (unsigned bar = 0; bar < VFIO_SHOWN_BARS; bar++)
		for (unsigned i = 0; i < attachment->shown[bar].n_areas; i++)
			map_piece(container, attachment, bar, &attachment->shown[bar].area[i]);
}

void vfio_peers_sync(struct vfio_context *context)
{
	for (struct vfio_container *c = context->containers; c; c = c->next)
		for (struct vfio_attachment *a = context->attachments; a; a = a->next)
			sync_one(c, a);
}

void vfio_peers_forget(struct vfio_attachment *attachment)
{
	for (struct vfio_container *c = attachment->context->containers; c; c = c->next)
		vfio_container_unmap_owner(c, attachment);
}

static void hide(struct vfio_attachment *attachment, unsigned bar)
{
	struct vfio_shown_bar *shown = &attachment->shown[bar];

	for (struct vfio_container *c = attachment->context->containers; c; c = c->next) {
		for (unsigned i = 0; i < shown->n_areas; i++) {
			uint64_t iova = shown->addr + shown->area[i].offset;
			const struct ledger_entry *entry =
				ledger_find(&c->ledger, iova, shown->area[i].size);

			if (entry && entry->owner == attachment)
				(void)vfio_container_unmap(c, iova, shown->area[i].size);
		}
	}
	shown->n_areas = 0;
}

void vfio_attachment_show_bar(struct vfio_attachment *attachment, unsigned bar, uint64_t addr,
	const struct vfio_area *areas, unsigned n)
{
	struct vfio_shown_bar *shown = &attachment->shown[bar];

	pthread_mutex_lock(&attachment->context->lock);
	hide(attachment, bar);
	shown->addr = addr;
	for (unsigned i = 0; i < n; i++)
		if (areas[i].hva)
			shown->area[shown->n_areas++] = areas[i];
	vfio_peers_sync(attachment->context);
	pthread_mutex_unlock(&attachment->context->lock);
}

void vfio_attachment_hide_bar(struct vfio_attachment *attachment, unsigned bar)
{
	pthread_mutex_lock(&attachment->context->lock);
	hide(attachment, bar);
	/* Somebody else's BAR may have been waiting for the place. */
	vfio_peers_sync(attachment->context);
	pthread_mutex_unlock(&attachment->context->lock);
}
