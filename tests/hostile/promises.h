/* SPDX-License-Identifier: Apache-2.0 */
/* promises.h - what was asked of the machine about devices, and what came of it. (tests/hostile) */
#ifndef TESTS_HOSTILE_PROMISES_H
#define TESTS_HOSTILE_PROMISES_H

#include <stdbool.h>
#include <stddef.h>

/* A new id, or now and then one that is in use. */
void promises_new_id(char *id, size_t size);
/* One that was asked for lately. */
void promises_some_id(char *id, size_t size);

enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_UNKNOWN /* its client left */ };
void promises_added(const char *id, enum outcome outcome);
/* The event, as a client that never leaves sees it. */
void promises_deleted(const char *id);
/* No device is left: whatever was added was told to be deleted. */
void promises_check_all_gone(void);
void promises_start(void);

#endif
