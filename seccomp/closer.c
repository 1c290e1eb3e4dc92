/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closer.c - all that the closer may ask of the kernel (threads/closer.c): to wait, and to close.
 */
#include <asm/unistd.h>

#include "rules.h"

static const struct sc_rule *const parts[] = { rules_loop, rules_common, NULL };

const struct policy policy_closer = { .role = "closer", .parts = parts };
