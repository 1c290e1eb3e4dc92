/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.c - what all passed-through devices of one machine share.
 */
#include <errno.h>
#include <stdlib.h>

#include <portcullis/log.h>
#include <portcullis/vfio_query.h>

#include "context.h"

int vfio_context_new(struct vfio_context **out, const struct vfio_env *env)
{
	struct vfio_context *context = calloc(1, sizeof(*context));
	int ret;

	if (!context)
		return -ENOMEM;
	context->env = *env;
	context->host = *vfio_env_host(env);
	context->direct = vfio_lookup_direct(&context->host);
	atomic_init(&context->multi_reset, true);
	ret = pthread_mutex_init(&context->lock, NULL);
	if (ret) {
		free(context);
		return -ret;
	}
	ret = pthread_mutex_init(&context->tables, NULL);
	if (ret) {
		pthread_mutex_destroy(&context->lock);
		free(context);
		return -ret;
	}
	*out = context;
	return 0;
}

void vfio_context_free(struct vfio_context *context)
{
	if (!context)
		return;
	/* Devices are closed before; one that was not is closed here rather than left to exit(). */
	role_enter_worker();
	while (context->attachments) {
		log_error("vfio: device '%s' was never closed",
			context->attachments->facts.device.name);
		vfio_detach(context->attachments);
	}
	vfio_iommufd_free_all(context);
	pthread_mutex_destroy(&context->tables);
	pthread_mutex_destroy(&context->lock);
	free(context);
}

void vfio_context_set_ram(struct vfio_context *context, const struct ram *ram)
{
	atomic_store(&context->ram, ram);
}

void vfio_context_mappings(struct vfio_context *context, vfio_mapping_fn fn, void *opaque)
{
	pthread_mutex_lock(&context->tables);
	for (const struct vfio_container *at = context->containers; at; at = at->next) {
		for (unsigned i = 0; i < at->ledger.count; i++) {
			const struct ledger_entry *entry = &at->ledger.entries[i];
			struct vfio_mapping mapping = { .container = at->number,
				.backend = at->ops->name,
				.iova = entry->iova,
				.size = entry->size,
				.ram = entry->kind == LEDGER_RAM };
			const struct vfio_attachment *owner = entry->owner;

			if (owner)
				mapping.device = owner->facts.device.name;
			fn(&mapping, opaque);
		}
	}
	pthread_mutex_unlock(&context->tables);
}
