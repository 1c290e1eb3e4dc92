/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_vfio_peers.c - peer to peer: whose BARs are mapped for DMA where, as BARs move and devices
 * come and go, with both backends.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/pci_regs.h>

#include <portcullis/vfio_query.h>

#include "fake_vfio_device.h"
#include "log_capture.h"
#include "vfio_fixture.h"

#define DEV_A "0000:1a:00.0"
#define DEV_B "0000:1b:00.0"
#define DEV_C "0000:1c:00.0"
#define MIB (1ull << 20)
#define BAR_HVA ((uint8_t *)0x7000000000)

static struct vfio_fixture vfio;
static struct fake_rig rig;

static int setup(void **state)
{
	static const struct fixture_card cards[] = {
		{ DEV_A, 12, false },
		{ DEV_B, 13, false },
		{ DEV_C, 14, true },
	};
	static const uint64_t segments[][2] = { { 0, 128 * MIB } };

	*state = &vfio;
	vfio_fixture_start(&vfio, cards, 3, NULL);
	vfio_fixture_ram(&vfio, 0, segments, 1);
	vfio_context_set_ram(vfio.context, &vfio.ram);
	log_capture_start();
	return 0;
}

static int teardown(void **state)
{
	log_capture_stop();
	return vfio_fixture_teardown(state);
}

static struct vfio_attachment *attach_by(const char *bdf, char *iommufd)
{
	struct vfio_pci_options options = vfio_fixture_options(bdf);
	struct vfio_attachment *attachment = NULL;

	options.iommufd = iommufd;
	assert_int_equal(vfio_attach(vfio.context, &options, -1, NULL, &attachment, &vfio.err), 0);
	assert_int_equal(vfio_attachment_map_ram(attachment, &vfio.err), 0);
	return attachment;
}

static struct vfio_attachment *attach(const char *bdf)
{
	return attach_by(bdf, NULL);
}

static struct vfio_attachment *attach_iommufd(const char *bdf)
{
	static char id[] = "i0";

	assert_int_equal(vfio_fixture_add_iommufd(&vfio, id, -1), 0);
	return attach_by(bdf, id);
}

static void step_all(struct vfio_attachment *attachment)
{
	int ret;

	while ((ret = vfio_attachment_p2p_map(attachment)) == 1)
		;
	assert_int_equal(ret, 0);
}

static void unmap_bar(struct vfio_attachment *attachment, unsigned bar)
{
	assert_int_equal(vfio_attachment_p2p_set(attachment, bar, 0, NULL, 0), 0);
	step_all(attachment);
}

/* A BAR of 64 KiB with a trapped page in it, and its place in a big fake address space. */
static void show(struct vfio_attachment *attachment, unsigned bar, uint64_t addr)
{
	uint8_t *hva = BAR_HVA + bar * MIB;
	const struct pci_area areas[] = { { 0, 0x8000, hva, false },
		{ 0x8000, 0x1000, NULL, false }, { 0x9000, 0x7000, hva + 0x9000, false } };

	assert_int_equal(vfio_attachment_p2p_set(attachment, bar, addr, areas, 3), 0);
	step_all(attachment);
}

static bool reachable(uint64_t addr, unsigned bar)
{
	const uint8_t *hva = BAR_HVA + bar * MIB;

	return fake_vfio_mapped(&vfio.fake, addr, 0x8000, hva) &&
	       fake_vfio_mapped(&vfio.fake, addr + 0x9000, 0x7000, hva + 0x9000);
}

static void test_pieces(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);

	(void)state;
	show(a, 2, 0xd0000000);
	assert_true(reachable(0xd0000000, 2));
	assert_false(fake_vfio_mapped(&vfio.fake, 0xd0008000, 0x1000, BAR_HVA + 2 * MIB + 0x8000));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 3);
	/* It does not count as guest memory. */
	assert_int_equal(vfio_fixture_mapped_bytes(vfio.context), 128 * MIB);
	/* It moves: gone there before it is here. */
	show(a, 2, 0xd0100000);
	assert_true(reachable(0xd0100000, 2));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 3);
	unmap_bar(a, 2);
	unmap_bar(a, 2);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	vfio_detach(a);
	vfio_detach(b);
	assert_string_equal(log_captured(), "");
}

static void *reset_begins(void *opaque)
{
	vfio_attachment_reset_begins(opaque);
	return NULL;
}

