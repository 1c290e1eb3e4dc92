# SPDX-License-Identifier: Apache-2.0
# Stands before L1's kernel where a boot loader knows Multiboot 1 and the kernel knows PVH (labkit/bochs.py): turns the
# Multiboot information into an hvm_start_info (Xen's public/arch-x86/hvm/start_info.h) and jumps to the kernel's PVH
# entry, PVH_ENTRY (--defsym). Both want 32-bit protected mode with flat segments and without paging.

	.set MULTIBOOT_MAGIC, 0x1badb002
	.set MULTIBOOT_FLAGS, 3			# modules on page boundaries; memory map
	.set INFO_CMDLINE, 16
	.set INFO_MODS_COUNT, 20
	.set INFO_MODS_ADDR, 24
	.set INFO_MMAP_LENGTH, 44
	.set INFO_MMAP_ADDR, 48
	.set HVM_START_MAGIC, 0x336ec578
	.set MAP_ENTRIES, 32

	.text
	.code32
	.globl	start
	.balign	4
header:
	.long	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

start:
	cld
	movl	INFO_CMDLINE(%ebx), %eax
	movl	%eax, info_cmdline

	# One module, the initrd: start and end become start and size.
	movl	INFO_MODS_ADDR(%ebx), %esi
	movl	0(%esi), %eax
	movl	%eax, module
	movl	4(%esi), %edx
	subl	%eax, %edx
	movl	%edx, module + 8

	# An entry of Multiboot's map is {size of the rest, 64-bit base, 64-bit length, type}, one of PVH's
	# {64-bit base, 64-bit length, type, reserved}.
	movl	INFO_MMAP_ADDR(%ebx), %esi
	movl	%esi, %ebp
	addl	INFO_MMAP_LENGTH(%ebx), %ebp
	movl	$map, %edi
	xorl	%edx, %edx
1:	cmpl	%ebp, %esi
	jae	2f
	cmpl	$MAP_ENTRIES, %edx
	jae	2f
	lodsl
	leal	(%esi, %eax), %eax		# the next entry
	movl	$5, %ecx
	rep movsl
	addl	$4, %edi
	movl	%eax, %esi
	incl	%edx
	jmp	1b
2:	movl	%edx, info_map_entries

	movl	$info, %ebx
	movl	$PVH_ENTRY, %eax
	jmp	*%eax

	.balign	8
info:
	.long	HVM_START_MAGIC, 1, 0, 1	# version, flags, modules
	.long	module, 0
info_cmdline:
	.quad	0
	.quad	0				# RSDP: the kernel looks where a BIOS leaves it
	.long	map, 0
info_map_entries:
	.long	0, 0
module:
	.quad	0, 0, 0, 0			# address, size, command line, reserved
map:
	.fill	MAP_ENTRIES * 24, 1, 0
