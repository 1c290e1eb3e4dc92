/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.c - a guest that means harm: a Multiboot kernel whose processors access, at random and
 * without end, everything that the machine has. Freestanding 32-bit code, for up to eight
 * processors.
 *
 * Command line: seed=N, and what=LETTERS of what it may do besides:
 *   f  reset functions (FLR, D3hot, the bus behind a port)    b  move BARs and bridge windows
 *   s  the slot registers of ports, native and ACPI           r  reset the machine, triple fault
 * (seldom) o  power off, isa-debug-exit (seldom) The order of one processor's accesses is the
 * seed's; that of several is theirs. It says "hostile N" on the serial port, N being the processors
 * that run.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

#define MAGIC 0x1badb002u
#define FLAGS 3u
#define ECAM 0xc0000000u
#define GED 0xfeb00000u
#define SLOTS 0xfeb01000u
#define LAPIC 0xfee00000u
#define TRAMPOLINE 0x8000u
#define COUNT 0x9000u /* processors that have come */
#define STACKS 0x200000u
#define SLEEP_CONTROL 0x600

__attribute__((section(".multiboot"), used)) static const u32 header[] = { MAGIC, FLAGS,
	-(MAGIC + FLAGS) };

static u32 seed, letters;
static u8 idt[6];

static void out8(u16 port, u8 v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static void out32(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static u8 in8(u16 port)
{
	u8 v;
	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static u16 in16(u16 port)
{
	u16 v;
	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static u32 in32(u16 port)
{
	u32 v;
	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void write_memory(u32 at, u32 v, u32 size)
{
	if (size == 1)
		*(volatile u8 *)at = (u8)v;
	else if (size == 2)
		*(volatile u16 *)at = (u16)v;
	else
		*(volatile u32 *)at = v;
}

static u32 read_memory(u32 at, u32 size)
{
	return size == 1   ? *(volatile u8 *)at
	       : size == 2 ? *(volatile u16 *)at
			   : *(volatile u32 *)at;
}

/* xorshift32 */
struct chance {
	u32 state;
};

static u32 any(struct chance *c)
{
	c->state ^= c->state << 13;
	c->state ^= c->state >> 17;
	c->state ^= c->state << 5;
	return c->state;
}

static u32 below(struct chance *c, u32 n)
{
	return any(c) % n;
}
static u32 may(char letter)
{
	return letters >> (letter - 'a') & 1;
}

/* 00:00.0 to 00:07.0, and what is behind the first ports. */
static u32 function(struct chance *c)
{
	u32 bus = below(c, 4), slot = bus ? 0 : below(c, 8);

	return ECAM + (bus << 20) + (slot << 15) + (below(c, 16) ? 0 : below(c, 8) << 12);
}

/* The capability of that kind; 0: none. */
static u32 capability(u32 fn, u8 id)
{
	u32 at = read_memory(fn + 0x34, 1);

	for (u32 i = 0; i < 48 && at >= 0x40 && at < 0xfe; i++) {
		if (read_memory(fn + at, 1) == id)
			return fn + at;
		at = read_memory(fn + at + 1, 1) & 0xfc;
	}
	return 0;
}

static u32 is_bridge(u32 fn)
{
	return (read_memory(fn + 0xe, 1) & 0x7f) == 1;
}

static void config(struct chance *c)
{
	u32 fn = function(c), size = 1u << below(c, 3);
	u32 at = below(c, 8) ? below(c, 256) : below(c, 4096), value = any(c);

	if (at + size > 4096)
		return;
	if (below(c, 3)) {
		(void)read_memory(fn + at, size);
		return;
	}
	if (!may('b') && at < 0x40) /* command, BARs, windows */
		return;
	if (!may('s') && is_bridge(fn))
		return;
	write_memory(fn + at, below(c, 2) ? value : 0, size);
}

static void ports(struct chance *c)
{
	out32(0xcf8, 0x80000000u | (any(c) & 0x3ffc));
	switch (below(c, 5)) {
	case 0:
		(void)in32(0xcfc);
		break;
	case 1:
		(void)in16((u16)(0xcfc + below(c, 4)));
		break;
	case 2:
		(void)in8((u16)(0xcf8 + below(c, 8)));
		break;
	case 3:
		(void)in32((u16)(0xcfc + below(c, 4))); /* across its end */
		break;
	default:
		(void)in16(0xcff);
		break;
	}
}

/* Registers, vector table and pending bits; a card that may write memory has its own mind. */
static void bar(struct chance *c)
{
	u32 fn = function(c), base = read_memory(fn + 0x10, 4), size = 1u << below(c, 3);
	u32 at = below(c, 2) ? 0x2000 + below(c, 0x1000) : below(c, 0x4000);

	if (base & 1 || (base & ~15u) < 0xd0000000u || (base & ~15u) >= GED || base == 0xffffffffu)
		return;
	if (below(c, 2))
		(void)read_memory((base & ~15u) + at, size);
	else
		write_memory((base & ~15u) + at, any(c), size);
}

static void move(struct chance *c)
{
	u32 fn = function(c);

	if (is_bridge(fn)) {
		write_memory(fn + 0x20, 0xd000d000u + (below(c, 4) << 4 | below(c, 16) << 20), 4);
		write_memory(fn + 0x18, 0x00010100u * (1 + below(c, 3)), 4);
	} else {
		write_memory(fn + 0x14, 0, 4);
		write_memory(fn + 0x10,
			below(c, 4) ? 0xd0000000u + (below(c, 16) << 20) : 0xffffffffu, 4);
	}
	write_memory(fn + 4, below(c, 4) ? 2 : 0, 2);
}

static void reset_function(struct chance *c)
{
	u32 fn = function(c), express = capability(fn, 0x10), pm = capability(fn, 1);

	if (is_bridge(fn)) {
		write_memory(fn + 0x3e, 0x40, 2);
		write_memory(fn + 0x3e, 0, 2);
	} else if (express && below(c, 3)) {
		write_memory(express + 8, 0x8000, 2);
	} else if (pm) {
		write_memory(pm + 4, 3, 2);
		write_memory(pm + 4, 0, 2);
	}
}

static void slots(struct chance *c)
{
	u32 fn = function(c), express = capability(fn, 0x10);

	if (below(c, 2)) {
		u32 at = SLOTS + 0x800 + 8 * below(c, 64) + below(c, 8);

		if (below(c, 2))
			(void)read_memory(at & ~3u, 4);
		else
			write_memory(at, any(c), 1);
	} else if (express && is_bridge(fn)) {
		write_memory(express + 0x18, any(c), 2);
		(void)read_memory(express + 0x1a, 2);
	}
}

static void platform(struct chance *c)
{
	switch (below(c, 6)) {
	case 0:
		out8(0x70, (u8)below(c, 0x80));
		out8(0x71, (u8)any(c));
		break;
	case 1:
		out8(0x70, 0x0c);
		(void)in8(0x71);
		break;
	case 2: /* not the transmitter: what it says is read by people */
		out8((u16)(0x3f9 + below(c, 7)), (u8)any(c));
		break;
	case 3:
		(void)in8((u16)(0x3f8 + below(c, 8)));
		break;
	case 4:
		(void)read_memory(GED + (below(c, 0x1000) & ~3u), 4);
		break;
	default:
		write_memory(GED + (below(c, 0x1000) & ~3u), any(c), 4);
		break;
	}
}

static void seldom(struct chance *c)
{
	if (may('o') && !below(c, 4)) {
		if (below(c, 2))
			out8(SLEEP_CONTROL, 0x34);
		else
			out32(0xf4, below(c, 4));
	}
	if (!may('r'))
		return;
	switch (below(c, 3)) {
	case 0:
		out8(0x64, 0xfe);
		break;
	case 1:
		out8(0xcf9, 6);
		break;
	default:
		break;
	}
	__asm__ volatile("lidt %0\n\tud2" : : "m"(idt)); /* at the same time */
}

static void live(u32 processor)
{
	struct chance c = { (seed + 1) * 2654435761u ^ (processor + 1) * 0x9e3779b9u };

	for (;;) {
		u32 what = below(&c, 4096);

		if (what < 1 && (may('r') || may('o')))
			seldom(&c);
		else if (what < 100 && may('f'))
			reset_function(&c);
		else if (what < 400 && may('b'))
			move(&c);
		else if (what < 800 && may('s'))
			slots(&c);
		else if (what < 1400)
			platform(&c);
		else if (what < 1800)
			ports(&c);
		else if (what < 2800)
			bar(&c);
		else
			config(&c);
	}
}

/* --- the way here --- */

static void say(char letter)
{
	while (!(in8(0x3fd) & 0x20))
		;
	out8(0x3f8, (u8)letter);
}

static void parse(const char *text)
{
	for (; *text; text++) {
		if (text[0] == 's' && text[1] == 'e' && text[4] == '=')
			for (text += 5; *text >= '0' && *text <= '9'; text++)
				seed = seed * 10 + (u32)(*text - '0');
		if (text[0] == 'w' && text[1] == 'h' && text[4] == '=')
			for (text += 5; *text >= 'a' && *text <= 'z'; text++)
				letters |= 1u << (*text - 'a');
		if (!*text)
			return;
	}
}

__attribute__((used, noreturn)) static void processor_main(void)
{
	u32 number = 1;

	__asm__ volatile("lock xaddl %0, %1" : "+r"(number), "+m"(*(volatile u32 *)COUNT));
	live(number);
	__builtin_unreachable();
}

/* Real mode at 0x8000, then protected mode on a stack of its own. */
__asm__(".pushsection .text\n"
	"trampoline:\n"
	".code16\n"
	"	cli\n"
	"	xorw	%ax, %ax\n"
	"	movw	%ax, %ds\n"
	"	lgdtl	(trampoline_gdtr - trampoline + 0x8000)\n"
	"	movl	%cr0, %eax\n"
	"	orl	$1, %eax\n"
	"	movl	%eax, %cr0\n"
	"	ljmpl	$8, $(trampoline32 - trampoline + 0x8000)\n"
	"	.balign	8\n"
	"trampoline_gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
	"trampoline_gdtr:	.word	23\n"
	"	.long	trampoline_gdt - trampoline + 0x8000\n"
	".code32\n"
	"trampoline32:\n"
	"	movw	$16, %ax\n"
	"	movw	%ax, %ds\n"
	"	movw	%ax, %es\n"
	"	movw	%ax, %ss\n"
	"	movl	$0xfee00020, %eax\n"
	"	movl	(%eax), %eax\n"
	"	shrl	$12, %eax\n" /* 4 KiB for each APIC id */
	"	leal	0x200000(%eax), %esp\n"
	"	movl	$processor_main, %eax\n"
	"	jmp	*%eax\n"
	"trampoline_end:\n"
	".popsection\n");
extern const u8 trampoline[], trampoline_end[];

static void pause(u32 loops)
{
	for (volatile u32 i = 0; i < loops; i++)
		;
}

__attribute__((used, noreturn)) static void boot(const u32 *info)
{
	static const char name[] = "hostile ";

	if (info[0] & 4)
		parse((const char *)info[4]);
	for (u32 i = 0; &trampoline[i] < trampoline_end; i++)
		((volatile u8 *)TRAMPOLINE)[i] = trampoline[i];
	*(volatile u32 *)COUNT = 0;
	write_memory(LAPIC + 0xf0, 0x1ff, 4);
	write_memory(LAPIC + 0x300, 0x000c4500, 4); /* INIT, SIPI to all others */
	pause(300000);
	write_memory(LAPIC + 0x300, 0x000c4608, 4);
	pause(300000);
	for (u32 i = 0; name[i]; i++)
		say(name[i]);
	say((char)('1' + *(volatile u32 *)COUNT));
	say('\n');
	live(0);
	__builtin_unreachable();
}

__asm__(".pushsection .text\n"
	".globl start\n"
	"start:\n"
	"	movl	$0x1f0000, %esp\n"
	"	cld\n"
	"	pushl	%ebx\n"
	"	call	boot\n"
	".popsection\n");
