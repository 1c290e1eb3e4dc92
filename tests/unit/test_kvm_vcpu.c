/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kvm_vcpu.c - the parts of a vCPU that need no KVM: exits, entry registers, immediate exit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "../../src/kvm/x86/x86.h"

#define RUN_SIZE 8192

static struct kvm_run *run_new(uint32_t reason)
{
	struct kvm_run *run = calloc(1, RUN_SIZE);

	run->exit_reason = reason;
	return run;
}

static struct kvm_exit decode(struct kvm_run *run)
{
	struct kvm_exit exit;

	memset(&exit, 0xee, sizeof(exit));
	kvm_exit_decode(run, RUN_SIZE, &exit);
	return exit;
}

static void test_io(void **state)
{
	struct kvm_run *run = run_new(KVM_EXIT_IO);
	struct kvm_exit e;

	(void)state;
	run->io.port = 0x3f8;
	run->io.size = 2;
	run->io.count = 5;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.data_offset = 4096;
	e = decode(run);
	assert_int_equal(e.kind, KVM_EXITED_IO);
	assert_int_equal(e.addr, 0x3f8);
	assert_int_equal(e.size, 2);
	assert_int_equal(e.count, 5);
	assert_true(e.write);
	assert_ptr_equal(e.data, (uint8_t *)run + 4096);
	run->io.direction = KVM_EXIT_IO_IN;
	assert_false(decode(run).write);
	/* The last byte of the run page is the last that may be used. */
	run->io.data_offset = RUN_SIZE - 10;
	assert_int_equal(decode(run).kind, KVM_EXITED_IO);
	run->io.data_offset = RUN_SIZE - 9;
	assert_int_equal(decode(run).kind, KVM_EXITED_ERROR);
	run->io.data_offset = UINT64_MAX;
	assert_int_equal(decode(run).kind, KVM_EXITED_ERROR);
	free(run);
}

static void test_mmio(void **state)
{
	struct kvm_run *run = run_new(KVM_EXIT_MMIO);
	struct kvm_exit e;

	(void)state;
	run->mmio.phys_addr = 0xfeb00000;
	run->mmio.len = 8;
	run->mmio.is_write = 1;
	e = decode(run);
	assert_int_equal(e.kind, KVM_EXITED_MMIO);
	assert_int_equal(e.addr, 0xfeb00000);
	assert_int_equal(e.size, 8);
	assert_int_equal(e.count, 1);
	assert_true(e.write);
	assert_ptr_equal(e.data, run->mmio.data);
	run->mmio.len = 9;
	assert_int_equal(decode(run).kind, KVM_EXITED_ERROR);
	free(run);
}

static void test_other_exits(void **state)
{
	const struct {
		uint32_t reason;
		enum kvm_exit_kind kind;
	} rows[] = {
		{ KVM_EXIT_UNKNOWN, KVM_EXITED_ERROR },
		{ KVM_EXIT_SHUTDOWN, KVM_EXITED_SHUTDOWN },
		{ KVM_EXIT_INTR, KVM_EXITED_INTERRUPTED },
		{ KVM_EXIT_HLT, KVM_EXITED_OTHER },
		{ KVM_EXIT_FAIL_ENTRY, KVM_EXITED_ERROR },
		{ KVM_EXIT_INTERNAL_ERROR, KVM_EXITED_ERROR },
		{ KVM_EXIT_HYPERCALL, KVM_EXITED_ERROR },
		{ 9999, KVM_EXITED_ERROR },
	};
	struct kvm_run *run;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run = run_new(rows[i].reason);
		assert_int_equal(decode(run).kind, rows[i].kind);
		assert_int_equal(decode(run).reason, rows[i].reason);
		free(run);
	}
	run = run_new(KVM_EXIT_SYSTEM_EVENT);
	run->system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
	assert_int_equal(decode(run).kind, KVM_EXITED_POWEROFF);
	run->system_event.type = KVM_SYSTEM_EVENT_RESET;
	assert_int_equal(decode(run).kind, KVM_EXITED_RESET);
	run->system_event.type = KVM_SYSTEM_EVENT_CRASH;
	assert_int_equal(decode(run).kind, KVM_EXITED_ERROR);
	free(run);
}

