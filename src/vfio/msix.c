/* SPDX-License-Identifier: Apache-2.0 */
/* msix.c - MSI-X: table and PBA in their BARs; vectors armed when the guest first unmasks them. */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/log.h>
#include <portcullis/sys.h>

#include "device.h"

#define FULL_MS 1000
#define PBA_BAR_MAX (1ull << 30) /* twice that is still a 32-bit BAR */

static bool inside(uint64_t offset, uint64_t size, uint64_t room)
{
	return offset <= room && size <= room - offset;
}

/*
 * Cards that misplace it are sold. Where it is known to be it is read; for others one of ours goes
 * behind all that the card has in the table's BAR, which becomes larger for it: nothing is covered.
 */
static void place_pba(struct vfio_msix *msix, const uint8_t *raw, const uint64_t bar_size[static 6])
{
	const struct vfio_quirk *quirk = vfio_quirk_find(VFIO_QUIRK_PBA, raw);
	uint64_t size = msix_pba_size(msix->n);

	if (quirk && inside(quirk->at, size, bar_size[msix->pba_bar]) &&
		(msix->pba_bar != msix->table_bar || quirk->at >= msix->table_end)) {
		msix->pba_ours = false;
		msix->pba_at = quirk->at;
	} else if (bar_size[msix->table_bar] <= PBA_BAR_MAX) {
		msix->pba_bar = msix->table_bar;
		msix->pba_at = (bar_size[msix->table_bar] + 7) & ~7ull;
	} else {
		msix->pba_at = msix->pba_end = 0;
		return;
	}
	msix->pba_end = msix->pba_at + size;
}

