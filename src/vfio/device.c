/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - the device object: probe, reset, fence, close, and its BARs as they move. */
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/log.h>

static int probe_info(struct vfio_pci *dev, struct vfio_device_io *io, struct err *err)
{
	struct vfio_device_info *info = NULL;
	int ret = io->ops->info(io, &info);

	if (ret)
		return err_set_errno(err, -ret, "cannot ask the kernel about the device");
	dev->flags = info->flags;
	dev->completes = vfio_device_atomics(info);
	free(info);
	if (!(dev->flags & VFIO_DEVICE_FLAGS_PCI))
		return err_set(err, ENODEV, "this is not a PCI device");
	return 0;
}

int vfio_device_probe(struct vfio_pci *dev, struct vfio_device_io *io, struct err *err)
{
	struct vfio_region config;
	int ret = probe_info(dev, io, err);

	if (ret)
		return ret;
	ret = region_query(&config, io, VFIO_PCI_CONFIG_REGION_INDEX);
	if (ret || config.size < 64)
		return err_set(err, ret ? -ret : EIO, "the kernel does not give config space");
	dev->config_at = config.offset;
	dev->config_size = config.size < PCI_CONFIG_SIZE ? (unsigned)config.size : PCI_CONFIG_SIZE;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		dev->region[i].dev = dev;
		ret = region_query(&dev->region[i], io, i);
		if (ret && i != PCI_ROM)
			return err_set_errno(err, -ret, "cannot ask the kernel about BAR %u", i);
	}
	dev->io = io;
	ret = vfio_irq_query(dev);
	if (ret) {
		dev->io = NULL;
		return err_set_errno(err, -ret, "cannot ask the kernel about interrupts");
	}
	return 0;
}

static void post_sync(struct vfio_pci *dev)
{
	if (atomic_exchange(&dev->sync_posted, true))
		return;
	vfio_device_get(dev);
	loop_post(dev->worker, &dev->sync);
}

static void p2p_retry(void *opaque)
{
	post_sync(opaque);
}

static void p2p_sync(struct vfio_pci *dev) ON_WORKER
{
	switch (vfio_p2p_sync(dev)) {
	case VFIO_P2P_MORE:
		post_sync(dev);
		break;
	case VFIO_P2P_RETRY:
		dev->p2p_timer.fn = p2p_retry;
		dev->p2p_timer.opaque = dev;
		loop_timer_set(dev->worker, &dev->p2p_timer, VFIO_P2P_RETRY_MS);
		break;
	case VFIO_P2P_DONE:
		break;
	}
}

static void sync_run(struct mail *mail)
{
	struct vfio_pci *dev = container_of(mail, struct vfio_pci, sync);

	role_enter_worker();
	atomic_store(&dev->sync_posted, false);
	if (dev->realized) {
		vfio_config_sync(dev);
		p2p_sync(dev);
	}
	vfio_device_put(dev);
}

/* The line is known once the function is on its bus. Firmware's part: a guest may read it there. */
static void learn_intx(struct vfio_pci *dev, unsigned pin) ON_MAIN
{
	uint32_t gsi = dev->env.irq->intx_gsi(dev->env.irq->opaque, &dev->fn, pin);

	atomic_store(&dev->irqs.intx_gsi, gsi);
	pthread_mutex_lock(&dev->fn.lock);
	if (!dev->fn.config[PCI_INTERRUPT_LINE])
		dev->fn.config[PCI_INTERRUPT_LINE] = (uint8_t)gsi;
	pthread_mutex_unlock(&dev->fn.lock);
}

/* Decode may have been turned on by main itself (address assignment), which no vCPU told us of. */
void vfio_bar_moved(struct pci_function *fn, unsigned bar, uint64_t addr, bool mapped)
{
	struct vfio_pci *dev = fn->opaque;
	struct pci_bus *bus = atomic_load(&dev->fn.bus);
	/* As it is at power-on: the guest's copy is the lock's, and its pin does not change. */
	unsigned pin = dev->fn.reset_config[PCI_INTERRUPT_PIN];
	bool p2p = vfio_p2p_moved(dev, bar, mapped ? addr : VFIO_BAR_UNMAPPED);

	if (mapped && bus) {
		if (pin)
			learn_intx(dev, pin);
	} else if (!p2p) {
		return;
	}
	post_sync(dev);
}

static void function_reset(struct pci_function *fn)
{
	struct vfio_pci *dev = fn->opaque;

	pthread_mutex_lock(&fn->lock);
	msix_table_reset(&dev->irqs.msix.table);
	memset(dev->window, 0, sizeof(dev->window));
	dev->power = 0;
	pthread_mutex_unlock(&fn->lock);
}

static void bar_hint(struct pci_function *fn, unsigned bar, struct err *err)
{
	const struct vfio_pci *dev = fn->opaque;

	/* Linux' Documentation/ABI/testing/sysfs-bus-pci */
	if (bar < 6 && dev->resizable >> bar & 1)
		err_hint(err,
			"the size of BAR %u can be changed while no driver is bound: /sys/bus/pci/devices/%s/resource%u_resize shows the sizes there are (bit n: 2^n MiB) and takes n",
			bar, dev->name, bar);
}

