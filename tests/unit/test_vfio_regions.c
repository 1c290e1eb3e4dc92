/* SPDX-License-Identifier: Apache-2.0 */
/* test_vfio_regions.c - region info of good and bad kernels, holes, mapping, trapped accesses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/err.h>

#include "fake_vfio_device.h"
#include "log_capture.h"

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)
#define RWM (RW | VFIO_REGION_INFO_FLAG_MMAP)
#define CAPS VFIO_REGION_INFO_FLAG_CAPS

/* Region info with room for a chain; bytes as the kernel would lay them out. */
union info {
	struct vfio_region_info info;
	uint8_t bytes[512];
};

static const char *spans(const struct vfio_region *region)
{
	static char text[512];

	text[0] = 0;
	for (unsigned i = 0; i < region->n_spans; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llx+%llx",
			i ? " " : "", (unsigned long long)region->span[i].offset,
			(unsigned long long)region->span[i].size);
	return text;
}

/* "M" mapped, "T" trapped; also checks that the areas cover the region without gap or overlap. */
static const char *areas(const struct vfio_region *region)
{
	static char text[512];
	uint64_t at = 0;

	text[0] = 0;
	assert_true(region->n_areas <= PCI_AREAS_MAX);
	for (unsigned i = 0; i < region->n_areas; i++) {
		const struct pci_area *a = &region->area[i];

		assert_int_equal(a->offset, at);
		at += a->size;
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%c%llx", i ? " " : "",
			a->hva ? 'M' : 'T', (unsigned long long)a->size);
	}
	assert_int_equal(at, region->size);
	return text;
}

static void parse(struct vfio_region *region, union info *info, uint64_t size, uint32_t flags)
{
	memset(region, 0, sizeof(*region));
	info->info.argsz = sizeof(*info);
	info->info.size = size;
	info->info.flags = flags;
	region_parse(region, &info->info);
}

static void test_plain(void **state)
{
	struct vfio_region region;
	union info info = { .bytes = { 0 } };

	(void)state;
	parse(&region, &info, 0x8000, RWM);
	assert_string_equal(spans(&region), "0+8000");
	assert_true(region.readable && region.writable);
	parse(&region, &info, 0x8000, RW);
	assert_string_equal(spans(&region), "");
	/* Smaller than a page: with the rest of its page, if the kernel offers it. */
	parse(&region, &info, 0x100, RWM);
	assert_string_equal(spans(&region), "0+1000");
	parse(&region, &info, 0x800, RW);
	assert_string_equal(spans(&region), "");
	/* An odd end: whole pages only. */
	parse(&region, &info, 0x1800, RWM);
	assert_string_equal(spans(&region), "0+1000");
	parse(&region, &info, 0, RWM);
	assert_string_equal(spans(&region), "");
}

static void add_cap(union info *info, uint32_t at, uint16_t id, uint32_t next)
{
	struct vfio_info_cap_header header = { .id = id, .version = 1, .next = next };

	memcpy(info->bytes + at, &header, sizeof(header));
}

static void add_sparse(
	union info *info, uint32_t at, uint32_t n, const struct region_span *area, uint32_t count)
{
	memcpy(info->bytes + at + 8, &n, 4);
	memcpy(info->bytes + at + 16, area, count * sizeof(*area));
}

