/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns MSI-X on and off from the guest's user space, through sysfs, for a function without a
 * driver: with more vectors than any driver of the lab asks for.
 *
 *   msix BDF on COUNT         COUNT entries get a message nobody waits for and are unmasked, then
 *                             MSI-X is on
 *   msix BDF more FROM COUNT  COUNT further entries, from FROM, one write after the other
 *   msix BDF off
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sysfs.h"

#define CAPABILITY_MSIX 0x11
#define ENTRY 16
#define MESSAGE_ADDRESS 0xfee00000u /* the first processor's local APIC */
#define MESSAGE_DATA 0xb0

static void unmask(const char *bdf, uint32_t table, unsigned from, unsigned count)
{
	char name[16];
	size_t end = (table & ~7u) + (size_t)(from + count) * ENTRY;
	volatile uint8_t *bar;
	int fd;

	snprintf(name, sizeof name, "resource%u", table & 7);
	fd = open_file(bdf, name);
	bar = mmap(NULL, end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		die("mmap");
	for (unsigned i = from; i < from + count; i++) {
		volatile uint32_t *entry =
			(volatile uint32_t *)(bar + (table & ~7u) + (size_t)i * ENTRY);

		entry[0] = MESSAGE_ADDRESS;
		entry[1] = 0;
		entry[2] = MESSAGE_DATA;
		entry[3] = 0;
	}
}

int main(int argc, char **argv)
{
	unsigned at, from = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
	int config;

	if (argc < 3) {
		fprintf(stderr, "usage: msix BDF on COUNT | more FROM COUNT | off\n");
		return 2;
	}
	config = open_file(argv[1], "config");
	at = capability(config, CAPABILITY_MSIX);
	if (argc == 3) {
		config_put(config, at + 2, 0, 2);
		return 0;
	}
	config_put(config, 4, config_get(config, 4, 2) | 6, 2);
	unmask(argv[1], config_get(config, at + 4, 4), from, (unsigned)atoi(argv[argc - 1]));
	config_put(config, at + 2, 0x8000, 2);
	return 0;
}
