/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - what PCI functions ask of the machine. */
#include "state.h"

static void raise_msi(void *opaque, uint64_t addr, uint32_t data)
{
	struct machine *m = opaque;

	(void)kvm_signal_msi(&m->vm, addr, data);
}

static void commit(void *opaque)
{
	struct machine *m = opaque;

	role_enter_main();
	bus_publish(&m->bus);
}

void sink_init(struct machine *m)
{
	m->sink = (struct pci_sink){
		.map_bar = bar_map,
		.unmap_bar = bar_unmap,
		.trap_bars = bars_trap,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = m,
		.main = &m->loop,
	};
}