/* A device that is being reset is left alone, by whoever maps for its own device. */
static void test_not_during_a_reset(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b;
	pthread_t worker;

	(void)state;
	show(a, 0, 0xd0000000);
	vfio_attachment_reset_begins(a);
	b = attach(DEV_B);
	assert_int_equal(vfio_attachment_p2p_map(b), -EAGAIN);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	vfio_attachment_reset_ends(a);
	step_all(b);
	assert_true(reachable(0xd0000000, 0));
	/* A step that is under way is waited for. */
	atomic_store(&a->being_mapped, true);
	assert_int_equal(pthread_create(&worker, NULL, reset_begins, a), 0);
	while (!atomic_load(&a->resetting))
		usleep(1000);
	assert_int_equal(pthread_tryjoin_np(worker, NULL), EBUSY);
	atomic_store(&a->being_mapped, false);
	assert_int_equal(pthread_join(worker, NULL), 0);
	vfio_attachment_reset_ends(a);
	vfio_detach(a);
	vfio_detach(b);
}

/* A lone device's BARs cost nothing; they are mapped when somebody comes, and stay after that. */
static void test_only_with_a_peer(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b;

	(void)state;
	show(a, 0, 0xd0000000);
	show(a, 1, 0xd0100000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	b = attach(DEV_B);
	/* Not while it is being added: that would take as long as the BARs are large. */
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	step_all(b);
	assert_true(reachable(0xd0000000, 0) && reachable(0xd0100000, 1));
	vfio_detach(b);
	assert_true(reachable(0xd0000000, 0) && reachable(0xd0100000, 1));
	/* Moving, it finds itself alone. */
	show(a, 0, 0xd0200000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 3);
	b = attach(DEV_B);
	step_all(b);
	assert_true(reachable(0xd0200000, 0) && reachable(0xd0100000, 1));
	/* The owner goes: so do its BARs, whoever is left. */
	vfio_detach(a);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	vfio_detach(b);
}

/* 64 GiB and more: pieces, a step's worth at a time, and as many as there is room for. */
static void test_large(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);
	struct pci_area area = { .size = 64ull << 30, .hva = BAR_HVA };
	unsigned steps = 0;

	(void)state;
	assert_int_equal(vfio_attachment_p2p_set(a, 0, 1ull << 38, &area, 1), 0);
	while (vfio_attachment_p2p_map(b) == 1)
		steps++;
	assert_int_equal(steps, 63);
	assert_true(fake_vfio_mapped(&vfio.fake, 1ull << 38, 64ull << 30, BAR_HVA));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1 + 64);
	/* It moves when it is half done. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vfio_attachment_p2p_set(a, 0, (64ull + i) << 36, &area, 1), 0);
		assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
		assert_int_equal(vfio_attachment_p2p_map(a), 1);
		assert_int_equal(vfio_attachment_p2p_map(a), 1);
	}
	/* Six of the largest that a processor can address. */
	area.size = 1ull << 45;
	for (unsigned i = 0; i < VFIO_P2P_BARS; i++)
		assert_int_equal(vfio_attachment_p2p_set(a, i, (8ull + i) << 45, &area, 1), 0);
	step_all(a);
	assert_true(fake_vfio_total_maps(&vfio.fake) <= 1 + VFIO_DEVICE_MAPS);
	assert_true(fake_vfio_mapped(&vfio.fake, 13ull << 45, 1ull << 45, BAR_HVA));
	assert_string_equal(log_captured(), "");
	vfio_detach(b);
	vfio_detach(a);
}

/* Memory is being pinned for another device: nobody waits. */
static void test_nobody_waits(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);
	struct pci_area area = { .size = MIB, .hva = BAR_HVA };

	(void)state;
	pthread_mutex_lock(&vfio.context->lock);
	assert_int_equal(vfio_attachment_p2p_set(a, 0, 0xd0000000, &area, 1), -EAGAIN);
	assert_int_equal(vfio_attachment_p2p_map(a), -EAGAIN);
	pthread_mutex_unlock(&vfio.context->lock);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	vfio_detach(b);
	vfio_detach(a);
}

