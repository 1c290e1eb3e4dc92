/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads.c - names, states and stacks of threads, read from the outside: a thread that hangs
 * cannot be asked. Its stack is searched for addresses of code, which finds a little more than the
 * callers.
 */
#include "threads.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define STACK_WORDS 1024
#define FRAMES 24

/* The sanitizers' own symbolizer, where there is one. */
void __sanitizer_symbolize_pc(void *pc, const char *fmt, char *out, size_t size)
	__attribute__((weak));

static int read_task(int tid, const char *what, char *buf, size_t size)
{
	char path[64];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, what);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	n = fread(buf, 1, size - 1, file);
	fclose(file);
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

char thread_state(int tid)
{
	char buf[256], *end;

	if (read_task(tid, "stat", buf, sizeof(buf)))
		return '?';
	end = strrchr(buf, ')');
	return end && end[1] == ' ' ? end[2] : '?';
}

static uintptr_t program_start, program_end;

/* The program's code: what is mapped executable of the file itself. */
static void find_program(void)
{
	char line[512], exe[256];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	FILE *maps = fopen("/proc/self/maps", "r");

	exe[n > 0 ? n : 0] = '\0';
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3 && rights[2] == 'x' &&
			strstr(line, exe)) {
			program_start = start;
			program_end = end;
		}
	}
	if (maps)
		fclose(maps);
}

/* False: no code of ours. */
static bool print_pc(uintptr_t pc)
{
	char text[256] = "";
	const char *source;

	if (!__sanitizer_symbolize_pc) {
		printf("      +0x%lx\n", (unsigned long)(pc - program_start));
		return true;
	}
	__sanitizer_symbolize_pc((void *)pc, "%f %S", text, sizeof(text));
	source = strchr(text, ' ');
	if (!source || source[1] != '/' || !strncmp(text, "<null>", 6) || !strrchr(source, ':'))
		return false;
	printf("      %s\n", text);
	return true;
}

static void print_stack(uintptr_t sp)
{
	uintptr_t words[STACK_WORDS];
	struct iovec to = { words, sizeof(words) }, from = { (void *)sp, sizeof(words) };
	ssize_t n = 0;

	/* It may reach past the stack's end. */
	for (; from.iov_len >= 512 && n <= 0; from.iov_len /= 2)
		n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	for (ssize_t i = 0, shown = 0; i < n / (ssize_t)sizeof(words[0]) && shown < FRAMES; i++)
		if (words[i] >= program_start && words[i] < program_end)
			shown += print_pc(words[i] - 1);
}

static void print_thread(int tid)
{
	char name[32] = "?", call[256] = "?", wchan[64] = "";
	unsigned long number, args[6], sp;

	read_task(tid, "comm", name, sizeof(name));
	read_task(tid, "syscall", call, sizeof(call));
	read_task(tid, "wchan", wchan, sizeof(wchan));
	printf("   %-14s %d %c  system call %s  %s\n", name, tid, thread_state(tid), call, wchan);
	/* Whoever waits for events has nothing else to do. */
	if (tid != gettid() &&
		sscanf(call, "%lu %lx %lx %lx %lx %lx %lx %lx", &number, &args[0], &args[1],
			&args[2], &args[3], &args[4], &args[5], &sp) == 8 &&
		number != SYS_epoll_wait)
		print_stack(sp);
}

void threads_print(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;

	find_program();
	printf("--- threads: name, id, state, system call with its arguments, code on the stack\n");
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			print_thread(atoi(entry->d_name));
	if (dir)
		closedir(dir);
}
