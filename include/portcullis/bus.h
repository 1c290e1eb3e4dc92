/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bus.h - who answers a guest access: the port and memory maps, read by vCPUs without a lock.
 *
 * Layer: L2, includes base only.
 * Who:   main edits regions and publishes; vCPUs look up in the published, immutable snapshot.
 * Grace: each vCPU owns a struct bus_reader that says in which snapshot it is while it handles an
 *        access. What was taken off the map, or out of what a region leads to (a function on its
 *        bus), may still be in use until the grace period that bus_grace() begins is over. Main
 *        only asks (bus_grace_over()) and never waits: the kernel may hold an access to a device as
 *        long as that is reset. A worker may wait (bus_wait()). Every removal needs a grace period,
 *        also of what was mapped nowhere.
 *        A reader never waits while inside: an access that needs main or a worker returns IO_DEFER,
 *        the vCPU posts the request, leaves the map, and waits outside.
 * Life:  the request is posted before the vCPU leaves. So once a grace period is over, every
 *        request that names a removed object is in its owner's mailbox: what is posted to it now
 *        runs after them, and is the place to free the object.
 * Gaps:  an access no region claims reads all ones and drops writes.
 */
#ifndef PORTCULLIS_BUS_H
#define PORTCULLIS_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <portcullis/loop.h>
#include <portcullis/role.h>

enum io_status {
	IO_DONE,  /* data is valid (reads) or taken (writes) */
	IO_DEFER, /* io_access.request was filled by io_defer(); the vCPU must post it and wait */
};

struct io_access;

/*
 * A guest access that somebody else finishes. One per vCPU, embedded, reused: a vCPU waits for one
 * thing at a time. finish() runs on the owner's loop; it (or whoever it hands the request to) calls
 * io_complete() exactly once.
 */
struct io_request {
	struct mail mail;
	struct loop *owner;
	void (*finish)(struct io_request *request);
	void *opaque;	       /* the device */
	uint64_t offset, data; /* copied from the access; finish() sets data for reads */
	uint8_t size;
	bool write;
	uint32_t arg;	       /* handler's own: which BAR, which vector */
	_Atomic uint32_t done; /* futex word: 0 from io_defer() to io_complete(), else 1 */
};

struct io_access {
	uint64_t offset; /* from the start of the region */
	uint64_t data;	 /* zero-extended */
	uint8_t size;	 /* 1, 2, 4 or 8, any alignment the guest chose */
	bool write;
	struct io_request *request; /* the vCPU's own; NULL outside a vCPU (tests) */
};

/* Runs on a vCPU (or in a test). No lock but one leaf lock, no allocation, no blocking. */
typedef enum io_status (*io_fn)(void *opaque, struct io_access *access);

/*
 * Fills access->request from access and returns IO_DEFER. Without a request (no vCPU: tests, main
 * itself) finish() is run at once, waited for, and IO_DONE returned.
 */
enum io_status io_defer(struct io_access *access, struct loop *owner,
	void (*finish)(struct io_request *), void *opaque, uint32_t arg);
/* Any thread: wakes the waiting vCPU; the request belongs to it again. */
void io_complete(struct io_request *request);
/* The two halves that bus_dispatch() does around leaving the map; for tests of handlers. */
void io_post(struct io_request *request);
void io_wait(struct io_request *request);

enum bus_space { BUS_PIO, BUS_MMIO };

struct bus_region {
	uint64_t base, size; /* size > 0, no wrap, no overlap with another region */
	io_fn fn;
	void *opaque;
	const char *name; /* borrowed, static */
};

struct bus_slot;

/*
 * Where a reader is: the name of a snapshot (its serial number and its place in bus->slots), 0
 * while it is outside. Names are not used twice.
 */
struct bus_reader {
	_Atomic uint64_t inside;
	struct bus_reader *next;
};

/* Working copy, sorted by base; main's. */
struct bus {
	struct bus_region *regions[2];
	size_t count[2];
	size_t room;		  /* per space, of the working copy and every snapshot */
	_Atomic uint64_t current; /* name of the snapshot that vCPUs enter */
	/* Snapshots: one for each reader to be in, the current one, and the next. */
	struct bus_slot *slots;
	unsigned n_slots;
	struct bus_reader *readers;
	bool dirty;
};

int bus_init(struct bus *bus);
void bus_release(struct bus *bus);
/* Before any vCPU's thread starts. reader is the caller's and lives as long as the bus. -ENOMEM. */
int bus_add_reader(struct bus *bus, struct bus_reader *reader) ON_MAIN;

/*
 * Makes room for extra more regions in each space, so that adding them cannot fail for want of
 * memory: what a guest may switch on later is reserved when its device is made. -ENOMEM.
 */
int bus_reserve(struct bus *bus, size_t extra) ON_MAIN;
/* -EBUSY overlap, -EINVAL empty or wrapping, -ENOMEM. Seen by vCPUs after bus_publish(). */
int bus_add(struct bus *bus, enum bus_space space, const struct bus_region *region) ON_MAIN;
/* -ENOENT. Cannot fail for a region that was added. */
int bus_del(struct bus *bus, enum bus_space space, uint64_t base) ON_MAIN;
/* How many regions have a byte in [base, base + size), which does not wrap. */
size_t bus_count(const struct bus *bus, enum bus_space space, uint64_t base, uint64_t size) ON_MAIN;
/* Cannot fail: bus_add() reserved the memory. Waits for nobody: see bus_grace(). */
void bus_publish(struct bus *bus) ON_MAIN;
/* Publishes, changed or not, and begins a grace period. Returns its name, never 0. */
uint64_t bus_grace(struct bus *bus) ON_MAIN;
/* Has every vCPU left what it was in when that grace period began? 0: yes. Any thread. */
bool bus_grace_over(const struct bus *bus, uint64_t grace);
/* Waits for it: as long as the kernel holds the access of a vCPU. */
void bus_wait(const struct bus *bus, uint64_t grace) ON_WORKER;

/*
 * One access. Takes no lock and allocates nothing. An access that straddles two regions is split
 * into bytes. Returns after the request, if any, was completed: access->data is final.
 */
void bus_dispatch(struct bus *bus, struct bus_reader *reader, enum bus_space space, uint64_t addr,
	struct io_access *access) ON_VCPU;

#endif
