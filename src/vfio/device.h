/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - one passed-through function: the pieces that vfio.h's struct vfio_pci is made of.
 * (private to src/vfio and tests)
 *
 * Who writes what: the worker everything here, except fn's tree fields (main) and the guest's bytes
 * in fn->config and the MSI-X table (vCPUs, under fn->lock). What vCPUs read without the lock - io,
 * regions, firewall masks - is constant from realize until main has unplugged the function.
 * Life: vCPUs post requests after they have left the bus map, so one may reach a mailbox when the
 * device is already unplugged. Each takes a reference inside the map; the last one frees it.
 */
#ifndef PORTCULLIS_VFIO_DEVICE_H
#define PORTCULLIS_VFIO_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/loop.h>
#include <portcullis/pci.h>
#include <portcullis/vfio.h>
#include <portcullis/vfio_query.h>

#include "firewall.h"
#include "host/attach.h"
#include "host/device_io.h"
#include "irq.h"
#include "quirks.h"
#include "regions.h"

#define VFIO_RESET_DEADLINE_MS 10000
#define VFIO_CLOSE_DEADLINE_MS 1000

#define VFIO_MIRRORS_MAX 3
#define VFIO_BAR_UNMAPPED UINT64_MAX
#define VFIO_P2P_RETRY_MS 20

/* The expansion ROM's copy; see rom.c. */
struct vfio_rom {
	uint8_t *image;	   /* owned, NULL: no ROM is shown */
	uint64_t size;	   /* of image and BAR: a power of two, a page at least */
	uint64_t own;	   /* bytes of the device's own ROM */
	atomic_bool ready; /* image holds the ROM */
};

struct vfio_pci {
	struct pci_function fn;
	struct vfio_context *context;
	const struct vfio_lookup *lookup;   /* borrowed; NULL: the worker itself */
	struct vfio_attachment *attachment; /* NULL before open, after close, and in tests */
	struct vfio_env env;
	struct vfio_pci_options *options; /* owned */
	/* Found when it was opened; constant once identified is set. */
	char name[VFIO_NAME_MAX];
	int group; /* -1: none */
	unsigned container;
	const char *backend;
	atomic_bool identified;
	struct loop *worker;
	struct vfio_device_io *io; /* borrowed from the attachment; NULL while closed */
	uint32_t flags;		   /* VFIO_DEVICE_FLAGS_* */
	uint32_t completes;	   /* what is above it on the host: vfio_pci_completes() */
	uint64_t config_at;	   /* config space's offset on the device fd */
	unsigned config_size;
	struct vfio_region region[PCI_BARS];
	struct vfio_rom rom;
	/* mirror.c: rows of the quirk table; what the guest wrote, under fn's lock */
	const struct vfio_quirk *mirror[VFIO_MIRRORS_MAX];
	unsigned n_mirrors;
	uint8_t window[8];
	struct vfio_firewall firewall;
	struct vfio_irqs irqs;
	bool realized, fenced;
	bool handed_over;	 /* its fd came from outside, where others may hold it open */
	uint8_t power;		 /* D-state the guest last set, 0..3 */
	bool kernel_resets;	 /* when it is opened, and when its last fd is closed */
	bool needs_reset;	 /* worker; false: opening it was one, nobody had it since */
	atomic_bool quarantined; /* did not come back from a reset: vCPUs see no device */
	/* reset_prepare.c */
	atomic_bool resetting;	      /* vCPUs see no device */
	unsigned resets;	      /* main: that are prepared and not done */
	_Atomic uint64_t reset_grace; /* when it is over, no vCPU is in the device */
	unsigned reset_deadline_ms;
	unsigned resizable;		 /* bits of BARs whose size the host can change */
	const char *reset_methods;	 /* the kernel's, best first; "": unknown */
	_Atomic(const char *) reset_how; /* the last reset; static text */
	atomic_int error;		 /* enum vfio_severity */
	uint16_t express, aer;		 /* the device's own capabilities, 0: none */
	struct mail sync;		 /* main asks the worker to look at config space */
	struct loop_timer p2p_timer;
	atomic_bool sync_posted;
	/* Peer to peer: where main has each BAR, where the worker has it mapped for DMA. */
	_Atomic uint64_t p2p_wanted[VFIO_P2P_BARS], p2p_mapped[VFIO_P2P_BARS];
	atomic_uint references;
};

/* What a deferred access wants done: bits of io_request.arg. */
enum {
	VFIO_DEFER_SYNC = 1 << 0, /* interrupts, COMMAND, power */
	VFIO_DEFER_FLR = 1 << 1,
	VFIO_DEFER_PASS = 1 << 2,    /* write the device's config space */
	VFIO_DEFER_MAIN = 1 << 3,    /* then BAR mappings */
	VFIO_DEFER_ROM = 1 << 4,     /* read the expansion ROM */
	VFIO_DEFER_PREPARE = 1 << 5, /* main has to prepare a reset first */
	VFIO_DEFER_PREPARED = 1 << 6,
};

/* device.c: without attachment, so that tests can put a fake card in. */
/* Takes options. -ENOMEM. */
int vfio_device_new(struct vfio_pci **out, const struct vfio_env *env,
	struct vfio_pci_options *options, struct loop *worker);
