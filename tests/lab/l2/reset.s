# SPDX-License-Identifier: Apache-2.0
#
# A Multiboot kernel for cases/multiboot.py that does nothing but read into memory of its own image, by an instruction
# that KVM finishes only after the VMM has answered: INS from a port, or, with MOVS defined, MOVS from the first bytes of
# portcullis' configuration space (ECAM). When it starts it says S on COM1, and all that memory has to be as in its
# file: else it ends through isa-debug-exit at port 0xf4 with the first wrong byte.

.set MAGIC, 0x1badb002
.set FRESH, 0x11
.set SIZE, 4096
.set ECAM, 0xc0000000
.set COM1, 0x3f8
.set COM1_LSR, COM1 + 5
.set EXIT, 0xf4

.text
.globl start
	.balign	4
	.long	MAGIC, 3, -(MAGIC + 3)
start:
	cld
	movw	$COM1, %dx
	movb	$'S', %al
	outb	%al, %dx
	movl	$image, %edi
	movl	$SIZE, %ecx
	movb	$FRESH, %al
	repe scasb
	jne	changed
again:	movl	$image, %edi
	movl	$SIZE, %ecx
.ifdef MOVS
	movl	$ECAM, %esi
	rep movsb
.else
	movw	$COM1_LSR, %dx
	rep insb
.endif
	jmp	again
changed:
	movzbl	-1(%edi), %eax
	movw	$EXIT, %dx
	outl	%eax, %dx
	hlt

.data
.balign	4096
image:	.fill	SIZE, 1, FRESH
