/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci.h - PCI functions as the guest sees them: config space, BARs, capabilities, the tree.
 *
 * Layer: L3, includes base and bus; knows neither KVM nor VFIO: it is handed a struct pci_sink.
 * Who:   the tree changes on main only. Config accesses come from vCPUs: reads take the function's
 *        leaf lock for emulated bytes; a write with an effect elsewhere returns IO_DEFER.
 * Tree:  pcie.0 holds 256 devfns, which the guest finds on bus 0 or, where ports are of a NUMA node,
 *        spread over several root buses; a root port has one child bus with slot 0 only. Children
 *        are atomic pointers. A removed function is freed as bus.h says under Life.
 * More:  pci_host.h has what is above functions: config cycles, bridges, address assignment.
 */
#ifndef PORTCULLIS_PCI_H
#define PORTCULLIS_PCI_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <portcullis/bus.h>
#include <portcullis/role.h>

struct err;
struct pci_function;
struct pci_bus;

#define PCI_CONFIG_SIZE 4096
#define PCI_BARS 7 /* 0..5 and the expansion ROM */
#define PCI_ROM 6
#define PCI_DEVFN(slot, fn) ((uint8_t)((slot) << 3 | (fn)))
#define PCI_RESERVE_AUTO UINT64_MAX /* as much as there is room for, up to a sensible size */

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_ROM };

/*
 * A piece of a BAR and how it is reached. What is mapped is whole pages; or it is all of a BAR that is
 * smaller than one: then the rest of the page behind hva is the device's as well, and the guest gets
 * it while the BAR begins a page in which nothing else is.
 */
struct pci_area {
	uint64_t offset, size; /* in the BAR */
	void *hva;	       /* NULL: trapped */
	bool readonly;
};
#define PCI_AREAS_MAX 16
#define PCI_PAGE 4096u

/* Where the machine has put a BAR; the sink's own. */
struct pci_bar_place {
	bool on_bus;
	enum bus_space space;
	uint64_t base;
	unsigned n_memslots;
	unsigned memslot[PCI_AREAS_MAX];
};

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	uint64_t size; /* power of two; the upper half of a 64-bit BAR is PCI_BAR_NONE */
	uint64_t addr; /* what is programmed in config space */
	bool mapped;   /* main: sink->map_bar() was called with mapped_at */
	uint64_t mapped_at;
};

/* What pci asks of the machine. All ON_MAIN unless said. */
struct pci_sink {
	/* BAR decode on/off or moved; failure leaves it unmapped (counted, logged), never fatal. */
	int (*map_bar)(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr);
	void (*unmap_bar)(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr);
	/* All BARs of fn are trapped from now on, or mapped again. */
	void (*trap_bars)(void *opaque, struct pci_function *fn, bool trapped);
	/* An interrupt message from an emulated function. */
	void (*raise_msi)(void *opaque, uint64_t addr, uint32_t data);
	/* The bus whose publish makes unmap/map visible; called once after a batch of changes. */
	void (*commit)(void *opaque);
	void *opaque;
	struct loop *main; /* where deferred config writes go */
};

struct pci_function_ops {
	/* vCPU. Instead of the emulated bytes; NULL: pci_config_read(). */
	uint32_t (*config_read)(struct pci_function *fn, unsigned offset, unsigned size);
	/* vCPU. NULL: pci_config_write() and BAR tracking. */
	enum io_status (*config_write)(
		struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access);
	/* As pci_function_reset(). Back to power-on; reset_config was copied already. */
	void (*reset)(struct pci_function *fn);
	/*
	 * How a BAR is reached: pieces in ascending offset that cover it, at most PCI_AREAS_MAX.
	 * NULL, or none: all of it is trapped.
	 */
	unsigned (*areas)(struct pci_function *fn, unsigned bar, struct pci_area *out);
	/* vCPU. io_fn of what is trapped, offset from the BAR's start; and its opaque for a BAR. */
	io_fn bar_access;
	void *(*bar_opaque)(struct pci_function *fn, unsigned bar);
	/* main. A BAR was mapped at, or removed from, guest address space. May be NULL. */
	void (*bar_moved)(struct pci_function *fn, unsigned bar, uint64_t addr, bool mapped);
	/* main. There is no room for a BAR: hints at what can be done about its size. May be NULL. */
	void (*bar_hint)(struct pci_function *fn, unsigned bar, struct err *err);
};

