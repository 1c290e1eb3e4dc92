/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exit.c - why KVM_RUN came back: one row per exit reason, and the text for those that are fatal.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>

#include "private.h"

typedef void (*decode_fn)(struct kvm_run *run, size_t run_size, struct kvm_exit *exit);

static void decode_io(struct kvm_run *run, size_t run_size, struct kvm_exit *exit)
{
	uint64_t offset = run->io.data_offset;
	uint64_t length = (uint64_t)run->io.size * run->io.count;

	if (offset > run_size || length > run_size - offset) {
		exit->kind = KVM_EXITED_ERROR;
		return;
	}
	exit->kind = KVM_EXITED_IO;
	exit->addr = run->io.port;
	exit->size = run->io.size;
	exit->write = run->io.direction == KVM_EXIT_IO_OUT;
	exit->count = run->io.count;
	exit->data = (uint8_t *)run + offset;
}

static void decode_mmio(struct kvm_run *run, size_t run_size, struct kvm_exit *exit)
{
	(void)run_size;
	if (run->mmio.len > sizeof(run->mmio.data)) {
		exit->kind = KVM_EXITED_ERROR;
		return;
	}
	exit->kind = KVM_EXITED_MMIO;
	exit->addr = run->mmio.phys_addr;
	exit->size = (uint8_t)run->mmio.len;
	exit->write = run->mmio.is_write;
	exit->count = 1;
	exit->data = run->mmio.data;
}

static void decode_system_event(struct kvm_run *run, size_t run_size, struct kvm_exit *exit)
{
	(void)run_size;
	if (run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN)
		exit->kind = KVM_EXITED_POWEROFF;
	else if (run->system_event.type == KVM_SYSTEM_EVENT_RESET)
		exit->kind = KVM_EXITED_RESET;
	else
		exit->kind = KVM_EXITED_ERROR;
}

static const struct {
	const char *name;
	enum kvm_exit_kind kind; /* when fn is NULL */
	decode_fn fn;
} exits[] = {
	[KVM_EXIT_UNKNOWN] = { "unknown hardware exit", KVM_EXITED_ERROR, NULL },
	[KVM_EXIT_EXCEPTION] = { "unexpected exception", KVM_EXITED_ERROR, NULL },
	[KVM_EXIT_IO] = { "port access", KVM_EXITED_IO, decode_io },
	[KVM_EXIT_DEBUG] = { "debug", KVM_EXITED_OTHER, NULL },
	[KVM_EXIT_HLT] = { "halt", KVM_EXITED_OTHER, NULL },
	[KVM_EXIT_MMIO] = { "memory access", KVM_EXITED_MMIO, decode_mmio },
	[KVM_EXIT_IRQ_WINDOW_OPEN] = { "interrupt window", KVM_EXITED_OTHER, NULL },
	[KVM_EXIT_SHUTDOWN] = { "triple fault", KVM_EXITED_SHUTDOWN, NULL },
	[KVM_EXIT_FAIL_ENTRY] = { "the processor refused to enter the guest", KVM_EXITED_ERROR,
		NULL },
	[KVM_EXIT_INTR] = { "signal", KVM_EXITED_INTERRUPTED, NULL },
	[KVM_EXIT_SET_TPR] = { "task priority", KVM_EXITED_OTHER, NULL },
	[KVM_EXIT_INTERNAL_ERROR] = { "KVM internal error", KVM_EXITED_ERROR, NULL },
	[KVM_EXIT_SYSTEM_EVENT] = { "system event", KVM_EXITED_OTHER, decode_system_event },
};

#define N_EXITS (sizeof(exits) / sizeof(exits[0]))

void kvm_exit_decode(struct kvm_run *run, size_t run_size, struct kvm_exit *exit)
{
	uint32_t reason = run->exit_reason;

	*exit = (struct kvm_exit){ .kind = KVM_EXITED_ERROR, .reason = reason };
	if (reason >= N_EXITS || !exits[reason].name)
		return;
	exit->kind = exits[reason].kind;
	if (exits[reason].fn)
		exits[reason].fn(run, run_size, exit);
}

/* The part that differs between exit reasons. Appends at buf + at; returns the new length. */
static size_t describe_reason(
	const struct kvm_run *run, const struct kvm_exit *exit, char *buf, size_t size)
{
	const char *name = exit->reason < N_EXITS ? exits[exit->reason].name : NULL;
	int n;

	if (exit->error)
		n = snprintf(buf, size, "KVM_RUN failed: error %d (%s)%s", exit->error,
			strerrorname_np(exit->error) ? strerrorname_np(exit->error) : "unknown",
			exit->error == EFAULT
				? ": memory that the host cannot provide: a device's BAR that is not there now, or guest memory (with -mem-path: a truncated file, or too few huge pages)"
				: "");
	else if (!name)
		n = snprintf(buf, size, "exit reason %u is not known here", exit->reason);
	else if (exit->reason == KVM_EXIT_FAIL_ENTRY)
		n = snprintf(buf, size, "%s, hardware reason 0x%llx", name,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else if (exit->reason == KVM_EXIT_INTERNAL_ERROR)
		n = snprintf(buf, size, "%s, suberror %u%s", name, run->internal.suberror,
			run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				? " (an instruction could not be emulated)"
				: "");
	else if (exit->reason == KVM_EXIT_UNKNOWN)
		n = snprintf(buf, size, "%s 0x%llx", name,
			(unsigned long long)run->hw.hardware_exit_reason);
	else
		n = snprintf(buf, size, "%s", name);
	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size;
}

const char *kvm_vcpu_describe(
	struct kvm_vcpu *vcpu, const struct kvm_exit *exit, char *buf, size_t size)
{
	size_t at = describe_reason(vcpu->run, exit, buf, size);

	if (at < size)
		kvm_arch_describe_registers(vcpu, buf + at, size - at);
	return buf;
}
