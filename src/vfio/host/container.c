/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.c - one DMA address space and its ledger, whichever backend is below.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/err.h>
#include <portcullis/log.h>

#include "context.h"

int vfio_container_new(struct vfio_container **out, struct vfio_context *context,
	const struct vfio_container_ops *ops)
{
	struct vfio_container *container = calloc(1, sizeof(*container));

	if (!container)
		return -ENOMEM;
	container->context = context;
	container->ops = ops;
	container->fd = -1;
	container->maps_left = UINT32_MAX;
	ledger_init(&container->ledger);
	pthread_mutex_lock(&context->tables);
	container->number = context->next_container++;
	container->next = context->containers;
	context->containers = container;
	pthread_mutex_unlock(&context->tables);
	*out = container;
	return 0;
}

static void unlink_container(struct vfio_container *container)
{
	struct vfio_context *context = container->context;
	struct vfio_container **at = &context->containers;

	pthread_mutex_lock(&context->tables);
	while (*at && *at != container)
		at = &(*at)->next;
	if (*at)
		*at = container->next;
	pthread_mutex_unlock(&context->tables);
}

void vfio_container_put(struct vfio_container *container)
{
	if (!container)
		return;
	if (container->users > 0)
		container->users--;
	if (container->users > 0)
		return;
	vfio_container_unmap_all(container);
	unlink_container(container);
	container->ops->close(container);
	ledger_release(&container->ledger);
	free(container);
}

int vfio_container_reserve(struct vfio_container *container, unsigned n)
{
	int ret;

	pthread_mutex_lock(&container->context->tables);
	ret = ledger_reserve(&container->ledger, n);
	pthread_mutex_unlock(&container->context->tables);
	return ret;
}

void vfio_container_unreserve(struct vfio_container *container, unsigned n)
{
	pthread_mutex_lock(&container->context->tables);
	ledger_unreserve(&container->ledger, n);
	pthread_mutex_unlock(&container->context->tables);
}

static int add_entry(struct vfio_container *container, const struct ledger_entry *entry)
{
	int ret;

	pthread_mutex_lock(&container->context->tables);
	ret = ledger_add(&container->ledger, entry);
	pthread_mutex_unlock(&container->context->tables);
	return ret;
}

static void remove_entry(struct vfio_container *container, uint64_t iova, uint64_t size)
{
	pthread_mutex_lock(&container->context->tables);
	(void)ledger_remove(&container->ledger, iova, size);
	pthread_mutex_unlock(&container->context->tables);
}

int vfio_container_map(struct vfio_container *container, const struct ledger_entry *entry,
	void *hva, bool writable)
{
	/* Entered first: what cannot be written down is never mapped. */
	int ret = add_entry(container, entry);

	if (ret < 0)
		return ret;
	ret = container->ops->map(container, entry->iova, hva, entry->size, writable);
	if (ret < 0)
		remove_entry(container, entry->iova, entry->size);
	return ret < 0 ? ret : 0;
}

int vfio_container_unmap(struct vfio_container *container, uint64_t iova, uint64_t size)
{
	/* Only this thread changes the ledger (context->lock), so reading needs no lock. */
	const struct ledger_entry *entry = ledger_find(&container->ledger, iova, size);
	int ret;

	if (!entry || entry->iova != iova || entry->size != size)
		return -ENOENT;
	ret = container->ops->unmap(container, iova, size);
	/*
	 * The kernel drops it with the container at the latest; nobody could repeat the call
	 * usefully.
	 */
	if (ret < 0)
		log_guest("vfio: cannot unmap IOVA 0x%" PRIx64 "+0x%" PRIx64 ": %s", iova, size,
			strerror(-ret));
	remove_entry(container, iova, size);
	return 0;
}

void vfio_container_unmap_owner(struct vfio_container *container, const void *owner)
{
	for (unsigned i = container->ledger.count; i-- > 0;) {
		struct ledger_entry entry = container->ledger.entries[i];

		if (entry.owner == owner)
			(void)vfio_container_unmap(container, entry.iova, entry.size);
	}
}

void vfio_container_unmap_all(struct vfio_container *container)
{
	while (container->ledger.count > 0) {
		struct ledger_entry last = container->ledger.entries[container->ledger.count - 1];

		(void)vfio_container_unmap(container, last.iova, last.size);
	}
	container->ram_mapped = false;
}
