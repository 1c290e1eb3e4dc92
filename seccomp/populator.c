/* SPDX-License-Identifier: Apache-2.0 */
/*
 * populator.c - all that a thread may ask of the kernel that gives RAM its pages
 * (threads/populator.c).
 */
#include <asm/unistd.h>
#include <sys/mman.h>

#include "rules.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static const struct sc_rule rules_populator[] = {
	RULE(madvise, "pages for a piece of RAM", ARG_IS(2, MADV_POPULATE_WRITE)),
	RULES_END,
};

static const struct sc_rule *const parts[] = { rules_populator, rules_common, NULL };

const struct policy policy_populator = { .role = "populator", .parts = parts };
