/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_context.c - DMA mappings of a machine: how RAM is cut, undone and counted, BARs beside
 * it, readers while a worker maps, and workers beside each other.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <portcullis/vfio_query.h>

#include "says.h"
#include "vfio_fixture.h"

#define DEV_A "0000:1a:00.0"
#define DEV_C "0000:1b:00.0"
#define GIB (1ull << 30)

static struct vfio_fixture vfio;

static int setup(void **state)
{
	static const struct fixture_card cards[] = {
		{ DEV_A, 12, false },
		{ DEV_C, 13, false },
	};
	static const uint64_t segments[][2] = { { 0, 3 * GIB }, { 4 * GIB, GIB + (GIB >> 2) } };

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 2, NULL);
	vfio_fixture_ram(&vfio, GIB, segments, 2);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	return 0;
}

static struct vfio_attachment *attach(const char *bdf)
{
	struct vfio_attachment *attachment = NULL;

	assert_int_equal(vfio_fixture_attach(&vfio, bdf, &attachment, &vfio.err), 0);
	return attachment;
}

static void test_ram_mapped(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *c;

	(void)state;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_true(fake_vfio_mapped(&vfio.fake, 0, 3 * GIB, FIXTURE_HVA));
	assert_true(fake_vfio_mapped(&vfio.fake, 4 * GIB, GIB + (GIB >> 2), FIXTURE_HVA + 3 * GIB));
	assert_false(fake_vfio_mapped(&vfio.fake, 3 * GIB, 4096, FIXTURE_HVA + 3 * GIB));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_true(vfio.fake.spaces[0].maps[i].writable);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), vfio.ram.layout.size);
	/* Once per container, whoever asks. */
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	c = attach(DEV_C);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(vfio.fake.maps, 5);
	vfio_detach(a);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 5);
	vfio_detach(c);
	assert_int_equal(vfio.fake.unmaps, 5);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

/* A page of RAM is other memory than it was. */
static void replace(uint64_t gpa)
{
	vfio.ram.replaced[vfio.ram.n_replaced] = gpa;
	atomic_fetch_add(&vfio.ram.n_replaced, 1);
}

static void test_ram_replaced(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *c = attach(DEV_C);

	(void)state;
	replace(5 * 4096); /* before anything was mapped: nothing to mend */
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(vfio.fake.maps, 5);
	/* The pieces that the pages lie in, once per container. */
	replace(4 * GIB + 4096);
	replace(2 * GIB - 4096);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(vfio.fake.unmaps, 2);
	assert_int_equal(vfio.fake.maps, 7);
	assert_true(fake_vfio_mapped(&vfio.fake, 0, 3 * GIB, FIXTURE_HVA));
	assert_true(fake_vfio_mapped(&vfio.fake, 4 * GIB, GIB + (GIB >> 2), FIXTURE_HVA + 3 * GIB));
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), vfio.ram.layout.size);
	/* A piece that cannot be mapped again is missed, by everybody. */
	replace(GIB);
	vfio.fake.fail_at = vfio.fake.calls + 1;
	vfio.fake.fail_errno = ENOMEM;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ENOMEM);
	assert_says(vfio.err.text, "cannot map guest memory 0x40000000-0x7fffffff for DMA");
	vfio.fake.fail_at = 0;
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), -ENXIO);
	assert_says(vfio.err.text, "guest memory 0x40000000 is not mapped for DMA by '" DEV_C);
	vfio_detach(a);
	vfio_detach(c);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
}

static void test_no_ram_yet(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio_context_set_ram(vfio.context, NULL);
	a = attach(DEV_A);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -EINVAL);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	vfio_detach(a);
}

/*
 * Memory of 1 GiB pages: pieces end at multiples of that, so that such IOMMU pages stay possible.
 */
static void test_piece_alignment(void **state)
{
	static const uint64_t segments[1][2] = { { GIB - 0x200000, 2 * GIB } };
	struct vfio_attachment *a;

	(void)state;
	vfio_fixture_ram(&vfio, GIB, segments, 1);
	a = attach(DEV_A);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(vfio.fake.spaces[0].n_maps, 3);
	assert_int_equal(vfio.fake.spaces[0].maps[0].size, 0x200000);
	assert_int_equal(vfio.fake.spaces[0].maps[1].iova, GIB);
	assert_int_equal(vfio.fake.spaces[0].maps[1].size, GIB);
	assert_int_equal(vfio.fake.spaces[0].maps[2].size, GIB - 0x200000);
	vfio_detach(a);
}

