/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_fixture.c - see boot_fixture.h.
 */
#include "boot_fixture.h"

#include <asm/bootparam.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void fixture_ram(struct ram *ram, const struct fixture_range *ranges, unsigned count)
{
	*ram = (struct ram){ .page_size = 4096 };
	ram->layout.count = count;
	ram->layout.top = 4 * GIB;
	for (unsigned i = 0; i < count; i++) {
		void *hva = mmap(NULL, ranges[i].size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (hva == MAP_FAILED)
			abort();
		ram->layout.segment[i] = (struct ram_segment){ .gpa = ranges[i].gpa,
			.size = ranges[i].size,
			.offset = ram->layout.size,
			.hva = hva };
		ram->layout.size += ranges[i].size;
		if (ranges[i].gpa + ranges[i].size > ram->layout.top)
			ram->layout.top = ranges[i].gpa + ranges[i].size;
	}
}

void fixture_ram_release(struct ram *ram)
{
	for (unsigned i = 0; i < ram->layout.count; i++)
		munmap(ram->layout.segment[i].hva, ram->layout.segment[i].size);
}

bool fixture_holds(const struct ram *ram, uint64_t gpa, size_t size, uint8_t value)
{
	const uint8_t *at = ram_hva(ram, gpa, size);

	for (size_t i = 0; at && i < size; i++)
		if (at[i] != value)
			return false;
	return at || !size;
}

void fixture_load(struct boot_load *load)
{
	while (boot_load_step(load))
		;
}

static void start(struct fixture_kernel *kernel, size_t size)
{
	memset(kernel, 0, sizeof(*kernel));
	strcpy(kernel->cmdline, "console=ttyS0");
	kernel->image = (struct boot_image){
		.kernel = kernel->bytes,
		.kernel_size = size,
		.cmdline = kernel->cmdline,
		.kernel_path = "kernel",
		.initrd_path = "initrd",
	};
}

void *fixture_bzimage_header(struct fixture_kernel *kernel)
{
	return kernel->bytes + 0x1f1;
}

void fixture_bzimage(struct fixture_kernel *kernel)
{
	struct setup_header hdr = {
		.setup_sects = 4,
		.syssize = FIXTURE_PAYLOAD / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* header ends at 0x26c */
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH | CAN_USE_HEAP,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G,
		.cmdline_size = 2047,
		.pref_address = 16 * MIB,
		.init_size = 4 * MIB,
	};

	start(kernel, 5 * 512 + FIXTURE_PAYLOAD);
	memcpy(fixture_bzimage_header(kernel), &hdr, sizeof(hdr));
	memset(kernel->bytes + 5 * 512, 0xcc, FIXTURE_PAYLOAD);
}

Elf64_Phdr *fixture_phdr(struct fixture_kernel *kernel, unsigned i)
{
	return (Elf64_Phdr *)(void *)(kernel->bytes + sizeof(Elf64_Ehdr)) + i;
}

void fixture_pvh(struct fixture_kernel *kernel)
{
	Elf64_Ehdr header = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = 0xffffffff81000000, /* the 64-bit entry; PVH must not use it */
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	/* A foreign note first, as real kernels have. */
	static const uint32_t notes[] = {
		4,
		5,
		3,
		0x00554e47 /* "GNU" */,
		0x11111111,
		0x00000022,
		4,
		8,
		18,
		0x006e6558 /* "Xen" */,
		16 << 20 | 64,
		0,
	};

	start(kernel, 8192);
	memcpy(kernel->bytes, &header, sizeof(header));
	*fixture_phdr(kernel, 0) = (Elf64_Phdr){ .p_type = PT_LOAD,
		.p_offset = 4096,
		.p_vaddr = 0xffffffff81000000,
		.p_paddr = 16 * MIB,
		.p_filesz = 4096,
		.p_memsz = 8192,
		.p_align = 4096 };
	*fixture_phdr(kernel, 1) = (Elf64_Phdr){ .p_type = PT_NOTE,
		.p_offset = 2048,
		.p_filesz = sizeof(notes),
		.p_memsz = sizeof(notes),
		.p_align = 4 };
	memcpy(kernel->bytes + 2048, notes, sizeof(notes));
	memset(kernel->bytes + 4096, 0xcc, 4096);
}

uint32_t *fixture_multiboot_header(struct fixture_kernel *kernel)
{
	return (uint32_t *)(void *)(kernel->bytes + 4096 + 64);
}

void fixture_multiboot(struct fixture_kernel *kernel)
{
	const Elf32_Ehdr header = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = 4 * MIB + 32,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 1,
	};
	const Elf32_Phdr segment = { .p_type = PT_LOAD,
		.p_offset = 4096,
		.p_vaddr = 4 * MIB,
		.p_paddr = 4 * MIB,
		.p_filesz = 4096,
		.p_memsz = 8192,
		.p_align = 4096 };
	const uint32_t multiboot[] = { 0x1badb002, 0, (uint32_t)-0x1badb002 };

	start(kernel, 8192);
	memcpy(kernel->bytes, &header, sizeof(header));
	memcpy(kernel->bytes + sizeof(header), &segment, sizeof(segment));
	memset(kernel->bytes + 4096, 0xcc, 4096);
	memcpy(fixture_multiboot_header(kernel), multiboot, sizeof(multiboot));
}

uint32_t *fixture_multiboot_flat(struct fixture_kernel *kernel)
{
	uint32_t header[8] = { 0x1badb002, 0x10003, 0, 2 * MIB + 32, 2 * MIB, 2 * MIB + 1000,
		2 * MIB + 5096, 2 * MIB + 100 };

	header[2] = -(header[0] + header[1]);
	start(kernel, 2048);
	memset(kernel->bytes, 0xcc, 2048);
	memcpy(kernel->bytes + 64, header, sizeof(header));
	return (uint32_t *)(void *)(kernel->bytes + 64);
}
