# SPDX-License-Identifier: Apache-2.0
#
# A kernel that tells on COM1 how it was started (Multiboot 0.6.96, chapter 3) and ends through isa-debug-exit at
# port 0xf4 with 0x10 plus the number of its modules. cases/multiboot.py assembles it, as an ELF file and, with
# FLAT defined, as a flat binary whose header says where it is to be loaded. ZEROS is how many bytes more it wants
# zeroed.

.set MAGIC, 0x1badb002
.set COM1, 0x3f8
.set EXIT, 0xf4

.ifdef FLAT
.set FLAGS, 0x10003
.else
.set FLAGS, 0x3
.endif

.macro SAY text
	movl	$1f, %esi
	call	puts
	.section .rodata
1:	.asciz	"\text"
	.text
.endm

.macro NUMBER name, value
	SAY	"\name "
	movl	\value, %eax
	call	hex
	call	newline
.endm

.text
.globl start
origin:
	.space	36, 0x90
	.balign	4
header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
.ifdef FLAT
	.long	header, origin, _edata, _end, start
.endif

start:
	movl	$stack_top, %esp
	pushfl
	movl	%ebx, info
	movl	%eax, magic
	cld
	NUMBER	"eax", magic
	popl	magic
	NUMBER	"eflags", magic
	movl	%cr0, %eax
	movl	%eax, magic
	NUMBER	"cr0", magic
	movl	%cs, %ecx
	lsl	%ecx, %eax
	movl	%eax, magic
	NUMBER	"cs-limit", magic
	movl	%cs, %ecx
	lar	%ecx, %eax
	movl	%eax, magic
	NUMBER	"cs-rights", magic
	movl	%ss, %ecx
	lsl	%ecx, %eax
	movl	%eax, magic
	NUMBER	"ss-limit", magic
	movl	%es, %ecx
	lar	%ecx, %eax
	movl	%eax, magic
	NUMBER	"es-rights", magic
	# Two addresses that are one while A20 is off.
	movl	$1, 0x300000
	movl	$0, 0x400000
	movl	$2, 0x200000
	NUMBER	"a20", 0x300000
	NUMBER	"bss", zero

	movl	info, %ebx
	NUMBER	"flags", (%ebx)
	NUMBER	"lower", 4(%ebx)
	NUMBER	"upper", 8(%ebx)
	SAY	"cmdline "
	movl	16(%ebx), %esi
	call	puts
	call	newline
	SAY	"loader "
	movl	64(%ebx), %esi
	call	puts
	call	newline

	movl	24(%ebx), %edi		# modules
	movl	20(%ebx), %ebp
next_module:
	testl	%ebp, %ebp
	jz	map
	SAY	"module "
	movl	(%edi), %eax
	call	hex
	call	space
	movl	4(%edi), %eax
	subl	(%edi), %eax
	call	hex
	call	space
	movl	(%edi), %esi
	movb	$'[, %al
	call	putc
1:	cmpl	4(%edi), %esi
	jae	2f
	movb	(%esi), %al
	call	putc
	incl	%esi
	jmp	1b
2:	SAY	"] "
	movl	8(%edi), %esi
	call	puts
	call	newline
	addl	$16, %edi
	decl	%ebp
	jmp	next_module

map:
	movl	48(%ebx), %edi
	movl	44(%ebx), %ebp
	addl	%edi, %ebp
next_entry:
	cmpl	%ebp, %edi
	jae	end
	SAY	"map "
	movl	8(%edi), %eax
	call	hex
	movl	4(%edi), %eax
	call	hex
	call	space
	movl	16(%edi), %eax
	call	hex
	movl	12(%edi), %eax
	call	hex
	call	space
	movl	20(%edi), %eax
	call	hex
	call	newline
	addl	(%edi), %edi
	addl	$4, %edi
	jmp	next_entry

end:
	SAY	"end"
	call	newline
	movl	20(%ebx), %eax
	addl	$0x10, %eax
	outl	%eax, $EXIT
	SAY	"alive"
	call	newline
1:	hlt
	jmp	1b

puts:					# the string at esi
	movb	(%esi), %al
	testb	%al, %al
	jz	1f
	call	putc
	incl	%esi
	jmp	puts
1:	ret

hex:					# eax, eight digits
	movl	$8, %ecx
1:	roll	$4, %eax
	pushl	%eax
	andl	$15, %eax
	movb	digits(%eax), %al
	call	putc
	popl	%eax
	loop	1b
	ret

newline:
	movb	$'\n, %al
	jmp	putc
space:
	movb	$' , %al
putc:					# al; changes edx
	movb	%al, %ah
	movw	$COM1 + 5, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%ah, %al
	movw	$COM1, %dx
	outb	%al, %dx
	ret

.section .rodata
digits:	.ascii	"0123456789abcdef"

.data
info:	.long	0
magic:	.long	0

.bss
zero:	.space	4
stack:	.space	4096
stack_top:
.ifdef ZEROS
	.space	ZEROS
.endif
