/* SPDX-License-Identifier: Apache-2.0 */
/* pci_fake.c - see pci_fake.h. */
#include <linux/pci_regs.h>

#include "pci_fake.h"

#include <stdlib.h>
#include <string.h>

#include <portcullis/pci_host.h>

static void note(struct fake_sink *fake, struct fake_call call)
{
	if (fake->calls < FAKE_LOG)
		fake->log[fake->calls] = call;
	fake->calls++;
}

static int map_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	struct fake_sink *fake = opaque;

	note(fake, (struct fake_call){ .what = 'm', .fn = fn, .bar = bar, .addr = addr });
	return fake->map_result;
}

static void unmap_bar(void *opaque, struct pci_function *fn, unsigned bar, uint64_t addr)
{
	note(opaque, (struct fake_call){ .what = 'u', .fn = fn, .bar = bar, .addr = addr });
}

static void raise_msi(void *opaque, uint64_t addr, uint32_t data)
{
	note(opaque, (struct fake_call){ .what = 'i', .addr = addr, .data = data });
}

static void commit(void *opaque)
{
	note(opaque, (struct fake_call){ .what = 'c' });
}

void fake_sink_init(struct fake_sink *fake)
{
	memset(fake, 0, sizeof(*fake));
	(void)loop_init(&fake->loop);
	fake->sink = (struct pci_sink){
		.map_bar = map_bar,
		.unmap_bar = unmap_bar,
		.raise_msi = raise_msi,
		.commit = commit,
		.opaque = fake,
		.main = &fake->loop,
	};
}

void fake_sink_release(struct fake_sink *fake)
{
	loop_release(&fake->loop);
}

unsigned fake_sink_count(const struct fake_sink *fake, char what)
{
	unsigned count = 0;

	for (unsigned i = 0; i < fake->calls && i < FAKE_LOG; i++)
		count += fake->log[i].what == what;
	return count;
}

void fake_sink_clear(struct fake_sink *fake)
{
	memset(fake->log, 0, sizeof(fake->log));
	fake->calls = 0;
}

int fake_bus_setup(void **state)
{
	struct fake_bus *f = calloc(1, sizeof(*f));

	fake_sink_init(&f->fake);
	pci_bus_init(&f->bus, "pcie.0", NULL, &f->fake.sink);
	pci_function_init(&f->fn, "dev", NULL, NULL);
	*state = f;
	return 0;
}

int fake_bus_teardown(void **state)
{
	struct fake_bus *f = *state;

	pci_function_release(&f->fn);
	fake_sink_release(&f->fake);
	free(f);
	return 0;
}

uint32_t fake_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	return pci_function_read(fn, offset, size);
}

bool fake_write(struct fake_sink *fake, struct pci_function *fn, unsigned offset, unsigned size,
	uint32_t value)
{
	struct io_request request = { .done = 1 };
	struct io_access access = {
		.size = (uint8_t)size, .write = true, .data = value, .request = &request
	};

	if (pci_function_write(fn, offset, size, &access) == IO_DONE)
		return false;
	io_post(&request);
	while (!atomic_load(&request.done))
		loop_step(&fake->loop, -1);
	return true;
}

unsigned fake_find_cap(const struct pci_function *fn, uint8_t id)
{
	unsigned at = fn->config[PCI_CAPABILITY_LIST];

	for (unsigned i = 0; at >= 0x40 && i < 48; i++) {
		if (fn->config[at + PCI_CAP_LIST_ID] == id)
			return at;
		at = fn->config[(at + PCI_CAP_LIST_NEXT) & 0xffu] & ~3u;
	}
	return 0;
}

bool fake_bridge_window(
	const struct pci_function *fn, enum pci_window window, uint64_t *base, uint64_t *last)
{
	const uint8_t *config = fn->config;

	if (window == PCI_WINDOW_IO) {
		if (!fn->wmask[PCI_IO_BASE])
			return false;
		*base = pci_get(config, PCI_IO_BASE, 1) << 8 & 0xf000;
		*last = (pci_get(config, PCI_IO_LIMIT, 1) << 8 & 0xf000) + 0x1000 - 1;
	} else {
		unsigned at = window == PCI_WINDOW_MEM32 ? PCI_MEMORY_BASE : PCI_PREF_MEMORY_BASE;

		*base = (uint64_t)(pci_get(config, at, 2) & 0xfff0) << 16;
		*last = ((uint64_t)(pci_get(config, at + 2, 2) & 0xfff0) << 16) + 0x100000 - 1;
		if (window == PCI_WINDOW_PREF64) {
			*base |= (uint64_t)pci_get(config, PCI_PREF_BASE_UPPER32, 4) << 32;
			*last |= (uint64_t)pci_get(config, PCI_PREF_LIMIT_UPPER32, 4) << 32;
		}
	}
	return *base <= *last;
}
