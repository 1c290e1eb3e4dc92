/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_fixture.h - a vfio context on the fake host kernel, with cards in it and guest RAM: what
 * tests of attaching and mapping start from, and what has to be left of it at the end.
 *
 * Use:   vfio_fixture_start() with the test's cards in setup, *state being the fixture, and
 *        vfio_fixture_teardown() as the teardown. The fixture is too large for the stack.
 * RAM:   vfio_fixture_ram() lays it out in addresses nobody has; vfio_context_set_ram() is the
 *        test's, since it matters whether cards come before or after it.
 */
#ifndef TESTS_VFIO_FIXTURE_H
#define TESTS_VFIO_FIXTURE_H

#include <portcullis/err.h>
#include <portcullis/memory.h>

#include "../../src/vfio/host/context.h"
#include "fake_vfio_host.h"
#include "says.h"

#define FIXTURE_HVA ((uint8_t *)0x100000000000)

struct fixture_card {
	const char *bdf;
	int group;
	bool cdev; /* it has a node vfioN, N being its place in the table */
};

struct vfio_fixture {
	struct fake_vfio_host fake;
	struct vfio_context *context;
	struct ram ram;
	struct err err;
};

/*
 * A host with these cards, bound to vfio-pci, and a context. env: the machine's, whose host gives
 * way to the fake one; NULL: fake_vfio_env().
 */
void vfio_fixture_start(struct vfio_fixture *fixture, const struct fixture_card *cards, unsigned n,
	const struct vfio_env *env);
/* The host is as it was, and no rule of the kernel's was broken. */
int vfio_fixture_teardown(void **state);

/* Segments of { gpa, size }, one behind the other from FIXTURE_HVA. page_size: of its backing. */
void vfio_fixture_ram(struct vfio_fixture *fixture, uint64_t page_size,
	const uint64_t (*segments)[2], unsigned n);

/* Bytes of guest memory that are mapped for DMA now, over all containers. Any thread. */
uint64_t vfio_fixture_mapped_bytes(struct vfio_context *context);

/* Of a card without an address in the guest. A bdf that is none is vfio_attach()'s to refuse. */
struct vfio_pci_options vfio_fixture_options(const char *bdf);
/* "-object iommufd,id=ID[,fd=FD]"; fd -1: without. */
int vfio_fixture_add_iommufd(struct vfio_fixture *fixture, const char *id, int fd);
/* By its group. Several threads may at once, so err is the caller's. */
int vfio_fixture_attach(struct vfio_fixture *fixture, const char *bdf, struct vfio_attachment **out,
	struct err *err);
/* The guest puts a BAR of 64 KiB there, and the worker makes one step of mapping it. */
void vfio_fixture_p2p_map(struct vfio_attachment *attachment, uint64_t addr);

/*
 * cycle() attaches and detaches. The n-th call into the kernel fails, for every n until all goes
 * well, and each time nothing stays behind. Returns the n after the last.
 */
unsigned long vfio_fixture_faults(struct vfio_fixture *fixture, int (*cycle)(void));

#endif
