/* SPDX-License-Identifier: Apache-2.0 */
/* test_msix_table.c - MSI-X table and PBA: every register, every size of access, masks, pending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/pci_regs.h>

#include <portcullis/msix_table.h>

#define N 70u /* a PBA of two qwords, the second not full */
#define ON PCI_MSIX_FLAGS_ENABLE
#define FUNCTION_MASKED (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)
#define ADDR PCI_MSIX_ENTRY_LOWER_ADDR
#define DATA PCI_MSIX_ENTRY_DATA
#define CTRL PCI_MSIX_ENTRY_VECTOR_CTRL

static struct msix_table t;

static int start(void **state)
{
	(void)state;
	return msix_table_init(&t, N);
}

static int stop(void **state)
{
	(void)state;
	msix_table_release(&t);
	return 0;
}

static uint64_t at(unsigned vector, unsigned reg)
{
	return vector * MSIX_ENTRY + reg;
}

static uint64_t get(unsigned vector, unsigned reg, unsigned size)
{
	return msix_table_read(&t, at(vector, reg), size);
}

static bool put(unsigned vector, unsigned reg, unsigned size, uint64_t value)
{
	return msix_table_write(&t, ON, at(vector, reg), size, value);
}

static void assert_as_after_reset(unsigned vector)
{
	assert_int_equal(get(vector, ADDR, 8), 0);
	assert_int_equal(get(vector, DATA, 4), 0);
	assert_int_equal(get(vector, CTRL, 4), PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void test_sizes(void **state)
{
	(void)state;
	assert_int_equal(msix_table_size(1), 16);
	assert_int_equal(msix_table_size(MSIX_VECTORS_MAX), 32768);
	assert_int_equal(msix_pba_size(0), 0);
	assert_int_equal(msix_pba_size(1), 8);
	assert_int_equal(msix_pba_size(64), 8);
	assert_int_equal(msix_pba_size(65), 16);
	assert_int_equal(msix_pba_size(MSIX_VECTORS_MAX), 256);
}

static void test_reset(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++) {
		assert_as_after_reset(i);
		put(i, ADDR, 8, ~0ull);
		put(i, DATA, 8, 0xffffffff);
		msix_table_set_pending(&t, i, true);
	}
	msix_table_reset(&t);
	for (unsigned i = 0; i < N; i++)
		assert_as_after_reset(i);
	assert_int_equal(msix_pba_read(&t, 0, 8), 0);
	assert_int_equal(msix_pba_read(&t, 8, 8), 0);
}

/* A function without MSI-X: nothing is inside. */
static void test_none(void **state)
{
	struct msix_table none = { .n = 1 };

	(void)state;
	assert_int_equal(msix_table_init(&none, 0), 0);
	assert_int_equal(none.n, 0);
	msix_table_reset(&none);
	assert_int_equal(msix_table_read(&none, 0, 4), 0xffffffff);
	assert_int_equal(msix_pba_read(&none, 0, 8), ~0ull);
	assert_false(msix_table_write(&none, ON, 0, 4, 0));
	msix_table_release(&none);
	/* And one that was released. */
	msix_table_release(&t);
	assert_int_equal(t.n, 0);
	msix_table_release(&t);
	assert_int_equal(get(0, CTRL, 4), 0xffffffff);
}

static const struct reg {
	unsigned at;
	uint32_t writable;
} regs[] = {
	{ PCI_MSIX_ENTRY_LOWER_ADDR, 0xfffffffc },
	{ PCI_MSIX_ENTRY_UPPER_ADDR, 0xffffffff },
	{ PCI_MSIX_ENTRY_DATA, 0xffffffff },
	{ PCI_MSIX_ENTRY_VECTOR_CTRL, PCI_MSIX_ENTRY_CTRL_MASKBIT },
};
#define REGS (sizeof(regs) / sizeof(regs[0]))

/* Every register of every entry holds its own bits, and writing it touches no other one. */
static void test_registers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++)
		for (unsigned r = 0; r < REGS; r++)
			put(i, regs[r].at, 4, 0x11111111u * r + 0x10000u * i);
	for (unsigned i = 0; i < N; i++)
		for (unsigned r = 0; r < REGS; r++)
			assert_int_equal(get(i, regs[r].at, 4),
				(0x11111111u * r + 0x10000u * i) & regs[r].writable);
	for (unsigned r = 0; r < REGS; r++) {
		put(3, regs[r].at, 4, 0xffffffff);
		assert_int_equal(get(3, regs[r].at, 4), regs[r].writable);
		put(3, regs[r].at, 4, 0);
		assert_int_equal(get(3, regs[r].at, 4), 0);
	}
	/* The neighbours have kept theirs. */
	assert_int_equal(get(2, CTRL, 4), 0x33333333 & 1);
	assert_int_equal(get(4, ADDR, 4), 4 << 16);
}

