/* SPDX-License-Identifier: Apache-2.0 */
/*
 * debug.h - checks that stop the program where a rule of its own is broken.
 *
 * Layer: L0, includes nothing of ours.
 * Who:   any thread.
 * On in builds with a sanitizer, or with -DDEBUG_CHECKS=1: what tests run. A release does without:
 *        a guest must never be able to end the VMM, so each place that uses this also copes.
 */
#ifndef PORTCULLIS_DEBUG_H
#define PORTCULLIS_DEBUG_H

#include <stdio.h>
#include <stdlib.h>

#ifndef DEBUG_CHECKS
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DEBUG_CHECKS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef DEBUG_CHECKS
#define DEBUG_CHECKS 1
#endif
#endif
#ifndef DEBUG_CHECKS
#define DEBUG_CHECKS 0
#endif

/* Stops when a rule is broken; rule: the words of the header that has it. */
static inline void debug_check(int holds, const char *rule)
{
	if (!DEBUG_CHECKS || holds)
		return;
	fprintf(stderr, "portcullis: broken rule: %s\n", rule);
	abort();
}

#endif
