/* SPDX-License-Identifier: Apache-2.0 */
/* promises.h - what was asked of the machine about devices, and what came of it. (tests/hostile) */
#ifndef TESTS_HOSTILE_PROMISES_H
#define TESTS_HOSTILE_PROMISES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * For device_add: a new id, or now and then one that is in use; a port (1 ..), mostly a free one.
 */
unsigned promises_new_id(char *id, size_t size);
/* For device_del: mostly one that is there, or being added. False: there may be none at all. */
bool promises_some_id(char *id, size_t size);

enum outcome { OUTCOME_OK, OUTCOME_ERROR, OUTCOME_UNKNOWN /* its client left */ };
void promises_added(const char *id, enum outcome outcome);
/* The event, as a client that never leaves sees it. */
void promises_deleted(const char *id);
/* No device is left: whatever was added was told to be deleted. */
void promises_check_all_gone(void);
enum promise { PROMISE_ASKED, PROMISE_KEPT, PROMISE_DELETED };
unsigned promises_count(enum promise promise);
void promises_start(void);

#endif