static void test_sparse(void **state)
{
	static const struct region_span two[] = { { 0x4000, 0x2000 }, { 0, 0x1000 } };
	static const struct region_span bad[] = { { 0x9000, 0x1000 }, { 0x7000, ~0ull },
		{ ~0ull - 0xfff, 0x2000 }, { 0x1234, 0x2000 }, { 0x2000, 0x100 }, { 0x0, 0x4000 } };
	static const struct region_span overlap[] = { { 0x2000, 0x2000 }, { 0x3000, 0x2000 } };
	struct vfio_region region;
	union info info = { .bytes = { 0 } };

	(void)state;
	/* Not the first capability, areas not in order. */
	info.info.cap_offset = 64;
	add_cap(&info, 64, VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 80);
	add_cap(&info, 80, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	add_sparse(&info, 80, 2, two, 2);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "0+1000 4000+2000");
	/* Outside, wrapping, unaligned, too small, overlapping. */
	add_sparse(&info, 80, 6, bad, 6);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "2000+1000");
	add_sparse(&info, 80, 2, overlap, 2);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "2000+2000");
	/* A part of a small one is not its page. */
	add_sparse(&info, 80, 1, (struct region_span[]){ { 0, 0x400 } }, 1);
	parse(&region, &info, 0x800, RWM | CAPS);
	assert_string_equal(spans(&region), "");
	add_sparse(&info, 80, 1, (struct region_span[]){ { 0, 0x800 } }, 1);
	parse(&region, &info, 0x800, RWM | CAPS);
	assert_string_equal(spans(&region), "0+1000");
	/* None: nothing may be mapped. */
	add_sparse(&info, 80, 0, bad, 0);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "");
	/* More areas than the structure has room for: no byte behind it is read (ASan). */
	add_sparse(&info, 80, 0xffffffff, two, 2);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_true(region.n_spans <= REGION_PIECES_MAX);
}

static void test_bad_chains(void **state)
{
	static const uint32_t starts[] = { 0, 4, 31, 505, 508, 511, 512, 0xfffffff0, 0xffffffff };
	struct vfio_region region;
	union info info = { .bytes = { 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		info.info.cap_offset = starts[i];
		parse(&region, &info, 0x8000, RWM | CAPS);
		assert_string_equal(spans(&region), "0+8000");
	}
	/* A loop ends. */
	info.info.cap_offset = 64;
	add_cap(&info, 64, 77, 80);
	add_cap(&info, 80, 78, 64);
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "0+8000");
	/* argsz smaller than the structure. */
	info.info.argsz = 8;
	region_parse(&region, &info.info);
	assert_string_equal(spans(&region), "");
	/* The header fits, the sparse capability behind it does not. */
	add_cap(&info, 500, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	info.info.cap_offset = 500;
	parse(&region, &info, 0x8000, RWM | CAPS);
	assert_string_equal(spans(&region), "");
}

static void test_holes(void **state)
{
	static const struct {
		uint64_t size, at, hole;
		const char *want;
	} cases[] = {
		{ 0x8000, 0x2000, 0x410, "0+2000 3000+5000" },
		{ 0x8000, 0x2ff0, 0x20, "0+2000 4000+4000" },
		{ 0x8000, 0, 1, "1000+7000" },
		{ 0x8000, 0x7ff8, 8, "0+7000" },
		{ 0x1000, 0x800, 8, "" },
		{ 0x800, 0x400, 8, "" },
		{ 0x8000, 0, 0x8000, "" },
		{ 0x8000, 0x9000, 8, "0+8000" },
	};
	struct vfio_region region;
	union info info = { .bytes = { 0 } };

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(&region, &info, cases[i].size, RWM);
		region_hole(&region, cases[i].at, cases[i].hole);
		assert_string_equal(spans(&region), cases[i].want);
	}
	/* Table and PBA. */
	parse(&region, &info, 0x8000, RWM);
	region_hole(&region, 0x2000, 0x400);
	region_hole(&region, 0x6000, 8);
	assert_string_equal(spans(&region), "0+2000 3000+3000 7000+1000");
}

/* As many pieces as there may be: the areas always cover the BAR and fit. */
static void test_many_pieces(void **state)
{
	struct region_span area[20];
	struct vfio_region region;
	union info info = { .bytes = { 0 } };

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		area[i] = (struct region_span){ (2 * i + 1) * 0x1000ull, 0x1000 };
	info.info.cap_offset = 64;
	add_cap(&info, 64, VFIO_REGION_INFO_CAP_SPARSE_MMAP, 0);
	add_sparse(&info, 64, 20, area, 20);
	parse(&region, &info, 0x40000, RWM | CAPS);
	assert_int_equal(region.n_spans, REGION_PIECES_MAX);
	region.base = &region; /* only to plan */
	region_plan(&region);
	(void)areas(&region);
}

static unsigned long trapped(const struct vfio_region *region, unsigned area)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < region->traps[area].n; i++)
		sum += atomic_load(&region->traps[area].count[i]);
	return sum;
}