struct pci_function {
	const char *id;			    /* borrowed: the device's id, or a fixed name */
	const struct pci_function_ops *ops; /* NULL: the default handlers */
	void *opaque;			    /* the device */
	_Atomic(struct pci_bus *) bus;	    /* where it is plugged, NULL: nowhere */
	uint8_t root;	  /* on pcie.0: which of the host's root buses (pci_host.h) shows it */
	uint8_t root_bus; /* that one's number; pci_assign() sets it */
	uint8_t devfn;
	bool multifunction;	      /* header type bit 7, whatever config is rebuilt to */
	uint16_t cap_free;	      /* first byte behind the capabilities added so far */
	_Atomic uint32_t bus_numbers; /* bridge: copy of the dword at 0x18, to be read unlocked */
	pthread_mutex_t lock;	      /* leaf: config bytes */
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t wmask[PCI_CONFIG_SIZE];	  /* 1: the guest may change this bit */
	uint8_t w1cmask[PCI_CONFIG_SIZE]; /* 1: writing one clears the bit */
	uint8_t reset_config[PCI_CONFIG_SIZE];
	struct pci_bar bar[PCI_BARS];
	struct pci_bar_place place[PCI_BARS];
	bool bars_trapped;     /* the sink's: it is being reset, no memslot */
	struct pci_bus *child; /* root port: its secondary bus */
	/* root port: room kept behind it for what may be plugged, bytes; PCI_RESERVE_AUTO */
	uint64_t reserve_mem32, reserve_pref64, reserve_io;
};

struct pci_bus {
	const char *name;	     /* "pcie.0" or the root port's id; borrowed */
	struct pci_function *bridge; /* NULL for pcie.0 */
	struct pci_sink *sink;
	_Atomic(struct pci_function *) function[256];
};

void pci_function_init(
	struct pci_function *fn, const char *id, const struct pci_function_ops *ops, void *opaque);
void pci_function_release(struct pci_function *fn);

void pci_bus_init(
	struct pci_bus *bus, const char *name, struct pci_function *bridge, struct pci_sink *sink);
/* Remembers config as what it is at power-on (reset_config). */
void pci_function_save(struct pci_function *fn);
/*
 * Config back to that, BARs at 0, then ops->reset(). Mappings are the caller's. Main, or the worker of
 * a passed-through function that is being reset.
 */
void pci_function_reset(struct pci_function *fn);

/*
 * -EBUSY slot taken or function conflicts with the slot's function 0 being single-function (text as
 * users of QEMU know it), -EINVAL (behind a root port only slot 0). multifunction sets bit 7 of the
 * header type of fn. pci_check_place() only asks.
 */
int pci_plug(struct pci_bus *bus, struct pci_function *fn, uint8_t devfn, bool multifunction,
	struct err *err) ON_MAIN;
int pci_check_place(
	struct pci_bus *bus, const char *id, uint8_t devfn, bool multifunction, struct err *err);
/* Unmaps BARs, takes it off the bus. It is freed as bus.h says under Life, after a bus_grace(). */
void pci_unplug(struct pci_function *fn) ON_MAIN;

/* Little-endian access to emulated bytes; no lock: callers hold fn->lock or own fn. */
uint32_t pci_get(const uint8_t *bytes, unsigned offset, unsigned size);
void pci_put(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value);

/* The default handlers: masks applied under the lock. Accesses outside config space read ones. */
uint32_t pci_config_read(struct pci_function *fn, unsigned offset, unsigned size);
/*
 * Applies masks (the caller holds fn->lock or owns fn); returns true when a BAR is now decoded
 * elsewhere, or not any more: pci_update_mappings() and sink->commit() are due, on main.
 */
bool pci_config_apply(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value);
enum io_status pci_config_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access);
/* By way of the function's ops, or the default handlers. */
uint32_t pci_function_read(struct pci_function *fn, unsigned offset, unsigned size);
enum io_status pci_function_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access);

/*
 * Adds a capability at the next free place (or at want != 0), behind the others, and links it last.
 * Returns its offset, 0: no room.
 */
unsigned pci_add_cap(struct pci_function *fn, uint8_t id, unsigned want, unsigned size);
/* Its offset, 0: there is none. Takes the lock. */
unsigned pci_find_cap(struct pci_function *fn, uint8_t id);
/* Declares a BAR; sets the type bits and write mask. */
void pci_set_bar(struct pci_function *fn, unsigned index, enum pci_bar_kind kind, uint64_t size,
	bool prefetchable);
/*
 * Compares COMMAND and BARs with what is mapped and calls the sink for each difference; the caller
 * calls sink->commit().
 */
void pci_update_mappings(struct pci_function *fn) ON_MAIN;

#endif
