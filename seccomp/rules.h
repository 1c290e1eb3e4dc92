/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - the tables policies are put together from. (private to seccomp)
 *
 * Layer: seccomp.
 */
#ifndef PORTCULLIS_SECCOMP_RULES_H
#define PORTCULLIS_SECCOMP_RULES_H

#include <portcullis/policy.h>

/* common.c: what every role needs. */
extern const struct sc_rule rules_common[];
/* common.c: malloc without executable memory, for roles that allocate. */
extern const struct sc_rule rules_heap[];
/* common.c: waiting in an event loop with a mailbox (src/base/loop.c). */
extern const struct sc_rule rules_loop[];
/* common.c: interrupt routes and irqfds, which main and workers set (src/kvm/routes.c). */
extern const struct sc_rule rules_kvm_irq[];

#endif
