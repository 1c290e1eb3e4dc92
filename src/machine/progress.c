/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c - a line for who waits for a guest with much memory to start. */
#include <inttypes.h>
#include <stdio.h>

#include <portcullis/log.h>

#include "state.h"

#define FIRST_MS 1000
#define NEXT_MS 250
#define GIB_FROM (8ull << 30) /* smaller memory is told in MiB */

static void show(const char *what, uint64_t done, uint64_t size)
{
	const unsigned shift = size < GIB_FROM ? 20 : 30;
	char text[80];

	snprintf(text, sizeof(text), "%s memory: %" PRIu64 " of %" PRIu64 " %s", what,
		done >> shift, size >> shift, shift == 20 ? "MiB" : "GiB");
	log_progress(text);
}

static void on_timer(void *opaque)
{
	struct machine *m = opaque;
	uint64_t pinned;

	role_enter_main();
	if (atomic_load(&m->populating)) {
		show("preparing", atomic_load(&m->populate.done), m->populate.size);
	} else {
		pinned = passthrough_pinned(m);
		if (pinned)
			show("pinning", pinned, m->ram.layout.size);
	}
	loop_timer_set(&m->loop, &m->progress_timer, NEXT_MS);
}

void progress_begin(struct machine *m)
{
	m->progress_timer = (struct loop_timer){ .fn = on_timer, .opaque = m };
	loop_timer_set(&m->loop, &m->progress_timer, FIRST_MS);
}

void progress_end(struct machine *m)
{
	loop_timer_cancel(&m->loop, &m->progress_timer);
	log_progress(NULL);
}
