/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_cost.h - what placing and loading an image may cost: the promises of boot.h, checked.
 *
 * Use:   boot_cost_fresh() before, or boot_cost_used(); then boot_place(), boot_cost_plan(), the
 * load to its end, boot_cost_loaded(). Each check is NULL, or what is wrong.
 */
#ifndef BOOT_COST_H
#define BOOT_COST_H

#include <portcullis/boot.h>
#include <portcullis/memory.h>

/* RAM of fixture_ram() as it is before a guest has run, or as one left it: no page is empty. */
void boot_cost_fresh(struct ram *ram);
void boot_cost_used(struct ram *ram);

/*
 * The list is short, its ranges lie in RAM above 1 MiB and apart from each other, and take no more
 * bytes from the image than that has. fresh: nothing but the lowest 128 KiB was touched.
 */
const char *boot_cost_plan(const struct boot_load *load, const struct boot_image *image,
	const struct ram *ram, bool fresh);
/* The bytes are there, zeros behind them. fresh: only the image's bytes were written. */
const char *boot_cost_loaded(const struct boot_load *load, bool fresh);

#endif
