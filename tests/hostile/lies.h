/* SPDX-License-Identifier: Apache-2.0 */
/* lies.h - what the fake kernel does to a call: fails it, delays it, holds it. (tests/hostile) */
#ifndef TESTS_HOSTILE_LIES_H
#define TESTS_HOSTILE_LIES_H

#include <stdbool.h>

/* How long a call may take: the longest delay in ms, and whether it may be held for seconds. */
enum lie {
	LIE_MEMSLOT,
	LIE_ROUTES,
	LIE_OPEN,
	LIE_MAP_DMA,
	LIE_CLOSE,
	LIE_IRQS,
	LIE_RESET,
	LIE_ACCESS,
	LIES
};

void lie_delay(enum lie lie);
/* There are many more accesses than calls. */
void lie_delay_access(void);
bool lie_fails(void);
/* A random errno of those that calls on devices fail with. */
int lie_errno(void);
/* The kernel's own reference on an eventfd. */
int lie_dup(int fd);

#endif
