/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ged.c - any sequence of accesses to the event device, events raised and resets.
 *
 * Input: two bytes per step: kind, offset or events. Asserted: what was raised is read once, all of
 * it and nothing else; there is a pulse for it; a guest that only reads or writes makes no pulses.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ged ged;
	uint32_t waiting = 0;
	int fd = sys_eventfd();

	must(fd >= 0);
	ged_init(&ged, fd);
	for (; size >= 2; data += 2, size -= 2) {
		struct io_access access = { .offset = data[0] & 4 ? data[1] : 0,
			.size = (uint8_t)(1u << (data[0] >> 3 & 3)),
			.write = data[0] & 0x20,
			.data = data[1] };

		switch (data[0] & 3) {
		case 0:
			ged_raise(&ged, data[1]);
			waiting |= data[1];
			must((sys_eventfd_drain(fd) > 0) == (waiting != 0));
			break;
		case 1:
			ged_reset(&ged);
			waiting = 0;
			(void)sys_eventfd_drain(fd);
			break;
		default:
			must(ged_access(&ged, &access) == IO_DONE);
			must(!sys_eventfd_drain(fd));
			if (access.write)
				break;
			if (access.offset == 0 && access.size == 4) {
				must(access.data == waiting);
				waiting = 0;
			}
			break;
		}
		must(atomic_load(&ged.events) == waiting || (data[0] & 3) > 1);
		waiting = atomic_load(&ged.events);
	}
	sys_close(fd);
	return 0;
}
