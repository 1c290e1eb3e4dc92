/* SPDX-License-Identifier: Apache-2.0 */
/*
 * promises.c - devices by id: a device_add that succeeded is followed by one DEVICE_DELETED at
 * most, and no other device_add by more than that either.
 */
#include "promises.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "hostile.h"

#define IDS 4096
#define LATEST 100
#define RECENT 8
#define EVENT_MS 10000 /* until an event has reached the client that listens */

static struct {
	pthread_mutex_t lock;
	unsigned n;
	struct {
		unsigned asked, ok, failed, unknown, deleted, port;
	} id[IDS];
} p = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* There, as far as anybody has heard; or about to be. */
static bool exists(unsigned i)
{
	return p.id[i].ok + p.id[i].unknown > p.id[i].deleted;
}

static bool may_exist(unsigned i)
{
	return p.id[i].asked > p.id[i].deleted + p.id[i].failed;
}

/* Of the latest ids those that may exist, or do. */
static unsigned existing(unsigned which[static RECENT], bool (*is)(unsigned i))
{
	unsigned n = 0;

	for (unsigned i = p.n; i-- > 0 && n < RECENT && p.n - i < LATEST;)
		if (is(i))
			which[n++] = i;
	return n;
}

static bool taken(unsigned port)
{
	unsigned which[RECENT], n = existing(which, may_exist);

	for (unsigned i = 0; i < n; i++)
		if (p.id[which[i]].port == port)
			return true;
	return false;
}

unsigned promises_new_id(char *id, size_t size)
{
	unsigned i, port = 1 + chance_below(HOSTILE_PORTS);

	pthread_mutex_lock(&p.lock);
	for (unsigned tries = one_in(4) ? 0 : HOSTILE_PORTS; tries && taken(port); tries--)
		port = 1 + port % HOSTILE_PORTS;
	i = p.n && one_in(12) ? p.n - 1 : p.n;
	if (i == p.n)
		p.n++;
	if (p.n == IDS)
		violation("more than %u devices in one machine's life", IDS);
	p.id[i].asked++;
	p.id[i].port = port;
	pthread_mutex_unlock(&p.lock);
	snprintf(id, size, "d%u", i);
	return port;
}

bool promises_some_id(char *id, size_t size)
{
	unsigned which[RECENT], n, i;

	pthread_mutex_lock(&p.lock);
	n = existing(which, one_in(4) ? may_exist : exists);
	if (n && !one_in(10))
		i = which[chance_below(n)];
	else
		i = p.n ? p.n - 1 - chance_below(p.n) : 0;
	pthread_mutex_unlock(&p.lock);
	snprintf(id, size, "d%u", i);
	return n;
}

static unsigned number_of(const char *id)
{
	unsigned i;

	if (sscanf(id, "d%u", &i) != 1 || i >= p.n)
		violation("a device '%s', which nobody asked for", id);
	return i;
}

void promises_added(const char *id, enum outcome outcome)
{
	unsigned i;

	pthread_mutex_lock(&p.lock);
	i = number_of(id);
	p.id[i].ok += outcome == OUTCOME_OK;
	p.id[i].failed += outcome == OUTCOME_ERROR;
	p.id[i].unknown += outcome == OUTCOME_UNKNOWN;
	pthread_mutex_unlock(&p.lock);
}

void promises_deleted(const char *id)
{
	unsigned i;

	pthread_mutex_lock(&p.lock);
	i = number_of(id);
	/*
	 * The answer to device_add may come later, to another client: asked counts it. A device_add
	 * that device_del overtook is told of as well.
	 */
	if (++p.id[i].deleted > p.id[i].asked)
		violation("DEVICE_DELETED for '%s' %u times, asked for %u times", id,
			p.id[i].deleted, p.id[i].asked);
	pthread_mutex_unlock(&p.lock);
}

static unsigned missing(unsigned *which)
{
	unsigned count = 0;

	pthread_mutex_lock(&p.lock);
	for (unsigned i = 0; i < p.n; i++)
		if (p.id[i].deleted < p.id[i].ok) {
			*which = i;
			count++;
		}
	pthread_mutex_unlock(&p.lock);
	return count;
}

void promises_check_all_gone(void)
{
	uint64_t start = watchdog_alive_ms();
	unsigned which = 0;

	while (missing(&which)) {
		if (watchdog_alive_ms() - start > EVENT_MS)
			violation("'d%u' was added %u times and is gone, DEVICE_DELETED came %u "
				  "times",
				which, p.id[which].ok, p.id[which].deleted);
		sleep_ms(5);
	}
}

unsigned promises_count(enum promise promise)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < p.n; i++)
		sum += promise == PROMISE_ASKED	 ? p.id[i].asked
		       : promise == PROMISE_KEPT ? p.id[i].ok
						 : p.id[i].deleted;
	return sum;
}

void promises_start(void)
{
	memset(p.id, 0, sizeof(p.id));
	p.n = 0;
}