static struct fake_rig rig;

FAKE_RIG_START(nvme, fake_card_nvme, "pcie.0")
FAKE_RIG_START(e1000e, fake_card_e1000e, "pcie.0")
FAKE_RIG_START(gpu, fake_card_gpu, "pcie.0")

static void test_mapped(void **state)
{
	struct pci_area out[PCI_AREAS_MAX];
	unsigned n = vfio_bar_areas(&rig.dev->fn, 0, out);

	(void)state;
	/* Trapped only where table (0x2000) and PBA (0x3000) are. */
	assert_string_equal(areas(&rig.dev->region[0]), "M2000 T2000 M4000");
	assert_int_equal(n, 3);
	assert_ptr_equal(out[0].hva, rig.dev->region[0].base);
	assert_ptr_equal(out[2].hva, (uint8_t *)rig.dev->region[0].base + 0x4000);
	assert_false(out[0].readonly);
	assert_int_equal(vfio_bar_areas(&rig.dev->fn, 1, out), 0);
	/* It is memory. */
	memset(out[0].hva, 0x5a, 0x2000);
	memset(out[2].hva, 0x5a, 0x4000);
}

static void test_trapped_bars(void **state)
{
	(void)state;
	assert_string_equal(areas(&rig.dev->region[0]), "M20000");
	assert_string_equal(areas(&rig.dev->region[2]), "T20");
	assert_string_equal(areas(&rig.dev->region[3]), "T1000 M1000 T1000 M1000");
	assert_string_equal(areas(&rig.dev->region[PCI_ROM]), "M40000");
}

static void test_alignment(void **state)
{
	(void)state;
	/* 16 GiB: 1 GiB pages; 32 MiB: its own size; one page: a page. */
	assert_int_equal((uintptr_t)rig.dev->region[1].base & ((1ull << 30) - 1), 0);
	assert_int_equal((uintptr_t)rig.dev->region[3].base & ((1ull << 25) - 1), 0);
	assert_string_equal(areas(&rig.dev->region[1]), "M400000000");
}

/* An UART with 2 KiB of registers and, in a page that it shares on the host, 256 bytes of others. */
static void fill_small(struct fake_card *card)
{
	fake_card_gpu(card);
	card->region[0].size = 0x800;
	card->region[3].size = 0x100;
	card->region[3].flags = RW;
}

FAKE_RIG_START(small, fill_small, "pcie.0")

static void test_small(void **state)
{
	struct pci_area out[PCI_AREAS_MAX];

	(void)state;
	assert_int_equal(rig.dev->fn.bar[0].size, 0x800);
	assert_int_equal(vfio_bar_areas(&rig.dev->fn, 0, out), 1);
	assert_string_equal(areas(&rig.dev->region[0]), "M800");
	assert_ptr_equal(out[0].hva, rig.dev->region[0].base);
	/* There is a page behind it. */
	memset(out[0].hva, 0x5a, 0x1000);
	assert_string_equal(areas(&rig.dev->region[3]), "T100");
	/* Trapped, when the guest does not leave it its page: it ends where it ends. */
	fake_bar_write(&rig, 0, 0x7fc, 4, 0x12345678);
	assert_int_equal(rig.card.region_writes, 1);
	assert_int_equal(fake_bar_read(&rig, 0, 0x800, 4), 0xffffffff);
	assert_int_equal(trapped(&rig.dev->region[0], 0), 1);
}

/* Where its size is changed, if it can be. */
static void test_resizable(void **state)
{
	struct err err = { 0 };

	(void)state;
	strcpy(rig.dev->name, "0000:1a:00.0");
	rig.dev->resizable = 1 << 1;
	rig.dev->fn.ops->bar_hint(&rig.dev->fn, 3, &err);
	rig.dev->fn.ops->bar_hint(&rig.dev->fn, PCI_ROM, &err);
	assert_string_equal(err.hint, "");
	rig.dev->fn.ops->bar_hint(&rig.dev->fn, 1, &err);
	assert_non_null(strstr(err.hint, "/sys/bus/pci/devices/0000:1a:00.0/resource1_resize"));
}