/* Two devices trade places; each worker knows of its own half only. */
static void test_trade_places(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);

	(void)state;
	show(a, 0, 0xd0000000);
	show(b, 1, 0xd0100000);
	/* A's worker is first: b is still there. */
	show(a, 0, 0xd0100000);
	assert_true(reachable(0xd0100000, 1));
	show(b, 1, 0xd0000000);
	step_all(a);
	assert_true(reachable(0xd0100000, 0) && reachable(0xd0000000, 1));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 5);
	assert_string_equal(log_captured(), "");
	vfio_detach(b);
	vfio_detach(a);
}

/* A guest may put a BAR where its memory is. DMA goes on to reach memory. */
static void test_over_memory(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		show(a, 0, MIB * i);
		assert_true(fake_vfio_mapped(&vfio.fake, 0, 128 * MIB, FIXTURE_HVA));
		assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	}
	assert_int_equal(log_captured_lines(), 1);
	assert_non_null(strstr(log_captured(), "BAR 0 of '" DEV_A "'"));
	/* Nor is it in the way of a device that comes later. */
	vfio_detach(b);
	b = attach_iommufd(DEV_C);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 2);
	vfio_detach(b);
	vfio_detach(a);
}

/* Another address space: the BAR is mapped there too, if that has room. */
static void test_two_address_spaces(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *c;

	(void)state;
	show(a, 0, 0xd0000000);
	c = attach_iommufd(DEV_C);
	step_all(c);
	assert_int_not_equal(vfio_attachment_container(a), vfio_attachment_container(c));
	/* In c's space, which has a peer of a; not in a's own. */
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1 + 1 + 2);
	assert_true(reachable(0xd0000000, 0));
	show(c, 1, 0xd0100000);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1 + 1 + 2 + 2);
	unmap_bar(a, 0);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1 + 1 + 2);
	vfio_detach(c);
	vfio_detach(a);
}

/* The kernel refuses (IOMMUFD and device memory): one warning per BAR, everything else works. */
static void test_refused(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);
	struct pci_area area = { .size = 0x1000, .hva = BAR_HVA + 1 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		vfio_attachment_p2p_set(a, 0, 0xd0000000 + i * MIB, &area, 1);
		vfio_attachment_p2p_set(a, 1, 0xd8000000 + i * MIB, &area, 1);
		step_all(a);
	}
	assert_int_equal(log_captured_lines(), 2);
	assert_non_null(
		strstr(log_captured(), "DMA will not reach BAR 0 of '" DEV_A "' at 0xd0000000"));
	assert_non_null(strstr(log_captured(), "BAR 1"));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	/* Room in the ledger is not lost either. */
	for (unsigned i = 0; i < 200; i++) {
		show(a, 0, 0xd0000000 + i * MIB);
		assert_true(reachable(0xd0000000 + i * MIB, 0));
	}
	vfio_detach(b);
	vfio_detach(a);
}

/* A device that is being added: memory is mapped first, whatever the guest does meanwhile. */
static void test_memory_first(void **state)
{
	static char id[] = "i0";
	struct vfio_pci_options options = vfio_fixture_options(DEV_C);
	struct vfio_attachment *a = attach(DEV_A), *c = NULL;

	(void)state;
	options.iommufd = id;
	assert_int_equal(vfio_fixture_add_iommufd(&vfio, id, -1), 0);
	assert_int_equal(vfio_attach(vfio.context, &options, -1, NULL, &c, &vfio.err), 0);
	show(a, 0, MIB);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	assert_int_equal(vfio_attachment_map_ram(c, &vfio.err), 0);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 2);
	vfio_detach(c);
	vfio_detach(a);
}

struct seen {
	unsigned bars;
	char device[64];
};

static void see(const struct vfio_mapping *mapping, void *opaque)
{
	struct seen *seen = opaque;

	assert_int_equal(mapping->ram, mapping->device == NULL);
	if (mapping->ram)
		return;
	seen->bars++;
	snprintf(seen->device, sizeof(seen->device), "%s", mapping->device);
}

static void test_query(void **state)
{
	struct vfio_attachment *a = attach(DEV_A), *b = attach(DEV_B);
	struct seen seen = { 0 };

	(void)state;
	show(b, 0, 0xd0000000);
	vfio_context_mappings(vfio.context, see, &seen);
	assert_int_equal(seen.bars, 2);
	assert_string_equal(seen.device, DEV_B);
	vfio_detach(b);
	vfio_detach(a);
}