/* Each pair of registers as a qword: the lower one in the lower half. */
static void test_qwords(void **state)
{
	(void)state;
	for (unsigned r = 0; r < REGS; r += 2) {
		uint64_t value = 0xfedcba9876543210ull | 1;
		uint64_t held = ((uint64_t)regs[r + 1].writable << 32 | regs[r].writable) & value;

		put(5, regs[r].at, 8, 0);
		put(5, regs[r].at, 8, value);
		assert_int_equal(get(5, regs[r].at, 8), held);
		assert_int_equal(get(5, regs[r].at, 4), (uint32_t)held);
		assert_int_equal(get(5, regs[r + 1].at, 4), held >> 32);
		/* And from two dwords. */
		put(5, regs[r].at, 4, 0x89abcdef);
		put(5, regs[r + 1].at, 4, 0x01234567);
		assert_int_equal(
			get(5, regs[r].at, 8), (uint64_t)(0x01234567 & regs[r + 1].writable) << 32 |
						       (0x89abcdef & regs[r].writable));
	}
	assert_int_equal(get(4, DATA, 8), 1ull << 32);
	assert_int_equal(get(6, ADDR, 8), 0);
}

/* Bytes and words, undefined by the spec: the bytes that are there, at any place. */
static void test_bytes_and_words(void **state)
{
	(void)state;
	put(7, ADDR, 8, 0x8877665544332210ull);
	put(7, DATA, 8, 0x1ccbbaa99ull);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(get(7, i, 1), i ? 0x11 * (i + 1) : 0x10);
	assert_int_equal(get(7, 1, 2), 0x3322);
	assert_int_equal(get(7, 6, 4), 0xaa998877);
	assert_int_equal(get(7, CTRL, 1), 1);
	assert_int_equal(get(7, CTRL + 1, 1), 0);
	assert_int_equal(get(7, 5, 3), 0x887766);
	for (unsigned i = 0; i < MSIX_ENTRY; i++) {
		uint64_t before = get(7, i / 8 * 8, 8);
		uint64_t byte = regs[i / 4].writable >> i % 4 * 8 & 0xff;

		put(7, i, 1, 0xff);
		assert_int_equal(get(7, i, 1), byte);
		put(7, i, 1, 0);
		assert_int_equal(get(7, i, 1), 0);
		assert_int_equal(get(7, i / 8 * 8, 8), before & ~(0xffull << i % 8 * 8));
	}
	put(7, ADDR + 2, 2, 0xfee0);
	assert_int_equal(get(7, ADDR, 4), 0xfee00000);
	/* The bytes above the size are not written. */
	put(7, DATA, 2, 0xffffffff1234);
	assert_int_equal(get(7, DATA, 8), 0x1234);
	/* Across two entries. */
	put(7, CTRL, 8, 0xfee0100000000001ull);
	assert_int_equal(get(7, CTRL, 4), 1);
	assert_int_equal(get(8, ADDR, 4), 0xfee01000);
	assert_int_equal(get(7, CTRL, 8), 0xfee0100000000001ull);
}

