/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h - where each thread of this process is. (tests/hostile) */
#ifndef TESTS_HOSTILE_THREADS_H
#define TESTS_HOSTILE_THREADS_H

/* R, S, D ... of /proc/PID/task/TID/stat; '?': there is no such thread. */
char thread_state(int tid);
/* Name, state, system call and the functions on its stack, of every thread. */
void threads_print(void);

#endif
