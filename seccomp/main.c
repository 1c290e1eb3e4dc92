/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - all that the main thread may ask of the kernel once the guest runs
 * (threads/main_loop.c): clients, topology, memslots, and the way out.
 *
 * Nothing is opened by name, no thread or process is made, no socket is created or connected, and
 * no VFIO call is made: fds come from accept, from clients (SCM_RIGHTS) and from workers.
 */
#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "rules.h"

#define VM_IOCTL(cmd, reason) RULE(ioctl, reason, ARG_FD(0, POLICY_FD_VM), ARG_NAMED(1, cmd, #cmd))

static const struct sc_rule rules_main[] = {
	/* clients of QMP and the serial port */
	RULE(accept4, "a client connects"),
	RULE(recvmsg, "commands, and fds handed over with them"),
	RULE(shutdown, "hanging up: the peer hears before the socket is closed",
		ARG_IS(1, SHUT_RDWR)),
	RULE(sendto, "replies, events, serial output"),
	RULE(write, "serial output to a terminal, file or pipe"),

	/* the machine */
	VM_IOCTL(KVM_SET_USER_MEMORY_REGION, "BARs mapped into the guest, or taken away"),
	VM_IOCTL(KVM_SET_IRQCHIP, "reset: PIC and IOAPIC"),
	VM_IOCTL(KVM_SET_PIT2, "reset: timer"),
	RULE(madvise, "a fresh page for a broken one: not in core dumps", ARG_IS(2, MADV_DONTDUMP)),
	RULE(madvise, "a fresh page for a broken one: part of a huge page",
		ARG_IS(2, MADV_HUGEPAGE)),
	RULE(getpid, "libc's pthread_kill"),
	RULE(tgkill, "getting a vCPU out of KVM_RUN", ARG_IS(2, SIGUSR1)),

	/* the way out */
	RULE(futex, "libc's pthread_join", ARG_IS(1, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME)),
	RULE(newfstatat, "are the pidfile and the sockets still ours"),
	RULE(unlink, "removing the pidfile and unix sockets"),
	RULE(ioctl, "libc's tcsetattr: the terminal as it was", ARG_IS(1, TCSETS)),
	RULE(ioctl, "libc's tcsetattr: the terminal as it was", ARG_IS(1, TCGETS)),
	RULE(exit_group, "the end"),
	RULES_END,
};

static const struct sc_rule *const parts[] = { rules_main, rules_kvm_irq, rules_loop, rules_heap,
	rules_common, NULL };

const struct policy policy_main = { .role = "main", .parts = parts };
