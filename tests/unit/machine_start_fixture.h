/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_start_fixture.h - a machine's start and end, as in threads/main_loop.c, with its workers and
 * populators as threads: what a test does between them may fail anywhere, and nothing may stay behind.
 *
 * Link: as machine_rig.h, and with --wrap=mmap,munmap, which count what is mapped, and
 *       --wrap=madvise,sched_getaffinity: this is a host of START_CPUS, and pages of guest RAM cost
 *       nothing.
 */
#ifndef TESTS_MACHINE_START_FIXTURE_H
#define TESTS_MACHINE_START_FIXTURE_H

#include "machine_rig.h"

#define PORT " -device pcie-root-port,id=rp1,addr=1"
#define CARD " -device vfio-pci,id=d0,host=0000:01:00.0,bus=rp1"
#define CARD2 " -device vfio-pci,id=d1,host=0000:02:00.0,addr=3"

#define START_CPUS 4

extern struct machine_rig rig;

/* MADV_POPULATE_WRITE since begin(). on_piece (NULL: it succeeds): 0, or an errno. */
struct start_populated {
	_Atomic uint64_t bytes;
	_Atomic unsigned calls;
	int (*on_piece)(void *hva, size_t size);
};
extern struct start_populated start_populated;

/* The host and the command line (words beside those that any machine needs); what there is then. */
void begin(const char *words);
int make(struct err *err); /* machine_new() */
void workers_start(void);  /* and populators */
/* After machine_end(): the workers' threads and the machine; KVM has nothing of devices any more. */
void machine_gone(void);
/* As it was at begin(): fds, mappings, KVM, the host's VFIO. */
void nothing_is_left(void);
/* An error is a sentence; what it is about stands before the errno's text. */
void is_told(int ret, const struct err *err);

#endif