/* Text for every kind of fatal exit, also in a buffer that is too small for it. */
static void test_describe(void **state)
{
	struct kvm_run *run = run_new(KVM_EXIT_INTERNAL_ERROR);
	struct kvm_vcpu vcpu = { .fd = -1, .run = run, .run_size = RUN_SIZE };
	struct kvm_exit e;
	char text[200], tiny[9];

	(void)state;
	run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
	e = decode(run);
	kvm_vcpu_describe(&vcpu, &e, text, sizeof(text));
	assert_string_equal(
		text, "KVM internal error, suberror 1 (an instruction could not be emulated)");
	kvm_vcpu_describe(&vcpu, &e, tiny, sizeof(tiny));
	assert_string_equal(tiny, "KVM inte");
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = 0x80000021;
	e = decode(run);
	kvm_vcpu_describe(&vcpu, &e, text, sizeof(text));
	assert_non_null(strstr(text, "0x80000021"));
	run->exit_reason = 77;
	e = decode(run);
	kvm_vcpu_describe(&vcpu, &e, text, sizeof(text));
	assert_non_null(strstr(text, "77"));
	e = (struct kvm_exit){ .kind = KVM_EXITED_ERROR, .error = EFAULT };
	kvm_vcpu_describe(&vcpu, &e, text, sizeof(text));
	assert_non_null(strstr(text, "EFAULT"));
	free(run);
}

static void check_flat(const struct kvm_segment *s, uint16_t selector, uint8_t type)
{
	assert_int_equal(s->base, 0);
	assert_int_equal(s->limit, 0xffffffff);
	assert_int_equal(s->selector, selector);
	assert_int_equal(s->type, type);
	assert_true(s->present && s->s && s->g && s->dpl == 0 && !s->unusable);
}

static const struct kvm_entry entry = {
	.rip = 0x1000200,
	.rsp = 0x8ff0,
	.arg = 0x7000,
	.magic = 0x2badb002,
	.page_table = 0x9000,
	.gdt = 0x500,
	.gdt_size = 32,
	.code_selector = 0x10,
	.data_selector = 0x18,
};

static void test_entry_long(void **state)
{
	struct kvm_entry e = entry;
	struct kvm_regs r;
	struct kvm_sregs s = { .cr0 = 0x60000010,
		.cr2 = 1,
		.apic_base = 0xfee00900,
		.tr = { .type = 11, .present = 1 } };

	(void)state;
	memset(&r, 0xff, sizeof(r));
	e.mode = KVM_ENTRY_LONG;
	kvm_entry_registers(&e, &r, &s);
	assert_int_equal(r.rip, entry.rip);
	assert_int_equal(r.rsp, entry.rsp);
	assert_int_equal(r.rsi, entry.arg);
	assert_int_equal(r.rax | r.rbx | r.rbp | r.rdi, 0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(s.cr0, 0x80000031); /* PG NE ET PE; caches on */
	assert_int_equal(s.cr3, entry.page_table);
	assert_int_equal(s.cr4, 0x20);
	assert_int_equal(s.efer, 0x500);
	check_flat(&s.cs, 0x10, 11);
	assert_true(s.cs.l && !s.cs.db);
	check_flat(&s.ss, 0x18, 3);
	check_flat(&s.gs, 0x18, 3);
	assert_int_equal(s.gdt.base, 0x500);
	assert_int_equal(s.gdt.limit, 31);
	assert_int_equal(s.tr.type, 11);
	assert_int_equal(s.apic_base, 0xfee00900);
}

static void test_entry_protected(void **state)
{
	struct kvm_entry e = entry;
	struct kvm_regs r;
	struct kvm_sregs s = { .cr0 = 0x60000010 };

	(void)state;
	memset(&r, 0xff, sizeof(r));
	e.mode = KVM_ENTRY_PROTECTED;
	kvm_entry_registers(&e, &r, &s);
	assert_int_equal(r.rbx, entry.arg);
	assert_int_equal(r.rax, entry.magic);
	assert_int_equal(r.rsi, 0);
	assert_int_equal(s.cr0, 0x11);
	assert_int_equal(s.cr4 | s.efer | s.cr3, 0);
	check_flat(&s.cs, 0x10, 11);
	assert_true(!s.cs.l && s.cs.db);
	check_flat(&s.ds, 0x18, 3);
}

/* Our own use of immediate_exit must not eat a kick by another thread, nor the other way round. */
static void test_immediate_exit(void **state)
{
	struct kvm_run *run = run_new(0);
	struct kvm_vcpu vcpu = { .run = run };

	(void)state;
	kvm_vcpu_immediate_exit(&vcpu, true);
	assert_int_not_equal(run->immediate_exit, 0);
	kvm_vcpu_immediate_exit(&vcpu, true);
	kvm_vcpu_immediate_exit(&vcpu, false);
	assert_int_equal(run->immediate_exit, 0);
	run->immediate_exit = 2;
	kvm_vcpu_immediate_exit(&vcpu, true);
	kvm_vcpu_immediate_exit(&vcpu, false);
	assert_int_equal(run->immediate_exit, 2);
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_other_exits),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_entry_long),
		cmocka_unit_test(test_entry_protected),
		cmocka_unit_test(test_immediate_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
