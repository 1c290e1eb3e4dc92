/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h - where each thread of this process is. (tests/hostile) */
#ifndef TESTS_HOSTILE_THREADS_H
#define TESTS_HOSTILE_THREADS_H

#include <stdint.h>

/* Nanoseconds that it ran, or could have if there had been a processor for it. */
uint64_t thread_busy_ns(int tid);
/* Name, state, system call and the functions on its stack, of every thread. */
void threads_print(void);

#endif
