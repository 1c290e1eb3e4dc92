/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ged.c - any sequence of accesses to the event device, events raised and resets.
 *
 * Input: two bytes per step: kind and size, offset or events. Asserted: what was raised is read
 * once, all of it and nothing else, whatever part of the register is read; there is a pulse for
 * each raise while something waits; a guest that only reads or writes makes no pulses.
 */
#include <stdint.h>
#include <stdlib.h>

#include <portcullis/devices.h>
#include <portcullis/sys.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static void guest_access(struct ged *ged, uint64_t offset, uint8_t size, bool write, uint8_t value)
{
	struct io_access access = { .offset = offset, .size = size, .write = write, .data = value };
	uint64_t before = atomic_load(&ged->events), seen = 0;

	for (unsigned i = 0; !write && i < size && offset + i < 4; i++)
		seen |= 0xffull << 8 * (offset + i);
	must(ged_access(ged, &access) == IO_DONE);
	must(write || access.data == (before & seen) >> 8 * (seen ? offset : 0));
	must(atomic_load(&ged->events) == (before & ~seen));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ged ged;
	uint32_t waiting;
	int fd = sys_eventfd();

	must(fd >= 0);
	ged_init(&ged, fd);
	for (; size >= 2; data += 2, size -= 2) {
		switch (data[0] & 3) {
		case 0:
			waiting = atomic_load(&ged.events) | (uint32_t)data[1]
								     << (data[0] >> 2 & 31);
			ged_raise(&ged, (uint32_t)data[1] << (data[0] >> 2 & 31));
			must(atomic_load(&ged.events) == waiting);
			must(sys_eventfd_drain(fd) == (waiting != 0));
			break;
		case 1:
			ged_reset(&ged);
			must(!atomic_load(&ged.events) && !sys_eventfd_drain(fd));
			break;
		default:
			guest_access(&ged, data[0] & 4 ? data[1] % GED_SIZE : data[1] & 7,
				(uint8_t)(1u << (data[0] >> 3 & 3)), data[0] & 0x20, data[1]);
			must(!sys_eventfd_drain(fd));
			break;
		}
	}
	sys_close(fd);
	return 0;
}
