/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into a device's regions from the guest's user space, through sysfs: memory BARs are mapped,
 * I/O BARs are read and written.
 *
 *   bar BDF on                      the device decodes memory and I/O, and may do DMA
 *   bar BDF N get OFFSET            a 32-bit register of BAR N
 *   bar BDF N put OFFSET VALUE
 *   bar BDF N fill OFFSET SIZE SEED a pattern that is different at every address
 *   bar BDF N check OFFSET SIZE SEED
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sysfs.h"

static int turn_on(const char *bdf)
{
	int config = open_file(bdf, "config");

	config_put(config, 4, config_get(config, 4, 2) | 7, 2);
	return 0;
}

/* The same as cases/regions.py's pattern(). */
static uint64_t pattern(uint64_t offset, uint64_t seed)
{
	return (offset + seed) * 0x9e3779b97f4a7c15;
}

static int memory(int fd, const char *verb, uint64_t offset, uint64_t size, uint64_t value)
{
	uint64_t page = offset & ~4095ULL, at = offset - page;
	volatile uint8_t *map =
		mmap(NULL, at + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)page);
	volatile uint64_t *words;

	if (map == MAP_FAILED)
		die("mmap");
	if (!strcmp(verb, "get")) {
		printf("%#x\n", *(volatile uint32_t *)(map + at));
		return 0;
	}
	if (!strcmp(verb, "put")) {
		*(volatile uint32_t *)(map + at) = (uint32_t)value;
		return 0;
	}
	words = (volatile uint64_t *)(map + at);
	for (uint64_t i = 0; i < size / 8; i++) {
		uint64_t want = pattern(offset + 8 * i, value), have;

		if (!strcmp(verb, "fill")) {
			words[i] = want;
			continue;
		}
		have = words[i];
		if (have != want) {
			fprintf(stderr, "bar: at %#llx is %#llx, not %#llx\n",
				(unsigned long long)(offset + 8 * i), (unsigned long long)have,
				(unsigned long long)want);
			return 1;
		}
	}
	return 0;
}

static int port(int fd, const char *verb, uint64_t offset, uint32_t value)
{
	if (!strcmp(verb, "put"))
		return pwrite(fd, &value, 4, (off_t)offset) != 4;
	if (pread(fd, &value, 4, (off_t)offset) != 4)
		die("reading an I/O BAR");
	printf("%#x\n", value);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t number[3] = { 0 };
	char name[16];
	int fd;

	if (argc == 3 && !strcmp(argv[2], "on"))
		return turn_on(argv[1]);
	if (argc < 5) {
		fprintf(stderr, "usage: bar BDF on | BDF N get|put|fill|check OFFSET ...\n");
		return 2;
	}
	for (int i = 4; i < argc && i < 7; i++)
		number[i - 4] = strtoull(argv[i], NULL, 0);
	snprintf(name, sizeof name, "resource%.4s", argv[2]);
	fd = open_file(argv[1], name);
	if (!strcmp(argv[3], "get") || !strcmp(argv[3], "put")) {
		/* I/O BARs cannot be mapped. */
		void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

		return map == MAP_FAILED ? port(fd, argv[3], number[0], (uint32_t)number[1])
					 : memory(fd, argv[3], number[0], 4, number[1]);
	}
	return memory(fd, argv[3], number[0], number[1], number[2]);
}
