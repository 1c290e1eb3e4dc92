/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common.c - rules that more than one role shares, in tables by purpose.
 *
 * A line belongs into rules_common only if all roles need it, the vCPU included.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <sys/mman.h>

#include <portcullis/sys.h>

#include "rules.h"

const struct sc_rule rules_common[] = {
	RULE(futex, "locks and waiting for another thread", ARG_IS(1, FUTEX_WAIT_PRIVATE)),
	RULE(futex, "unlocking, waking another thread", ARG_IS(1, FUTEX_WAKE_PRIVATE)),
	RULE(futex, "waiting with a monotonic deadline", ARG_IS(1, FUTEX_WAIT_BITSET_PRIVATE)),
	RULE(write, "waking a loop or an irqfd: eventfds live from FD_ZONE_EVENT up",
		ARG_FROM(0, FD_ZONE_EVENT)),
	RULE(write, "log lines", ARG_FD(0, POLICY_FD_LOG)),
	RULE(sendto, "log lines to a socket, such as systemd's journal", ARG_FD(0, POLICY_FD_LOG)),
	RULE(poll, "does the log take a line, now", ARG_IS(1, 1), ARG_IS(2, 0)),
	RULE(clock_gettime,
		"main's processor time; any time, where the vDSO cannot read the clock"),
	RULE(rt_sigreturn, "end of a signal handler"),
	RULE(rt_sigprocmask, "libc around the end of a thread and pthread_kill"),
	RULE(restart_syscall, "the kernel resumes an interrupted wait with it"),
	RULE(madvise, "libc gives the stack back at the end of a thread", ARG_IS(2, MADV_DONTNEED)),
	RULE(exit, "end of the thread"),
	RULES_END,
};

const struct sc_rule rules_heap[] = {
	RULE(brk, "malloc"),
	RULE(mmap, "malloc and mappings, never executable", ARG_WITHOUT(2, PROT_EXEC)),
	RULE(mprotect, "malloc growing an arena, never executable", ARG_WITHOUT(2, PROT_EXEC)),
	RULE(mremap, "realloc of a large block"),
	RULE(munmap, "free of a large block, mappings"),
	RULES_END,
};

const struct sc_rule rules_loop[] = {
	RULE(epoll_wait, "the event loop"),
	RULE(epoll_pwait, "the event loop, where libc has no epoll_wait"),
	RULE(epoll_ctl, "the event loop's fds come and go with devices and clients"),
	RULE(read, "draining eventfds; sockets and small sysfs files"),
	RULE(close, "every fd is closed by the role that owns it"),
	RULE(eventfd2, "wake-ups and interrupts of a new device"),
	RULE(fcntl, "moving an fd into its number zone", ARG_IS(1, F_DUPFD_CLOEXEC)),
	RULES_END,
};

const struct sc_rule rules_kvm_irq[] = {
	RULE(ioctl, "MSI routes of devices", ARG_FD(0, POLICY_FD_VM),
		ARG_IS(1, KVM_SET_GSI_ROUTING)),
	RULE(ioctl, "eventfd of a device to guest interrupt", ARG_FD(0, POLICY_FD_VM),
		ARG_IS(1, KVM_IRQFD)),
	RULE(ioctl, "an interrupt without eventfd: masked vectors, emulated functions",
		ARG_FD(0, POLICY_FD_VM), ARG_IS(1, KVM_SIGNAL_MSI)),
	RULES_END,
};
