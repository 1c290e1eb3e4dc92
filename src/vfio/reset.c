/* SPDX-License-Identifier: Apache-2.0 */
/* reset.c - the ways to reset a function, the best first, and waiting until it is back. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "device.h"

#define RESET_POLL_MAX_MS 100

/* The kernel's own methods, in the words of sysfs' reset_method. */
static const char *const kernel_methods[] = { "device_specific", "acpi", "flr", "af_flr", "pm",
	"bus", "cxl_bus" };

/* What VFIO_DEVICE_RESET does: the first that the kernel knows for the device. */
static const char *kernel_method(const struct vfio_pci *dev)
{
	size_t len = strcspn(dev->reset_methods, " ");

	for (unsigned i = 0; i < sizeof(kernel_methods) / sizeof(kernel_methods[0]); i++)
		if (strlen(kernel_methods[i]) == len &&
			!memcmp(dev->reset_methods, kernel_methods[i], len))
			return kernel_methods[i];
	return "function";
}

bool vfio_reset_possible(const struct vfio_pci *dev)
{
	return dev->flags & VFIO_DEVICE_FLAGS_RESET;
}

/* Going through D3hot leaves much of most cards as it was: the whole bus is better. */
static bool thorough(const struct vfio_pci *dev)
{
	return vfio_reset_possible(dev) && strcmp(kernel_method(dev), "pm") != 0;
}

static bool power_cycle(const struct vfio_pci *dev)
{
	return vfio_reset_possible(dev) && !thorough(dev);
}

static int function_run(struct vfio_pci *dev, struct err *err)
{
	int ret = dev->needs_reset ? dev->io->ops->reset(dev->io) : 0;

	return ret ? err_set_errno(err, -ret, "cannot reset the device") : 0;
}

static bool has_bus(const struct vfio_pci *dev)
{
	return dev->attachment != NULL;
}

static int bus_run(struct vfio_pci *dev, struct err *err) ON_WORKER
{
	return vfio_attachment_bus_reset(dev->attachment, err);
}

struct reset_method {
	const char *name; /* NULL: as the kernel calls its own */
	bool (*possible)(const struct vfio_pci *dev);
	int (*run)(struct vfio_pci *dev, struct err *err);
};

static const struct reset_method ladder[] = {
	{ NULL, thorough, function_run },
	{ "bus", has_bus, bus_run },
	{ NULL, power_cycle, function_run },
	{ 0 },
};

static const struct reset_method function_only[] = {
	{ NULL, vfio_reset_possible, function_run },
	{ 0 },
};

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
static int run_method(struct vfio_pci *dev, const struct reset_method *method, uint64_t deadline,
	struct err *err) ON_WORKER
{
	int ret;

	while ((ret = method->run(dev, err)) == -EAGAIN && loop_now_ms() < deadline)
		pause_ms(10);
	return ret;
}

static int lost(struct vfio_pci *dev, struct err *err)
{
	dev->quarantined = true;
	err_set(err, EIO, "the device does not answer %u ms after its reset",
		dev->reset_deadline_ms);
	err_hint(err, "it is kept from the guest; a power cycle of the host may bring it back");
	return -EIO;
}

/* Down the ladder until a method worked and the device is back after it. */
static int climb_down(
	struct vfio_pci *dev, const struct reset_method *method, struct err *err) ON_WORKER
{
	struct err refusal = { 0 }, why = { 0 };
	bool gone = false;

	for (; method->possible; method++) {
		uint64_t deadline = loop_now_ms() + dev->reset_deadline_ms;
		int ret;

		if (!method->possible(dev))
			continue;
		ret = run_method(dev, method, deadline, &why);
		/* Why the bus could not be reset is no error where the function alone can be. */
		if (ret && method->run == function_run)
			refusal = why;
		if (ret)
			continue;
		atomic_store(&dev->reset_how, method->name ? method->name : kernel_method(dev));
		dev->quarantined = !wait_until_back(dev, deadline);
		if (!dev->quarantined)
			return 0;
		gone = true;
	}
	if (gone)
		return lost(dev, err);
	if (refusal.code) {
		if (err)
			*err = refusal;
		return -refusal.code;
	}
	atomic_store(&dev->reset_how, "none");
	return err_set(err, ENOTTY, "the host has no way to reset this device%s%s",
		why.code ? ": " : "", why.text);
}

static int reset(struct vfio_pci *dev, const struct reset_method *method, struct err *err) ON_WORKER
{
	int ret;

	if (dev->attachment)
		vfio_attachment_reset_begins(dev->attachment);
	ret = climb_down(dev, method, err);
	if (dev->attachment)
		vfio_attachment_reset_ends(dev->attachment);
	return ret;
}

int vfio_reset_function(struct vfio_pci *dev, struct err *err)
{
	return reset(dev, ladder, err);
}

int vfio_reset_alone(struct vfio_pci *dev, struct err *err)
{
	return reset(dev, function_only, err);
}

int vfio_reset_running(struct vfio_pci *dev, bool alone, struct err *err)
{
	bool was = dev->quarantined;
	int ret = reset(dev, alone ? function_only : ladder, err);

	if (dev->quarantined && !was)
		vfio_error_report(dev, VFIO_ERROR_LOST);
	return ret;
}
