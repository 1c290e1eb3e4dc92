/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_space.c - emulated config space: bytes, write masks, capabilities (PCI 3.0 ch. 6, PCIe 5.0
 * 7.5).
 *
 * A write that moves a BAR is finished on main; every other write is taken under the function's
 * leaf lock, on the vCPU.
 */
#include <errno.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <portcullis/loop.h>
#include <portcullis/pci.h>

#include "bar.h"

#define CAPS_START 0x40u
#define CAPS_END 0x100u
#define CAPS_MAX 48 /* as many as fit; a list cannot be longer without a loop */

uint32_t pci_get(const uint8_t *bytes, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint32_t)bytes[offset + i] << (8 * i);
	return value;
}

void pci_put(uint8_t *bytes, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++)
		bytes[offset + i] = (uint8_t)(value >> (8 * i));
}

static bool in_space(unsigned offset, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && offset <= PCI_CONFIG_SIZE - size;
}

static bool overlaps(unsigned offset, unsigned size, unsigned at, unsigned length)
{
	return offset < at + length && at < offset + size;
}

uint32_t pci_config_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	uint32_t value;

	if (!in_space(offset, size))
		return UINT32_MAX;
	pthread_mutex_lock(&fn->lock);
	value = pci_get(fn->config, offset, size);
	pthread_mutex_unlock(&fn->lock);
	return value;
}

static uint8_t masked(const struct pci_function *fn, unsigned at, uint8_t value)
{
	uint8_t write = fn->wmask[at], clear = fn->w1cmask[at], old = fn->config[at];

	return (uint8_t)(((old & ~write) | (value & write)) & ~(value & clear));
}

bool pci_config_apply(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value)
{
	struct pci_bar_targets before, after;

	if (!in_space(offset, size))
		return false;
	pci_bar_targets(fn, fn->config, &before);
	for (unsigned i = 0; i < size; i++)
		fn->config[offset + i] = masked(fn, offset + i, (uint8_t)(value >> (8 * i)));
	pci_bars_refresh(fn);
	if (fn->child && overlaps(offset, size, PCI_PRIMARY_BUS, 4))
		atomic_store(&fn->bus_numbers, pci_get(fn->config, PCI_PRIMARY_BUS, 4));
	pci_bar_targets(fn, fn->config, &after);
	return memcmp(&before, &after, sizeof(before)) != 0;
}

bool pci_config_moves(struct pci_function *fn, unsigned offset, unsigned size, uint32_t value)
{
	struct pci_bar_targets before, after;
	uint8_t header[PCI_STD_HEADER_SIZEOF];

	if (!in_space(offset, size) || offset >= sizeof(header))
		return false;
	memcpy(header, fn->config, sizeof(header));
	for (unsigned i = 0; i < size && offset + i < sizeof(header); i++)
		header[offset + i] = masked(fn, offset + i, (uint8_t)(value >> (8 * i)));
	pci_bar_targets(fn, fn->config, &before);
	pci_bar_targets(fn, header, &after);
	return memcmp(&before, &after, sizeof(before)) != 0;
}

/* On main. The function may have been unplugged since; it is freed only after this has run. */
static void finish_write(struct io_request *request) ON_MAIN
{
	struct pci_function *fn = request->opaque;
	struct pci_bus *bus = atomic_load(&fn->bus);

	if (bus) {
		pthread_mutex_lock(&fn->lock);
		(void)pci_config_apply(fn, request->arg, request->size, (uint32_t)request->data);
		pthread_mutex_unlock(&fn->lock);
		pci_update_mappings(fn);
		bus->sink->commit(bus->sink->opaque);
	}
	io_complete(request);
}

enum io_status pci_config_write(
	struct pci_function *fn, unsigned offset, unsigned size, struct io_access *access)
{
	struct pci_bus *bus = atomic_load(&fn->bus);
	bool moves;

	pthread_mutex_lock(&fn->lock);
	moves = bus && pci_config_moves(fn, offset, size, (uint32_t)access->data);
	if (!moves)
		(void)pci_config_apply(fn, offset, size, (uint32_t)access->data);
	pthread_mutex_unlock(&fn->lock);
	if (!moves)
		return IO_DONE;
	return pci_defer(access, bus->sink->main, finish_write, fn, offset, size);
}

enum io_status pci_defer(struct io_access *access, struct loop *owner,
	void (*finish)(struct io_request *), struct pci_function *fn, unsigned offset,
	unsigned size)
{
	uint8_t asked = access->size;
	enum io_status status;

	/*
	 * The request is about a config register: size is that of the part, not of the whole
	 * access.
	 */
	access->size = (uint8_t)size;
	status = io_defer(access, owner, finish, fn, offset);
	access->size = asked;
	return status;
}

static unsigned last_cap(const struct pci_function *fn)
{
	unsigned at = fn->config[PCI_CAPABILITY_LIST], last = 0;

	for (unsigned i = 0; at && i < CAPS_MAX; i++) {
		last = at;
		at = fn->config[at + PCI_CAP_LIST_NEXT];
	}
	return last;
}

unsigned pci_find_cap(struct pci_function *fn, uint8_t id)
{
	unsigned at;

	pthread_mutex_lock(&fn->lock);
	at = fn->config[PCI_CAPABILITY_LIST];
	for (unsigned i = 0; at && fn->config[at + PCI_CAP_LIST_ID] != id; i++)
		at = i < CAPS_MAX ? fn->config[at + PCI_CAP_LIST_NEXT] : 0;
	pthread_mutex_unlock(&fn->lock);
	return at;
}

unsigned pci_add_cap(struct pci_function *fn, uint8_t id, unsigned want, unsigned size)
{
	unsigned at = want ? want : (fn->cap_free + 3u) & ~3u, last = last_cap(fn);

	if (at < CAPS_START || at & 3 || size < 2 || size > CAPS_END || at + size > CAPS_END)
		return 0;
	fn->config[at + PCI_CAP_LIST_ID] = id;
	fn->config[at + PCI_CAP_LIST_NEXT] = 0;
	fn->config[last ? last + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] = (uint8_t)at;
	fn->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	if (at + size > fn->cap_free)
		fn->cap_free = (uint16_t)(at + size);
	return at;
}