static void test_piece_size(void **state)
{
	static const uint64_t segments[2][2] = { { 0, 3 * GIB }, { 4 * GIB, 1021 * GIB } };
	unsigned pieces;

	(void)state;
	vfio_fixture_ram(&vfio, GIB, segments, 2);
	/* Small, so that the end need not wait long for one. */
	vfio.ram.page_size = 4096;
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, UINT32_MAX, &pieces), GIB / 8);
	assert_int_equal(pieces, 8192);
	vfio.ram.page_size = 2u << 20;
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 65535, &pieces), GIB / 8);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 4096, &pieces), GIB / 2);
	vfio.ram.page_size = GIB;
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, UINT32_MAX, &pieces), GIB);
	assert_int_equal(pieces, 1024);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 65535, &pieces), GIB);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 2048, &pieces), GIB);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 2047, &pieces), 2 * GIB);
	assert_true(pieces <= 1023);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 16, &pieces), 256 * GIB);
	assert_int_equal(pieces, 6);
	/* Two segments are two mappings at least: no half is left over then. */
	assert_true(vfio_ram_piece_size(&vfio.ram, 3, &pieces) > 1024 * GIB);
	assert_int_equal(pieces, 2);
	assert_true(vfio_ram_piece_size(&vfio.ram, 2, &pieces) > 1024 * GIB);
	assert_int_equal(vfio_ram_piece_size(&vfio.ram, 1, &pieces), 0);
}

static void test_few_mappings(void **state)
{
	struct vfio_attachment *a;

	(void)state;
	vfio.fake.dma_avail = 6;
	a = attach(DEV_A);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 3);
	vfio_detach(a);
	vfio.fake.dma_avail = 1;
	a = attach(DEV_A);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ENOSPC);
	assert_says(vfio.err.text, "only 1 more DMA mappings");
	assert_says(vfio.err.hint, "dma_entry_limit");
	vfio_detach(a);
}

static void test_out_of_memory_rolls_back(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);

	(void)state;
	vfio.fake.pin_limit = 4 * GIB;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ENOMEM);
	assert_says(vfio.err.text, "cannot map guest memory 0x140000000-0x14fffffff");
	assert_says(vfio.err.text, "'" DEV_A "'");
	assert_says(vfio.err.hint, "locked memory");
	assert_int_equal(vfio.fake.maps, 4);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 0);
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ENOMEM);
	assert_int_equal(a->container->ledger.capacity, VFIO_DEVICE_MAPS + 5);
	/* The cause is gone: the same call works. */
	vfio.fake.pin_limit = UINT64_MAX;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	vfio_detach(a);
}

static void test_memlock_before_mapping(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);

	(void)state;
	fake_vfio_file(
		&vfio.fake, "proc/status", "VmLck:\t       0 kB\nCapEff:\t0000000000000000\n");
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ENOMEM);
	assert_says(vfio.err.text, "4563402752 bytes");
	assert_says(vfio.err.text, "8388608 bytes are allowed");
	assert_int_equal(vfio.fake.maps, 0);
	vfio_detach(a);
}

/*
 * The memory this container pins already is in VmLck and not needed twice: no check the second
 * time.
 */
static void test_memlock_counts_once(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *c;

	(void)state;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	fake_vfio_file(
		&vfio.fake, "proc/status", "VmLck:\t       0 kB\nCapEff:\t0000000000000000\n");
	c = attach(DEV_C);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	vfio_detach(a);
	vfio_detach(c);
}

static struct vfio_attachment *to_cancel;
static void cancel_at_third(struct fake_vfio_host *host)
{
	if (host->maps == 2)
		vfio_attachment_cancel(to_cancel);
}

static void test_cancel(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);

	(void)state;
	to_cancel = a;
	vfio.fake.on_map = cancel_at_third;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), -ECANCELED);
	assert_int_equal(vfio.fake.maps, 3);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 0);
	vfio_detach(a);
}

/* What peers.c does with a piece of a BAR, without its rules. */
static int map_piece(
	struct vfio_attachment *attachment, uint64_t iova, void *hva, uint64_t size, bool writable)
{
	struct ledger_entry entry = {
		.iova = iova, .size = size, .kind = LEDGER_BAR, .owner = attachment
	};

	return vfio_container_map(attachment->container, &entry, hva, writable);
}

static void unmap_piece(struct vfio_attachment *attachment, uint64_t iova, uint64_t size)
{
	(void)vfio_container_unmap(attachment->container, iova, size);
}

