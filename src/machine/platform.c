/* SPDX-License-Identifier: Apache-2.0 */
/* platform.c - the board's devices, put where it says, and their interrupts. */
#include <portcullis/board.h>

#include <errno.h>

#include <portcullis/sys.h>

#include "state.h"

static int irqs_init(struct machine *m, struct err *err)
{
	for (unsigned i = 0; i < m->board->n_pulses; i++) {
		unsigned gsi = m->board->pulses[i];
		int ret;

		m->irq_fd[gsi] = sys_eventfd();
		ret = m->irq_fd[gsi];
		if (ret >= 0)
			ret = kvm_irqfd_add(&m->vm, gsi, m->irq_fd[gsi], -1);
		if (ret < 0)
			return err_set_errno(err, -ret, "cannot wire interrupt %u", gsi);
	}
	return 0;
}

static int places_init(struct machine *m, struct err *err) ON_MAIN
{
	for (unsigned i = 0; i < m->board->n_places; i++) {
		const struct board_place *p = &m->board->places[i];
		struct bus_region region = { .base = p->base,
			.size = p->size,
			.fn = p->fn,
			.opaque = (char *)m + p->opaque,
			.name = p->name };
		int ret = bus_add(&m->bus, p->space, &region);

		if (ret)
			return err_set_errno(err, -ret, "cannot place %s", p->name);
	}
	bus_publish(&m->bus);
	return 0;
}

int platform_init(struct machine *m, struct err *err)
{
	int ret = irqs_init(m, err);

	if (!ret)
		ret = m->board->init(m, err);
	return ret ? ret : places_init(m, err);
}

void platform_release(struct machine *m)
{
	chardev_free(m->console);
	m->board->release(m);
	for (unsigned i = 0; i < KVM_GSI_PINS; i++)
		sys_closep(&m->irq_fd[i]);
}
