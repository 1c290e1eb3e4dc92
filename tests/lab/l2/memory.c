/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a process: `memory PAGES MARK FILE` fills pages with MARK, says so, waits until FILE is
 * there, and reads them all again. A page that is gone (SIGBUS) is reported and left out.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

static sigjmp_buf next_page;
static volatile int code;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	code = info->si_code;
	siglongjmp(next_page, 1);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };
	volatile size_t wrong = 0, at = 0;
	size_t size, length;
	char *memory;

	if (argc != 4 || (length = strlen(argv[2])) == 0)
		return 2;
	size = strtoul(argv[1], NULL, 10) * PAGE;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 2;
	for (size_t i = 0; i < size; i++)
		memory[i] = argv[2][i % PAGE % length];
	sigaction(SIGBUS, &action, NULL);
	printf("filled\n");
	fflush(stdout);
	while (access(argv[3], F_OK) != 0)
		usleep(50000);
	for (; at < size; at += PAGE) {
		if (sigsetjmp(next_page, 1)) {
			/* 4: BUS_MCEERR_AR, 5: BUS_MCEERR_AO */
			printf("page %zu: SIGBUS code %d\n", at / PAGE, code);
			continue;
		}
		for (size_t i = 0; i < PAGE; i++)
			wrong += memory[at + i] != argv[2][i % length];
	}
	printf("done, %zu bytes wrong\n", wrong);
	return 0;
}
