/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device_class.h - the kinds of PCI device that a machine has: what device.c asks of each, whatever
 * it is. (private to src/machine)
 *
 * Layer: L4. Static tables, one per kind; an operation that is NULL has nothing to do.
 * Order: create -> open -> (dma_limits) -> (check_ram) -> realize -> main plugs function() -> ... -> main unplugs
 *        -> fence -> close -> free. close and free take half-built devices. After a create() that
 *        failed, the options are gone, and device->id and device->options with them.
 * Errors of the device at work: passthrough.c alone reports any today (device_notices.failed).
 */
#ifndef PORTCULLIS_MACHINE_DEVICE_CLASS_H
#define PORTCULLIS_MACHINE_DEVICE_CLASS_H

#include <stdbool.h>
#include <stdint.h>

#include <portcullis/role.h>

struct device;
struct dma_limits;
struct err;
struct pci_function;
struct prop_type;

struct device_class {
	const struct prop_type *type; /* its options begin with struct device_options */
	bool hot_pluggable;
	/* main. Makes device->card; takes options (prop.h). */
	int (*create)(struct device *device, void *options, struct err *err);
	void (*free)(struct device *device);
	struct pci_function *(*function)(const struct device *device);
	/* Its worker: anything that may block. */
	int (*open)(struct device *device, struct err *err);
	int (*realize)(struct device *device, struct err *err);	  /* RAM is laid out */
	int (*check_ram)(struct device *device, struct err *err); /* will map_ram do? */
	int (*map_ram)(struct device *device, struct err *err);	  /* as it is now */
	int (*reset)(struct device *device, struct err *err);
	void (*fence)(struct device *device); /* no more DMA, no more interrupts */
	void (*close)(struct device *device); /* no vCPU is in it any more */
	/* main */
	void (*cancel)(struct device *device); /* realize is under way, and is to end early */
	/* Around a reset of its bus; NULL: registers are as at power-on, by pci_function_reset(). */
	void (*reset_prepare)(struct device *device);
	void (*reset_done)(struct device *device);
	/*
	 * What is completed above it of what it may send (vfio_pci_completes()), and does the same
	 * hold for other, a device of the class? NULL: it sends nothing of the kind.
	 */
	uint32_t (*completes)(const struct device *device);
	bool (*shares_link)(const struct device *device, const struct device *other);
	/* Takes from limits what this device cannot reach: dma_limits_join(). */
	void (*dma_limits)(const struct device *device, struct dma_limits *limits);
};

/* NULL: not a PCI device of this kind (a root port, isa-debug-exit). */
const struct device_class *device_class_find(const struct prop_type *type);

extern const struct device_class passthrough_class, pvpanic_class;

#endif