int vfio_msix_locate(struct vfio_msix *msix, const uint8_t *raw, unsigned cap, unsigned vectors,
	const uint64_t bar_size[static 6])
{
	uint32_t table = pci_get(raw, cap + PCI_MSIX_TABLE, 4);
	uint32_t pba = pci_get(raw, cap + PCI_MSIX_PBA, 4);
	unsigned n = (pci_get(raw, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;

	msix->n = 0;
	msix->table_bar = table & PCI_MSIX_TABLE_BIR;
	msix->table_at = table & PCI_MSIX_TABLE_OFFSET;
	msix->pba_bar = pba & PCI_MSIX_PBA_BIR;
	msix->pba_at = pba & PCI_MSIX_PBA_OFFSET;
	if (msix->table_bar > 5 || msix->pba_bar > 5)
		return -EINVAL;
	msix->n = n < vectors ? n : vectors;
	msix->table_end = msix->table_at + msix_table_size(msix->n);
	msix->pba_end = msix->pba_at + msix_pba_size(msix->n);
	/* The whole table of the device, also what the kernel offers no vectors for. */
	if (!inside(msix->table_at, msix_table_size(n), bar_size[msix->table_bar]) || !msix->n) {
		msix->n = 0;
		return -EINVAL;
	}
	msix->pba_ours = !inside(msix->pba_at, msix_pba_size(msix->n), bar_size[msix->pba_bar]);
	if (msix->pba_ours)
		place_pba(msix, raw, bar_size);
	return 0;
}

/* Message Control, as the guest has it. The function's lock is held. */
static unsigned control(const struct vfio_pci *dev)
{
	return pci_get(dev->fn.config, dev->firewall.msix + PCI_MSIX_FLAGS, 2);
}

/* What the guest wants of one vector; true: that its message is sent. */
static bool wanted(struct vfio_pci *dev, unsigned i, struct msi_message *message)
{
	const struct msix_table *table = &dev->irqs.msix.table;
	bool live;

	pthread_mutex_lock(&dev->fn.lock);
	live = msix_table_live(table, control(dev), i);
	*message = msix_table_message(table, i);
	pthread_mutex_unlock(&dev->fn.lock);
	return live;
}

static int signal_one(struct vfio_pci *dev, unsigned i, int32_t fd) ON_WORKER
{
	return vfio_irq_set(dev, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, i, 1, &fd);
}

/* Sets n vectors at once: armed ones to their eventfd, the others to none. */
static int signal_all(struct vfio_pci *dev, unsigned n) ON_WORKER
{
	int32_t *fds = vfio_irq_set_fds(dev);

	for (unsigned i = 0; i < n; i++)
		fds[i] = dev->irqs.vector[i].armed ? dev->irqs.vector[i].fd : -1;
	return vfio_irq_set(dev, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0, n, fds);
}

/* Turns MSI-X on in the device, with no vector signalling yet, as the guest did. */
static void turn_on(struct vfio_pci *dev) ON_WORKER
{
	int ret = signal_one(dev, 0, -1);

	if (ret) {
		dev->irqs.counts.failures++;
		log_guest("vfio-pci '%s': cannot enable MSI-X: %s", dev->options->device.id,
			ret < 0 ? strerror(-ret) : "the host is out of interrupt vectors");
		return;
	}
	dev->irqs.msix.allocated = 1;
}

static unsigned pow2_up(unsigned value)
{
	unsigned out = 1;

	while (out < value)
		out <<= 1;
	return out;
}

/* The host's vectors have run out lately: asking for each one anew would be slow, and in vain. */
static bool full(const struct vfio_msix *msix)
{
	return loop_now_ms() < msix->full_until;
}

/* After the kernel has taken vectors away: what was armed beyond them is not any more. */
static void poke_armed(struct vfio_pci *dev) ON_WORKER
{
	for (unsigned i = 0; i < dev->irqs.msix.n; i++) {
		struct vfio_vector *v = &dev->irqs.vector[i];

		if (i >= dev->irqs.msix.allocated)
			vfio_vector_arm(v, false);
		if (v->armed)
			sys_eventfd_signal(v->fd);
	}
}

/*
 * Kernels that cannot add vectors: turn MSI-X off and on again with more of them. Twice as many
 * each time, so that it is rare; as many as the kernel says it has, if those are fewer. What the
 * device sent meanwhile is lost, so every armed vector is poked: a spurious interrupt is harmless,
 * a lost one is not.
 */
static int regrow(struct vfio_pci *dev, unsigned need) ON_WORKER
{
	struct vfio_msix *msix = &dev->irqs.msix;
	unsigned doubled = pow2_up(need) < msix->n ? pow2_up(need) : msix->n;
	unsigned tries[] = { doubled, need, msix->allocated };
	int ret = -ENOSPC;

	if (msix->allocated)
		vfio_irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);
	msix->allocated = 0;
	for (unsigned i = 0; i < sizeof(tries) / sizeof(*tries) && ret && tries[i]; i++) {
		ret = signal_all(dev, tries[i]);
		if (ret > 0 && (unsigned)ret < need)
			tries[2] = (unsigned)ret;
		if (!ret)
			msix->allocated = tries[i];
	}
	poke_armed(dev);
	if (msix->allocated >= need)
		return 0;
	msix->full_until = loop_now_ms() + FULL_MS;
	return -ENOSPC;
}

static void arm(struct vfio_pci *dev, struct vfio_vector *v) ON_WORKER
{
	struct vfio_msix *msix = &dev->irqs.msix;
	int ret = 0;

	if (!msix->resizable && v->index >= msix->allocated)
		ret = full(msix) ? -ENOSPC : regrow(dev, v->index + 1);
	if (!ret)
		ret = signal_one(dev, v->index, v->fd);
	vfio_vector_arm(v, ret == 0);
	/* Also when turn_on() failed: the kernel turns MSI-X on with the first vector. */
	if (!ret && !msix->allocated)
		msix->allocated = v->index + 1;
	if (ret) {
		dev->irqs.counts.failures++;
		log_guest("vfio-pci '%s': cannot arm MSI-X vector %u: %s", dev->options->device.id,
			v->index,
			ret < 0 && ret != -ENOSPC ? strerror(-ret)
						  : "the host is out of interrupt vectors");
	}
}

/* Asks what the guest wants of each, once, and routes it; vectors the kernel must have for that. */
static unsigned route(struct vfio_pci *dev, unsigned first, unsigned last) ON_WORKER
{
	unsigned need = 0;

	for (unsigned i = first; i <= last; i++) {
		struct vfio_vector *v = &dev->irqs.vector[i];
		struct msi_message message;

		v->wanted = wanted(dev, i, &message);
		if (!v->wanted)
			continue;
		vfio_vector_route(v, &message);
		if (!v->armed)
			need = i + 1;
	}
	vfio_vectors_commit(dev);
	return need;
}

/*
 * Drivers mask the function to put a table back that their card lost to a reset of its own (Linux'
 * pci_restore_state() does). VFIO writes the card's table when it is given eventfds anew.
 */
static bool function_unmasked(struct vfio_pci *dev) ON_WORKER
{
	struct vfio_msix *msix = &dev->irqs.msix;
	bool was = msix->function_masked;

	pthread_mutex_lock(&dev->fn.lock);
	msix->function_masked = control(dev) & PCI_MSIX_FLAGS_MASKALL;
	pthread_mutex_unlock(&dev->fn.lock);
	return was && !msix->function_masked;
}

/* The card lost MSI-X itself as well, which VFIO turns on with the first vector only. */
static void restart_if_off(struct vfio_pci *dev) ON_WORKER
{
	struct vfio_msix *msix = &dev->irqs.msix;
	uint32_t flags;

	if (!msix->allocated ||
		vfio_device_read(dev, dev->firewall.msix + PCI_MSIX_FLAGS, 2, &flags) ||
		flags & PCI_MSIX_FLAGS_ENABLE)
		return;
	vfio_irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);
	msix->allocated = 0;
	for (unsigned i = 0; i < msix->n; i++)
		vfio_vector_arm(&dev->irqs.vector[i], false);
}

