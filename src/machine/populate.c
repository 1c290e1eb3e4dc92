/* SPDX-License-Identifier: Apache-2.0 */
/*
 * populate.c - RAM is given its pages before the guest starts: where the user asks for it, and
 * where a device's DMA will have it pinned as a whole, which the kernel would do on one processor.
 */
#include <errno.h>
#include <stdlib.h>

#include "state.h"

/* Is there a device at the start that has all of RAM pinned? */
static bool will_be_pinned(const struct config *config)
{
	for (unsigned i = 0; i < config->n_devices; i++) {
		const struct device_class *class = device_class_find(config->devices[i].type);

		if (class && class->map_ram)
			return true;
	}
	return false;
}

/* That it came is all: the loop steps. */
static void populated(struct mail *mail)
{
	(void)mail;
}

/* What is asked for, of which backends. */
struct wanted {
	struct ram_options options[RAM_BACKENDS_MAX];
	uint64_t sizes[RAM_BACKENDS_MAX];
	unsigned n;
	bool all; /* whatever the options say */
};

static void ask(struct wanted *wanted, const struct config *config)
{
	wanted->n = guest_memory_backends(config, wanted->options, wanted->sizes);
	wanted->all = will_be_pinned(config);
}

static bool needs_pages(const struct wanted *wanted, unsigned backend)
{
	return wanted->all || wanted->options[backend].prealloc;
}

/* For all backends together: as many as the one that asks for most. */
static unsigned threads_for(const struct wanted *wanted)
{
	unsigned threads = 0;
	uint64_t size = 0;

	for (unsigned i = 0; i < wanted->n; i++) {
		if (!needs_pages(wanted, i))
			continue;
		size += wanted->sizes[i];
		if (wanted->options[i].prealloc_threads > threads)
			threads = wanted->options[i].prealloc_threads;
	}
	return size ? populate_threads(size, threads) : 0;
}

int populators_init(struct machine *m, struct err *err)
{
	struct wanted wanted;

	ask(&wanted, m->config);
	m->n_populators = threads_for(&wanted);
	if (!m->n_populators)
		return 0;
	m->populators = calloc(m->n_populators, sizeof(*m->populators));
	if (!m->populators)
		return err_set(err, ENOMEM, "no memory for threads that populate guest RAM");
	for (unsigned i = 0; i < m->n_populators; i++)
		m->populators[i] = (struct populator){ .populate = &m->populate, .machine = m };
	m->populated.run = populated;
	atomic_store(&m->populating, m->n_populators);
	return 0;
}

void populator_done(struct populator *populator)
{
	struct machine *m = populator->machine;

	if (atomic_fetch_sub(&m->populating, 1) == 1)
		loop_post(&m->loop, &m->populated);
}

void populators_end(struct machine *m)
{
	populate_end(&m->populate);
}

static int add_all(struct machine *m, const struct wanted *wanted, struct err *err)
{
	for (unsigned i = 0; i < m->ram.layout.count; i++) {
		const struct ram_segment *s = &m->ram.layout.segment[i];
		const uint64_t page_size = m->ram.backend[s->backend].page_size;
		int ret;

		if (!needs_pages(wanted, s->backend))
			continue;
		ret = populate_add(&m->populate, s->hva, s->size, page_size);
		if (ret)
			return err_set_errno(err, -ret, "populating guest RAM");
	}
	return 0;
}

/* Where nobody asked for pages (prealloc), pinning them says what is wrong. */
static int result(struct machine *m, const struct wanted *wanted, struct err *err)
{
	const int code = -atomic_load(&m->populate.error);

	for (unsigned i = 0; code && i < m->ram.layout.count; i++) {
		const struct ram_segment *s = &m->ram.layout.segment[i];
		const uintptr_t at = (uintptr_t)m->populate.failed - (uintptr_t)s->hva;

		if (at < s->size && wanted->options[s->backend].prealloc)
			return ram_populate_error(
				&m->ram, s->backend, &wanted->options[s->backend], code, err);
	}
	return 0;
}

int machine_populate(struct machine *m, struct err *err)
{
	struct wanted wanted;

	if (!m->n_populators)
		return 0;
	ask(&wanted, m->config);
	if (add_all(m, &wanted, err))
		return -err->code;
	populate_begin(&m->populate);
	while (atomic_load(&m->populating) && !m->abandoned) {
		loop_step(&m->loop, -1);
		if (m->ending)
			populators_end(m);
	}
	if (m->ending)
		return err_set(err, ECANCELED, "the machine is ending");
	return result(m, &wanted, err);
}
