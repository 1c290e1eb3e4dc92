/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex.h - sleeping until a word changes, for threads of this process.
 *
 * Layer: L0, includes nothing of ours. Any thread that may sleep.
 * Use:   the word decides, not the call: a sleep may end early (a signal such as the kick out of
 *        KVM_RUN), and waking nobody is harmless, also when the waiter has seen the word and is
 *        gone.
 */
#ifndef PORTCULLIS_FUTEX_H
#define PORTCULLIS_FUTEX_H

#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sleeps unless the word is another value by now. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* After the word was changed. */
static inline void futex_wake_all(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

#endif
