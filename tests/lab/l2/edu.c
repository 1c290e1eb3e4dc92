/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives QEMU's edu device (1234:11e8) from the guest's user space: it has no driver, so every
 * register, DMA address and interrupt is under the test's control.
 *
 * edu BDF dma [MIN]           a page goes into the device and comes back elsewhere; both pages'
 *                             guest-physical addresses are at least MIN. Prints them.
 * edu BDF copy SOURCE TARGET  2048 bytes go into the device and out again, by bus address
 * edu BDF msi VECTOR          programs MSI for a CPU vector and raises an interrupt
 * edu BDF raise VALUE         raises an interrupt the way the device is programmed now
 * edu BDF ack VALUE           acknowledges it (INTx stays asserted until then)
 * edu BDF uio N               N interrupts by pin, through /dev/uio0 (uio_pci_generic), whose
 *                             handler masks each with the command register's INTx disable bit
 * edu BDF fact N              the device computes N! and the answer is printed
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sysfs.h"

enum {
	REG_FACTORIAL = 0x08,
	REG_STATUS = 0x20,
	REG_RAISE = 0x60,
	REG_ACK = 0x64,
	REG_DMA_SOURCE = 0x80,
	REG_DMA_TARGET = 0x88,
	REG_DMA_COUNT = 0x90,
	REG_DMA_COMMAND = 0x98,
	BUFFER = 0x40000, /* where the device's own memory is, seen from its DMA engine */
	DMA_RUN = 1,
	DMA_TO_RAM = 2,
	PAGE = 4096,
	DMA_SIZE = 2048, /* of the device's 4096 bytes: QEMU 7.2 aborts on a transfer that reaches
			    the last one */
	CONFIG_COMMAND = 0x04,
	COMMAND_INTX_DISABLE = 0x400,
	CONFIG_STATUS = 0x06,
	STATUS_INTERRUPT = 0x08,
	CAPABILITY_MSI = 0x05,
};

static volatile uint8_t *registers;
static int config;

static uint32_t get32(unsigned offset)
{
	return *(volatile uint32_t *)(registers + offset);
}

static void put32(unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(registers + offset) = value;
}

static void put64(unsigned offset, uint64_t value)
{
	*(volatile uint64_t *)(registers + offset) = value;
}

static void open_device(const char *bdf)
{
	int bar;

	config = open_file(bdf, "config");
	/* memory, bus master */
	config_put(config, CONFIG_COMMAND, config_get(config, CONFIG_COMMAND, 2) | 6, 2);
	bar = open_file(bdf, "resource0");
	registers = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
	if (registers == MAP_FAILED)
		die("mmap of resource0");
}

static uint64_t physical(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || pread(fd, &entry, sizeof entry,
			      (off_t)((uintptr_t)page / PAGE * sizeof entry)) != sizeof entry)
		die("/proc/self/pagemap");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE;
}

/* A locked page whose guest-physical address is at least min. */
static uint8_t *page_from(uint64_t min)
{
	for (int tries = 0; tries < 4096; tries++) {
		uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);

		if (page == MAP_FAILED)
			break;
		memset(page, 0, PAGE);
		if (physical(page) >= min)
			return page;
	}
	errno = ENOMEM;
	die("no page that high");
	return NULL;
}

static void transfer(uint64_t source, uint64_t target, uint32_t direction)
{
	put64(REG_DMA_SOURCE, source);
	put64(REG_DMA_TARGET, target);
	put64(REG_DMA_COUNT, DMA_SIZE);
	put64(REG_DMA_COMMAND, DMA_RUN | direction);
	for (int tries = 0; get32(REG_DMA_COMMAND) & DMA_RUN; tries++) {
		if (tries > 10000) {
			errno = ETIMEDOUT;
			die("DMA");
		}
		usleep(1000);
	}
}

