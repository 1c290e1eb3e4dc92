/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_acpi_slots.c - the ACPI hot-plug registers: any access of a guest, cards that come, go, are
 * asked for and pulled.
 *
 * Input: four bytes per step: kind, port, value, size and offset. Asserted: a guest changes nothing
 * but what it may clear, EJ0 of a port that is there is the only thing that main hears of, and a
 * guest that does as the header says (scan) sees everything and comes to an end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <portcullis/acpi_slots.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static unsigned ejects;
static uint8_t ejected_port, ejected;

static void on_eject(void *opaque, uint8_t port, uint8_t functions)
{
	struct acpi_slots *slots = opaque;

	must(slots->slot[port].exists && functions);
	ejected_port = port;
	ejected = functions;
	ejects++;
}

static const struct acpi_slots_ops ops = { .eject = on_eject };

static uint64_t access_at(
	struct acpi_slots *slots, uint64_t offset, uint8_t size, bool write, uint64_t value)
{
	struct io_access access = { .offset = offset, .size = size, .write = write, .data = value };

	must(acpi_slots_access(slots, &access) ==
		IO_DONE); /* without a vCPU it is finished at once */
	return access.data;
}

/* The scan method of acpi_slots.h. */
static void scan(struct acpi_slots *slots)
{
	for (unsigned rounds = 0; rounds <= ACPI_SLOTS_PORTS; rounds++) {
		uint64_t port = access_at(slots, 0, 4, false, 0), at = 0x800 + 8 * port;

		if (port >= ACPI_SLOTS_PORTS) {
			must(port == UINT32_MAX && !acpi_slots_pending(slots));
			for (unsigned i = 0; i < ACPI_SLOTS_PORTS; i++)
				must(!slots->slot[i].inserted && !slots->slot[i].eject);
			return;
		}
		must(slots->slot[port].inserted || slots->slot[port].eject);
		for (unsigned reg = 0; reg < 2; reg++) {
			uint64_t bits = access_at(slots, at + reg, 1, false, 0);

			(void)access_at(slots, at + reg, 1, true, bits);
			must(access_at(slots, at + reg, 1, false, 0) == 0);
		}
	}
	abort(); /* it never ends */
}

static void guest_access(struct acpi_slots *slots, const uint8_t *in)
{
	struct acpi_slot before[ACPI_SLOTS_PORTS];
	uint8_t size = (uint8_t)(1u << (in[3] & 3));
	uint64_t offset = ((uint64_t)in[1] << 4 | in[3] >> 4) % (ACPI_SLOTS_SIZE - size + 1u);
	unsigned heard = ejects;

	memcpy(before, slots->slot, sizeof(before));
	(void)access_at(slots, offset, size, in[0] & 0x80, in[2] * 0x0101010101010101ull);
	for (unsigned i = 0; i < ACPI_SLOTS_PORTS; i++) {
		const struct acpi_slot *a = &before[i], *b = &slots->slot[i];

		must(a->exists == b->exists && a->present == b->present && a->number == b->number);
		must(!(b->inserted & ~a->inserted) && !(b->eject & ~a->eject));
		must(in[0] & 0x80 || (a->inserted == b->inserted && a->eject == b->eject));
	}
	if (ejects != heard)
		must(ejects == heard + 1 && size == 1 && offset >= 0x800 && offset % 8 == 3 &&
			ejected == in[2] && ejected_port == (offset - 0x800) / 8);
}

static void step(struct acpi_slots *slots, const uint8_t *in)
{
	switch (in[0] % 8) {
	case 0:
		acpi_slots_add_port(slots, in[1], in[2]);
		break;
	case 1:
		if (slots->slot[in[1]].exists)
			acpi_slots_set_present(slots, in[1], in[2], in[3] & 1);
		break;
	case 2:
		acpi_slots_request_eject(slots, in[1], in[2]);
		break;
	case 3:
		acpi_slots_pull(slots, in[1]);
		break;
	case 4:
		acpi_slots_cancel_eject(slots, in[1]);
		break;
	case 5:
		scan(slots);
		break;
	case 6:
		if (in[2] & 1)
			acpi_slots_reset(slots);
		break;
	default:
		guest_access(slots, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acpi_slots slots;
	struct loop loop;

	must(loop_init(&loop) == 0);
	memset(&slots, 0, sizeof(slots));
	ejects = 0;
	acpi_slots_init(&slots, &loop, &ops, &slots);
	for (; size >= 4; data += 4, size -= 4)
		step(&slots, data);
	must(loop.count == 0);
	acpi_slots_release(&slots);
	loop_release(&loop);
	return 0;
}