static const struct pci_function_ops function_ops = {
	.config_read = vfio_config_read,
	.config_write = vfio_config_write,
	.reset = function_reset,
	.areas = vfio_bar_areas,
	.bar_access = vfio_bar_access,
	.bar_opaque = vfio_bar_opaque,
	.bar_moved = vfio_bar_moved,
	.bar_hint = bar_hint,
};

int vfio_device_new(struct vfio_pci **out, const struct vfio_env *env,
	struct vfio_pci_options *options, struct loop *worker)
{
	struct vfio_pci *dev = calloc(1, sizeof(*dev));

	if (!dev) {
		props_free(&vfio_pci_type, options, env->closer);
		return -ENOMEM;
	}
	dev->env = *env;
	dev->options = options;
	dev->worker = worker;
	dev->sync.run = sync_run;
	dev->reset_deadline_ms = VFIO_RESET_DEADLINE_MS;
	dev->irqs.intx_trigger = dev->irqs.intx_resample = -1;
	dev->irqs.err_fd = dev->irqs.req_fd = -1;
	atomic_init(&dev->irqs.intx_gsi, -1);
	atomic_init(&dev->references, 1);
	atomic_init(&dev->reset_how, "none");
	dev->needs_reset = true;
	dev->reset_methods = "";
	for (unsigned i = 0; i < VFIO_P2P_BARS; i++) {
		atomic_init(&dev->p2p_wanted[i], VFIO_BAR_UNMAPPED);
		atomic_init(&dev->p2p_mapped[i], VFIO_BAR_UNMAPPED);
	}
	pci_function_init(&dev->fn, options->device.id, &function_ops, dev);
	*out = dev;
	return 0;
}

int vfio_pci_reset(struct vfio_pci *dev, struct err *err)
{
	int ret;

	if (!dev->io || !dev->realized)
		return 0;
	vfio_reset_wait(dev);
	vfio_irq_off(dev);
	vfio_device_command(dev, false);
	ret = vfio_reset_running(dev, false, err);
	pci_function_reset(&dev->fn);
	if (ret && ret != -ENOTTY)
		return err_prefix(err, "vfio-pci '%s'", dev->options->device.id);
	vfio_config_sync(dev);
	return 0;
}

void vfio_pci_fence(struct vfio_pci *dev)
{
	dev->fenced = true;
	if (dev->attachment)
		vfio_attachment_set_busy(dev->attachment, false);
	if (dev->io) {
		vfio_device_command(dev, false);
		vfio_irq_off(dev);
	}
	/* Last: it may have to wait for another device's memory to be pinned. */
	vfio_p2p_end(dev);
	if (dev->p2p_timer.armed)
		loop_timer_cancel(dev->worker, &dev->p2p_timer);
}

/*
 * For whoever has the device next. The kernel's own, when the last fd is closed, is enough, but an
 * fd that was handed over may not be the last. Nobody waits for a dead card: it is on its way out.
 */
static void last_reset(struct vfio_pci *dev) ON_WORKER
{
	bool ours = !dev->handed_over;
	struct err err = { 0 };

	if (!dev->realized || (dev->kernel_resets && ours) || !vfio_reset_possible(dev))
		return;
	if (dev->reset_deadline_ms > VFIO_CLOSE_DEADLINE_MS)
		dev->reset_deadline_ms = VFIO_CLOSE_DEADLINE_MS;
	if (vfio_reset_alone(dev, &err))
		log_warn("vfio-pci '%s': %s", dev->options->device.id, err.text);
}

void vfio_device_close(struct vfio_pci *dev)
{
	if (!dev->fenced)
		vfio_pci_fence(dev);
	if (dev->io) {
		last_reset(dev);
		vfio_irq_release(dev);
	}
	for (unsigned i = 0; i < PCI_BARS; i++)
		region_unmap(&dev->region[i]);
	vfio_rom_release(dev);
	dev->realized = false;
	dev->io = NULL;
}

struct pci_function *vfio_pci_function(struct vfio_pci *dev)
{
	return &dev->fn;
}

struct loop *vfio_pci_worker(const struct vfio_pci *dev)
{
	return dev->worker;
}

const struct vfio_pci_options *vfio_pci_get_options(const struct vfio_pci *dev)
{
	return dev->options;
}

uint32_t vfio_pci_completes(const struct vfio_pci *dev)
{
	return dev->completes;
}

/* Names of PCI devices are their addresses; those of others have no function number. */
bool vfio_pci_shares_link(const struct vfio_pci *dev, const struct vfio_pci *other)
{
	const char *dot = strrchr(dev->name, '.');

	return dot && !strncmp(dev->name, other->name, (size_t)(dot - dev->name) + 1);
}