/* Asks a device that was just attached what it is. io is borrowed until vfio_device_close(). */
int vfio_device_probe(struct vfio_pci *dev, struct vfio_device_io *io, struct err *err) ON_WORKER;
/* Everything but the attachment. */
void vfio_device_close(struct vfio_pci *dev) ON_WORKER;
/* struct pci_function_ops; for tests */
void vfio_bar_moved(struct pci_function *fn, unsigned bar, uint64_t addr, bool mapped) ON_MAIN;

/* lifetime.c */
void vfio_device_get(struct vfio_pci *dev);
void vfio_device_put(struct vfio_pci *dev);
/* On a vCPU: like io_defer(), and takes a reference that finish() must put. */
enum io_status vfio_defer(struct vfio_pci *dev, struct io_access *access,
	void (*finish)(struct io_request *), uint32_t arg);

/* access.c: config space of the device itself. 0 or -errno (a short transfer is -EIO). */
int vfio_device_read(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t *value);
int vfio_device_write(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value);
/* Physical COMMAND: decode always on (the guest's decode is ours to do), bus master as told. */
int vfio_device_command(struct vfio_pci *dev, bool master) ON_WORKER;
/* Bits of COMMAND: decode that is always on, and that the device has lost to a reset of its own. */
uint32_t vfio_device_decode_lost(const struct vfio_pci *dev, uint32_t command);

/* bar_access.c: struct pci_function_ops; opaque is a struct vfio_region */
unsigned vfio_bar_areas(struct pci_function *fn, unsigned bar, struct pci_area *out);
enum io_status vfio_bar_access(void *opaque, struct io_access *access);
void *vfio_bar_opaque(struct pci_function *fn, unsigned bar);

/* config_access.c: struct pci_function_ops */
uint32_t vfio_config_read(struct pci_function *fn, unsigned offset, unsigned size);
enum io_status vfio_config_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access);
/* Writes what the firewall lets through; false: nothing of it. */
bool vfio_config_pass(struct vfio_pci *dev, unsigned offset, unsigned size, uint32_t value);
/* Bus mastering, power and interrupts as config space says. */
void vfio_config_sync(struct vfio_pci *dev) ON_WORKER;

/* mirror.c */
/* Before BARs are mapped: which ways to config space the card has, if they are to be trapped. */
void vfio_mirror_find(struct vfio_pci *dev) ON_WORKER;
/* vCPU. True: the access was one, *status says what became of it; else it is the card's. */
bool vfio_mirror_access(
	struct vfio_region *region, struct io_access *access, enum io_status *status);

/* nv_clique.c: behind the firewall. -EINVAL, -ENOSPC with text. */
int vfio_nv_clique_add(struct vfio_pci *dev, struct err *err) ON_WORKER;

/* p2p.c: peer to peer. */
/* Main: the BAR is at addr now, or VFIO_BAR_UNMAPPED. True: the worker has something to do. */
bool vfio_p2p_moved(struct vfio_pci *dev, unsigned bar, uint64_t addr);
/*
 * A part of the work that maps BARs for DMA where main has them. What it leaves is done behind
 * other mail: neither a large BAR nor a guest that moves BARs all the time has the worker to
 * itself.
 */
enum vfio_p2p_sync { VFIO_P2P_DONE, VFIO_P2P_MORE, VFIO_P2P_RETRY };
enum vfio_p2p_sync vfio_p2p_sync(struct vfio_pci *dev) ON_WORKER;
/* No BAR is mapped for DMA any more; nor will be: the device is fenced or closed. */
void vfio_p2p_end(struct vfio_pci *dev) ON_WORKER;

/* rom.c */
/* Reads romfile, if there is one; before anything else is opened. */
int vfio_rom_open(struct vfio_pci *dev, struct err *err) ON_WORKER;
/* The BAR, with room for the image. */
void vfio_rom_declare(struct vfio_pci *dev) ON_WORKER;
/* The device's own ROM into the image, once; before the guest sees the BAR. */
void vfio_rom_load(struct vfio_pci *dev) ON_WORKER;
void vfio_rom_release(struct vfio_pci *dev);

/* reset.c */
/*
 * Resets the function, if need be with its whole bus, and waits until it answers; -EIO: it does
 * not, dev->quarantined is set. -ENOTTY: there is no way to reset it, the text says why.
 */
int vfio_reset_function(struct vfio_pci *dev, struct err *err) ON_WORKER;
/* The same with the kernel's own method only: quick, and no bus is reset for it. */
int vfio_reset_alone(struct vfio_pci *dev, struct err *err) ON_WORKER;
/* One of the two on a device the guest has: that it is lost is reported. */
int vfio_reset_running(struct vfio_pci *dev, bool alone, struct err *err) ON_WORKER;
/* Can this function be reset alone? */
bool vfio_reset_possible(const struct vfio_pci *dev);

/* reset_prepare.c */
/* Do vCPUs find no device: was it lost, or is it being reset? Any thread. */
bool vfio_device_absent(const struct vfio_pci *dev);
/* Until no vCPU is in an access to a device whose reset was prepared. */
void vfio_reset_wait(struct vfio_pci *dev) ON_WORKER;

/* error.c */
/* Finds the registers that tell of errors, in a copy of config space. */
void vfio_error_locate(struct vfio_pci *dev, const uint8_t *raw);
/* The kernel signalled an error: reads how bad, and reports it. */
void vfio_error_happened(struct vfio_pci *dev) ON_WORKER;
void vfio_error_report(struct vfio_pci *dev, enum vfio_severity severity) ON_WORKER;

#endif