static void test_bars(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *c = attach(DEV_C);
	void *bar = (void *)0x7000000000;

	(void)state;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(map_piece(a, 0xd0000000, bar, 0x10000, true), 0);
	assert_int_equal(map_piece(c, 0xd000f000, bar, 0x1000, true), -EEXIST);
	assert_int_equal(map_piece(c, 3 * GIB - 0x1000, bar, 0x1000, true), -EEXIST);
	assert_int_equal(map_piece(c, 0xd0010000, bar, 0x1000, false), 0);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 7);
	/* Only RAM counts as guest memory. */
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), vfio.ram.layout.size);
	unmap_piece(a, 0xd0000000, 0x8000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 7);
	unmap_piece(a, 0xd0000000, 0x10000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 6);
	/* What a device forgot goes with it, and only that. */
	assert_int_equal(map_piece(a, 0xd0000000, bar, 0x10000, true), 0);
	vfio_detach(a);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 6);
	assert_true(fake_vfio_mapped(&vfio.fake, 0xd0010000, 0x1000, bar));
	vfio_detach(c);
}

/* A BAR that the kernel refuses leaves no trace; the room for a device's BARs is bounded. */
static void test_bar_limits(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);
	unsigned capacity = a->container->ledger.capacity;

	(void)state;
	assert_int_equal(map_piece(a, 0xd0000800, (void *)0x7000000000, 0x1000, true), -EINVAL);
	for (uint64_t i = 0; i < VFIO_DEVICE_MAPS; i++)
		assert_int_equal(
			map_piece(a, 0xd0000000 + i * 0x1000, (void *)0x7000000000, 0x1000, true),
			0);
	assert_int_equal(map_piece(a, 0xe0000000, (void *)0x7000000000, 0x1000, true), -ENOSPC);
	assert_int_equal(a->container->ledger.capacity, capacity);
	vfio_detach(a);
}

struct seen {
	unsigned n, ram;
	uint64_t bytes;
};

static void see(const struct vfio_mapping *mapping, void *opaque)
{
	struct seen *seen = opaque;

	assert_string_equal(mapping->backend, "type1v2");
	seen->n++;
	seen->ram += mapping->ram;
	seen->bytes += mapping->size;
}

static void test_mappings(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);
	struct seen seen = { 0 };

	(void)state;
	vfio_context_mappings(vfio.context, see, &seen);
	assert_int_equal(seen.n, 0);
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	assert_int_equal(map_piece(a, 0xd0000000, (void *)0x7000000000, 0x10000, true), 0);
	vfio_context_mappings(vfio.context, see, &seen);
	assert_int_equal(seen.n, 6);
	assert_int_equal(seen.ram, 5);
	assert_int_equal(seen.bytes, vfio.ram.layout.size + 0x10000);
	vfio_detach(a);
}

/* Unmapping that fails is told and does not stop the way back. */
static void test_unmap_fails(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);

	(void)state;
	assert_int_equal(map_piece(a, 0xd0000000, (void *)0x7000000000, 0x10000, true), 0);
	vfio.fake.unmap_error = EIO;
	vfio_detach(a);
	assert_string_equal(vfio.fake.violation, "last group left with 1 mappings");
	vfio.fake.violation[0] = '\0';
	assert_true(fake_vfio_idle(&vfio.fake));
}

static void test_free_closes(void **state)
{
	struct vfio_attachment *a = attach(DEV_A);
	struct vfio_env env = fake_vfio_env(&vfio.fake);

	(void)state;
	assert_int_equal(vfio_attachment_map_ram(a, &vfio.err), 0);
	vfio_context_free(vfio.context);
	assert_true(fake_vfio_idle(&vfio.fake));
	vfio_context_free(NULL);
	assert_int_equal(vfio_context_new(&vfio.context, &env), 0);
}

/* A machine without KVM's side, and the real host: nothing is opened before a device is. */
static void test_real_host(void **state)
{
	struct vfio_env env = { 0 };
	struct vfio_context *real;
	unsigned fds = fake_process_fds();

	(void)state;
	assert_int_equal(vfio_context_new(&real, &env), 0);
	assert_int_equal(fake_process_fds(), fds);
	assert_int_equal(vfio_context_kvm_add(real, 3), 0);
	vfio_context_kvm_del(real, 3);
	vfio_context_free(real);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, vfio_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_ram_mapped),
		CASE(test_ram_replaced),
		CASE(test_no_ram_yet),
		CASE(test_piece_alignment),
		CASE(test_piece_size),
		CASE(test_few_mappings),
		CASE(test_out_of_memory_rolls_back),
		CASE(test_memlock_before_mapping),
		CASE(test_memlock_counts_once),
		CASE(test_cancel),
		CASE(test_bars),
		CASE(test_bar_limits),
		CASE(test_mappings),
		CASE(test_unmap_fails),
		CASE(test_free_closes),
		CASE(test_real_host),
	};

	return cmocka_run_group_tests_name("vfio_context", tests, NULL, NULL);
}