static void fill_map_fails(struct fake_card *card)
{
	fake_card_nvme(card);
	card->map_error = EINVAL;
}

FAKE_RIG_START(map_fails, fill_map_fails, "pcie.0")

/* Four pieces fail: the BAR is trapped, and that is told once. */
static void fill_sparse_fails(struct fake_card *card)
{
	fake_card_nvme(card);
	card->map_error = EINVAL;
	card->region[0].n_sparse = 4;
	for (unsigned i = 0; i < 4; i++)
		card->region[0].sparse[i] = (struct region_span){ i * 0x2000, 0x1000 };
}

static int sparse_fails(void **state)
{
	log_capture_start();
	return fake_rig_init(*state, fill_sparse_fails, "pcie.0");
}

static void test_one_line(void **state)
{
	(void)state;
	assert_string_equal(areas(&rig.dev->region[0]), "T8000");
	assert_int_equal(log_captured_lines(), 1);
	log_capture_stop();
}

/* 64 GiB that can be mapped, and 64 GiB that cannot: as many counters as for 4 MiB. */
static void fill_huge(struct fake_card *card)
{
	fake_card_gpu(card);
	card->region[1].size = 1ull << 36;
	card->region[3].size = 1ull << 36;
	card->region[3].flags = RW;
}

FAKE_RIG_START(huge, fill_huge, "pcie.0")

static void test_huge(void **state)
{
	struct vfio_region *bar = &rig.dev->region[3];

	(void)state;
	assert_string_equal(areas(&rig.dev->region[1]), "M1000000000");
	assert_int_equal((uintptr_t)rig.dev->region[1].base & ((1ull << 30) - 1), 0);
	assert_int_equal(rig.dev->region[1].traps[0].n, 1);
	assert_string_equal(areas(bar), "T1000000000");
	assert_int_equal(bar->traps[0].n, REGION_COUNTERS_MAX);
	fake_bar_read(&rig, 3, 0, 4);
	fake_bar_read(&rig, 3, (1ull << 36) - 4, 4);
	assert_int_equal(atomic_load(&bar->traps[0].count[0]), 1);
	assert_int_equal(atomic_load(&bar->traps[0].count[REGION_COUNTERS_MAX - 1]), 1);
}

struct pages {
	unsigned n;
	struct vfio_traps page[8];
};

static void take_page(const struct vfio_traps *traps, void *opaque)
{
	struct pages *pages = opaque;

	pages->page[pages->n++] = *traps;
}

/* Each page of a trapped piece has its own number. */
static void test_counts(void **state)
{
	struct pages pages = { .n = 0 };

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		fake_bar_read(&rig, 0, 0x2000 + 16 * i, 4);
	fake_bar_write(&rig, 0, 0x3ff8, 8, 1);
	fake_bar_read(&rig, 0, 0x3008, 4);
	/* Mapped, and trapped all the same: there was no memslot for it. */
	fake_bar_read(&rig, 0, 0x7ffc, 4);
	fake_bar_read(&rig, 0, 0x4000, 4);
	vfio_pci_traps(rig.dev, 0, take_page, &pages);
	assert_int_equal(pages.n, 3);
	assert_int_equal(pages.page[0].offset, 0x2000);
	assert_int_equal(pages.page[0].size, 0x1000);
	assert_int_equal(pages.page[0].count, 5);
	assert_int_equal(pages.page[1].offset, 0x3000);
	assert_int_equal(pages.page[1].count, 2);
	assert_int_equal(pages.page[2].offset, 0x4000);
	assert_int_equal(pages.page[2].size, 0x4000);
	assert_int_equal(pages.page[2].count, 2);
	assert_int_equal(vfio_pci_traps_failed(rig.dev, 0), 0);
}