static void test_past_the_end(void **state)
{
	static const uint64_t ones[] = { 0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffffull,
		0xffffffffffffull, 0xffffffffffffffull, ~0ull };
	uint64_t end = msix_table_size(N), pba = msix_pba_size(N);

	(void)state;
	for (unsigned size = 1; size <= 8; size++) {
		/* The last that fits. */
		assert_int_equal(msix_table_read(&t, end - size, size),
			size < 4 ? 0 : 1ull << (size - 4) * 8);
		assert_int_equal(msix_pba_read(&t, pba - size, size), 0);
		for (uint64_t over = 1; over <= size; over++) {
			assert_int_equal(msix_table_read(&t, end - size + over, size), ones[size]);
			assert_false(msix_table_write(&t, ON, end - size + over, size, 0));
			assert_int_equal(msix_pba_read(&t, pba - size + over, size), ones[size]);
		}
		/* Before the start, as an offset wraps. */
		assert_int_equal(msix_table_read(&t, 0ull - size, size), ones[size]);
		assert_int_equal(msix_table_read(&t, ~0ull, size), ones[size]);
		assert_int_equal(msix_pba_read(&t, ~0ull, size), ones[size]);
		assert_false(msix_table_write(&t, ON, ~0ull, size, 0));
	}
	/* None of that was written, not even the part that is inside. */
	assert_as_after_reset(N - 1);
	assert_as_after_reset(0);
}

/* What a write changes for the function that sends. */
static void test_changes(void **state)
{
	(void)state;
	/* A masked vector's message is nobody's business until it is unmasked. */
	assert_false(put(1, ADDR, 4, 0xfee00000));
	assert_false(put(1, ADDR + 4, 4, 1));
	assert_false(put(1, DATA, 4, 0x4021));
	assert_false(put(1, CTRL, 4, 1));
	assert_true(put(1, CTRL, 4, 0));
	assert_false(put(1, CTRL, 4, 0));
	/* Bits that do not exist change nothing. */
	assert_false(put(1, CTRL, 4, 0xfffffffe));
	assert_false(put(1, ADDR, 4, 0xfee00003));
	/* Unmasked, each byte of the message matters; the same again does not. */
	assert_true(put(1, ADDR, 4, 0xfee01000));
	assert_false(put(1, ADDR, 4, 0xfee01000));
	assert_true(put(1, ADDR + 4, 4, 0));
	assert_true(put(1, DATA + 1, 1, 0x41));
	assert_false(put(1, DATA, 8, 0x4121));
	assert_true(put(1, CTRL, 1, 1));
	assert_false(put(1, DATA, 4, 0x55));
	/* Message and mask at once. */
	assert_true(put(1, DATA, 8, 0x66));
	assert_true(put(1, DATA, 8, 1ull << 32 | 0x77));
	assert_false(put(1, DATA, 8, 1ull << 32 | 0x88));
	/* Across entries: vector 2 is unmasked, 1 is not. */
	put(2, CTRL, 4, 0);
	assert_false(put(1, CTRL, 8, 1));
	assert_true(put(1, CTRL, 8, 0xfee0200000000001ull));
	/* Vector 1 is unmasked with it, and 2 is masked. */
	put(2, CTRL, 4, 1);
	assert_true(put(1, CTRL, 8, 0xfee0300000000000ull));
	put(2, CTRL, 4, 0);
	/* The masks of neighbours do not count. */
	assert_false(put(3, DATA, 4, 1));
	assert_true(put(2, DATA, 4, 1));
}

/* Off, or with the function masked, nothing is sent: the bytes are taken all the same. */
static void test_function_mask(void **state)
{
	static const unsigned quiet[] = { 0, PCI_MSIX_FLAGS_MASKALL, FUNCTION_MASKED,
		PCI_MSIX_FLAGS_QSIZE, FUNCTION_MASKED | PCI_MSIX_FLAGS_QSIZE };

	(void)state;
	for (unsigned i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++) {
		assert_false(msix_table_write(&t, quiet[i], at(i, CTRL), 4, 0));
		assert_false(msix_table_write(&t, quiet[i], at(i, DATA), 4, 0x40 + i));
		assert_int_equal(get(i, DATA, 8), 0x40 + i);
		assert_false(msix_table_live(&t, quiet[i], i));
		assert_true(msix_table_live(&t, ON, i));
		assert_true(msix_table_live(&t, ON | PCI_MSIX_FLAGS_QSIZE, i));
	}
	assert_false(msix_table_live(&t, ON, N - 1));
	put(N - 1, CTRL, 4, 0);
	assert_true(msix_table_live(&t, ON, N - 1));
	assert_false(msix_table_live(&t, ON, N - 2));
	put(N - 1, CTRL, 4, 1);
	assert_false(msix_table_live(&t, ON, N - 1));
}

