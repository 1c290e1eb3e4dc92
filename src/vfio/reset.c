/* SPDX-License-Identifier: Apache-2.0 */
/* reset.c - the ways to reset a function, the best first, and waiting until it is back. */
#include <errno.h>
#include <time.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>
#include <portcullis/log.h>

#include "device.h"

#define RESET_POLL_MAX_MS 100

struct reset_method {
	const char *name;
	bool (*possible)(const struct vfio_pci *dev);
	int (*run)(struct vfio_pci *dev);
};

static bool function_possible(const struct vfio_pci *dev)
{
	return dev->flags & VFIO_DEVICE_FLAGS_RESET;
}

static int function_run(struct vfio_pci *dev)
{
	return dev->io->ops->reset(dev->io);
}

/* FLR, AF FLR, PM or a slot's own bus reset: the kernel chooses. The whole bus is for later. */
static const struct reset_method methods[] = {
	{ "function", function_possible, function_run },
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

static void pause_ms(unsigned ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/*
 * Vendor and device ids alone prove nothing: VFIO answers them from memory. Class and revision come
 * from the card.
 */
static bool answers(struct vfio_pci *dev)
{
	uint32_t id, class;

	return !vfio_device_read(dev, PCI_VENDOR_ID, 4, &id) && (id & 0xffff) != 0xffff &&
	       !vfio_device_read(dev, PCI_CLASS_REVISION, 4, &class) && class != 0xffffffff;
}

static bool wait_until_back(struct vfio_pci *dev, uint64_t deadline)
{
	for (unsigned ms = 1;; ms = ms < RESET_POLL_MAX_MS / 2 ? 2 * ms : RESET_POLL_MAX_MS) {
		if (answers(dev))
			return true;
		if (loop_now_ms() + ms > deadline)
			return false;
		pause_ms(ms);
	}
}

/* The kernel says EAGAIN while somebody else holds the device's lock. */
static int run_method(struct vfio_pci *dev, const struct reset_method *method, uint64_t deadline)
{
	int ret;

	while ((ret = method->run(dev)) == -EAGAIN && loop_now_ms() < deadline)
		pause_ms(10);
	return ret;
}

bool vfio_reset_possible(const struct vfio_pci *dev)
{
	for (unsigned i = 0; i < METHODS; i++)
		if (methods[i].possible(dev))
			return true;
	return false;
}

int vfio_reset_function(struct vfio_pci *dev, struct err *err)
{
	uint64_t deadline = loop_now_ms() + dev->reset_deadline_ms;
	int ret = -ENOTTY;

	for (unsigned i = 0; i < METHODS && ret; i++)
		if (methods[i].possible(dev))
			ret = run_method(dev, &methods[i], deadline);
	if (ret == -ENOTTY)
		return err_set(err, ENOTTY, "there is no way to reset this function");
	if (ret)
		return err_set_errno(err, -ret, "cannot reset the device");
	dev->quarantined = !wait_until_back(dev, deadline);
	if (!dev->quarantined)
		return 0;
	err_set(err, EIO, "the device does not answer %u ms after its reset",
		dev->reset_deadline_ms);
	err_hint(err, "it is kept from the guest; a power cycle of the host may bring it back");
	return -EIO;
}