static int dma(uint64_t min)
{
	uint8_t *out = page_from(min), *in = page_from(min);
	int random = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (read(random, out, DMA_SIZE) != DMA_SIZE)
		die("/dev/urandom");
	transfer(physical(out), BUFFER, 0);
	transfer(BUFFER, physical(in), DMA_TO_RAM);
	if (memcmp(out, in, PAGE) != 0) {
		fprintf(stderr, "edu: what came back differs from what was sent\n");
		return 1;
	}
	printf("%#llx -> device -> %#llx\n", (unsigned long long)physical(out),
		(unsigned long long)physical(in));
	return 0;
}

/* From bus address to bus address, by way of the device's own memory. */
static int copy(uint64_t source, uint64_t target)
{
	transfer(source, BUFFER, 0);
	transfer(BUFFER, target, DMA_TO_RAM);
	return 0;
}

static void program_msi(unsigned vector)
{
	unsigned at = capability(config, CAPABILITY_MSI);
	uint32_t control = config_get(config, at + 2, 2);
	int wide = control & 0x80;

	config_put(config, at + 2, control & ~0x71U, 2);
	config_put(config, at + 4, 0xfee00000, 4); /* CPU 0, physical */
	if (wide)
		config_put(config, at + 8, 0, 4);
	config_put(config, at + (wide ? 12 : 8), vector, 2); /* fixed, edge */
	config_put(config, at + 2, (control & ~0x71U) | 1, 2);
}

/* The next interrupt of the device, as a count since the driver has it. */
static uint32_t next_interrupt(int uio)
{
	struct pollfd wait = { .fd = uio, .events = POLLIN };
	uint32_t count;

	if (poll(&wait, 1, 20000) != 1) {
		errno = ETIMEDOUT;
		die("no interrupt");
	}
	if (read(uio, &count, sizeof count) != sizeof count)
		die("/dev/uio0");
	return count;
}

static int uio(uint64_t rounds)
{
	int fd = open("/dev/uio0", O_RDONLY | O_CLOEXEC);
	uint32_t first = 0, last = 0;

	if (fd < 0)
		die("/dev/uio0");
	for (uint64_t i = 0; i < rounds; i++) {
		put32(REG_RAISE, 1);
		last = next_interrupt(fd);
		if (!i)
			first = last;
		if (!(config_get(config, CONFIG_COMMAND, 2) & COMMAND_INTX_DISABLE) ||
			!(config_get(config, CONFIG_STATUS, 2) & STATUS_INTERRUPT)) {
			errno = EPROTO;
			die("not masked, or no interrupt status");
		}
		put32(REG_ACK, 1);
		config_put(config, CONFIG_COMMAND,
			config_get(config, CONFIG_COMMAND, 2) & ~(uint32_t)COMMAND_INTX_DISABLE, 2);
	}
	printf("%u\n", last - first + 1);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: edu BDF dma|copy|msi|raise|ack|uio|fact [VALUE]\n");
		return 2;
	}
	const char *verb = argv[2];
	uint64_t value = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;

	open_device(argv[1]);
	if (!strcmp(verb, "dma"))
		return dma(value);
	if (!strcmp(verb, "copy"))
		return copy(value, argc > 4 ? strtoull(argv[4], NULL, 0) : 0);
	if (!strcmp(verb, "uio"))
		return uio(value);
	if (!strcmp(verb, "msi")) {
		program_msi((unsigned)value);
		put32(REG_RAISE, 1);
		put32(REG_ACK, 1);
	} else if (!strcmp(verb, "raise")) {
		put32(REG_RAISE, (uint32_t)value);
	} else if (!strcmp(verb, "ack")) {
		put32(REG_ACK, (uint32_t)value);
	} else if (!strcmp(verb, "fact")) {
		put32(REG_FACTORIAL, (uint32_t)value);
		while (get32(REG_STATUS) & 1)
			usleep(1000);
		printf("%u\n", get32(REG_FACTORIAL));
	}
	return 0;
}
