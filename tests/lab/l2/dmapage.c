/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DMA into one page of the guest's: `dmapage PAGES ADDRESS DRIVE` takes so much memory that the
 * page at the guest-physical ADDRESS should be among it, has the drive write its first 4 KiB there,
 * and compares with what it wrote elsewhere.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

/* The page of memory that is at this page frame, or NULL. */
static char *find(char *memory, size_t size, uint64_t frame)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	for (size_t at = 0; at < size; at += PAGE) {
		uint64_t entry;

		if (pread(fd, &entry, sizeof entry, (off_t)(((uintptr_t)memory + at) / PAGE * 8)) !=
			sizeof entry)
			return NULL;
		if ((entry & ((1ull << 55) - 1)) == frame)
			return memory + at;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t size;
	char *memory, *page, *other;
	int fd;

	if (argc != 4)
		return 2;
	size = strtoul(argv[1], NULL, 10) * PAGE;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	fd = open(argv[3], O_RDONLY | O_DIRECT);
	if (memory == MAP_FAILED || fd < 0)
		return 2;
	page = find(memory, size, strtoull(argv[2], NULL, 0) / PAGE);
	if (!page) {
		printf("not among %zu pages\n", size / PAGE);
		return 1;
	}
	other = page == memory ? memory + PAGE : memory;
	memset(page, 0xee, PAGE);
	if (pread(fd, page, PAGE, 0) != PAGE || pread(fd, other, PAGE, 0) != PAGE)
		return 2;
	printf("%s\n", memcmp(page, other, PAGE) ? "not the same" : "the same");
	return 0;
}