static void test_message(void **state)
{
	struct msi_message message;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		put(i, ADDR, 4, 0xfee00000 + (i << 12));
		put(i, ADDR + 4, 4, i ^ 0x80000001);
		put(i, DATA, 4, 0x98760000 + i);
	}
	for (unsigned i = 0; i < N; i++) {
		message = msix_table_message(&t, i);
		assert_int_equal(
			message.addr, (uint64_t)(i ^ 0x80000001) << 32 | (0xfee00000 + (i << 12)));
		assert_int_equal(message.data, 0x98760000 + i);
	}
}

/* One bit each, in both qwords, as bytes, dwords and qwords. */
static void test_pending_bits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N; i++) {
		assert_false(msix_table_set_pending(&t, i, true));
		assert_true(msix_table_set_pending(&t, i, true));
		assert_int_equal(msix_pba_read(&t, i / 64 * 8, 8), 1ull << i % 64);
		assert_int_equal(msix_pba_read(&t, (1 - i / 64) * 8, 8), 0);
		assert_int_equal(msix_pba_read(&t, i / 32 * 4, 4), 1u << i % 32);
		assert_int_equal(msix_pba_read(&t, i / 8, 1), 1u << i % 8);
		assert_true(msix_table_set_pending(&t, i, false));
		assert_false(msix_table_set_pending(&t, i, false));
		assert_int_equal(msix_pba_read(&t, i / 64 * 8, 8), 0);
	}
	/* Others stay as they are. */
	msix_table_set_pending(&t, 0, true);
	msix_table_set_pending(&t, 63, true);
	msix_table_set_pending(&t, 64, true);
	msix_table_set_pending(&t, 69, true);
	msix_table_set_pending(&t, 63, false);
	assert_int_equal(msix_pba_read(&t, 0, 8), 1);
	assert_int_equal(msix_pba_read(&t, 8, 8), 1 | 1 << 5);
	assert_int_equal(msix_pba_read(&t, 4, 8), 1ull << 32 | 1ull << 37);
}

/* What an emulated function does with it: an interrupt that comes while masked is sent once. */
static unsigned sent[N];

static void fire(unsigned control, unsigned vector)
{
	if (msix_table_live(&t, control, vector))
		sent[vector]++;
	else
		msix_table_set_pending(&t, vector, true);
}

static void look(unsigned control)
{
	for (unsigned i = 0; i < t.n; i++)
		if (msix_table_live(&t, control, i) && msix_table_set_pending(&t, i, false))
			sent[i]++;
}

static void test_pending_then_unmasked(void **state)
{
	(void)state;
	put(6, CTRL, 4, 0);
	fire(ON, 6);
	assert_int_equal(sent[6], 1);
	assert_int_equal(msix_pba_read(&t, 0, 8), 0);
	/* The vector is masked. */
	put(6, CTRL, 4, 1);
	fire(ON, 6);
	fire(ON, 6);
	look(ON);
	assert_int_equal(sent[6], 1);
	assert_int_equal(msix_pba_read(&t, 0, 8), 1 << 6);
	/* A message that changes meanwhile leaves the bit alone, unmasking is what counts. */
	assert_false(put(6, DATA, 4, 0x4041));
	assert_int_equal(msix_pba_read(&t, 0, 8), 1 << 6);
	assert_true(put(6, CTRL, 4, 0));
	look(ON);
	look(ON);
	assert_int_equal(sent[6], 2);
	assert_int_equal(msix_table_message(&t, 6).data, 0x4041);
	assert_int_equal(msix_pba_read(&t, 0, 8), 0);
	/* The function is masked. */
	fire(FUNCTION_MASKED, 6);
	look(FUNCTION_MASKED);
	assert_int_equal(sent[6], 2);
	assert_int_equal(msix_pba_read(&t, 0, 8), 1 << 6);
	look(ON);
	assert_int_equal(sent[6], 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		CASE(test_reset),
		CASE(test_none),
		CASE(test_registers),
		CASE(test_qwords),
		CASE(test_bytes_and_words),
		CASE(test_past_the_end),
		CASE(test_changes),
		CASE(test_function_mask),
		CASE(test_message),
		CASE(test_pending_bits),
		CASE(test_pending_then_unmasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
