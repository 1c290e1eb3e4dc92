/* SPDX-License-Identifier: Apache-2.0 */
/* test_windows.c - where 64-bit BARs go beside memory and below the IOMMU's limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/machine/state.h"

#define GIB (1ull << 30)

static void test_place(void **state)
{
	static const struct {
		unsigned cpu_bits;
		uint64_t ram_top, iova_end, start, end;
	} cases[] = {
		/* The IOMMU reaches as far as the CPU, or nobody knows. */
		{ 40, GIB, 1ull << 40, 512 * GIB, 1024 * GIB },
		{ 40, GIB, 1ull << 57, 512 * GIB, 1024 * GIB },
		{ 40, GIB, UINT64_MAX, 512 * GIB, 1024 * GIB },
		/* Memory reaches into the window. */
		{ 40, 600 * GIB + 1, UINT64_MAX, 601 * GIB, 1024 * GIB },
		{ 40, 512 * GIB, UINT64_MAX, 512 * GIB, 1024 * GIB },
		/* Fewer bits than the CPU: above memory, below the limit. */
		{ 40, GIB, 1ull << 39, 4 * GIB, 512 * GIB },
		{ 46, 20 * GIB + 5, 1ull << 39, 21 * GIB, 512 * GIB },
		{ 46, 20 * GIB, (1ull << 39) - 1, 20 * GIB, 511 * GIB },
		/* No room there: BARs come first, DMA to them second. */
		{ 46, 400 * GIB, 1ull << 39, 1ull << 45, 1ull << 46 },
		{ 40, GIB, 1ull << 32, 512 * GIB, 1024 * GIB },
		{ 40, 500 * GIB, 100 * GIB, 512 * GIB, 1024 * GIB },
		/* None at all is for the caller to tell. */
		{ 40, 1024 * GIB, UINT64_MAX, 1024 * GIB, 1024 * GIB },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pci_windows w = { .mem64_start = 1ull << (cases[i].cpu_bits - 1),
			.mem64_end = 1ull << cases[i].cpu_bits };

		windows_place(&w, cases[i].ram_top, cases[i].iova_end);
		if (w.mem64_start != cases[i].start || w.mem64_end != cases[i].end)
			fail_msg("case %u: 0x%llx-0x%llx", i, (unsigned long long)w.mem64_start,
				(unsigned long long)w.mem64_end);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_place) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