/* The MSI-X table in the middle of what the kernel lets us map, unaligned, in its own pieces. */
static void fill_table_in_sparse(struct fake_card *card)
{
	fake_card_nvme(card);
	card->region[0].n_sparse = 2;
	card->region[0].sparse[0] = (struct region_span){ 0, 0x3000 };
	card->region[0].sparse[1] = (struct region_span){ 0x5000, 0x3000 };
	/* 65 vectors from 0x1c00: into the next page; PBA at 0x6ff8: over another boundary. */
	pci_put(card->config, 0x40 + PCI_MSIX_TABLE, 4, 0x1c00);
	pci_put(card->config, 0x40 + PCI_MSIX_PBA, 4, 0x6ff8);
}

FAKE_RIG_START(table_in_sparse, fill_table_in_sparse, "pcie.0")

static void test_table_in_sparse(void **state)
{
	(void)state;
	assert_string_equal(areas(&rig.dev->region[0]), "M1000 T4000 M1000 T2000");
	/* A register beside the table is the device's. */
	fake_bar_write(&rig, 0, 0x1bfc, 4, 0x12345678);
	assert_int_equal(fake_bar_read(&rig, 0, 0x1bfc, 4), 0x12345678);
	assert_int_equal(rig.card.region_writes, 1);
	fake_bar_write(&rig, 0, 0x1c00, 4, 0xfee00000);
	assert_int_equal(fake_bar_read(&rig, 0, 0x1c00, 4), 0xfee00000);
	assert_int_equal(rig.card.region_writes, 1);
}

static void test_map_failure(void **state)
{
	(void)state;
	assert_string_equal(areas(&rig.dev->region[0]), "T8000");
	fake_bar_write(&rig, 0, 0x10, 4, 0xabcdef01);
	assert_int_equal(fake_bar_read(&rig, 0, 0x10, 4), 0xabcdef01);
}

static void test_access(void **state)
{
	struct vfio_region *bar = &rig.dev->region[3], *rom = &rig.dev->region[PCI_ROM];

	(void)state;
	for (unsigned size = 1; size <= 8; size *= 2) {
		uint64_t value = 0x8877665544332211ull & (~0ull >> (64 - 8 * size));

		fake_bar_write(&rig, 3, 0x100, size, value);
		assert_int_equal(fake_bar_read(&rig, 3, 0x100, size), value);
	}
	assert_int_equal(trapped(bar, 0), 8);
	assert_int_equal(trapped(bar, 2), 0);
	/* The ROM can be read, not written. */
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 2), 0xaa55);
	fake_bar_write(&rig, PCI_ROM, 0, 2, 0);
	assert_int_equal(fake_bar_read(&rig, PCI_ROM, 0, 2), 0xaa55);
	assert_int_equal(atomic_load(&rom->failed), 0);
	/* Past the end, and wrapping. */
	assert_int_equal(fake_bar_read(&rig, 3, 0x4000, 4), 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 3, 0x3ffe, 4), 0xffffffff);
	assert_int_equal(fake_bar_read(&rig, 3, ~0ull, 8), ~0ull);
	fake_bar_write(&rig, 3, 0x3ffe, 4, 0);
	assert_int_equal(trapped(bar, 0), 8);
}

static void test_access_fails(void **state)
{
	unsigned long failed;

	(void)state;
	rig.card.fail_at = rig.card.calls + 1;
	assert_int_equal(fake_bar_read(&rig, 3, 0x100, 2), 0xffff);
	rig.card.fail_at = rig.card.calls + 1;
	fake_bar_write(&rig, 3, 0x100, 4, 1);
	failed = atomic_load(&rig.dev->region[3].failed);
	assert_int_equal(failed, 2);
	rig.card.fail_at = 0;
	assert_int_equal(fake_bar_read(&rig, 3, 0x100, 4), 0);
}

#define CASE(name, start) cmocka_unit_test_prestate_setup_teardown(name, start, fake_rig_stop, &rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_many_pieces),
		CASE(test_mapped, nvme),
		CASE(test_trapped_bars, e1000e),
		CASE(test_alignment, gpu),
		CASE(test_small, small),
		CASE(test_resizable, gpu),
		CASE(test_map_failure, map_fails),
		CASE(test_one_line, sparse_fails),
		CASE(test_huge, huge),
		CASE(test_counts, nvme),
		CASE(test_table_in_sparse, table_in_sparse),
		CASE(test_access, e1000e),
		CASE(test_access_fails, e1000e),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
