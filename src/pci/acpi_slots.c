/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_slots.c - the register page of ACPI hot plug (layout: acpi_slots.h). */
#include <string.h>

#include <portcullis/acpi_slots.h>

#define NEXT 0x000
#define NONE UINT32_MAX
#define PORTS 0x800
#define PORT_STRIDE 8
enum { INS, EJR, PRS, EJ0, SUN };
#define SUN_EXISTS (1u << 16)

void acpi_slots_init(
	struct acpi_slots *slots, struct loop *main, const struct acpi_slots_ops *ops, void *opaque)
{
	memset(slots, 0, sizeof(*slots));
	pthread_mutex_init(&slots->lock, NULL);
	slots->main = main;
	slots->ops = ops;
	slots->opaque = opaque;
}

void acpi_slots_release(struct acpi_slots *slots)
{
	if (slots)
		pthread_mutex_destroy(&slots->lock);
}

void acpi_slots_reset(struct acpi_slots *slots)
{
	pthread_mutex_lock(&slots->lock);
	for (unsigned i = 0; i < ACPI_SLOTS_PORTS; i++) {
		slots->slot[i].inserted = 0;
		slots->slot[i].eject = 0;
	}
	pthread_mutex_unlock(&slots->lock);
}

void acpi_slots_add_port(struct acpi_slots *slots, uint8_t port, uint16_t number)
{
	pthread_mutex_lock(&slots->lock);
	slots->slot[port] = (struct acpi_slot){ .exists = true, .number = number };
	pthread_mutex_unlock(&slots->lock);
}

void acpi_slots_set_present(struct acpi_slots *slots, uint8_t port, uint8_t functions, bool notify)
{
	struct acpi_slot *slot = &slots->slot[port];

	pthread_mutex_lock(&slots->lock);
	if (notify)
		slot->inserted |= (uint8_t)(functions & ~slot->present);
	slot->present = functions;
	slot->inserted &= functions;
	slot->eject &= functions;
	pthread_mutex_unlock(&slots->lock);
}

void acpi_slots_request_eject(struct acpi_slots *slots, uint8_t port, uint8_t functions)
{
	struct acpi_slot *slot = &slots->slot[port];

	pthread_mutex_lock(&slots->lock);
	slot->eject |= functions & slot->present;
	pthread_mutex_unlock(&slots->lock);
}

void acpi_slots_pull(struct acpi_slots *slots, uint8_t port)
{
	struct acpi_slot *slot = &slots->slot[port];

	pthread_mutex_lock(&slots->lock);
	slot->eject |= slot->present;
	slot->present = 0;
	slot->inserted = 0;
	pthread_mutex_unlock(&slots->lock);
}

void acpi_slots_cancel_eject(struct acpi_slots *slots, uint8_t port)
{
	pthread_mutex_lock(&slots->lock);
	slots->slot[port].eject = 0;
	pthread_mutex_unlock(&slots->lock);
}

static uint32_t next_pending(const struct acpi_slots *slots)
{
	for (unsigned i = 0; i < ACPI_SLOTS_PORTS; i++)
		if (slots->slot[i].inserted || slots->slot[i].eject)
			return i;
	return NONE;
}

bool acpi_slots_pending(struct acpi_slots *slots)
{
	uint32_t next;

	pthread_mutex_lock(&slots->lock);
	next = next_pending(slots);
	pthread_mutex_unlock(&slots->lock);
	return next != NONE;
}

/* next: what the register of that name holds; found once for an access, not for each byte. */
static uint8_t read_byte(const struct acpi_slots *slots, uint64_t offset, uint32_t next)
{
	const struct acpi_slot *slot;
	unsigned reg = (unsigned)offset % PORT_STRIDE;

	if (offset < NEXT + 4)
		return (uint8_t)(next >> (8 * (offset - NEXT)));
	if (offset < PORTS)
		return 0;
	slot = &slots->slot[(offset - PORTS) / PORT_STRIDE];
	switch (reg) {
	case INS:
		return slot->inserted;
	case EJR:
		return slot->eject;
	case PRS:
		return slot->present;
	case EJ0:
		return 0;
	default:
		return (uint8_t)((slot->number | (slot->exists ? SUN_EXISTS : 0)) >>
				 (8 * (reg - SUN)));
	}
}

static void write_byte(struct acpi_slots *slots, uint64_t offset, uint8_t value)
{
	struct acpi_slot *slot;

	if (offset < PORTS)
		return;
	slot = &slots->slot[(offset - PORTS) / PORT_STRIDE];
	if (offset % PORT_STRIDE == INS)
		slot->inserted &= (uint8_t)~value;
	if (offset % PORT_STRIDE == EJR)
		slot->eject &= (uint8_t)~value;
}

/* On main. arg is the port. */
static void finish_eject(struct io_request *request)
{
	struct acpi_slots *slots = request->opaque;

	slots->ops->eject(slots->opaque, (uint8_t)request->arg, (uint8_t)request->data);
	io_complete(request);
}

/* A write to EJ0, on which main acts. */
static bool is_eject(const struct acpi_slots *slots, const struct io_access *access, uint32_t *port)
{
	if (!access->write || access->offset < PORTS)
		return false;
	*port = (uint32_t)(access->offset - PORTS) / PORT_STRIDE;
	return slots->slot[*port].exists && access->offset % PORT_STRIDE == EJ0 &&
	       access->size == 1 && access->data;
}

enum io_status acpi_slots_access(void *opaque, struct io_access *access)
{
	struct acpi_slots *slots = opaque;
	uint32_t port, next = NONE;
	uint64_t data = 0;

	if (is_eject(slots, access, &port))
		return io_defer(access, slots->main, finish_eject, slots, port);
	pthread_mutex_lock(&slots->lock);
	if (!access->write && access->offset < NEXT + 4)
		next = next_pending(slots);
	for (unsigned i = 0; i < access->size && access->offset + i < ACPI_SLOTS_SIZE; i++) {
		if (access->write)
			write_byte(slots, access->offset + i, (uint8_t)(access->data >> (8 * i)));
		else
			data |= (uint64_t)read_byte(slots, access->offset + i, next) << (8 * i);
	}
	pthread_mutex_unlock(&slots->lock);
	if (!access->write)
		access->data = data;
	return IO_DONE;
}
