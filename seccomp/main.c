/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - all that the main thread may ask of the kernel once the guest runs
 * (threads/main_loop.c): clients, topology, memslots, and the way out.
 *
 * Nothing is opened by name, no thread or process is made, no socket is created or connected, and
 * no VFIO call is made: fds come from accept, from clients (SCM_RIGHTS) and from workers.
 */
#include <asm/unistd.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "rules.h"

#define VM_IOCTL(cmd, reason) RULE(ioctl, reason, ARG_FD(0, POLICY_FD_VM), ARG_IS(1, cmd))

static const struct sc_rule rules_main[] = {
	/* clients of QMP and the serial port */
	RULE(accept4, "a client connects"),
	RULE(recvmsg, "commands, and fds handed over with them"),
	RULE(recvfrom, "commands"),
	RULE(sendmsg, "replies and events"),
	RULE(sendto, "replies and events"),
	RULE(write, "serial output: terminal, file, pipe"),
	RULE(writev, "serial output: terminal, file, pipe"),
	RULE(shutdown, "a client is shown out"),
	RULE(fcntl, "flags of an fd that a client handed over", ARG_IS(1, F_GETFL)),
	RULE(fcntl, "a client's fd made non-blocking", ARG_IS(1, F_SETFL)),
	RULE(newfstatat, "what kind of file a client handed over; libc's stdio"),

	/* the machine */
	VM_IOCTL(KVM_SET_USER_MEMORY_REGION, "BARs mapped into the guest, or taken away"),
	VM_IOCTL(KVM_SET_IRQCHIP, "reset: PIC and IOAPIC"),
	VM_IOCTL(KVM_SET_PIT2, "reset: timer"),
	VM_IOCTL(KVM_SET_CLOCK, "reset: kvm-clock"),
	VM_IOCTL(KVM_GET_CLOCK, "pause: kvm-clock"),
	RULE(getpid, "libc's pthread_kill"),
	RULE(gettid, "libc's pthread_kill"),
	RULE(tgkill, "getting a vCPU out of KVM_RUN",
		ARG_IS(2, SIGUSR1)),
	RULE(sched_yield, "waiting for vCPUs to leave the old map"),
	RULE(clock_nanosleep, "waiting for vCPUs to leave the old map"),

	/* the way out */
	RULE(futex, "libc's pthread_join",
		ARG_IS(1, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME)),
	RULE(unlink, "the pidfile and unix sockets"),
	RULE(unlinkat, "the pidfile and unix sockets"),
	RULE(ioctl, "is stdio a terminal (libc)", ARG_IS(1, TCGETS)),
	RULE(ioctl, "the terminal as it was", ARG_IS(1, TCSETS)),
	RULE(ioctl, "the terminal as it was", ARG_IS(1, TCSETSW)),
	RULE(ioctl, "the terminal as it was", ARG_IS(1, TCSETSF)),
	RULE(rt_sigaction, "ignored signals while leaving"),
	RULE(exit_group, "the end"),
	RULES_END
};

static const struct sc_rule *const parts[] = { rules_main, rules_kvm_irq, rules_loop, rules_heap,
	rules_common, NULL };

const struct policy policy_main = { .role = "main", .parts = parts };