static void sync_vector(struct vfio_pci *dev, unsigned i, bool renew) ON_WORKER
{
	struct vfio_vector *v = &dev->irqs.vector[i];
	int ret;

	if (!v->wanted) {
		if (v->connected)
			vfio_vector_mask(v);
		if (renew && v->armed)
			arm(dev, v);
		return;
	}
	/* KVM listens before the device can signal. */
	ret = vfio_vector_connect(v);
	if (ret) {
		dev->irqs.counts.failures++;
		log_guest("vfio-pci '%s': cannot deliver MSI-X vector %u: %s",
			dev->options->device.id, i, strerror(-ret));
	}
	if (!v->armed || renew)
		arm(dev, v);
}

void vfio_msix_sync(struct vfio_pci *dev, unsigned first, unsigned last)
{
	struct vfio_msix *msix = &dev->irqs.msix;
	unsigned need;
	bool renew;

	if (dev->irqs.mode != VFIO_IRQ_MSIX || !dev->io)
		return;
	if (last >= msix->n)
		last = msix->n - 1;
	renew = first == 0 && last == msix->n - 1 && function_unmasked(dev);
	if (renew)
		restart_if_off(dev);
	if (!msix->allocated)
		turn_on(dev);
	/* One change of routes, and one growth, for all that is asked for at once. */
	need = route(dev, first, last);
	if (!msix->resizable && !full(msix) && need > msix->allocated)
		regrow(dev, need);
	for (unsigned i = first; i <= last; i++)
		sync_vector(dev, i, renew);
}

void vfio_msix_off(struct vfio_pci *dev)
{
	struct vfio_msix *msix = &dev->irqs.msix;

	if (msix->allocated)
		vfio_irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);
	msix->allocated = 0;
	msix->full_until = 0;
	msix->function_masked = false;
	for (unsigned i = 0; i < msix->n; i++)
		vfio_vector_drop(&dev->irqs.vector[i]);
}

bool vfio_msix_covers(const struct vfio_msix *msix, unsigned bar, uint64_t offset, unsigned size)
{
	uint64_t end = offset + size;

	if (!msix->n)
		return false;
	return (bar == msix->table_bar && offset < msix->table_end && end > msix->table_at) ||
	       (bar == msix->pba_bar && offset < msix->pba_end && end > msix->pba_at);
}

static void finish_vectors(struct io_request *request)
{
	struct vfio_pci *dev = request->opaque;
	uint32_t arg = request->arg;

	role_enter_worker();
	vfio_msix_sync(dev, arg & 0xffff, arg >> 16); /* does nothing when MSI-X is off */
	io_complete(request);
	vfio_device_put(dev);
}

static enum io_status table_write(struct vfio_pci *dev, uint64_t at, struct io_access *access)
{
	unsigned first = (unsigned)(at / MSIX_ENTRY);
	unsigned last = (unsigned)((at + access->size - 1) / MSIX_ENTRY);
	bool changed;

	pthread_mutex_lock(&dev->fn.lock);
	changed = msix_table_write(
		&dev->irqs.msix.table, control(dev), at, access->size, access->data);
	pthread_mutex_unlock(&dev->fn.lock);
	return changed ? vfio_defer(dev, access, finish_vectors, first | last << 16) : IO_DONE;
}

static uint64_t table_read(struct vfio_pci *dev, uint64_t at, unsigned size)
{
	uint64_t value;

	pthread_mutex_lock(&dev->fn.lock);
	value = msix_table_read(&dev->irqs.msix.table, at, size);
	pthread_mutex_unlock(&dev->fn.lock);
	return value;
}

/* Pending bits of vectors that were never armed are in the device, of the others in our copy. */
static uint64_t pba_read(struct vfio_pci *dev, uint64_t at, unsigned size)
{
	const struct vfio_region *region = &dev->region[dev->irqs.msix.pba_bar];
	uint64_t value, device = 0;
	ssize_t got = 0;

	if (!dev->irqs.msix.pba_ours)
		got = dev->io->ops->pread(
			dev->io, &device, size, region->offset + dev->irqs.msix.pba_at + at);

	pthread_mutex_lock(&dev->fn.lock);
	value = msix_pba_read(&dev->irqs.msix.table, at, size);
	pthread_mutex_unlock(&dev->fn.lock);
	/* All ones is a device that does not answer, not 64 interrupts. */
	if (got == (ssize_t)size && device != ~0ull >> (64 - 8 * size))
		value |= device;
	return value;
}

enum io_status vfio_msix_access(struct vfio_pci *dev, unsigned bar, struct io_access *access)
{
	const struct vfio_msix *msix = &dev->irqs.msix;
	uint64_t offset = access->offset;
	unsigned size = access->size;

	if (bar == msix->table_bar && offset >= msix->table_at && offset < msix->table_end) {
		if (access->write)
			return table_write(dev, offset - msix->table_at, access);
		access->data = table_read(dev, offset - msix->table_at, size);
		return IO_DONE;
	}
	/* The PBA is read-only; an access across an edge of either is undefined by the spec. */
	if (access->write)
		return IO_DONE;
	if (bar == msix->pba_bar && offset >= msix->pba_at && offset + size <= msix->pba_end)
		access->data = pba_read(dev, offset - msix->pba_at, size);
	else
		access->data = ~0ull >> (64 - 8 * size);
	return IO_DONE;
}