/* The whole device: the guest moves its BARs, the worker maps them anew. */
static struct vfio_attachment *make_device(uint64_t bar0, bool p2p)
{
	rig.dev = NULL;
	fake_card_init(&rig.card);
	fake_machine_init(&rig.machine);
	fake_card_gpu(&rig.card);
	rig.card.region[0].size = bar0;
	assert_int_equal(fake_rig_realize(&rig, "pcie.0", &vfio.err), 0);
	rig.dev->options->p2p = p2p;
	rig.dev->attachment = attach(DEV_A);
	return rig.dev->attachment;
}

static void end_device(void)
{
	struct vfio_attachment *attachment = rig.dev->attachment;

	vfio_detach(attachment);
	rig.dev->attachment = NULL;
	fake_rig_release(&rig);
}

#define DECODE (PCI_COMMAND_MEMORY | PCI_COMMAND_IO)

static void move_bar3(uint64_t addr)
{
	fake_config_write(&rig, PCI_BASE_ADDRESS_3, 4, (uint32_t)addr);
	fake_config_write(&rig, PCI_BASE_ADDRESS_4, 4, (uint32_t)(addr >> 32));
}

static bool bar3_at(uint64_t addr)
{
	return fake_vfio_mapped(&vfio.fake, addr, 1 << 25, rig.dev->region[3].base);
}

static void test_bars_move(void **state)
{
	struct vfio_attachment *b = attach(DEV_B);

	(void)state;
	make_device(0x1000000, true);
	move_bar3(0x800000000);
	fake_config_write(&rig, PCI_BASE_ADDRESS_5, 4, 0xc000);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	fake_config_write(&rig, PCI_COMMAND, 2, DECODE);
	fake_step(&rig);
	assert_true(bar3_at(0x800000000));
	/* I/O cannot be reached by DMA. */
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 2);
	move_bar3(0x900000000);
	fake_step(&rig);
	assert_true(bar3_at(0x900000000));
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 2);
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	/* The lock is taken while it moves: once more, later. */
	pthread_mutex_lock(&vfio.context->lock);
	move_bar3(0xa00000000);
	fake_config_write(&rig, PCI_COMMAND, 2, DECODE);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	pthread_mutex_unlock(&vfio.context->lock);
	usleep(2 * VFIO_P2P_RETRY_MS * 1000);
	fake_step(&rig);
	assert_true(bar3_at(0xa00000000));
	pthread_mutex_lock(&vfio.context->lock);
	move_bar3(0x900000000);
	fake_step(&rig);
	assert_true(bar3_at(0xa00000000));
	pthread_mutex_unlock(&vfio.context->lock);
	usleep(2 * VFIO_P2P_RETRY_MS * 1000);
	fake_step(&rig);
	/* Away with the device while it is mapped: before its memory goes. */
	fake_config_write(&rig, PCI_COMMAND, 2, DECODE);
	fake_step(&rig);
	assert_true(bar3_at(0x900000000));
	vfio_pci_fence(rig.dev);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	/* And it stays away. */
	pci_unplug(&rig.dev->fn);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	end_device();
	vfio_detach(b);
	assert_string_equal(log_captured(), "");
}

/* No address space has room for less than a page: a small BAR is not offered, and nobody is warned. */
static void test_small_bar(void **state)
{
	struct vfio_attachment *b = attach(DEV_B);

	(void)state;
	make_device(0x800, true);
	fake_config_write(&rig, PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	fake_config_write(&rig, PCI_COMMAND, 2, DECODE);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	fake_config_write(&rig, PCI_COMMAND, 2, 0);
	fake_step(&rig);
	end_device();
	vfio_detach(b);
	assert_string_equal(log_captured(), "");
}

static void test_off(void **state)
{
	struct vfio_attachment *b = attach(DEV_B);

	(void)state;
	make_device(0x1000000, false);
	move_bar3(0x800000000);
	fake_config_write(&rig, PCI_COMMAND, 2, DECODE);
	fake_step(&rig);
	assert_int_equal(fake_vfio_total_maps(&vfio.fake), 1);
	end_device();
	vfio_detach(b);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_pieces),
		CASE(test_not_during_a_reset),
		CASE(test_only_with_a_peer),
		CASE(test_trade_places),
		CASE(test_large),
		CASE(test_nobody_waits),
		CASE(test_over_memory),
		CASE(test_two_address_spaces),
		CASE(test_refused),
		CASE(test_memory_first),
		CASE(test_query),
		CASE(test_bars_move),
		CASE(test_small_bar),
		CASE(test_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
