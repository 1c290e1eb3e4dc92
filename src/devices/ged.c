/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ged.c - the register behind ACPI's generic event device (ACPI 6.4, 5.6.9).
 */
#include <portcullis/devices.h>

#include <stdatomic.h>

#include <portcullis/sys.h>

void ged_init(struct ged *ged, int irq_fd)
{
	atomic_init(&ged->events, 0);
	ged->irq_fd = irq_fd;
}

void ged_reset(struct ged *ged)
{
	atomic_store(&ged->events, 0);
}

void ged_raise(struct ged *ged, uint32_t events)
{
	/*
	 * Always a pulse, even for bits that are set already: the edge for those may have been
	 * lost.
	 */
	if (atomic_fetch_or(&ged->events, events) | events)
		sys_eventfd_signal(ged->irq_fd);
}

enum io_status ged_access(void *opaque, struct io_access *access)
{
	struct ged *ged = opaque;
	uint32_t mask;

	if (access->write)
		return IO_DONE;
	access->data = 0;
	if (access->offset >= sizeof(uint32_t))
		return IO_DONE;
	/* Only the bits that the guest gets to see are cleared. */
	mask = access->size >= 4 ? UINT32_MAX : (1u << 8 * access->size) - 1;
	mask <<= 8 * access->offset;
	access->data = (atomic_fetch_and(&ged->events, ~mask) & mask) >> 8 * access->offset;
	return IO_DONE;
}
